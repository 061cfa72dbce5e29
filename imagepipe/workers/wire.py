"""What parent and worker say to each other: framed pickles over a socket."""

from __future__ import annotations

import contextlib
import pickle
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

from imagepipe.errors import ConfigurationError

#: One byte that says what a message is, and the length of the pickle that follows.
_HEADER = struct.Struct("!cQ")
#: Pieces of a pickle from this size on are sent from where they are, without a copy. The C pickler
#: hands over bytes objects of this size as they are (`_FRAME_SIZE_TARGET`, 64 KiB).
_LARGE = 1 << 16
#: How often a reader who waits for a message looks whether the other side is still alive: its end of
#: the socket may be held open by a process that it started.
_GLANCE = 1.0
_BUFFER = 1 << 20

TASK, BEGUN, RESULT, RAISED, LOG, RESERVE, GRANTED, REFUSED, READY, SETTINGS = (
    b"T", b"B", b"V", b"X", b"L", b"M", b"G", b"N", b"R", b"S")

#: What the forkserver is told: fork (with two sockets), or kill this process.
ORDER = struct.Struct("!cq")
#: What the forkserver tells of a process: its id (or a negative errno), and at last how it ended.
NUMBER = struct.Struct("!q")


class Gone(Exception):
    """The other side closed the socket, or its process has ended."""


class _Pieces:
    """A file that collects what a pickler writes: small pieces joined, large ones as they are."""

    def __init__(self) -> None:
        self.pieces: list[bytes | bytearray] = [bytearray()]

    def write(self, data: bytes) -> int:
        if len(data) >= _LARGE:
            self.pieces += [data, bytearray()]
        else:
            self.pieces[-1] += data
        return len(data)


class _Pickler(pickle.Pickler):
    """A pickler that says at once what the other side could not load."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, (FunctionType, type)) and value.__module__ == "__main__":
            raise ConfigurationError(
                f"{value.__qualname__} is defined in the script or notebook that is running, which a worker process "
                "cannot import; put it into a module of its own, or use jobs=0 to work without worker processes")
        return NotImplemented


def pickled(value: object, what: str) -> list[bytes | bytearray]:
    """Return `value` as the pieces of a pickle.

    Raises `ConfigurationError`, which calls it `what`, for what does not pickle.
    """
    pieces = _Pieces()
    try:
        _Pickler(pieces, protocol=5).dump(value)
    except (ConfigurationError, MemoryError):
        raise
    except Exception as error:  # pickling runs the methods of any class
        raise ConfigurationError(f"{what} cannot be sent between processes ({type(error).__name__}: {error}); use what "
                                 "pickles, defined at the top of a module, or jobs=0") from error
    return pieces.pieces


class Channel:
    """One end of the connection between the parent and a worker."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._sending = threading.Lock()  # in a worker, threads of a stage may log
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            with contextlib.suppress(OSError):  # a wish: fewer switches between the two for large pictures
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)

    def send(self, kind: bytes, pieces: list[bytes | bytearray], deadline: float | None = None) -> None:
        """Send a message. Raises `Gone`, or `TimeoutError` after `deadline` (of `time.monotonic`)."""
        length = sum(map(len, pieces))
        try:
            with self._sending:
                first = _HEADER.pack(kind, length) + pieces[0] if pieces else _HEADER.pack(kind, 0)
                for piece in (first, *pieces[1:]):
                    if piece:
                        self.sock.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
                        self.sock.sendall(piece)
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from error

    def receive(self, deadline: float | None = None, alive: Callable[[], bool] | None = None) -> tuple[bytes, Any]:
        """Return the next message: its kind, and its pickle still to be loaded (a buffer).

        Raises `Gone`, or `TimeoutError` after `deadline`, also in the middle of a message.
        """
        kind, length = _HEADER.unpack(self._exactly(_HEADER.size, deadline, alive))
        return kind, self._exactly(length, deadline, alive)

    def _exactly(self, size: int, deadline: float | None, alive: Callable[[], bool] | None) -> bytearray:
        data = bytearray(size)
        with memoryview(data) as rest:
            at = 0
            glance = _GLANCE if alive is not None else None
            while at < size:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self.sock.settimeout(min((value for value in (left, glance) if value is not None), default=None))
                try:
                    got = self.sock.recv_into(rest[at:])
                except TimeoutError:
                    if alive is not None and not alive() and not self._waiting():
                        raise Gone("the process ended") from None
                    continue
                except OSError as error:
                    raise Gone(str(error)) from error
                if not got:
                    raise Gone("the connection was closed")
                at += got
        return data

    def _waiting(self) -> bool:
        """Return whether something is still to be read."""
        self.sock.settimeout(0)
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def close(self) -> None:
        self.sock.close()


def loaded(data: bytearray) -> Any:
    """Return what a message holds."""
    return pickle.loads(data)
