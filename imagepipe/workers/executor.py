"""The executors: `Workers`, of processes, and `Inline`, in the calling thread."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from imagepipe.errors import ConfigurationError, ImageError, NeedsMemory, TooSlow, WorkerDied
from imagepipe.workers import wire
from imagepipe.workers.child import OUT_OF_MEMORY
from imagepipe.workers.memory import PICTURE, MemoryGate, default_budget, default_jobs, shown
from imagepipe.workers.processes import Process, Settings, Starter, StartFailed, starter
from imagepipe.workers.wire import Gone

P = ParamSpec("P")
T = TypeVar("T")

#: Imported before there is work, so that a worker starts with them.
PRELOAD = (
    "imagepipe.runner", "imagepipe.stages.read", "imagepipe.stages.decode", "imagepipe.stages.convert",
    "imagepipe.stages.strip", "imagepipe.stages.fit", "PIL.Image", "PIL.ImageCms", "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin", "PIL.WebPImagePlugin", "PIL.GifImagePlugin", "pillow_heif", "simplejpeg",
)
#: A worker is replaced after so many tasks, as decoders leak; with a forkserver that takes milliseconds.
RECYCLE_AFTER = 500
#: So many starts in a row may fail before it is given up.
_STARTS = 3


class CannotStart(ConfigurationError, BrokenExecutor):
    """Worker processes cannot be started on this computer, or not any more."""

    code = "workers"


@dataclass(slots=True)
class _Task:
    future: Future[Any]
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
    name: str
    size: int = 0


class Workers(Executor):
    """Worker processes, each of which may crash, hang or run out of memory without harm to the rest.

    `jobs` processes at the same time (None: one a core, as memory allows). A task may take
    `wall_seconds` from its begin to the arrival of its result, `cpu_seconds` of processor time, and
    `memory` bytes of address space beyond what a fresh worker has; None is without limit, 0 for
    `memory`. Where `memory` is None, a task may have 2 GiB, or the whole of a `memory_budget` that is
    stated. `memory_budget` is what tasks may announce together, by `submit_sized` or
    `imagepipe.budget.reserve` (None: three quarters of what is available).

    `preload` names modules to import beforehand; `start_method` is `forkserver`, `spawn`, or None for
    what suits the system; a process is replaced after `recycle_after` tasks (None: never).

    A task that breaks a limit or kills its process ends with `TooSlow`, `NeedsMemory` or
    `WorkerDied`; what cannot be sent to a worker or back with `ConfigurationError`. `CannotStart` is
    raised by `submit` once processes cannot be started at all.

    Leaving the `with` block by an exception, Ctrl-C included, stops what is running. So does the
    end of the program. On Windows there are no limits on memory and processor time; on macOS memory
    is watched instead of limited, four times a second.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        wall_seconds: float | None = 60.0,
        cpu_seconds: float | None = 30.0,
        memory: int | None = None,
        memory_budget: int | None = None,
        start_method: str | None = None,
        preload: tuple[str, ...] = PRELOAD,
        recycle_after: int | None = RECYCLE_AFTER,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise ConfigurationError(f"jobs is {jobs}: at least 1 worker process is needed; to work without, use Inline "
                                     "(--jobs 0)")
        for name, value in (("wall_seconds", wall_seconds), ("cpu_seconds", cpu_seconds)):
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is {value}: a limit has to be more than 0")
        if start_method not in (None, "forkserver", "spawn") or (start_method == "forkserver"
                                                                and sys.platform == "win32"):
            raise ConfigurationError(f"start_method is {start_method!r}: use 'spawn', 'forkserver' (not on Windows) or "
                                     "None")
        self.memory_budget = default_budget() if memory_budget is None else memory_budget
        if memory is None:
            memory = min(PICTURE, self.memory_budget) if memory_budget is None else memory_budget
        #: How many processes there are at most.
        self.jobs = default_jobs(self.memory_budget) if jobs is None else jobs
        settings = Settings(cpu_seconds, memory or None, True, tuple(preload))
        gate = MemoryGate(min(self.memory_budget, memory) if memory else self.memory_budget)
        gate.budget = self.memory_budget
        self._crew = _Crew(self.jobs, starter(start_method, settings), gate, wall_seconds, settings, recycle_after)
        # also at the end of the program, and when the executor is forgotten
        self._forgotten = weakref.finalize(self, _Crew.stop, self._crew)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn(*args, **kwargs)` called in a worker."""
        return self._crew.add(_Task(Future(), (fn, args, kwargs), _name(fn)))

    def submit_sized(self, size: int, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the same for a call that needs about `size` bytes: it waits until they may be used."""
        return self._crew.add(_Task(Future(), (fn, args, kwargs), _name(fn), size))

    def check(self, *values: object) -> None:
        """Raise `ConfigurationError` for a value that a worker could not be sent, such as a function of a script."""
        for value in values:
            wire.pickled(value, _name(value))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; end the processes when all that was submitted is done, or begun and the rest cancelled."""
        self._crew.close(cancel_futures)
        if wait:
            self._crew.join()
            self._forgotten.detach()

    def stop(self) -> None:
        """Cancel what is queued, kill what is running, and wait until all processes are gone."""
        self._crew.stop()
        self._forgotten.detach()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.stop()


class _Crew:
    """The queue, and the threads that each look after one process."""

    def __init__(self, jobs: int, starter: Starter, gate: MemoryGate, wall_seconds: float | None, settings: Settings,
                 recycle_after: int | None) -> None:
        self.jobs = jobs
        self.starter = starter
        self.gate = gate
        self.wall_seconds = wall_seconds
        self.settings = settings
        self.recycle_after = recycle_after
        self.queue: deque[_Task] = deque()
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

    def add(self, task: _Task) -> Future[Any]:
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

    def _next(self) -> _Task | None:
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

    def _see_through(self, task: _Task, process: Process | None) -> Process | None:
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
                process = self._dismiss(process)  # it was killed while it had nothing to do
            else:
                raise WorkerDied(f"{_STARTS} worker processes were killed before they had begun with this picture; "
                                 "something on this computer kills them")
            value, error, fit = answer
            if not fit:
                process = self._dismiss(process)
        except Exception as raised:  # noqa: BLE001 - whatever it is belongs to the future
            error = raised
            if not isinstance(raised, (ImageError, ConfigurationError)) and process is not None:
                process = self._dismiss(process)
        finally:
            self.gate.give_back(task)
        if error is None:
            task.future.set_result(value)
        else:
            task.future.set_exception(error)
        return process

    def _ask(self, task: _Task, process: Process, pieces: list[bytes | bytearray],
             ) -> tuple[Any, BaseException | None, bool] | None:
        """Have `process` do a task: the value, or the error, and whether the process may go on.

        None means that it had not begun.
        """
        begun = False
        deadline = self._deadline()
        try:
            path = list(sys.path)
            about = (None if path == process.path else path, _level(), task.name)
            process.channel.send(wire.SETTINGS, wire.pickled(about, task.name), deadline)
            process.channel.send(wire.TASK, pieces, deadline)
            process.path = path
            while True:
                kind, data = process.channel.receive(deadline, process.alive)
                if kind == wire.BEGUN:
                    begun = True
                    deadline = self._deadline()
                elif kind == wire.LOG:
                    _log(wire.loaded(data))
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
            return None, TooSlow(f"stopped after {self.wall_seconds:g} s, the time that a picture may take; raise "
                                 "--picture-timeout, or make the picture smaller"), False
        except Gone:
            if self.stopping:
                return None, _stopped(), False
            if not begun:
                return None
            process.kill()  # what it started may still be there
            return None, self._why(process.end()), False

    def _grant(self, task: _Task, process: Process, size: int, deadline: float | None) -> None:
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
            return TooSlow(f"stopped after {self.settings.cpu_seconds:g} s of processor time, which a picture may take; "
                           "make the picture smaller, or raise cpu_seconds")
        if status == OUT_OF_MEMORY and self.settings.memory:
            return NeedsMemory(f"this picture needs more than the {shown(self.settings.memory)} of memory that a "
                               "picture may have; raise --memory, or make the picture smaller")
        if status == -getattr(signal, "SIGKILL", 0):
            return WorkerDied("the process that worked on this picture was killed (SIGKILL), most likely as the computer "
                              "ran out of memory; lower --jobs or --memory, or make the picture smaller")
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
                        self.broken = (f"worker processes cannot be started: {error}; see what Python printed above, or "
                                       "work without them (--jobs 0)")
                continue
            with self.changed:
                self.failed_starts = 0
                self.processes.add(fresh)
            return fresh

    def _dismiss(self, process: Process) -> None:
        with self.changed:
            self.processes.discard(process)
        process.end()


class Inline(Executor):
    """Works in the calling thread, at once. What it is given can crash or hang the program."""

    inline = True  #: For those who would otherwise send work ahead.
    jobs = 1

    def __init__(self) -> None:
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn(*args, **kwargs)` now."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            value = fn(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the future
            future.set_exception(error)
        else:
            future.set_result(value)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        self._closed = True


def _stopped() -> WorkerDied:
    return WorkerDied("the work on this picture was stopped, as all of it was")


def _name(value: object) -> str:
    return str(getattr(value, "__qualname__", None) or type(value).__qualname__)


def _level() -> int:
    """Return the lowest level at which anything of imagepipe is logged here."""
    own = [logger.level for name, logger in logging.root.manager.loggerDict.items()
           if name.startswith("imagepipe.") and isinstance(logger, logging.Logger) and logger.level]
    return min(logging.getLogger("imagepipe").getEffectiveLevel(), *own, logging.CRITICAL)


def _log(fields: dict[str, Any]) -> None:
    """Log what a worker logged, as it is wanted here."""
    record = logging.makeLogRecord(fields)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
