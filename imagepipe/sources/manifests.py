"""Manifests: CSV, TSV, and JSON Lines. Read as they are wanted, a row at a time."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from imagepipe.asset import Origin
from imagepipe.errors import ConfigurationError, SourceError
from imagepipe.plain import plain
from imagepipe.sources.columns import Columns, check_columns, recognise
from imagepipe.sources.matching import compile_match
from imagepipe.sources.places import Places
from imagepipe.sources.reports import from_report
from imagepipe.sources.rows import Item, RowReader, refused
from imagepipe.sources.tables import (
    LONGEST_LINE,
    Line,
    Record,
    check_lines,
    encoding_of,
    guess_encoding,
    lines,
    open_table,
)

_LARGEST_JSON = 64_000_000  #: Bytes of a `.json` file, which is read whole; JSON Lines have no limit.

Paths = Iterable[str | os.PathLike[str]]
ColumnNames = Mapping[str, str | Sequence[str]]


def from_csv(path: str | os.PathLike[str], *, columns: ColumnNames | None = None, encoding: str | None = None,
             roots: Paths = (), match: str | None = None) -> Iterator[Item]:
    """Yield the pictures that a CSV or TSV file names; rows that cannot be used come as outcomes.

    Delimiter (comma, semicolon, tab, bar) and encoding (UTF-8, UTF-16) are found out; `columns`
    says which column is which where the header does not. Paths are relative to `roots`, then to
    the manifest's folder, and stay inside these. `match` reads the product from the path where no
    column says it.

    Raises `ConfigurationError` at once where no row can be read: no such file, no header, no
    column for the picture, or two.
    """
    check_columns(columns or {})
    table = open_table(path, encoding, columns or {})
    shown = os.fspath(path)
    reader = _reader(shown, columns, roots, match)
    report = {"type", "schema", "status", "image"} <= set(table.headers)
    least = max(position for position, header in enumerate(table.headers, 1) if header)
    chosen = Columns(("image",)) if report else recognise(table.headers[:least], reader.columns, shown=plain(shown))
    return _csv_items(table.rows(), _distinct(table.headers), least, chosen, reader, report)


def _csv_items(rows: Iterator[tuple[int, Record]], names: Sequence[str], least: int, chosen: Columns,
               reader: RowReader, report: bool) -> Iterator[Item]:
    """Yield what rows ask for; each has from `least` to as many cells as there are `names`."""
    shown = plain(reader.manifest or "")
    for number, record in rows:
        where = f"{shown}, row {number} (line {record.line})"
        cells = record.cells
        while len(cells) > least and not cells[-1].strip():
            cells.pop()
        fault = record.fault
        if not fault and not least <= len(cells) <= len(names):
            fault = (f"it has {len(cells)} cells where the header has {least}; "
                     "put cells that hold the delimiter into quotes")
        if fault:
            yield refused(SourceError(f"{where}: {fault}"), where, origin=Origin(reader.manifest, number))
            continue
        row = dict(zip(names, cells, strict=False))  # behind the last header that has a name, cells may be missing
        if report:
            if from_report(row) is not None:
                yield from reader.of_mapping(row, number, where)
            continue
        yield from reader.read(row, chosen, Origin(reader.manifest, number, row), where)


def _distinct(headers: Sequence[str]) -> list[str]:
    """Return headers as keys of a row: those that are empty, or there twice, are told apart by their position.

    Columns that we use are there once: `recognise` saw to it.
    """
    counts = Counter(headers)
    return [header if header and counts[header] == 1 else f"{header or 'column'} ({position})"
            for position, header in enumerate(headers, 1)]


def from_jsonl(source: str | os.PathLike[str] | IO[Any], *, columns: ColumnNames | None = None,
               encoding: str | None = None, roots: Paths = (), match: str | None = None) -> Iterator[Item]:
    """Yield the pictures that JSON Lines name: an object a line, with the columns of a manifest as keys.

    `source` is a path, or a file opened for reading. A `.json` file may hold one list of objects
    instead. Of a run's own report, what failed or was left `planned` is taken up again.

    Raises `ConfigurationError` at once where the file cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        check_lines(encoding)
        name = getattr(source, "name", None)
        manifest = name if isinstance(name, str) else "JSON Lines"
        reader = _reader(manifest if isinstance(name, str) else None, columns, roots, match)
        return _json_items(file_lines(source, encoding), reader, manifest)
    shown = os.fspath(source)
    reader = _reader(shown, columns, roots, match)
    codec = encoding_of(Path(source), encoding)
    if Path(source).suffix.lower() == ".json" and (whole := _json_list(Path(source), codec)) is not None:
        return _listed(whole, reader, plain(shown))
    return _json_items(lines(Path(source), codec), reader, shown)


