"""Outcomes as a file: a page to look at, a table for a spreadsheet, lines for a program.

A report is written beside its place and put there whole when the run ends, so that a run that is
cut off leaves the last one as it was. Everything in it that comes from outside (names, reasons,
what a store said) is data: escaped in HTML, guarded in CSV, exact in JSON.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import html
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote

from imagepipe.errors import ConfigurationError, ImagepipeError
from imagepipe.outcome import Status
from imagepipe.plain import guarded, json_line, plain, size


class Report(Protocol):
    """Takes the JSON lines of outcomes as they come, and that of the summary at the end."""

    def add(self, line: dict[str, Any], preview: bytes | None = None) -> None:
        """Take one outcome, and perhaps a small JPEG of its picture."""
        ...

    def close(self, summary: dict[str, Any]) -> None:
        """Put the report in its place. Raises `ImagepipeError` where that cannot be done."""
        ...

    def discard(self) -> None:
        """Leave nothing of a report that was not closed."""
        ...


def writer_for(path: str | os.PathLike[str]) -> Report:
    """Return the report that a file's ending asks for: `.html`, `.csv` or `.jsonl`.

    Raises `ConfigurationError` for another ending, or where nothing can be written there.
    """
    target = Path(path)
    kinds: dict[str, type[_File]] = {".html": _Html, ".htm": _Html, ".csv": _Csv, ".jsonl": _Jsonl, ".ndjson": _Jsonl}
    kind = kinds.get(target.suffix.lower())
    if kind is None:
        raise ConfigurationError(f"{plain(str(path))}: a report ends in .html, .csv or .jsonl")
    try:
        return kind(target)
    except OSError as error:
        raise ConfigurationError(f"the report {plain(str(path))} cannot be written: {error.strerror}") from error


class _File:
    """A text file that is there whole or not at all."""

    newline = "\n"

    def __init__(self, path: Path) -> None:
        self.path = path
        handle, name = tempfile.mkstemp(prefix=".imagepipe-report-", dir=path.absolute().parent)
        self._temporary = Path(name)
        self.file = os.fdopen(handle, "w", encoding="utf-8", newline=self.newline, errors="backslashreplace")
        self._error: OSError | None = None
        try:
            self.begin()
        except OSError:
            self.discard()
            raise

    def begin(self) -> None:
        """Write what comes before the first outcome."""

    def row(self, line: dict[str, Any], preview: bytes | None) -> None:
        """Write one outcome."""
        raise NotImplementedError

    def end(self, summary: dict[str, Any]) -> None:
        """Write what comes after the last outcome."""

    def add(self, line: dict[str, Any], preview: bytes | None = None) -> None:
        if self._error is None:
            try:
                self.row(line, preview)
            except OSError as error:  # a full disk: the run goes on, and the report says at the end why it is not there
                self._error = error

    def close(self, summary: dict[str, Any]) -> None:
        try:
            if self._error is not None:
                raise self._error
            self.end(summary)
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            self._temporary.chmod(0o644)  # `mkstemp` lets nobody else read it
            self._temporary.replace(self.path)
        except OSError as error:
            self.discard()
            raise ImagepipeError(f"the report {self.path} could not be written: {error.strerror}; after an upload, "
                                 "'imagepipe report --out FILE' writes it from the ledger") from error

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()


class _Jsonl(_File):
    """The JSON lines, as `--json` prints them."""

    def row(self, line: dict[str, Any], preview: bytes | None) -> None:
        self.file.write(json_line(line) + "\n")

    def end(self, summary: dict[str, Any]) -> None:
        self.file.write(json_line(summary) + "\n")


#: Columns of the CSV report: those of a manifest first, so that the file can be given back as a source.
COLUMNS = ("image", "product_id", "sku", "sort_order", "is_thumbnail", "description", "key", "status", "action", "code",
           "reason", "retry", "warnings", "notes", "manifest", "row_number", "output", "format", "width", "height",
           "frames", "bytes_in", "bytes_out", "source_sha256", "sha256", "lossless", "image_id", "url", "duplicate_of",
           "similar_to", "stage", "attempts", "seconds", "row", "run_id", "type", "schema")


class _Csv(_File):
    newline = ""  # the csv module writes line ends itself

    def begin(self) -> None:
        self.file.write("\ufeff")  # without it Excel takes UTF-8 for the local code page
        self._writer = csv.writer(self.file, quoting=csv.QUOTE_ALL)
        self._writer.writerow(COLUMNS)

    def row(self, line: dict[str, Any], preview: bytes | None) -> None:
        self._writer.writerow([_cell(line.get(column)) for column in COLUMNS])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    return guarded("; ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


_STYLE = """
:root { color-scheme: light dark; --line: #d9d9de; --soft: #6b6b76; --bad: #b3261e; --warn: #8a5a00; --good: #1c6b3a;
        --card: #fff; --page: #f5f5f7; }
@media (prefers-color-scheme: dark) { :root { --line: #3a3a42; --soft: #a0a0ac; --bad: #ff8a80; --warn: #ffcc66;
        --good: #7fd69b; --card: #1f1f24; --page: #151518; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif; background: var(--page); }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; }
.totals { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0 1.5rem; padding: 0; list-style: none; }
.totals li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .8rem; }
.totals b { font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--line);
        border-radius: .5rem; }
th, td { text-align: left; vertical-align: top; padding: .55rem .7rem; border-top: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); border-top: 0; }
td.picture { width: 5.5rem; }
td.picture img { max-width: 4.5rem; max-height: 4.5rem; border-radius: .25rem; display: block; }
td.name { min-width: 12rem; overflow-wrap: anywhere; }
td.product { min-width: 7.5rem; overflow-wrap: anywhere; }
td.size { white-space: nowrap; }
td.done { overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .88rem; }
.failed { color: var(--bad); font-weight: 600; } .planned { color: var(--warn); font-weight: 600; }
.uploaded, .updated, .ready { color: var(--good); font-weight: 600; } .skipped { color: var(--soft); }
@media (max-width: 40rem) {
  thead, td.size, td.picture:empty { display: none; }
  tr, td { display: block; }
  tr { border-top: 1px solid var(--line); padding: .4rem 0; }
  td { border: 0; padding: .15rem .7rem; }
}
"""


class _Html(_File):
    """One page that needs nothing else: previews inside, no script, nothing fetched."""

    def begin(self) -> None:
        # what needs a look comes first, so the rows wait for the end: on disk, as there may be very many, with previews
        self._spools: list[IO[str]] = []
        for _ in range(2):
            self._spools.append(tempfile.TemporaryFile(  # noqa: SIM115 - closed by `end` or `discard`
                "w+", encoding="utf-8", errors="backslashreplace", dir=self.path.absolute().parent))
        self.file.write(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
            "style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>imagepipe report</title><style>{_STYLE}</style></head><body><main>\n"
            "<h1>What became of each picture</h1>\n")

    def row(self, line: dict[str, Any], preview: bytes | None) -> None:
        needs_a_look = line["status"] == Status.FAILED or (line["status"] == Status.PLANNED and bool(line["reason"]))
        self._spools[0 if needs_a_look else 1].write(_table_row(line, preview))

    def end(self, summary: dict[str, Any]) -> None:
        counts = [("pictures", summary["total"]), *((str(status), summary[str(status)]) for status in Status)]
        items = "".join(f"<li><b>{count:,}</b> {_escape(word)}</li>" for word, count in counts
                        if count or word == "pictures")
        run = f"Run {_escape(summary['run_id'])}, " if summary["run_id"] else ""
        self.file.write(f'<p class="soft">{run}{summary["seconds"]:.1f} s, exit code {summary["exit_code"]}</p>\n'
                        f'<ul class="totals">{items}</ul>\n')
        if summary["stopped"]:
            self.file.write(f'<p class="failed">Stopped early: {_escape(summary["stopped"])}</p>\n')
        self.file.write('<table><thead><tr><th></th><th>Picture</th><th>Product</th><th>What was done, and why</th>'
                        '<th class="size">Size</th></tr></thead><tbody>\n')
        for spool in self._spools:
            spool.seek(0)
            shutil.copyfileobj(spool, self.file)
            spool.close()
        self.file.write("</tbody></table></main></body></html>\n")

    def discard(self) -> None:
        for spool in self._spools:
            with contextlib.suppress(OSError):
                spool.close()
        super().discard()


def _escape(text: Any) -> str:
    return html.escape(plain(str(text)), quote=True)


def _table_row(line: dict[str, Any], preview: bytes | None) -> str:
    picture = ""
    if preview:
        picture = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(preview).decode("ascii")}">'
    name, image = _escape(line["source"]), line["image"]
    if image and "://" not in image and image.startswith("/"):
        name = f'<a href="file://{html.escape(quote(image), quote=True)}" rel="noreferrer">{name}</a>'
    if line["row_number"]:
        manifest = _escape(Path(line["manifest"] or "").name)
        name += f'<div class="soft">row {line["row_number"]} of {manifest}</div>'
    product = "<br>".join(_escape(part) for part in (
        line["sku"], f"id {line['product_id']}" if line["product_id"] else None) if part)
    said = [line["reason"], *line["notes"], *(f"warning: {word.replace('_', ' ')}" for word in line["warnings"])]
    done = "".join(f'<div class="soft">{_escape(text)}</div>' for text in said if text)
    sizes = " → ".join(dict.fromkeys(size(line[key]) for key in ("bytes_in", "bytes_out") if line[key]))
    pixels = f'<div class="soft">{line["width"]} × {line["height"]}</div>' if line["width"] else ""
    return (f'<tr><td class="picture">{picture}</td><td class="name">{name}</td><td class="product">{product}</td>'
            f'<td class="done"><span class="{_escape(line["status"])}">{_escape(line["status"])}</span>{done}</td>'
            f'<td class="size">{_escape(sizes)}{pixels}</td></tr>\n')


__all__ = ["COLUMNS", "Report", "writer_for"]
