"""Folders of pictures: what is in them, in the order that a person would give them."""

# Paths are text here: names that are no UTF-8, and a million of them, go through this.
# ruff: noqa: PTH112, PTH116, PTH118, PTH122
from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace

from imagepipe.asset import Asset, Target
from imagepipe.errors import ConfigurationError, SourceError
from imagepipe.outcome import Outcome, Status
from imagepipe.plain import plain
from imagepipe.sources.matching import Matcher, compile_match, matched, suggest
from imagepipe.sources.places import key_of, kind_of, unreadable
from imagepipe.sources.rows import Item, refused

MARKER = ".imagepipe-output"  #: A file of this name says that a folder holds our own output.
_SANDBOX = "imagepipe-sandbox"
_SYSTEM_FOLDERS = frozenset({"@eadir", "$recycle.bin", "system volume information"})
_LOOKED_AT = 2_000  #: Pictures of a folder that a pattern is suggested from.

_FILMS = frozenset({".mov", ".mp4", ".m4v", ".avi", ".mts", ".m2ts", ".3gp", ".3g2", ".mkv", ".webm", ".wmv", ".mpg",
                    ".mpeg", ".flv", ".insv", ".lrv"})
_PICTURES = frozenset({".jpg", ".jpeg", ".jpe", ".heic", ".heif", ".hif", ".png", ".avif", ".dng", ".webp"})
_SIDECARS = {".aae": "the edits of an iPhone picture", ".xmp": "a sidecar file",
             ".json": "a sidecar file or a manifest", ".thm": "the thumbnail of a film",
             ".ithmb": "a cache of thumbnails", ".lrcat": "a catalogue of Lightroom"}
