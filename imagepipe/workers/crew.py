"""The queue of tasks, and the threads that each look after one process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from typing import Any

from imagepipe.errors import ConfigurationError, ImageError, NeedsMemory, TooSlow, WorkerDied
from imagepipe.workers import wire
from imagepipe.workers.child import OUT_OF_MEMORY
from imagepipe.workers.logs import hand_over, wanted_level
from imagepipe.workers.memory import MemoryGate, shown
from imagepipe.workers.processes import START_SECONDS, Process, Settings, Starter, StartFailed
from imagepipe.workers.wire import Gone

#: So many starts in a row may fail before it is given up.
_STARTS = 3


class CannotStart(ConfigurationError, BrokenExecutor):
    """Worker processes cannot be started on this computer, or not any more."""

    code = "workers"


@dataclass(slots=True, eq=False)
class Task:
    """A call, and the future that waits for what comes of it."""

    future: Future[Any]
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    name: str
    size: int = 0


class Crew:
    """The queue, and the threads that each look after one process."""

    def __init__(self, jobs: int, starter: Starter, gate: MemoryGate, wall_seconds: float | None, settings: Settings,
                 recycle_after: int | None) -> None:
        self.jobs = jobs
        self.starter = starter
        self.gate = gate
        self.wall_seconds = wall_seconds
        self.settings = settings
        self.recycle_after = recycle_after
        self.queue: deque[Task] = deque()
        self.changed = threading.Condition()
        self.threads: list[threading.Thread] = []
        self.running = 0  # threads that have not ended
        self.idle = 0
        self.processes: set[Process] = set()
        self.closing = False
        self.stopping = False
        self.broken = ""
        self.failed_starts = 0
        self.owner = os.getpid()

    # -- from outside --------------------------------------------------------------------------

    def add(self, task: Task) -> Future[Any]:
        with self.changed:
            if self.broken:
                raise CannotStart(self.broken)
            if self.closing:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self.queue.append(task)
            if self.idle < len(self.queue) and self.running < self.jobs:
                thread = threading.Thread(target=self._look_after, name=f"imagepipe-worker-{len(self.threads)}",
                                          daemon=True)
                thread.start()
                self.threads.append(thread)
                self.running += 1
            self.changed.notify()
        return task.future

    def close(self, cancel: bool) -> None:
        with self.changed:
            self.closing = True
            cancelled = list(self.queue) if cancel else []
            if cancel:
                self.queue.clear()
            self.changed.notify_all()
        for task in cancelled:
            task.future.cancel()
            task.future.set_running_or_notify_cancel()

    def forget(self) -> None:
        """Take no more work; end the processes when all that was submitted is done."""
        if os.getpid() == self.owner:  # else a copy, whose lock may be held by a thread that is not there
            self.close(cancel=False)

    def stop(self) -> None:
        if os.getpid() != self.owner:
            return  # a copy in a process that the caller forked: nothing here is its own
        self.stopping = True
        self.close(cancel=True)
        with self.changed:
            processes = list(self.processes)
        for process in processes:
            process.kill()
        self.join()

    def join(self) -> None:
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join()

    # -- one thread for each process -----------------------------------------------------------

    def _look_after(self) -> None:
        process: Process | None = None
        try:
            while (task := self._next()) is not None:
                if task.future.set_running_or_notify_cancel():
                    process = self._see_through(task, process)
                del task  # a future that nobody waits for is let go of
        finally:
            if process is not None:
                self._dismiss(process)
            with self.changed:
                self.running -= 1
                last = not self.running
            if last:
                self.starter.close()

    def _next(self) -> Task | None:
        with self.changed:
            self.idle += 1
            try:
                while not self.queue:
                    if self.closing:
                        return None
                    self.changed.wait()
                return self.queue.popleft()
            finally:
                self.idle -= 1

    def _see_through(self, task: Task, process: Process | None) -> Process | None:
        """Do a task; return the process for the next one."""
        error: BaseException | None = None
        value: Any = None
        try:
            if task.size and not self.gate.take(task, task.size, give_up=lambda: self.stopping):
                raise _stopped()
            pieces = wire.pickled(task.call, task.name)
            for _ in range(_STARTS):
                if process is None or not process.alive():
                    process = self._replace(process)
                answer = self._ask(task, process, pieces)
                if answer is not None:
                    break
                self._dismiss(process)  # it was killed while it had nothing to do
                process = None
            else:
                raise WorkerDied(f"{_STARTS} worker processes were killed before they had begun with this picture; "
                                 "something on this computer kills them")
            value, error, fit = answer
            if not fit:
                self._dismiss(process)
                process = None
        except Exception as raised:  # noqa: BLE001 - whatever it is belongs to the future
            error = raised
            if not isinstance(raised, (ImageError, ConfigurationError)) and process is not None:
                self._dismiss(process)
                process = None
        finally:
            self.gate.give_back(task)
        if error is None:
            task.future.set_result(value)
        else:
            task.future.set_exception(error)
        return process

    def _ask(self, task: Task, process: Process, pieces: list[bytes | bytearray],
             ) -> tuple[Any, BaseException | None, bool] | None:
        """Have `process` do a task: the value, or the error, and whether the process may go on.

        None means that it had not begun.
        """
        begun = False
        deadline: float | None = time.monotonic() + START_SECONDS  # the picture's time begins when the work on it does
        try:
            path = list(sys.path)
            about = (None if path == process.path else path, wanted_level(), task.name)
            process.channel.send(wire.SETTINGS, wire.pickled(about, task.name), deadline)
            process.channel.send(wire.TASK, pieces, deadline)
            process.path = path
            while True:
                kind, data = process.channel.receive(deadline, process.alive)
                if kind == wire.BEGUN:
                    begun = True
                    deadline = self._deadline()
                elif kind == wire.LOG:
                    hand_over(wire.loaded(data))
                elif kind == wire.RESERVE:
                    before = time.monotonic()
                    self._grant(task, process, wire.loaded(data), deadline)
                    if deadline is not None:
                        deadline += time.monotonic() - before
                elif kind == wire.RESULT:
                    process.tasks += 1
                    return wire.loaded(data), None, self._may_go_on(process)
                elif kind == wire.RAISED:
                    process.tasks += 1
                    return None, wire.loaded(data), self._may_go_on(process)
        except TimeoutError:
            process.kill()
            if not begun:
                return None
            return None, TooSlow(f"stopped after {self.wall_seconds:g} s, the time that a picture may take; raise "
                                 "--picture-timeout, or make the picture smaller"), False
        except Gone:
            if self.stopping:
                return None, _stopped(), False
            if not begun:
                return None
            process.kill()  # what it started may still be there
            return None, self._why(process.end()), False

    def _grant(self, task: Task, process: Process, size: int, deadline: float | None) -> None:
        most = self.settings.memory
        try:
            if most and size > most:
                raise NeedsMemory(f"this picture needs about {shown(size)} of memory, and a picture may have "
                                  f"{shown(most)}; raise --memory, or make the picture smaller")
            if not self.gate.take(task, size, give_up=lambda: self.stopping or not process.alive()):
                raise Gone
        except NeedsMemory as error:
            process.channel.send(wire.REFUSED, wire.pickled(str(error), ""), deadline)
        else:
            process.channel.send(wire.GRANTED, [])

    def _why(self, status: int | None) -> ImageError:
        """Return what to say of a process that ended while it worked, by its exit status."""
        advice = "the picture may be made to do harm, or be damaged: open and save it with another program"
        if status is None:
            return WorkerDied(f"the process that worked on this picture is gone; {advice}")
        if status == -getattr(signal, "SIGXCPU", 0) and self.settings.cpu_seconds is not None:
            return TooSlow(f"stopped after {self.settings.cpu_seconds:g} s of processor time, which a picture may "
                           "take; make the picture smaller, or raise --picture-timeout")
        if status == OUT_OF_MEMORY and self.settings.memory:
            return NeedsMemory(f"this picture needs more than the {shown(self.settings.memory)} of memory that a "
                               "picture may have; raise --memory, or make the picture smaller")
        if status == -getattr(signal, "SIGKILL", 0):
            return WorkerDied("the process that worked on this picture was killed (SIGKILL), most likely as the "
                              "computer ran out of memory; lower --jobs or --memory, or make the picture smaller")
        with contextlib.suppress(ValueError):
            if status < 0:
                return WorkerDied(f"the process that worked on this picture crashed ({signal.Signals(-status).name}); "
                                  f"{advice}")
        return WorkerDied(f"the process that worked on this picture ended (exit status {status}); {advice}")

    def _may_go_on(self, process: Process) -> bool:
        return self.recycle_after is None or process.tasks < self.recycle_after

    def _deadline(self) -> float | None:
        return None if self.wall_seconds is None else time.monotonic() + self.wall_seconds

    def _replace(self, process: Process | None) -> Process:
        """Return a fresh process. Raises `CannotStart` when that failed too often in a row."""
        if process is not None:
            self._dismiss(process)
        while True:
            if self.stopping:
                raise _stopped()
            if self.broken:
                raise CannotStart(self.broken)
            try:
                fresh = self.starter.start()
            except (StartFailed, OSError) as error:
                with self.changed:
                    self.failed_starts += 1
                    if self.failed_starts >= _STARTS:
                        self.broken = (f"worker processes cannot be started: {error}; see what Python printed above, "
                                       "or work without them (--jobs 0)")
                continue
            with self.changed:
                self.failed_starts = 0
                self.processes.add(fresh)
            if self.stopping:  # `stop` may have looked for processes before this one was among them
                self._dismiss(fresh)
                raise _stopped()
            return fresh

    def _dismiss(self, process: Process) -> None:
        with self.changed:
            self.processes.discard(process)
        process.end()


def _stopped() -> WorkerDied:
    return WorkerDied("the work on this picture was stopped, as all of it was")
