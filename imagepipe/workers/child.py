"""What runs in the processes that the workers consist of. Imported there, by `processes.py`."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import math
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings
from logging.handlers import QueueHandler
from typing import Any, NoReturn

from imagepipe import budget
from imagepipe.errors import ConfigurationError, ImagepipeError, NeedsMemory
from imagepipe.workers import wire
from imagepipe.workers.memory import address_space, shown
from imagepipe.workers.wire import Channel, Gone

#: What the forkserver is told: fork (with two sockets), or kill this process.
ORDER = struct.Struct("!cq")
#: What the forkserver tells of a process: its id (or a negative errno), and at last how it ended.
NUMBER = struct.Struct("!q")
#: Exit status of a worker that ended itself since it had taken too much memory.
OUT_OF_MEMORY = 86

_BETWEEN_LOOKS = 0.25  # seconds; how often the memory of a worker is looked at where no limit can be set


def preload(modules: tuple[str, ...]) -> None:
    """Import what pictures will need, before there is one. What is not there is not needed."""
    for name in modules:
        with contextlib.suppress(Exception):  # whoever needs it gets the error, where it can be told
            importlib.import_module(name)


# -- the forkserver ----------------------------------------------------------------------------


def serve(control_number: int, parent: int, modules: tuple[str, ...]) -> None:
    """Fork a worker whenever the parent asks for one; end, with all of them, when it is gone."""
    _harmless()
    preload(modules)
    gc.collect()
    gc.freeze()  # so that pages stay shared: a collection in a worker does not write to them
    control = socket.socket(fileno=control_number)
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # else the wake-up is not written
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    workers: dict[int, int] = {}  # process id -> descriptor of its status pipe
    try:
        while os.getppid() == parent:  # another process may hold the other end of `control` open
            readable, _, _ = select.select([control, wake], [], [], 1.0)
            if wake in readable:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
                _reap(workers)
            if control in readable:
                data, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 2)
                if not data:
                    break
                order, pid = ORDER.unpack(data)
                if order == b"K":
                    if pid in workers:  # not reaped, so the number is still its own
                        _kill_group(pid)
                elif len(descriptors) == 2:
                    _fork(descriptors[0], descriptors[1], workers, [control, wake, woken])
    finally:
        for pid in workers:
            _kill_group(pid)


def _fork(task: int, status: int, workers: dict[int, int], mine: list[socket.socket]) -> None:
    """Start a worker that is spoken to over the socket `task`; tell what becomes of it over `status`."""
    server = os.getpid()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # threads of a preloaded library: they are idle, and not needed
            pid = os.fork()
    except OSError as error:
        os.write(status, NUMBER.pack(-(error.errno or 1)))
        os.close(task)
        os.close(status)
        return
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in mine:
                end.close()
            for descriptor in (status, *workers.values()):
                os.close(descriptor)
            os.setsid()  # a group of its own, to be killed with all that it starts
            _die_with(server)
            work(socket.socket(fileno=task))
        except BaseException:  # noqa: BLE001 - nothing may get back into the loop of the forkserver
            traceback.print_exc()
        finally:
            _leave()
    os.close(task)
    workers[pid] = status
    with contextlib.suppress(OSError):
        os.write(status, NUMBER.pack(pid))


def _reap(workers: dict[int, int]) -> None:
    """See to the workers that have ended."""
    for pid in list(workers):
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _kill_group(pid)  # what it started; before it is reaped, while the number is still its own
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            continue
        if not hasattr(os, "waitid"):
            _kill_group(pid)
        pipe = workers.pop(pid)
        with contextlib.suppress(OSError):  # the parent may have lost interest
            os.write(pipe, NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os.close(pipe)


def _kill_group(pid: int) -> None:
    """Kill a worker and what it started. It may have ended, or not yet have its own group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, however it ends (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)
    if os.getppid() != parent:
        _leave()


def _leave() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


# -- a worker ----------------------------------------------------------------------------------


def spawned(sock: socket.socket, modules: tuple[str, ...]) -> None:
    """Be a worker in a process that was started for this alone."""
    _harmless()
    preload(modules)
    try:
        work(sock)
    finally:
        _leave()


