"""Sockets on which an exchange has a deadline: by progress, and in total.

The time-outs of HTTP libraries hold for one read or one write: a server that sends a byte now and
then is waited for without end, and a slow line that never stands still may be cut off. Here an
exchange ends when no byte has moved for a while, in either direction, or when it has taken longer
than its bytes allow. An upload that crawls along is left alone; an answer that drips is not.

Knows nothing of HTTP. `imagepipe.http` puts it below the library that does.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Bytes handed to the system at once: few enough that progress is seen on a slow line.
PIECE = 64 * 1024
#: Addresses of a name that are tried, one after the other.
TRIED = 4

#: Finds the addresses of a host and port, in the form that `socket.connect` takes, each with its family.
Resolve = Callable[[str, int], Sequence[tuple[int, tuple[str, int]]]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an exchange may take, in seconds."""

    connect: float = 15.0  #: To be connected to one address, and again for the TLS handshake.
    progress: float = 30.0  #: Without a byte moved in either direction.
    total: float = 60.0  #: In all, and one second more for each `rate` bytes that have moved.
    rate: float = 4_000.0  #: Bytes a second; 32 kbit/s.
    pool: float = 600.0  #: Until one of the connections is free.


class Deadline(float):
    """The end of one exchange, passed down as what the layers between take for a time-out in seconds.

    As a number it is the time without progress, which is what a layer that does not know it gets.
    Time counts from the first byte, not while waiting for a free connection.
    """

    def __new__(cls, pace: Pace, clock: Callable[[], float] = time.monotonic) -> Deadline:
        self = super().__new__(cls, pace.progress)
        self.pace, self.clock = pace, clock
        self.began, self.bytes = None, 0
        return self

    pace: Pace
    clock: Callable[[], float]
    began: float | None
    bytes: int

    def left(self) -> float:
        """Return for how long the next step may wait; raise `TimeoutError` where time is up."""
        now = self.clock()
        if self.began is None:
            self.began = now
        left = self.began + self.pace.total + self.bytes / self.pace.rate - now
        if left <= 0:
            raise TimeoutError(f"took longer than {self.pace.total:.0f} s and a second for each "
                               f"{self.pace.rate:,.0f} bytes")
        return min(self.pace.progress, left)

    def moved(self, count: int) -> None:
        """Note that bytes were sent or received."""
        self.bytes += count


def deadline_of(timeout: float | None) -> Deadline:
    """Return the deadline that came down as a time-out; one of its own for a plain number."""
    if isinstance(timeout, Deadline):
        return timeout
    return Deadline(Pace() if timeout is None else Pace(progress=timeout))


class Line:
    """One TCP connection, perhaps with TLS on it. Raises `TimeoutError` and `OSError`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._stalled = False

    @classmethod
    def to(cls, host: str, port: int, timeout: float | None, resolve: Resolve | None = None) -> Line:
        """Connect to the first address of a host that answers, each for at most `timeout` seconds."""
        problem: OSError = OSError(f"no address for {host}")
        for family, address in (resolve or addresses)(host, port)[:TRIED]:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(timeout)
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
            else:
                return cls(sock)
        raise problem

    def start_tls(self, context: ssl.SSLContext, host: str | None, timeout: float | None) -> Line:
        """Return the connection with TLS on it; it is closed where that fails."""
        try:
            self.sock.settimeout(timeout)
            return Line(context.wrap_socket(self.sock, server_hostname=host))
        except BaseException:
            self.close()
            raise

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send all of `data`, in pieces.

        Where the other side stops taking it, what it may have said about that is waited for but
        shortly: `receive` does not begin its patience anew.
        """
        view = memoryview(data)
        try:
            while view:
                self.sock.settimeout(deadline.left())
                sent = self.sock.send(view[:PIECE])
                deadline.moved(sent)
                view = view[sent:]
        except TimeoutError:
            self._stalled = True
            raise

    def receive(self, size: int, deadline: Deadline) -> bytes:
        """Return what has come, at most `size` bytes; b"" at the end.

        Bytes that the system has taken from us and that trickle out of its buffers are progress
        too: a slow upload is not done when its last byte is handed over.
        """
        while True:
            unsent = self._unsent()
            self.sock.settimeout(min(deadline.left(), 1.0) if self._stalled else deadline.left())
            try:
                data = self.sock.recv(size)
            except TimeoutError:
                left = self._unsent()
                if self._stalled or unsent is None or left is None or left >= unsent:
                    raise
                continue
            deadline.moved(len(data))
            return data

    def _unsent(self) -> int | None:
        """Return how many bytes the other side has not acknowledged; None where the system does not tell."""
        with contextlib.suppress(OSError, ValueError, ImportError):
            if sys.platform == "linux":
                import array
                import fcntl
                import termios

                held = array.array("i", [0])
                fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, held)  # SIOCOUTQ, tcp(7)
                return held[0]
            if sys.platform == "darwin":
                return self.sock.getsockopt(socket.SOL_SOCKET, 0x1024)  # SO_NWRITE, sys/socket.h
        return None

    def is_readable(self) -> bool:
        """Tell whether something has come, or the other side has hung up."""
        try:
            if hasattr(select, "poll"):  # `select` takes no descriptor above 1023
                poll = select.poll()
                poll.register(self.sock, select.POLLIN)
                return bool(poll.poll(0))
            return bool(select.select([self.sock], [], [], 0)[0])
        except (OSError, ValueError):
            return True  # closed already

    def close(self) -> None:
        self.sock.close()


def addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    """Return the addresses of a host, in the order in which they should be tried."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from None
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]  # IPv6 has two fields more
