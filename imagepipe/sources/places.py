"""Where on disk the paths of a manifest lead, and that they stay inside the folders allowed."""

# Paths are text here: pathlib drops `.` from what was given, and is slower.
# ruff: noqa: PTH112, PTH116, PTH118, PTH120, PTH208
from __future__ import annotations

import difflib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from imagepipe.errors import SourceError
from imagepipe.outcome import printable
from imagepipe.plain import plain

_MOST_NAMES = 5_000  #: A folder with more is not searched for a similar name: that would take seconds.
_MOST_HINTS = 20  #: After so many missing files the manifest is wrong as a whole, and hints only cost time.


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a path leads to."""

    location: str  #: Absolute path without links: what is opened.
    key: str  #: Relative to the root, with `/`.
    note: str = ""  #: Said where the path was not taken by the letter.


@dataclass
class Places:
    """The folders that a manifest's paths are relative to, and have to stay in: the first that has the file.

    Links are resolved before anything is compared. Nothing is decoded or expanded: `%2e`, `~` and
    `$HOME` are names. Remembers what it has seen of folders, so a million rows cost a `lstat` each.
    """

    roots: tuple[str, ...]
    confined: bool = True  #: False: paths are the caller's own, and may lead anywhere.
    _hints: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        # absolute now: the caller may change the working folder before the last row is read
        self.roots = tuple(dict.fromkeys(os.path.realpath(root) for root in self.roots))
        self._real_folder = lru_cache(maxsize=1024)(os.path.realpath)
        self._names = lru_cache(maxsize=8)(_names_in)
        self._folded = lru_cache(maxsize=8)(_by_folded)

    def find(self, path: str) -> Found:
        """Return the file that `path` leads to.

        Raises `SourceError`: `not_found`, `outside_root`, `not_a_file`, `unreadable` or `bad_row`.
        """
        if "\0" in path:
            raise SourceError("the path holds a NUL character, which no file name can; correct it", "bad_row")
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise SourceError(f"the path {_shown(path)} holds half a character, which no file name can; correct it",
                              "bad_row") from None
        for candidate, note in _readings(path):
            outside: SourceError | None = None
            for root in self.roots:
                try:
                    found = self._look(root, candidate, path)
                except SourceError as error:
                    if error.word != "outside_root":
                        raise
                    outside = error  # `../img/1.jpg` may lead out of one root and into another
                    continue
                if found is not None:
                    return Found(found.location, found.key, note)
            if outside is not None:
                raise outside
        similar = [found for root in self.roots for found in [self._look_alike(root, path)] if found is not None]
        if similar:
            return similar[0]
        raise self._missing(path)

    def _look(self, root: str, path: str, given: str) -> Found | None:
        """Return the file under `root`, None where there is none; raise where it must not be used."""
        joined = os.path.join(root, path)
        folder, name = os.path.split(joined)
        if name in ("", ".", ".."):
            folder, name = joined, ""
        real = self._real_folder(folder)
        inside = self._root_of(real)
        if inside is None and self.confined:
            raise self._outside(given, real if name == "" else os.path.join(real, name))
        location = os.path.join(real, name) if name else real
        # a caller's own paths are known as they are given, so that the working folder does not matter
        key = key_of(location[len(inside.rstrip(os.sep)) + 1:] if inside and self.confined else os.path.normpath(given))
        try:
            mode = os.lstat(location).st_mode
            if stat.S_ISLNK(mode):
                target = os.path.realpath(location, strict=True)
                if self.confined and self._root_of(os.path.dirname(target)) is None:
                    raise SourceError(f"{_shown(given)} is a link that leads out of {_folder(root)}, to "
                                      f"{_folder(target)}; give --root for that folder, or put the file itself here",
                                      "outside_root")
                location, mode = target, os.stat(target).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(_shown(given), error) from error
        except ValueError:
            return None
        if not stat.S_ISREG(mode):
            raise SourceError(f"{_shown(given)} is {kind_of(mode)}, not a file; name a picture", "not_a_file")
        return Found(location, key)

    def _root_of(self, folder: str) -> str | None:
        """Return the root that a folder, given without links, is in."""
        for root in self.roots:
            if folder == root or folder.startswith(root.rstrip(os.sep) + os.sep):
                return root
        return None

    def _outside(self, given: str, real: str) -> SourceError:
        return SourceError(f"{_shown(given)} leads out of {' and '.join(_folder(root) for root in self.roots)}; if it "
                           f"is meant, give --root {_folder(os.path.dirname(real) or os.sep)}",
                           "outside_root")

    def _look_alike(self, root: str, path: str) -> Found | None:
        """Return the one file whose name differs only in case, or in how its accents are written.

        That is the file which the same manifest names on macOS or Windows. Where two would do,
        none is taken.
        """
        given = path if os.sep == "\\" or "\\" not in path else path.replace("\\", "/")
        parts = given.split("/")
        if given.startswith("/") or any(part == ".." for part in parts):
            return None
        folder, changed = root, False
        for part in (part for part in parts if part not in ("", ".")):
            if not os.path.lexists(os.path.join(folder, part)):
                alike = self._folded(folder).get(_folded(part), [])
                if len(alike) != 1:
                    return None
                part, changed = alike[0], True
            folder = os.path.join(folder, part)
        found = self._look(root, os.path.relpath(folder, root), path) if changed else None
        taken = _shown(os.path.relpath(folder, root))
        return found and Found(found.location, found.key, f"taken for {taken}, the only file whose name differs just "
                               "in case or in how accents are written")

    def expected(self, path: str) -> str:
        """Return the absolute path at which `path` was looked for first; "" where no path is meant."""
        return "" if "\0" in path else os.path.normpath(os.path.join(self.roots[0], path))

    def _missing(self, path: str) -> SourceError:
        roots = " nor in ".join(_folder(root) for root in self.roots)
        hint = self._hint(path)
        return SourceError(f"{_shown(path)} is not in {roots}{hint or '; correct the path, or give --root'}",
                           "not_found")

    def _hint(self, path: str) -> str:
        self._hints += 1
        if self._hints > _MOST_HINTS:
            return ""
        for root in self.roots:
            folder, name = os.path.split(os.path.join(root, path.replace("\\", "/")))
            real = self._real_folder(folder)
            if self._root_of(real) is None and self.confined:
                continue
            near = nearest(name, self._names(real))
            if near:
                return f"; there is {near}: is that meant?"
            if not os.path.isdir(real):
                return f"; the folder {_folder(real)} does not exist"
        return ""


def _readings(path: str) -> Iterable[tuple[str, str]]:
    """Yield the ways in which a path may be meant, the literal one first, each with what to say of it."""
    yield path, ""
    stripped = path.strip()
    if stripped != path and stripped:
        yield stripped, ""
    if re.search(r"\\x[89a-f][0-9a-f]", path):  # a name that was not UTF-8, as our reports write it
        yield re.sub(r"\\x([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), path), ""
    if "\\" in path and os.sep != "\\":
        yield stripped.replace("\\", "/"), "backslashes in its path were read as folders"


def key_of(relative: str) -> str:
    """Return a relative path as a source key: with `/`, and text that every database takes.

    The key is made of the bytes that name the file, not of the text that the locale makes of them:
    the same file has the same key under another locale. Bytes that are not UTF-8 are escaped, and
    get a few digits of their hash, so that they stay apart from a name that is spelt so.
    """
    path = relative.replace(os.sep, "/") if os.sep != "/" else relative
    if path.isascii():
        return path
    try:
        path = os.fsencode(path).decode("utf-8", "surrogateescape")
        path.encode("utf-8")
    except UnicodeEncodeError:
        import hashlib

        return f"{printable(path)}~{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return path


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like `name`, fit for a message; None where none is like it."""
    choices = list(names)
    if not name or len(choices) > _MOST_NAMES:
        return None
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.75)
    return plain(near[0]) if near else None


def kind_of(mode: int) -> str:
    """Return in words what a thing in a folder is that is no file."""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a named pipe"),
             (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
    return next((words for test, words in kinds if test(mode)), "something else")


def unreadable(shown: str, error: OSError) -> SourceError:
    """Return the error for a file or folder that the system does not let us read."""
    if isinstance(error, PermissionError):
        return SourceError(f"{shown} cannot be read: permission denied; change its permissions, or run as a user who "
                           "may read it", "unreadable")
    return SourceError(f"{shown} cannot be read: {error.strerror or error}", "unreadable")


def _names_in(folder: str) -> tuple[str, ...]:
    try:
        return tuple(os.listdir(folder))
    except (OSError, ValueError):
        return ()


def _by_folded(folder: str) -> dict[str, list[str]]:
    """Return the names in a folder by what is left of them when case and the writing of accents do not count."""
    found: dict[str, list[str]] = {}
    for name in _names_in(folder):
        found.setdefault(_folded(name), []).append(name)
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shown(path: str) -> str:
    """Return a path for a message: escaped, and not longer than a line or two."""
    text = plain(path)
    return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"


def _folder(path: str) -> str:
    return _shown(path)
