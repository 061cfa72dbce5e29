"""Where pictures come from: files, folders, manifests, rows, addresses, standard input.

A source is an iterator. It yields an `Asset` for each picture that is to be read, and an `Outcome`
for each input that cannot be used, or is left alone: every input once. It opens no picture. What
makes a whole source unusable is a `ConfigurationError`, raised where the source is made.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from imagepipe.asset import Asset, Target
from imagepipe.errors import ConfigurationError, SourceError
from imagepipe.plain import plain
from imagepipe.sources.addresses import check_image_url, scheme_of, shown_url
from imagepipe.sources.apart import Apart
from imagepipe.sources.folders import from_folder, suggest_for
from imagepipe.sources.manifests import from_csv, from_jsonl
from imagepipe.sources.matching import Matcher, compile_match, matched, suggest
from imagepipe.sources.places import key_of
from imagepipe.sources.rows import Item, from_rows, from_urls, refused
from imagepipe.sources.stdin import from_stdin

__all__ = ["Apart", "Item", "Matcher", "check_image_url", "compile_match", "from_csv", "from_folder", "from_jsonl",
           "from_path", "from_rows", "from_stdin", "from_urls", "shown_url", "suggest", "suggest_for"]

_SPREADSHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".ods", ".numbers"})


def from_path(path: str | os.PathLike[str], *, columns: Mapping[str, str | Sequence[str]] | None = None,
              encoding: str | None = None, roots: Iterable[str | os.PathLike[str]] = (), match: str | None = None,
              recursive: bool = True) -> Iterator[Item]:
    """Yield the pictures that a path or address leads to.

    A folder, a manifest (`.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json`), `-` for JSON Lines on
    standard input, an https address; anything else is one picture.

    Raises `ConfigurationError` at once where there is nothing of the kind.
    """
    text = os.fsdecode(os.fspath(path))
    if text == "-":
        return from_stdin(columns=columns, encoding=encoding, roots=roots, match=match)
    scheme = scheme_of(text)
    if scheme in ("https", "http"):
        return from_urls([text])
    if scheme is not None:
        raise ConfigurationError(f"{plain(shown_url(text))} cannot be read: only https:// addresses can; download it, "
                                 "and give the file")
    if "\0" in text or not os.path.lexists(text):
        raise ConfigurationError(_not_there(text))
    if Path(text).is_dir():
        return from_folder(text, match=match, recursive=recursive)
    suffix = Path(text).suffix.lower()
    if suffix in (".csv", ".tsv", ".tab"):
        return from_csv(text, columns=columns, encoding=encoding, roots=roots, match=match)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return from_jsonl(text, columns=columns, encoding=encoding, roots=roots, match=match)
    if suffix in _SPREADSHEETS:
        raise ConfigurationError(f"{plain(text)} is a spreadsheet; save it as CSV (UTF-8), and give that")
    return _one(text, match)


def _one(path: str, match: str | None) -> Iterator[Item]:
    """Yield one file. Its key is its name; links are followed, since the caller named it."""
    matcher = compile_match(match) if match else None
    asset = Asset(path, key=key_of(Path(path).name), location=os.path.realpath(path))
    if matcher is None:
        return iter((asset,))
    try:
        parts = os.path.normpath(path).replace(os.sep, "/")
        return iter((asset.evolve(target=matched(matcher, parts, Target())),))
    except SourceError as error:
        return iter((refused(error, path, key=asset.key),))


def _not_there(text: str) -> str:
    """Return what to say where there is no such file or folder."""
    said = f"there is no file or folder {plain(text)}"
    path = Path(text.replace("\0", ""))
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"{said}: the folder {plain(str(path.parent))} cannot be read or does not exist"
    near = difflib.get_close_matches(path.name, names[:5000], n=1)
    return f"{said}; did you mean {plain(str(path.parent / near[0]))}?" if near else said
