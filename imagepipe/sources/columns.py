"""Which column of a manifest is which."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imagepipe.errors import ConfigurationError
from imagepipe.plain import plain

#: Our names, each with other names under which it is recognised; case, spaces and punctuation do not count.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("file", "filename", "filepath", "imagefile", "imagefilename", "imagename", "imagepath", "imagesrc",
              "imageurl", "path", "photo", "photofile", "picture", "picturefile", "pictureurl", "photourl", "src",
              "url", "productimage", "productimageurl", "productimagefile"),
    "product_id": ("bigcommerceid", "bigcommerceproductid", "bcproductid"),
    "sku": ("itemsku", "productcode", "productcodesku", "productsku", "skucode", "stockkeepingunit", "variantsku"),
    "sort_order": ("imageposition", "imagesort", "imagesortorder", "position", "sort"),
    "is_thumbnail": ("imageisthumbnail", "thumbnail"),
    "description": ("alt", "alttext", "alttag", "caption", "imagealt", "imagealttext", "imagedescription"),
    "key": (),
    "date_modified": (),
}
FIELDS = tuple(_NAMES)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


_ALIASES = {_folded(alias): field for field, aliases in _NAMES.items() for alias in aliases}
_CANONICAL = {_folded(field): field for field in _NAMES}


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns that hold each of our fields; several for `image`."""

    image: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()  #: Our name and the column's, but for `image`.


def check_columns(columns: Mapping[str, str | Sequence[str]]) -> None:
    """Raise `ConfigurationError` where `--column` names a field that there is not."""
    for field in columns:
        if field not in _NAMES:
            near = difflib.get_close_matches(field, FIELDS, n=1)
            raise ConfigurationError(f"--column {field}=…: there is no field {field!r}"
                                     f"{f', did you mean {near[0]}?' if near else ''}; there are {', '.join(FIELDS)}")


def recognise(headers: Sequence[str], columns: Mapping[str, str | Sequence[str]], *, shown: str,
              missing_is_absent: bool = False) -> Columns:
    """Return which of `headers` hold our fields; `columns` (from `--column`) comes before our own guess.

    `shown` names the manifest in messages. With `missing_is_absent`, a column that is asked for
    and not there counts as empty: rows that are dicts need not all have the same keys.

    Raises `ConfigurationError` where a column that is asked for is missing, where two would do,
    and where there is no image.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for field, wanted in columns.items():
        names = [_header(name, headers) for name in _wanted(wanted, headers)]
        found = tuple(name for name in names if name is not None)
        if None in names and not missing_is_absent:
            absent = next(name for name, header in zip(_wanted(wanted, headers), names, strict=True) if header is None)
            near = difflib.get_close_matches(absent, headers, n=1)
            raise ConfigurationError(f"{shown} has no column {plain(absent)!r} (asked for by --column {field}=…)"
                                     f"{f'; did you mean {plain(near[0])!r}?' if near else ''} Its columns are: "
                                     f"{_listed(headers)}")
        if len(found) > 1 and field != "image":
            raise ConfigurationError(f"--column {field}=… names {len(found)} columns; only image may have several")
        _refuse_twice(found, headers, shown)
        chosen[field] = found
    taken = {name for names in chosen.values() for name in names}
    for field in _NAMES:
        if field not in chosen:
            chosen[field] = _guess(field, [header for header in headers if header not in taken], shown)
    if not chosen["image"] and not missing_is_absent:
        raise ConfigurationError(f"{shown} has no column for the picture. Its columns are: {_listed(headers)}. Say "
                                 f"which one it is: --column image={_likely_image(headers)}")
    return Columns(chosen["image"], tuple((field, names[0]) for field, names in chosen.items()
                                          if names and field != "image"))


def known(headers: Iterable[str], columns: Mapping[str, str | Sequence[str]]) -> int:
    """Return how many of `headers` mean something to us: how a delimiter is told."""
    names = {_folded(header) for header in headers}
    wanted = {_folded(name) for value in columns.values() for name in _wanted(value, ())}
    return len(names & (_CANONICAL.keys() | _ALIASES.keys() | wanted))


def _wanted(value: str | Sequence[str], headers: Sequence[str]) -> list[str]:
    """Return the column names that a `--column` value lists: `Pic 1,Pic 2`, quoted as in CSV where they hold commas."""
    if not isinstance(value, str):
        return list(value)
    if _header(value, headers) is not None:
        return [value]
    return [name.strip() for name in next(csv.reader([value], skipinitialspace=True), []) if name.strip()] or [value]


def _header(name: str, headers: Sequence[str]) -> str | None:
    """Return the header that `name` means: exactly, else by letters and digits where that leaves one."""
    if name in headers:
        return name
    alike = [header for header in headers if _folded(header) == _folded(name)] if _folded(name) else []
    return alike[0] if len(alike) == 1 else None


def _guess(field: str, headers: Sequence[str], shown: str) -> tuple[str, ...]:
    exact = [header for header in headers if _CANONICAL.get(_folded(header)) == field]
    found = exact or [header for header in headers if _ALIASES.get(_folded(header)) == field]
    if len(found) > 1:
        _refuse_twice(found, headers, shown)
        raise ConfigurationError(f"{shown} has {len(found)} columns that could be the {field}: {_listed(found)}. Say "
                                 f"which one it is: --column {field}={_quoted(found[0])}")
    return tuple(found)


def _refuse_twice(found: Iterable[str], headers: Sequence[str], shown: str) -> None:
    for name in found:
        if list(headers).count(name) > 1:
            raise ConfigurationError(f"{shown} has {list(headers).count(name)} columns called {plain(name)!r}; rename "
                                     "all but one")


def _likely_image(headers: Sequence[str]) -> str:
    """Return what to type for the image column, with this manifest's own names where some look like it."""
    likely = [header for header in headers
              if re.search(r"image|img|pic|photo|foto|bild|file|url", header, re.IGNORECASE)
              and not re.search(r"alt|desc|sort|order|position|thumb|\bid\b", header, re.IGNORECASE)]
    return _quoted(",".join(likely[:10])) if likely else "'…'"


def _quoted(text: str) -> str:
    return "'" + plain(text).replace("'", "'\\''") + "'"


def _listed(headers: Sequence[str]) -> str:
    names = ", ".join(plain(header) or "(no name)" for header in headers[:40])
    return names + (f" and {len(headers) - 40} more" if len(headers) > 40 else "")
