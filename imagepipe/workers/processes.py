"""Starting worker processes, and ending them with all that they started."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

from imagepipe.workers import wire
from imagepipe.workers.wire import NUMBER, ORDER, Channel, Gone

#: How long a process may take until it can work: an interpreter and its imports, from a cold disk.
START_SECONDS = 60.0
_END_SECONDS = 5.0


class StartFailed(Exception):
    """A process did not get as far as being able to work."""


@dataclass(frozen=True)
class Settings:
    """What each worker is told at its start."""

    cpu_seconds: float | None
    memory: int | None
    preload: tuple[str, ...]


class Process(Protocol):
    """A worker process, seen from the parent."""

    channel: Channel
    tasks: int  #: How many it has done.
    path: list[str]  #: `sys.path`, as it was last told.

    @abstractmethod
    def alive(self) -> bool: ...

    @abstractmethod
    def kill(self) -> None:
        """Kill it and what it started. Harmless when it has ended."""

    @abstractmethod
    def end(self) -> int | None:
        """Close the connection, see that the process is gone; return its exit status (-signal), if it can be told."""


class Starter(Protocol):
    """A way to start workers."""

    @abstractmethod
    def start(self) -> Process: ...

    @abstractmethod
    def close(self) -> None: ...


def starter(method: str | None, settings: Settings) -> Starter:
    """Return the way to start workers that suits this system, or the one named.

    `forkserver`: one process imports what is needed, and forks a worker in a few milliseconds. The
    default on Linux. macOS has it too, where system libraries are not made to be forked, so it is
    `spawn` there as it is in Python itself, and on Windows: every worker starts an interpreter.
    """
    if method is None:
        method = "forkserver" if sys.platform.startswith("linux") else "spawn"
    return _Forking(settings) if method == "forkserver" else _Spawning(settings)


def _command(code: str) -> list[str]:
    """Return the command of an interpreter like this one, which finds modules as this one does.

    `code` is a module of this package, and what to do with it.

    The search path is set by the first statement, before anything is imported that a file in the
    current folder could stand in for. The caller's main module is not imported.
    """
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # what multiprocessing uses
    path = ascii([str(entry) for entry in sys.path])
    return [_interpreter(), *flags, "-c", f"import sys; sys.path[:] = {path}; "
                                          f"from imagepipe.workers import {code}"]


def _interpreter() -> str:
    if not sys.executable:
        raise StartFailed("this program does not say where its Python interpreter is")
    if sys.platform == "win32":  # of a virtual environment, sys.executable only starts another process
        return str(getattr(sys, "_base_executable", sys.executable))
    return sys.executable


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    # every thread of a decoder would set 64 MB or more of addresses aside, which count against the limit
    environment.setdefault("MALLOC_ARENA_MAX", "2")
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy comes along with a codec; nothing computes with it
    if sys.platform == "win32":
        environment["__PYVENV_LAUNCHER__"] = sys.executable  # as multiprocessing does
    return environment


def _welcome(process: Process, settings: Settings) -> None:
    """Tell a new worker its settings and wait until it is ready."""
    told = {"path": process.path, "cpu_seconds": settings.cpu_seconds, "memory": settings.memory}
    deadline = time.monotonic() + START_SECONDS
    try:
        process.channel.send(wire.SETTINGS, [bytearray(pickle.dumps(told))], deadline)
        process.channel.receive(deadline, process.alive)
    except TimeoutError:
        process.kill()
        process.end()
        raise StartFailed(f"it was not ready after {START_SECONDS:g} s") from None
    except Gone:
        process.kill()
        status = process.end()
        raise StartFailed("it ended while it started" + (f" (exit status {status})" if status else "")) from None


# -- by a forkserver ---------------------------------------------------------------------------


class _Forking:
    """Starts workers by a process that forks; started with the first, and again should it die."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> Process:
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        process = _Forked(self, Channel(ours), reading)
        try:
            with self._lock, theirs:
                self._order(b"F", 0, [theirs.fileno(), writing])
        except BaseException:
            process.end()
            raise
        finally:
            os.close(writing)
        _welcome(process, self.settings)
        return process

    def kill(self, pid: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._control is not None:
                self._control.sendall(ORDER.pack(b"K", pid))

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _order(self, order: bytes, number: int, descriptors: list[int]) -> None:
        for attempt in (1, 2):
            if self._server is None or self._server.poll() is not None:
                self._stop()
                self._launch()
            assert self._control is not None  # for the type checker: `_launch` made it
            try:
                socket.send_fds(self._control, [ORDER.pack(order, number)], descriptors)
                return
            except OSError as error:
                self._stop()
                if attempt == 2:
                    raise StartFailed(str(error)) from error

    def _launch(self) -> None:
        control, theirs = socket.socketpair()
        code = f"forkserver; forkserver.serve({theirs.fileno()}, {os.getpid()}, {self.settings.preload!r})"
        try:
            with theirs:
                self._server = subprocess.Popen(
                    _command(code), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=_environment(),
                    start_new_session=True)  # out of reach of the terminal's Ctrl-C
        except OSError as error:
            control.close()
            raise StartFailed(str(error)) from error
        self._control = control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()  # it kills its workers and ends
            self._control = None
        if self._server is not None:
            try:
                self._server.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()  # its workers go with it, or find the connection closed
                self._server.wait()
            self._server = None


class _Forked:
    def __init__(self, starter: _Forking, channel: Channel, status: int) -> None:
        self.starter = starter
        self.channel = channel
        self.tasks = 0
        self.path = list(sys.path)
        self._status = status
        self._told = bytearray()  # the process id, and once it has ended its exit status
        self._closed = False  # the other end of the status pipe
        self._lock = threading.Lock()
        os.set_blocking(status, False)

    def alive(self) -> bool:
        with self._lock:
            self._look()
            return not self._closed and len(self._told) < 2 * NUMBER.size and self._number(0) >= 0

    def kill(self) -> None:
        with self._lock:
            deadline = time.monotonic() + _END_SECONDS
            while time.monotonic() < deadline:  # it can have begun before its number is told to us
                self._look()
                if self._told or self._closed:
                    break
                time.sleep(0.005)
            pid = self._number(0)
        if pid > 0:
            self.starter.kill(pid)

    def end(self) -> int | None:
        with contextlib.suppress(OSError):
            self.channel.close()
        deadline = time.monotonic() + _END_SECONDS
        killed = False
        while self.alive() and self._number(0) > 0:
            if time.monotonic() > deadline:
                if killed:
                    break
                self.kill()
                killed, deadline = True, time.monotonic() + _END_SECONDS
            time.sleep(0.002)
        with self._lock:
            if self._status >= 0:
                os.close(self._status)
                self._status, self._closed = -1, True
            return self._number(1) if len(self._told) >= 2 * NUMBER.size else None

    def _number(self, at: int) -> int:
        data = self._told[at * NUMBER.size:(at + 1) * NUMBER.size]
        return int(NUMBER.unpack(data)[0]) if len(data) == NUMBER.size else 0

    def _look(self) -> None:
        while not self._closed:
            try:
                data = os.read(self._status, 2 * NUMBER.size)
            except BlockingIOError:
                return
            self._told += data
            self._closed = not data


# -- one interpreter each ----------------------------------------------------------------------


class _Spawning:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self) -> Process:
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        try:
            with theirs:
                popen = self._windows(theirs) if sys.platform == "win32" else self._posix(theirs)
        except OSError as error:
            channel.close()
            raise StartFailed(str(error)) from error
        process = _Spawned(channel, popen)
        _welcome(process, self.settings)
        return process

    def close(self) -> None:
        """Nothing is shared."""

    def _posix(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        code = (f"child; import socket; child.spawned(socket.socket(fileno={theirs.fileno()}), "
                f"{self.settings.preload!r}, {os.getpid()})")
        return subprocess.Popen(_command(code), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                                env=_environment(), start_new_session=True)

    def _windows(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        """Start a process and hand it the socket through its standard input, as Windows has it."""
        code = ("child; import socket; child.spawned(socket.fromshare(sys.stdin.buffer.read()), "
                f"{self.settings.preload!r})")
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        popen = subprocess.Popen(_command(code), stdin=subprocess.PIPE, env=_environment(), creationflags=flags)
        assert popen.stdin is not None  # for the type checker: it was asked for
        with popen.stdin:
            share: Any = theirs.share  # type: ignore[attr-defined, unused-ignore]  # Windows only
            popen.stdin.write(share(popen.pid))
        return popen


class _Spawned:
    def __init__(self, channel: Channel, popen: subprocess.Popen[bytes]) -> None:
        self.channel = channel
        self.tasks = 0
        self.path = list(sys.path)
        self._popen = popen
        self._lock = threading.Lock()

    def alive(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        with self._lock:
            if sys.platform != "win32":
                # the number is still its own while it is not reaped, or as long as its group has members
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._popen.pid, signal.SIGKILL)
            if self._popen.returncode is None:
                self._popen.kill()

    def end(self) -> int | None:
        with contextlib.suppress(OSError):
            self.channel.close()
        try:
            self._popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._popen.wait()
        return self._popen.returncode
