"""One row, of a manifest or of a caller, becomes one picture to fetch, or several."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from imagepipe.asset import Asset, Origin, Target
from imagepipe.errors import ImagepipeError, SourceError
from imagepipe.outcome import Outcome
from imagepipe.pipeline import failure
from imagepipe.plain import plain
from imagepipe.sources.addresses import has_secrets, parse_address, scheme_of, shown_url, url_key
from imagepipe.sources.columns import Columns, check_columns, recognise
from imagepipe.sources.matching import LARGEST, Matcher, compile_match, matched
from imagepipe.sources.places import Places, key_of
from imagepipe.sources.reports import REPORTED, bad_row, from_report
from imagepipe.sources.values import absent, parse, simple

_LARGEST_FILE = 256_000_000  #: Bytes taken from a file object; one more shows that there are more.

Item = Asset | Outcome


def refused(error: ImagepipeError, source: str, *, target: Target | None = None, origin: Origin | None = None,
            key: str = "", location: str = "") -> Outcome:
    """Return the outcome of an input that cannot be used."""
    asset = Asset(source, target or Target(), key=key, location=location, origin=origin or Origin())
    return failure(asset, error, "source")


@dataclass
class RowReader:
    """Turn rows into assets; what is wrong with one is its outcome."""

    places: Places
    columns: Mapping[str, str | Sequence[str]]
    manifest: str | None = None
    matcher: Matcher | None = None
    _seen: dict[tuple[str, ...], Columns] = field(default_factory=dict, init=False)
    _keys: dict[tuple[int | None, str | None, str], tuple[str, str]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        check_columns(self.columns)

    def of_mapping(self, row: Mapping[Any, Any], number: int, where: str) -> Iterator[Item]:
        """Yield what a row asks for whose keys are its own: of JSON, or of a caller."""
        named = {str(name): simple(value) for name, value in row.items()}
        if "type" in named and "schema" in named:
            taken = from_report(named)
            if taken is None:
                return
            wrong = bad_row(named)
            named, first = taken
            origin = first or Origin(self.manifest, number, row)
            if wrong is not None:
                yield refused(SourceError(wrong), str(named["image"] or where), origin=origin)
                return
            columns = Columns(("image",), tuple((name, name) for name in REPORTED if name in named))
            yield from self.read(named, columns, origin, where)
            return
        origin = Origin(self.manifest, number, _without_bytes(named))
        headers = tuple(named)
        try:
            columns = self._seen.get(headers) or recognise(headers, self.columns, shown=where, missing_is_absent=True)
        except ImagepipeError as error:
            yield refused(SourceError(str(error)), where, origin=origin)
            return
        if len(self._seen) < 1000:
            self._seen[headers] = columns
        yield from self.read(named, columns, origin, where)

    def read(self, row: Mapping[str, Any], columns: Columns, origin: Origin, where: str) -> Iterator[Item]:
        """Yield one item for each picture that a row names; one at least."""
        images = [(name, row.get(name)) for name in columns.image]
        images = [(name, value) for name, value in images if not absent(value)]
        if not images:
            name = columns.image[0] if len(columns.image) == 1 else ", ".join(columns.image) or "image"
            yield refused(SourceError(f"{where}, column {plain(name)}: no picture is named"), where, origin=origin)
            return
        origin = _cleared(origin, columns.image)
        target, fault = Target(), None
        key: str | None = None
        try:
            values = {ours: parse(ours, row.get(theirs), f"{where}, column {plain(theirs)}")
                      for ours, theirs in columns.fields}
            key = values.pop("key", None)
            target = Target(**values)
        except SourceError as error:
            fault = error
        for index, (name, value) in enumerate(images):
            place = key if key is None or len(columns.image) == 1 else f"{key}-{columns.image.index(name) + 1}"
            one = _of_several(target, index) if len(columns.image) > 1 else target
            if fault is not None:
                yield self._refused(fault, value, Target(), place, origin, where)
                continue
            try:
                asset = self._picture(value, one, place, origin, where)
                if place is not None:
                    self._refuse_other(asset, where)
                yield asset
            except SourceError as error:
                said = type(error)(f"{where}, column {plain(name)}: {error}", error.word)
                yield self._refused(said, value, one, place, origin, where)

    def _refused(self, error: SourceError, value: Any, target: Target, key: str | None, origin: Origin,
                 where: str) -> Outcome:
        path = os.fsdecode(value) if isinstance(value, os.PathLike) else value
        source, location = where, ""
        if isinstance(path, str):
            address = scheme_of(path.strip()) is not None
            source = shown_url(path.strip()) if address else path
            location = source if address else self.places.expected(path)
        return refused(error, source, target=target, origin=origin, key=key or "", location=location)

    def _refuse_other(self, asset: Asset, where: str) -> None:
        """Raise where a key that was given names two pictures of a product: the second would replace the first."""
        place = (asset.target.product_id, asset.target.sku, asset.key)
        picture = asset.location or hashlib.sha256(asset.data or b"").hexdigest()
        known, there = self._keys.setdefault(place, (picture, where))
        if known != picture:
            raise SourceError(f"the key {plain(asset.key)} names another picture of this product in {there}; "
                              "give each picture a key of its own")

    def _picture(self, value: Any, target: Target, key: str | None, origin: Origin, where: str) -> Asset:
        if isinstance(value, (bytes, bytearray, memoryview)) or hasattr(value, "read"):
            return _handed_over(value, target, key, origin)
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
            value = os.fsdecode(value)
        elif not isinstance(value, str):
            raise SourceError(f"a picture is named by text, not by {type(value).__name__}")
        scheme = scheme_of(value.strip())
        if scheme is not None:
            return url_asset(value.strip(), target, key, origin)
        found = self.places.find(value)
        if self.matcher is not None and target.product_id is None and target.sku is None:
            target = matched(self.matcher, found.key, target)
        notes = (found.note,) if found.note else ()
        return Asset(value, target, key=key or found.key, location=found.location, origin=origin, notes=notes)


def url_asset(url: str, target: Target, key: str | None, origin: Origin) -> Asset:
    """Return the asset of an address; raise `SourceError` where it cannot be fetched as it is written."""
    parse_address(url)
    return Asset(shown_url(url), target, key=key or url_key(url), location=url, origin=origin)


def from_rows(rows: Iterable[Any], *, columns: Mapping[str, str | Sequence[str]] | None = None,
              root: str | os.PathLike[str] | None = None, roots: Iterable[str | os.PathLike[str]] = (),
              match: str | None = None) -> Iterator[Item]:
    """Yield a picture for each row: a dict with the columns of a manifest, read as it is wanted.

    `image` is a path, an https address, bytes, or a file opened for reading bytes. None, NaN and ""
    are absent, and 77.0 is 77. `Asset`s and `Outcome`s among the rows pass; paths stand for what
    they lead to. Relative paths are relative to the working folder, and may lead anywhere:
    they are the caller's own. With `root`, or several `roots`, they are relative to these, and
    have to stay inside.
    """
    folders = tuple(os.fspath(folder) for folder in ((root,) if root is not None else ()) + tuple(roots))
    places = Places(folders) if folders else Places((os.curdir,), confined=False)
    reader = RowReader(places, columns or {}, matcher=compile_match(match) if match else None)
    return _rows(reader, rows, match)


def _rows(reader: RowReader, rows: Iterable[Any], match: str | None) -> Iterator[Item]:
    for number, row in enumerate(_records(rows), 1):
        if isinstance(row, (Asset, Outcome)):
            yield row
        elif (mapping := _as_mapping(row)) is not None:
            yield from reader.of_mapping(mapping, number, f"row {number}")
        elif isinstance(row, (str, os.PathLike)):
            from imagepipe.sources import from_path

            try:
                yield from from_path(row, match=match, columns=reader.columns)
            except ImagepipeError as error:
                yield refused(SourceError(str(error)), os.fspath(row))
        elif isinstance(row, (bytes, bytearray, memoryview)) or hasattr(row, "read"):
            yield from reader.of_mapping({"image": row}, number, f"row {number}")
        else:
            yield refused(SourceError(f"row {number} is of type {type(row).__name__}; give a dict with the key image, "
                                      "a path, or bytes"), f"row {number}")


def _records(rows: Any) -> Iterable[Any]:
    """Return the rows of a data frame (pandas, polars) as dicts; whatever else there is as it is."""
    if hasattr(rows, "iter_rows"):
        return cast("Iterable[Any]", rows.iter_rows(named=True))
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        return cast("Iterable[Any]", rows.to_dict(orient="records"))
    return cast("Iterable[Any]", rows)


def _as_mapping(row: Any) -> Mapping[Any, Any] | None:
    """Return a row that has names: a mapping, a row of a database, a named tuple; else None."""
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "_asdict"):
        return dict(row._asdict())
    if hasattr(row, "keys") and hasattr(row, "__getitem__"):
        return {name: row[name] for name in row.keys()}  # noqa: SIM118 - sqlite3.Row iterates over its values
    return None


def from_urls(urls: Iterable[str]) -> Iterator[Item]:
    """Yield a picture for each https address; what cannot be one comes as an outcome."""
    for number, url in enumerate(urls, 1):
        try:
            yield url_asset(str(url).strip(), Target(), None, Origin(row_number=number))
        except SourceError as error:
            yield refused(error, shown_url(str(url)))


# -- pictures --------------------------------------------------------------------------------------


def _of_several(target: Target, index: int) -> Target:
    """Return the target of one of several pictures of a row: they follow each other, and one is the thumbnail."""
    order = None if target.sort_order is None else min(target.sort_order + index, LARGEST)
    return replace(target, sort_order=order, is_thumbnail=target.is_thumbnail if index == 0 else None)


def _handed_over(value: Any, target: Target, key: str | None, origin: Origin) -> Asset:
    """Return the asset of bytes, or of an open file, which is read here."""
    name = None
    if hasattr(value, "read"):
        name = getattr(value, "name", None)
        try:
            value = value.read(_LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            raise SourceError(f"the file handed over cannot be read: {error}", "unreadable") from error
        if isinstance(value, str):
            raise SourceError("the file handed over was opened for text; open it with mode 'rb'")
    data = bytes(value)
    named = isinstance(name, str) and name
    if key is None:
        key = key_of(os.path.normpath(str(name))) if named else hashlib.sha256(data).hexdigest()[:32]
    source = str(name) if named else key
    return Asset(source, target, data=data, key=key, origin=origin)


def _cleared(origin: Origin, names: Sequence[str]) -> Origin:
    """Return the origin of a row without the secrets of the addresses in the columns `names`."""
    row = origin.row
    if row is None:
        return origin
    shown = {name: shown_url(row[name].strip()) for name in names
             if isinstance(row.get(name), str) and has_secrets(row[name].strip())}
    return replace(origin, row={**row, **shown}) if shown else origin


def _without_bytes(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it is kept: pictures in it are named, not held."""
    return {name: f"({type(value).__name__})" if isinstance(value, (bytes, bytearray, memoryview))
            or hasattr(value, "read") else value for name, value in row.items()}
