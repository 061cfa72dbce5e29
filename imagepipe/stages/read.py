"""Read a picture's bytes, once, from a file or an address."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagepipe.asset import Asset, Received
from imagepipe.errors import SourceError, TooLarge
from imagepipe.plain import plain

#: No link is followed, no fifo waited for, nothing inherited by other programs; as far as the system has them.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) \
    | getattr(os, "O_BINARY", 0)
_CHUNK = 1 << 20
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISLNK, "a link"), (stat.S_ISBLK, "a device"), (stat.S_ISCHR, "a device"))


@dataclass(frozen=True)
class Read:
    """Read the bytes of a picture, and note what was read: its hash, size and age.

    Only regular files are read, links are not followed, and what changes meanwhile is refused.
    Addresses are fetched as `sources.fetch` does. Data that was handed over is only measured.

    Raises `SourceError`, `FetchFailed`, `TooLarge`.
    """

    max_source_bytes: int = 256_000_000

    def __call__(self, asset: Asset, /) -> Asset:
        if asset.data is not None:
            self._check_size(len(asset.data), asset.source)
            received = asset.received or Received(hashlib.sha256(asset.data).hexdigest(), len(asset.data))
            return asset.evolve(received=received)
        location = asset.location or asset.source
        if "://" in location:
            from imagepipe.sources.fetch import fetch

            fetched = fetch(location, self.max_source_bytes)
            received = Received(hashlib.sha256(fetched.data).hexdigest(), len(fetched.data), etag=fetched.etag)
            return asset.evolve(data=fetched.data, received=received)
        data, received = self._read(location)
        return asset.evolve(data=data, received=received)

    def _read(self, path: str) -> tuple[bytes, Received]:
        shown = plain(path)
        try:
            _check_regular(Path(path).lstat().st_mode, shown)  # a device may not even be opened
            handle = os.open(os.fsencode(path), _FLAGS)
        except (OSError, ValueError) as error:
            raise _unreadable(shown, error) from None
        try:
            before = os.fstat(handle)
            _check_regular(before.st_mode, shown)
            self._check_size(before.st_size, shown)
            data = _read_at_most(handle, min(before.st_size, self.max_source_bytes) + 1)
            after = os.fstat(handle)
        except OSError as error:
            raise _unreadable(shown, error) from None
        finally:
            os.close(handle)
        if len(data) != before.st_size or _changes(before) != _changes(after):
            raise SourceError(f"{shown} changed while it was read; run again when it is complete",
                              "changed_while_read")
        size, mtime_ns, inode = _stamp(before)
        return data, Received(hashlib.sha256(data).hexdigest(), size, mtime_ns, inode)

    def _check_size(self, size: int, shown: str) -> None:
        if size > self.max_source_bytes:
            raise TooLarge(f"{plain(shown)} has {size:,} bytes, and {self.max_source_bytes:,} is the limit; raise it "
                           "with --max-source-bytes")


def stamp(path: str) -> tuple[int, int, int]:
    """Return size, time of change (in nanoseconds) and inode of a regular file, without following a link.

    Raises `OSError` for what is none, or is not there.
    """
    found = Path(path).lstat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return _stamp(found)


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    # SQLite's integers have 64 bits with a sign, and some file systems use all of them for an inode
    return found.st_size, found.st_mtime_ns, found.st_ino & 0x7FFF_FFFF_FFFF_FFFF


def _changes(found: os.stat_result) -> tuple[Any, ...]:
    return _stamp(found), found.st_dev, found.st_ctime_ns


def _read_at_most(handle: int, size: int) -> bytes:
    """Read to the end, or `size` bytes: one more than the file should have."""
    parts = []
    while size > 0:
        part = os.read(handle, min(size, _CHUNK))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _check_regular(mode: int, shown: str) -> None:
    """Raise where it is something else than a file."""
    for is_kind, name in _KINDS:
        if is_kind(mode):
            advice = "; give the file that it leads to" if name == "a link" else ""
            raise SourceError(f"{shown} is {name}, not a file{advice}", "not_a_file")
    if not stat.S_ISREG(mode):
        raise SourceError(f"{shown} is not a regular file", "not_a_file")


def _unreadable(shown: str, error: OSError | ValueError) -> SourceError:
    """Return what to say of a file that cannot be opened or read."""
    if isinstance(error, ValueError):  # a NUL, or a character that no file name has
        return SourceError(f"{shown} cannot be the name of a file", "not_found")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceError(f"{shown} is not there any more, or never was; check the path", "not_found")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceError(f"{shown} may not be read by this user; change its permissions", "unreadable")
    return SourceError(f"{shown} cannot be read: {os.strerror(error.errno) if error.errno else error}", "unreadable")