def _harmless() -> None:
    """Take leave of the terminal: Ctrl-C is for the parent to decide, results are for it to print."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # what a library prints may not end up among the results
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def work(sock: socket.socket) -> None:
    """Do one task after another until the parent closes the connection."""
    channel = Channel(sock)
    try:
        _, data = channel.receive()
        settings = wire.loaded(data)
        sys.path[:] = settings["path"]
        limits = _Limits(settings["cpu_seconds"], settings["memory"])
        _first_to_go()
        _forward_logs(channel)
        if settings["granting"]:
            budget.set_keeper(lambda size: _reserve(channel, size))
        channel.send(wire.READY, [])
        while True:
            _, about = channel.receive()
            _, data = channel.receive()
            channel.send(wire.BEGUN, [])
            kind, answer = _perform(about, data, limits)
            del data
            channel.send(kind, answer)
            del answer
            limits.after_task()
    except Gone:
        pass


def _perform(about: bytearray, data: bytearray, limits: _Limits) -> tuple[bytes, list[bytes | bytearray]]:
    """Do a task; return what to answer."""
    path, level, name = wire.loaded(about)
    if path is not None:
        sys.path[:] = path
    logging.getLogger("imagepipe").setLevel(level)
    try:
        try:
            with limits:
                try:
                    function, args, kwargs = wire.loaded(data)
                except MemoryError:
                    raise
                except Exception as error:
                    raise ConfigurationError(f"a worker process cannot load {name} ({type(error).__name__}: {error}); "
                                             "put it into a module that can be imported, or use jobs=0") from error
                data.clear()
                value = function(*args, **kwargs)
                del function, args, kwargs
                return wire.RESULT, wire.pickled(value, f"the result of {name}")
        except MemoryError:
            raise NeedsMemory(f"this picture needs more than the {shown(limits.memory)} of memory that a picture may "
                              "have; raise --memory, or make the picture smaller" if limits.memory else
                              "there is not enough memory for this picture; make it smaller") from None
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller
        return wire.RAISED, _pickled_error(error, name)


def _pickled_error(error: BaseException, name: str) -> list[bytes | bytearray]:
    """Return `error` as it can be raised in the parent, with a note of where it came from."""
    lines = "".join(traceback.format_exception(error))
    error.__cause__ = error.__context__ = error.__traceback__ = None
    try:
        if not isinstance(error, ImagepipeError):
            error.add_note(f"In the worker process:\n{lines}")
        pieces = wire.pickled(error, "")
        wire.loaded(bytearray().join(pieces))  # many exceptions pickle, and cannot be loaded again
    except Exception:  # noqa: BLE001 - as said
        return wire.pickled(ImagepipeError(f"{name} raised {type(error).__name__}: {error}"), "")
    return pieces


def _reserve(channel: Channel, size: int) -> None:
    """Ask the parent for memory. It stops the clock meanwhile."""
    channel.send(wire.RESERVE, wire.pickled(size, ""))
    kind, data = channel.receive()
    if kind == wire.REFUSED:
        raise NeedsMemory(wire.loaded(data))


def _first_to_go() -> None:
    """Have the kernel kill a worker before its parent when memory runs out (Linux)."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - no Path needed
        file.write("500")


class _Limits:
    """The limits on one task, as a context. None: no such limit."""

    def __init__(self, cpu_seconds: float | None, memory: int | None) -> None:
        self.cpu_seconds = cpu_seconds
        self.memory = memory
        self.baseline = address_space()
        self.own = _soft_limits()
        if memory and not self.baseline and sys.platform != "win32":
            threading.Thread(target=self._watch, args=(memory,), daemon=True).start()

    def __enter__(self) -> None:
        if sys.platform == "win32":
            return
        import resource

        if self.cpu_seconds is not None:
            used = resource.getrusage(resource.RUSAGE_SELF)
            allowed = math.ceil(used.ru_utime + used.ru_stime + self.cpu_seconds)
            _limit(resource.RLIMIT_CPU, allowed)
        if self.memory and self.baseline:
            own = self.own[resource.RLIMIT_AS]
            wanted = self.baseline + self.memory
            _limit(resource.RLIMIT_AS, wanted if own == resource.RLIM_INFINITY else min(own, wanted))

    def __exit__(self, *_: object) -> None:
        """Give room to tell the parent what happened."""
        if sys.platform == "win32":
            return
        for kind, soft in self.own.items():
            _limit(kind, soft)

    def after_task(self) -> None:
        """End this process if much of what was mapped for a picture was not given back: the next gets a fresh one."""
        if self.memory and self.baseline and address_space() > self.baseline + self.memory // 4:
            raise Gone

    def _watch(self, memory: int) -> None:
        """Watch over what is in use, where addresses cannot be limited (macOS)."""
        start = _peak()
        while _peak() < start + memory:
            time.sleep(_BETWEEN_LOOKS)
        os._exit(OUT_OF_MEMORY)


def _soft_limits() -> dict[int, int]:
    """Return the limits that this process came with."""
    if sys.platform == "win32":
        return {}
    import resource

    return {kind: resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS)}


def _limit(kind: int, value: int) -> None:
    """Set a soft limit, as far as the hard one allows."""
    import resource

    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
        value = hard
    with contextlib.suppress(ValueError, OSError):  # macOS refuses some that it does not keep
        resource.setrlimit(kind, (value, hard))


def _peak() -> int:
    """Return the most memory that this process has had in use, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# -- what is logged ----------------------------------------------------------------------------


class _ToParent(QueueHandler):
    """Sends log records to the parent, at once, so that they also tell of a crash."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # there is no queue
        self.channel = channel

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            pieces = wire.pickled(record.__dict__, "a log record")
        except ConfigurationError:  # `extra` may hold anything
            plain = logging.makeLogRecord({key: value for key, value in record.__dict__.items()
                                           if isinstance(value, (str, int, float, type(None)))})
            pieces = wire.pickled(plain.__dict__, "a log record")
        with contextlib.suppress(Gone):
            self.channel.send(wire.LOG, pieces)


def _forward_logs(channel: Channel) -> None:
    log = logging.getLogger("imagepipe")
    log.propagate = False
    log.handlers = [_ToParent(channel)]
    warned = logging.getLogger("imagepipe.warnings")

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        warned.warning("%s: %s (%s, line %d)", category.__name__, message, filename, lineno)

    warnings.showwarning = show


__all__ = ["NUMBER", "ORDER", "OUT_OF_MEMORY", "preload", "serve", "spawned", "work"]
