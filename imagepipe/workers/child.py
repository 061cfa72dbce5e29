"""What runs in a worker process. Imported there, by `processes.py` or the forkserver."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from typing import NoReturn

from imagepipe import budget
from imagepipe.errors import ConfigurationError, ImagepipeError, NeedsMemory
from imagepipe.workers import wire
from imagepipe.workers.logs import forward_logs
from imagepipe.workers.memory import address_space, shown
from imagepipe.workers.wire import Channel, Gone

#: Exit status of a worker that ended itself since it had taken too much memory.
OUT_OF_MEMORY = 86

_BETWEEN_LOOKS = 0.25  # seconds; how often a worker looks at its memory, or for its parent, where nobody tells it


def preload(modules: tuple[str, ...]) -> None:
    """Import what pictures will need, before there is one. What is not there is not needed."""
    for name in modules:
        with contextlib.suppress(Exception):  # whoever needs it gets the error, where it can be told
            importlib.import_module(name)


def leave() -> NoReturn:
    """End this process without what Python does at its end: that is for the parent."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)


def spawned(sock: socket.socket, modules: tuple[str, ...], parent: int | None = None) -> None:
    """Be a worker in a process that was started for this alone. It ends with the process `parent`."""
    take_leave()
    threading.Thread(target=_end_with, args=(sock, parent), daemon=True).start()
    preload(modules)
    try:
        work(sock)
    finally:
        leave()


def _end_with(sock: socket.socket, parent: int | None) -> NoReturn:
    """End this process, and what it started, when its parent is gone, whatever it is at."""
    with selectors.DefaultSelector() as waiting, contextlib.suppress(OSError):
        waiting.register(sock, selectors.EVENT_READ)
        while parent is None or os.getppid() == parent:
            time.sleep(_BETWEEN_LOOKS)
            if waiting.select(0) and not sock.recv(1, socket.MSG_PEEK):
                break
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def take_leave() -> None:
    """Take leave of the terminal: Ctrl-C is for the parent to decide, results are for it to print."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # what a library prints may not end up among the results
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _hush() -> None:
    """Send what C libraries print about pictures nowhere: libtiff and its like have no other way to speak.

    What Python logs or warns of goes through the channel. `IMAGEPIPE_WORKER_STDERR=1` leaves standard error as
    it is, to see the last words of an interpreter that dies. In the caller's own process (`jobs=0`, threads)
    nothing of the kind is possible: there standard error is the caller's.
    """
    if os.environ.get("IMAGEPIPE_WORKER_STDERR"):
        return
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)


def work(sock: socket.socket) -> None:
    """Do one task after another until the parent closes the connection."""
    channel = Channel(sock)
    try:
        _, data = channel.receive()
        settings = wire.loaded(data)
        sys.path[:] = settings["path"]
        limits = _Limits(settings["cpu_seconds"], settings["memory"])
        _first_to_go()
        forward_logs(channel)
        budget.set_keeper(lambda size: _reserve(channel, size))
        channel.send(wire.READY, [])
        _hush()
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