def _reader(manifest: str | None, columns: ColumnNames | None, roots: Paths, match: str | None) -> RowReader:
    folder = os.path.dirname(os.path.abspath(manifest)) if manifest not in (None, "-") else os.curdir  # noqa: PTH100,PTH120 - text, links kept
    places = Places((*(os.fspath(root) for root in roots), folder))
    return RowReader(places, columns or {}, manifest, compile_match(match) if match else None)


def _listed(rows: Iterable[Any], reader: RowReader, shown: str) -> Iterator[Item]:
    for number, row in enumerate(rows, 1):
        yield from of_json(row, number, f"{shown}, row {number}", reader)


def _json_items(source: Iterable[Line], reader: RowReader, shown: str) -> Iterator[Item]:
    for line in source:
        yield from of_line(line, reader, shown)


def of_line(line: Line, reader: RowReader, shown: str) -> Iterator[Item]:
    """Yield what one line of JSON asks for; a blank line asks for nothing."""
    if not line.text.strip(" \t\r\n\ufeff") and not line.fault:
        return
    where = f"{plain(shown)}, row {line.number}"
    try:
        if line.fault:
            raise ValueError(line.fault)
        row = parse_json(line.text)
    except (ValueError, RecursionError) as error:
        said = ("it is nested too deeply" if isinstance(error, RecursionError) else
                "a number has too many digits" if "digits" in str(error) else str(error))
        yield refused(SourceError(f"{where} is not JSON that can be used: {plain(said)}"), where,
                      origin=Origin(reader.manifest, line.number))
        return
    yield from of_json(row, line.number, where, reader)


def of_json(row: Any, number: int, where: str, reader: RowReader) -> Iterator[Item]:
    """Yield what one JSON value asks for, which has to be an object."""
    if isinstance(row, dict):
        yield from reader.of_mapping(row, number, where)
    else:
        yield refused(SourceError(f"{where} is not an object such as {{\"image\": \"a.jpg\", \"sku\": \"A-1\"}}"),
                      where, origin=Origin(reader.manifest, number))


def parse_json(text: str) -> Any:
    """Return a JSON value; raise `ValueError` also for what readers disagree about: NaN, and keys given twice."""
    try:
        return json.loads(text.removeprefix("\ufeff").rstrip(), parse_constant=_no_constant, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, column {error.colno}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _json_list(path: Path, encoding: str) -> list[Any] | None:
    """Return the list that a file holds; None where it holds something else, such as JSON Lines."""
    with path.open("r", encoding=encoding, errors="surrogateescape") as file:
        start = file.read(1000).lstrip()
    if not start.startswith("["):
        return None
    if path.stat().st_size > _LARGEST_JSON:
        raise ConfigurationError(f"{plain(str(path))} is one JSON list of more than {_LARGEST_JSON:,} bytes; write it "
                                 "as JSON Lines (.jsonl), an object a line")
    try:
        value = parse_json(path.read_text(encoding=encoding))
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else plain(str(error))
        raise ConfigurationError(f"{plain(str(path))} cannot be read as JSON: {said}") from error
    return list(value)


def file_lines(file: IO[Any], encoding: str | None = None) -> Iterator[Line]:
    """Yield the lines of an open file, of text or of bytes."""
    codec = encoding
    for number, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE), None), 1):
        if not raw:
            return
        if isinstance(raw, str):
            yield Line(number, raw)
            continue
        if codec is None:
            codec = guess_encoding(raw)
        yield decoded(number, raw, codec)


def decoded(number: int, raw: bytes, encoding: str) -> Line:
    """Return a line of bytes as text, with what is wrong with it."""
    if len(raw) >= LONGEST_LINE and not raw.endswith(b"\n"):
        return Line(number, "", f"a line of more than {LONGEST_LINE:,} bytes")
    try:
        return Line(number, raw.decode(encoding))
    except UnicodeDecodeError as error:
        return Line(number, "", f"it is not {'UTF-8' if encoding.startswith('utf-8') else encoding} "
                    f"(byte 0x{raw[error.start]:02X})")