_MANIFESTS = frozenset({".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".numbers"})
#: What nobody saves a picture as. A drawing (`.svg`, `.ai`) is a picture of a type that is named later.
_DOCUMENTS = frozenset({
    ".txt", ".md", ".rst", ".rtf", ".pdf", ".doc", ".docx", ".odt", ".ppt", ".pptx", ".htm", ".html", ".xml", ".css",
    ".js", ".py", ".sh", ".bat", ".ini", ".toml", ".yaml", ".yml", ".log", ".url", ".lnk", ".webloc", ".zip", ".rar",
    ".7z", ".tar", ".gz", ".tgz", ".exe", ".dmg", ".db", ".sqlite", ".sqlite3", ".mp3", ".m4a", ".wav", ".aac", ".ttf",
    ".otf", ".bak", ".tmp", ".part", ".crdownload"})
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini"})


def natural(name: str) -> tuple[str, str, str]:
    """Return a sort key that puts `img2` before `img10`, without regard to case unless only case differs.

    `front.jpg` comes before `front (1).jpg` and `front-2.jpg`, which are made from it.

    >>> sorted(["img10", "IMG2", "img1"], key=natural)
    ['img1', 'IMG2', 'img10']
    """
    # a number sorts by its length, then by its digits; with the length in front, as text does
    def counted(digits: re.Match[str]) -> str:
        value = digits[0].lstrip("0")
        return "0" + chr(len(value) + 1) + value

    stem, extension = os.path.splitext(name.casefold())
    return re.sub(r"[0-9]+", counted, stem), re.sub(r"[0-9]+", counted, extension), name


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    mode: int  #: `stat.S_IFMT` of the entry itself, not of what a link leads to.


def from_folder(folder: str | os.PathLike[str], *, match: str | None = None, recursive: bool = True) -> Iterator[Item]:
    """Yield the pictures in a folder and below, in natural order; opens none.

    What is plainly no picture is `skipped`, and so are links that lead out of the folder, and
    links to folders, which are never followed; hidden folders and our own output are left out.
    Everything else is taken: its content decides. With `match`, products are read from the paths
    (see `Matcher`), and a path that does not fit is a failure; without, they are left open.

    Raises `ConfigurationError` at once where `folder` is no folder, or the pattern is none.
    """
    given = os.fspath(folder)
    given = os.fsdecode(given)
    if "\0" in given or not os.path.isdir(given):
        raise ConfigurationError(f"{plain(given)} is not a folder")
    matcher = compile_match(match) if match else None
    return _walk(given, os.path.realpath(given), matcher, recursive)


def _walk(given: str, root: str, matcher: Matcher | None, recursive: bool) -> Iterator[Item]:
    """Yield what is in a folder, depth first, with a stack of what is still to come in each folder."""
    stack: list[tuple[str, tuple[int, int], Iterator[_Entry], frozenset[str]]] = []

    def enter(relative: str) -> Outcome | None:
        path = os.path.join(root, relative) if relative else root
        shown = os.path.join(given, relative) if relative else given
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if any(identity == above for _, above, _, _ in stack):
                raise SourceError(f"{plain(shown)} is mounted inside itself; its content was read already", "loop")
            entries = _entries(path)
        except OSError as error:
            return refused(unreadable(f"the folder {plain(shown)}", error), shown, key=key_of(relative))
        except SourceError as error:
            return refused(error, shown, key=key_of(relative))
        if relative and any(entry.name == MARKER for entry in entries):
            return None
        stems = frozenset(stem.casefold() for stem, extension in (os.path.splitext(entry.name) for entry in entries)
                          if extension.lower() in _PICTURES)
        stack.append((relative, identity, iter(entries), stems))
        return None

    failed = enter("")
    if failed is not None:
        yield failed
    while stack:
        above, _, entries, stems = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        relative = f"{above}{os.sep}{entry.name}" if above else entry.name
        if stat.S_ISDIR(entry.mode):
            if recursive and not _left_out(entry.name):
                failed = enter(relative)
                if failed is not None:
                    yield failed
        elif entry.name != MARKER:
            yield _file(os.path.join(given, relative), relative, root, entry, stems, matcher)


def _entries(path: str) -> list[_Entry]:
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_symlink():
                mode = stat.S_IFLNK
            elif entry.is_dir(follow_symlinks=False):
                mode = stat.S_IFDIR
            elif entry.is_file(follow_symlinks=False):
                mode = stat.S_IFREG
            else:
                mode = stat.S_IFMT(os.lstat(entry.path).st_mode)
            found.append(_Entry(entry.name, mode))
    found.sort(key=lambda entry: natural(entry.name))
    return found


def _left_out(name: str) -> bool:
    return name.startswith(".") or name == _SANDBOX or name.lower() in _SYSTEM_FOLDERS


def _file(source: str, relative: str, root: str, entry: _Entry, stems: frozenset[str],
          matcher: Matcher | None) -> Item:
    """Return what becomes of one thing in a folder that is no folder."""
    key = key_of(relative)
    asset = Asset(source, key=key, location=os.path.join(root, relative))
    reason = _no_picture(entry.name, stems)
    if reason:
        return _skipped(asset, reason, "not_a_picture")
    if stat.S_ISLNK(entry.mode):
        target, reason = _link_target(asset.location, root)
        if reason:
            return _skipped(asset, reason, "link")
        asset = replace(asset, location=target)
    elif not stat.S_ISREG(entry.mode):
        return _skipped(asset, f"{kind_of(entry.mode)}, not a file", "not_a_picture")
    if matcher is None:
        return asset
    try:
        return replace(asset, target=matched(matcher, relative.replace(os.sep, "/"), Target()))
    except SourceError as error:
        return refused(error, source, key=key)


def _skipped(asset: Asset, reason: str, code: str) -> Outcome:
    return Outcome(asset, Status.SKIPPED, "source", reason, code)


def _link_target(location: str, root: str) -> tuple[str, str]:
    """Return the file that a link leads to and "", or "" and why it is not taken."""
    try:
        target = os.path.realpath(location, strict=True)
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return "", "a link that leads nowhere"
    except OSError as error:
        return "", f"a link that cannot be followed ({error.strerror})"
    if not target.startswith(root.rstrip(os.sep) + os.sep):
        return "", f"a link that leads out of the folder, to {plain(target)}"
    if not stat.S_ISREG(mode):
        return "", f"a link to {kind_of(mode)}; such links are not followed"
    return target, ""


def _no_picture(name: str, stems: frozenset[str]) -> str:
    """Return why a file is left alone by its name; "" where its content is to decide."""
    lower = name.lower()
    stem, extension = os.path.splitext(lower)
    if lower.startswith("._"):
        return "what macOS keeps beside a file on foreign disks"
    if lower == ".ds_store" or lower in _SYSTEM_FILES:
        return "a file of the operating system"
    if lower.startswith("."):
        return "a hidden file"
    if extension in _FILMS:
        if os.path.splitext(name)[0].casefold() in stems:
            return "the film of a Live Photo, or a film beside a picture of the same name"
        return "a film"
    if extension in _SIDECARS:
        return _SIDECARS[extension]
    if extension in _MANIFESTS:
        return "a table or manifest, not a picture; give it as the source to upload what it lists"
    if extension in _DOCUMENTS:
        return f"a {extension} file, not a picture"
    return ""


def suggest_for(folder: str | os.PathLike[str]) -> str | None:
    """Return the `--match` pattern that fits most pictures of a folder, or None; looks at the first 2,000."""
    paths = []
    for item in from_folder(folder):
        if isinstance(item, Asset):
            paths.append(item.key)
            if len(paths) >= _LOOKED_AT:
                break
    return suggest(paths)
