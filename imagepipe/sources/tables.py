"""The text of a manifest: its encoding, its lines, and the records of a CSV file.

A record that cannot be read is one record: reading goes on with the line after the one in which
it began, so that a quote which was never closed does not swallow what follows.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from imagepipe.errors import ConfigurationError
from imagepipe.plain import plain
from imagepipe.sources.columns import known

LONGEST_LINE = 1_000_000  #: Characters.
_MOST_LINES = 1_000  #: Of one record: a cell may have line breaks, but a quote left open ends here.
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, as it stands in the file."""

    number: int  #: From 1, as editors count.
    text: str
    fault: str = ""  #: Why it cannot be used.


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a CSV file, the header included."""

    line: int  #: That it begins on.
    cells: list[str]
    fault: str = ""


def encoding_of(path: Path, encoding: str | None) -> str:
    """Return the codec for a text file: the one asked for, else by its first bytes, else UTF-8.

    Raises `ConfigurationError` where the codec is not known, or the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise ConfigurationError(f"{plain(str(path))} cannot be read: {error.strerror}") from error
    if encoding is not None:
        try:
            name = codecs.lookup(encoding).name
            "".encode(name)  # codecs that are not of text (hex, zip) fail here
        except (LookupError, ValueError, TypeError) as error:
            raise ConfigurationError(_no_encoding(encoding)) from error
        return "utf-8-sig" if name == "utf-8" else "utf-16" if name.startswith("utf-16") and start[:2] in (
            codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else name
    return guess_encoding(start)


def check_lines(encoding: str | None) -> None:
    """Raise `ConfigurationError` for a codec that is not known, or in which lines do not end as they do in ASCII."""
    try:
        if encoding is None or "\n".encode(encoding).removeprefix(codecs.BOM_UTF8) == b"\n":
            return
    except (LookupError, ValueError, TypeError) as error:
        raise ConfigurationError(_no_encoding(encoding)) from error
    raise ConfigurationError(f"--encoding {encoding} is not read line by line; save it as a file, and give that")


def _no_encoding(encoding: str | None) -> str:
    return f"--encoding {encoding}: no such encoding; try cp1252, latin-1, shift_jis, …"


def guess_encoding(start: bytes) -> str:
    """Return the codec that the first bytes of a text speak for: UTF-8 unless they are UTF-16 or UTF-32."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    pairs = len(start) // 2
    if pairs >= 4 and not start.startswith(codecs.BOM_UTF8):
        # text that is mostly ASCII, as headers are: in UTF-16 every other byte is zero
        even, odd = start[:2 * pairs:2].count(0), start[1:2 * pairs:2].count(0)
        if odd > 0.6 * pairs and even < 0.1 * pairs:
            return "utf-16-le"
        if even > 0.6 * pairs and odd < 0.1 * pairs:
            return "utf-16-be"
    return "utf-8-sig"


def lines(path: Path, encoding: str) -> Iterator[Line]:
    """Yield the lines of a file one by one; CR, LF and CRLF all end one. What cannot be decoded is said in `fault`."""
    wide = encoding.startswith(("utf-16", "utf-32"))
    with path.open("rb") as raw:
        # the bytes that are no text of this encoding stay recognisable, so that the line can be named
        file = io.TextIOWrapper(raw, encoding, "replace" if wide else "surrogateescape", newline="")
        bad = re.compile("\ufffd" if wide else "[\udc80-\udcff]")
        number = 0
        while text := file.readline(LONGEST_LINE):
            number += 1
            fault = ""
            if len(text) == LONGEST_LINE and not text.endswith(("\n", "\r")):
                fault = f"a line of more than {LONGEST_LINE:,} characters"
                while (more := file.readline(LONGEST_LINE)) and not more.endswith(("\n", "\r")):
                    pass
                text = text[:200]
            elif not text.isascii() and (found := bad.search(text)):
                name = {"utf-8-sig": "UTF-8"}.get(encoding, encoding.upper())
                byte = "" if wide else f" (byte 0x{ord(found[0]) - 0xDC00:02X})"
                fault = (f"it is not {name}{byte}; save the file as UTF-8, or say what it is: "
                         "--encoding cp1252, for example")
            yield Line(number, text, fault)


def records(source: Iterator[Line], delimiter: str) -> Iterator[Record]:
    """Yield the records of a CSV file; those that cannot be read have a `fault` and no cells."""
    waiting: deque[Line] = deque()
    used: list[Line] = []
    size = 0

    def feed() -> Iterator[str]:
        nonlocal size
        while True:
            line = waiting.popleft() if waiting else next(source, None)
            if line is None:
                return
            used.append(line)
            size += len(line.text)
            if len(used) > _MOST_LINES or size > LONGEST_LINE + 1:
                raise csv.Error("a quote is not closed")
            yield line.text

    while True:
        used.clear()
        size = 0
        fault, cells = "", []
        try:
            cells = next(csv.reader(feed(), delimiter=delimiter, strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"it cannot be read as CSV ({error}): look at its quotes"
            waiting.extendleft(reversed(used[1:]))
            del used[1:]
        fault = next((line.fault for line in used if line.fault), fault)
        yield Record(used[0].number, [] if fault else cells, fault)


@dataclass(frozen=True)
class Table:
    """A CSV file whose header has been looked at."""

    path: Path
    encoding: str
    delimiter: str
    headers: tuple[str, ...]  #: Those without a name too.
    _skip: int  #: Records up to and with the header.

    def rows(self) -> Iterator[tuple[int, Record]]:
        """Yield each record behind the header with its number, from 1; blank ones count and are left out."""
        every = records(self._lines(), self.delimiter)
        for number, record in enumerate(islice(every, self._skip, None), 1):
            if record.fault or any(cell.strip() for cell in record.cells):
                yield number, record

    def _lines(self) -> Iterator[Line]:
        return lines(self.path, self.encoding)


def open_table(path: str | os.PathLike[str], encoding: str | None, columns: Mapping[str, str | Sequence[str]]) -> Table:
    """Return the table in a CSV or TSV file: encoding, delimiter and header are found out.

    Raises `ConfigurationError` where there is none: no row of such a file can be read.
    """
    file = Path(path)
    shown = plain(str(path))
    codec = encoding_of(file, encoding)
    start = _start(lines(file, codec))
    best: tuple[tuple[int, int, int], str, int, Record] | None = None
    for preference, delimiter in enumerate(_DELIMITERS):
        said = re.fullmatch(r'"?sep=(.)"?\s*', start[0].text) if start else None  # as Excel writes it
        if said and delimiter != said[1]:
            continue
        found = _header(records(iter(start), delimiter), 1 if said else 0)
        if found is None:
            continue
        skip, record = found
        names = [cell.strip() for cell in record.cells]
        tab = delimiter == "\t" and file.suffix.lower() in (".tsv", ".tab")
        score = (known(names, columns) + tab, len(names), -preference)
        if best is None or score > best[0]:
            best = (score, delimiter, skip, record)
    if best is None:
        raise ConfigurationError(f"{shown} is empty: it needs a header with the columns image and sku or product_id")
    _, delimiter, skip, record = best
    if record.fault:
        raise ConfigurationError(f"the header of {shown} (line {record.line}) cannot be read: {record.fault}")
    names = [cell.strip() for cell in record.cells]
    if any("\0" in name for name in names):
        raise ConfigurationError(f"{shown} is no text file: its header holds NUL characters; save it as CSV, UTF-8")
    return Table(file, codec, delimiter, tuple(names), skip)


def _start(source: Iterator[Line]) -> list[Line]:
    """Return as many of the first lines as a header may take."""
    found: list[Line] = []
    size = 0
    for line in islice(source, 2 * _MOST_LINES):
        found.append(line)
        size += len(line.text)
        if size > 2 * LONGEST_LINE:
            break
    return found


def _header(every: Iterator[Record], skip: int) -> tuple[int, Record] | None:
    """Return the first record that is not blank, and how many records there are up to and with it."""
    for count, record in enumerate(every, 1):
        if count > skip and (record.fault or any(cell.strip() for cell in record.cells)):
            return count, record
    return None
