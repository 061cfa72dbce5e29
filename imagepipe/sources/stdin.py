"""JSON Lines from standard input, read in a thread of their own."""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Self

from imagepipe.errors import SourceError
from imagepipe.sources.manifests import decoded, of_line
from imagepipe.sources.matching import compile_match
from imagepipe.sources.places import Places
from imagepipe.sources.rows import Item, RowReader, refused
from imagepipe.sources.tables import LONGEST_LINE, check_lines

_WAITING = 1_000  #: Lines read ahead; then the writer waits.
_CHUNK = 65_536


class Stdin:
    """Pictures named by JSON Lines that may still be being written.

    `ready` tells whether the next item is there, so that whoever reads has time for other work.
    After `close`, nothing more is taken from the input.
    """

    def __init__(self, stream: IO[Any], reader: RowReader, encoding: str | None = None) -> None:
        self._reader = reader
        self._encoding = encoding or "utf-8-sig"
        self._lines: queue.Queue[bytes | str | OSError | None] = queue.Queue(_WAITING)
        self._items: deque[Item] = deque()
        self._number = 0
        self._ended = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(stream,), name="imagepipe-stdin", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while not self._items and not self._ended:
            self._take(self._lines.get())
        if self._items:
            return self._items.popleft()
        raise StopIteration

    def ready(self) -> bool:
        """Tell whether `next` returns, or ends, without waiting for whoever writes."""
        while not self._items and not self._ended:
            try:
                self._take(self._lines.get_nowait())
            except queue.Empty:
                return False
        return True

    def close(self) -> None:
        """Read no more."""
        self._closed.set()
        self._ended = True
        self._items.clear()
        while True:  # a writer that waits for room finds it, and sees that it is over
            try:
                self._lines.get_nowait()
            except queue.Empty:
                return

    def _take(self, line: bytes | str | OSError | None) -> None:
        if line is None:
            self._ended = True
        elif isinstance(line, OSError):
            self._items.append(refused(SourceError(f"standard input broke off: {line.strerror or line}", "unreadable"),
                                       "-"))
        else:
            self._number += 1
            raw = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
            self._items.extend(of_line(decoded(self._number, raw, self._encoding), self._reader, "standard input"))

    # -- in the thread -------------------------------------------------------------------------

    def _read(self, stream: IO[Any]) -> None:
        try:
            for line in self._raw_lines(stream):
                if not self._put(line):
                    return
        except (OSError, ValueError) as error:  # ValueError: closed by someone else
            self._put(error if isinstance(error, OSError) else OSError(str(error)))
        self._put(None)

    def _put(self, line: bytes | str | OSError | None) -> bool:
        while not self._closed.is_set():
            try:
                self._lines.put(line, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _raw_lines(self, stream: IO[Any]) -> Iterator[bytes | str]:
        """Yield lines; of a real file by its descriptor, as a daemon thread must not hold a lock of `sys.stdin`."""
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError, AttributeError):
            yield from _whole_lines(stream)
            return
        rest = b""
        skipping = False
        while chunk := self._chunk(descriptor):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if not skipping:
                    yield line + b"\n"
                skipping = False
            if len(rest) >= LONGEST_LINE:
                if not skipping:
                    yield rest[:LONGEST_LINE]  # which is refused for its length
                rest, skipping = b"", True
        if rest and not skipping:
            yield rest

    def _chunk(self, descriptor: int) -> bytes:
        """Return what is there to read, b"" at the end and after `close`."""
        poll = getattr(select, "poll", None)  # not on Windows, where the thread simply waits
        if poll is not None:
            waiting = poll()
            waiting.register(descriptor, select.POLLIN)
            while not waiting.poll(200):
                if self._closed.is_set():
                    return b""
        return b"" if self._closed.is_set() else os.read(descriptor, _CHUNK)


def _whole_lines(stream: IO[Any]) -> Iterator[bytes | str]:
    while line := stream.readline():
        yield line


def from_stdin(stream: IO[Any] | None = None, *, columns: Mapping[str, str | Sequence[str]] | None = None,
               encoding: str | None = None, roots: Iterable[str | os.PathLike[str]] = (),
               match: str | None = None) -> Stdin:
    """Yield the pictures that JSON Lines on standard input (or `stream`) name, as they come.

    Paths are relative to `roots`, then to the working folder, and stay inside these.

    Raises `ConfigurationError` at once for an encoding that cannot be read line by line.
    """
    check_lines(encoding)
    places = Places((*(os.fspath(root) for root in roots), os.curdir))
    reader = RowReader(places, columns or {}, "-", compile_match(match) if match else None)
    return Stdin(sys.stdin if stream is None else stream, reader, encoding)
