"""Reports: what is in them is data, and a file is there whole or not at all."""

from __future__ import annotations

import base64
import csv
import html.parser
import io
import json
import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from hypothesis import given
from hypothesis import strategies as st

from imagepipe.asset import Asset, Facts, Origin, Received, Target
from imagepipe.errors import ConfigurationError, ImagepipeError, Retry
from imagepipe.outcome import Outcome, Status, Summary
from imagepipe.plain import guarded, unguarded
from imagepipe.report import COLUMNS, writer_for
from imagepipe.testing import jpeg

NASTY = '<img src=x onerror=alert(1)>"\'&<script>alert(2)</script>\x1b[2J\u202e'


def line(source: str = "a.jpg", *, status: Status = Status.UPLOADED, **changes: Any) -> dict[str, Any]:
    asset = Asset(source, target=Target(sku="MUG"), location=f"/pictures/{source}",
                  received=Received("00" * 32, 12_345), facts=Facts("jpeg", 640, 480))
    return {**Outcome(asset, status, reason="because" if status is Status.FAILED else "").to_dict("run-1"), **changes}


def written(path: Path, *lines: dict[str, Any], preview: bytes | None = None, **summary: Any) -> str:
    report = writer_for(path)
    for each in lines:
        report.add(each, preview)
    report.close({**Summary(run_id="run-1").to_dict(), "total": len(lines), "uploaded": len(lines), **summary})
    return path.read_bytes().decode("utf-8-sig")


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


class Page(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


# -- CSV -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "=1+1", "+1", "-1", "@SUM(A1)", " =1", "\xa0=1", "\t=1", "\r=1", "\n=1", "ok\n=1", "ok\r\n  @x", "\uff1d1",
    "\u3000\uff0b1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x?"&A1)', "'=1", "''=1"])
def test_no_cell_is_run_as_a_formula_and_reading_it_again_gives_the_text(text: str) -> None:
    cell = guarded(text)

    assert cell == "'" + text
    assert unguarded(cell) == text


@pytest.mark.parametrize("text", ["", "a = b", "Mug - blue", "'tis", "5", "a@b.example", "x\ny", "'"])
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert guarded(text) == text == unguarded(text)


@given(st.text(st.sampled_from("'=+-@\t\r\n a\xa0\u3000\uff1d"), max_size=8))
def test_the_guard_can_be_taken_off_and_leaves_nothing_that_is_run(text: str) -> None:
    cell = guarded(text)

    assert unguarded(cell) == text
    assert not cell.lstrip(" \xa0\u3000").startswith(("=", "+", "-", "@", "\uff1d"))


def test_every_cell_of_the_csv_report_is_quoted_and_guarded(tmp_path: Path) -> None:
    text = written(tmp_path / "r.csv", line("=1.jpg", sku="-5", description="a\n=1", notes=["@x", "b"], key="+k",
                                            sort_order=-3, is_thumbnail=True, lossless=None))

    header, row = text.split("\r\n", 1)
    assert header == ",".join(f'"{column}"' for column in COLUMNS)
    (found,) = cells(text)
    assert found["sku"] == "'-5"
    assert found["description"] == "'a\n=1"
    assert found["notes"] == "'@x; b"
    assert found["key"] == "'+k"
    assert (found["sort_order"], found["is_thumbnail"], found["lossless"]) == ("-3", "true", "")
    assert re.fullmatch(r'("(?:[^"]|"")*"(,|\r\n))+', row)


def test_excel_is_told_that_the_csv_report_is_utf_8(tmp_path: Path) -> None:
    written(tmp_path / "r.csv", line("Tasse-\u00fc.jpg"))

    assert (tmp_path / "r.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_guarded_cells_of_a_csv_report_come_back_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    imagepipe = CommandLine(tmp_path, capsys, monkeypatch)
    stated = {"image": "a.jpg", "sku": "-5", "description": "Mug\n=blue, '=red"}
    Path("m.jsonl").write_text(json.dumps(stated))
    Path("a.jpg").write_bytes(jpeg()[:300])
    first = imagepipe("upload", "m.jsonl", "--sandbox", "--jobs", "0", "--report", "r.csv")
    assert first.code == 1
    Path("a.jpg").write_bytes(jpeg())

    (again, _) = imagepipe("upload", "r.csv", "--sandbox", "--jobs", "0", "--json").lines

    assert again["status"] == "uploaded"
    assert {name: again[name] for name in ("sku", "description")} == {"sku": "-5", "description": "Mug\n=blue, '=red"}


# -- JSON lines ------------------------------------------------------------------------------------


def test_the_jsonl_report_is_exact(tmp_path: Path) -> None:
    values = line(NASTY, description="=1\n\u2028", notes=["\x00"])
    text = written(tmp_path / "r.jsonl", values)

    *rows, summary = text.split("\n")[:-1]
    assert [json.loads(row) for row in rows] == [values]
    assert json.loads(summary)["type"] == "summary"


# -- HTML ------------------------------------------------------------------------------------------


def test_what_comes_from_outside_is_text_on_the_page_and_nothing_else(tmp_path: Path) -> None:
    values = line(NASTY, sku=NASTY, reason=NASTY, notes=[NASTY], warnings=[NASTY], manifest=NASTY, row_number=3)
    text = written(tmp_path / "r.html", values, stopped=NASTY, run_id=NASTY)
    page = Page(text)

    assert {tag for tag, _ in page.elements} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "p", "ul", "li", "b", "table", "thead", "tbody",
        "tr", "th", "td", "a", "div", "span", "br"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count("<img src=x onerror=alert(1)>") >= 5
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_page_lets_nothing_run_and_fetches_nothing(tmp_path: Path) -> None:
    page = Page(written(tmp_path / "r.html", line(), preview=b"\xff\xd8jpeg"))

    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.split("; ") == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    assert [image["src"] for image in page.all("img")] == [
        "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8jpeg").decode()]
    assert not page.all("script")
    assert not page.all("link")


@pytest.mark.parametrize("image", ["javascript:alert(1)", "data:text/html,x", "https://example.com/a.jpg", "vb:x"])
def test_only_files_are_linked_to(tmp_path: Path, image: str) -> None:
    assert not Page(written(tmp_path / "r.html", line(image=image))).all("a")


def test_the_link_to_a_file_is_percent_encoded(tmp_path: Path) -> None:
    page = Page(written(tmp_path / "r.html", line(image='/p/a b"?#<%.jpg')))

    assert [link["href"] for link in page.all("a")] == ["file:///p/a%20b%22%3F%23%3C%25.jpg"]


def test_what_needs_a_look_comes_first(tmp_path: Path) -> None:
    text = written(tmp_path / "r.html", line("good.jpg"), line("bad.jpg", status=Status.FAILED))

    assert text.index("bad.jpg") < text.index("good.jpg")


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r.html", "r.csv", "r.jsonl"])
def test_until_the_end_the_last_report_stays_as_it_was(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("the last one")
    report = writer_for(tmp_path / name)
    report.add(line())

    assert (tmp_path / name).read_text() == "the last one"
    report.close(Summary().to_dict())
    assert "the last one" not in (tmp_path / name).read_text()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("name", ["r.html", "r.csv", "r.jsonl"])
def test_a_full_disk_leaves_the_last_report_and_says_how_to_get_this_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("the last one")
    report = writer_for(tmp_path / name)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, report.file.fileno())  # type: ignore[attr-defined]  # what every report of ours has
    os.close(full)

    for _ in range(100):
        report.add(line(), b"x" * 5_000)
    with pytest.raises(ImagepipeError, match=r"No space left.*imagepipe report"):
        report.close(Summary().to_dict())

    assert (tmp_path / name).read_text() == "the last one"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("count", [1, 100])
def test_a_disk_that_is_full_while_the_rows_of_a_page_wait_is_said_at_the_end(tmp_path: Path, count: int) -> None:
    report = writer_for(tmp_path / "r.html")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, report._spools[1].fileno())  # type: ignore[attr-defined]  # where they wait
    os.close(full)

    for _ in range(count):
        report.add(line(), b"x" * 5_000)
    with pytest.raises(ImagepipeError, match="No space left"):
        report.close(Summary().to_dict())

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["r.html", "r.csv", "r.jsonl"])
def test_a_report_of_very_many_pictures_takes_no_memory(tmp_path: Path, name: str) -> None:
    report = writer_for(tmp_path / name)
    values, preview = line(), b"x" * 3_000
    tracemalloc.start()
    for _ in range(1_000):
        report.add(values, preview)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    report.close({**Summary().to_dict(), "total": 1_000})

    assert held < 300_000  # of 4 MB on a page
    assert (tmp_path / name).read_text("utf-8-sig").count("a.jpg") >= 1_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_report_that_cannot_be_written_costs_no_picture_and_changes_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    program = ("import os, imagepipe.report as report, imagepipe.cli as cli\n"
               "write = report._Csv.begin\n"
               "def begin(self):\n"
               "    write(self)\n"
               "    os.dup2(os.open('/dev/full', os.O_WRONLY), self.file.fileno())\n"
               "report._Csv.begin = begin\n"
               "cli.main(['upload', 'a.jpg', '--sku', 'A', '--sandbox', '--jobs', '0', '--json',\n"
               "          '--report', 'r.csv', '--report', 'r.jsonl'])\n")
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    lines = [json.loads(each) for each in ended.stdout.splitlines()]
    assert [each["type"] for each in lines] == ["image", "summary"]
    assert lines[0]["status"] == "uploaded"
    assert "No space left" in ended.stderr
    assert ended.returncode == 4, ended.stderr
    assert not (tmp_path / "r.csv").exists()
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2  # the other one is there


@pytest.mark.parametrize("name", ["r.txt", "r", "r.xlsx"])
def test_a_report_of_no_known_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\.html, \.csv or \.jsonl"):
        writer_for(tmp_path / name)


def test_a_report_where_nothing_can_be_written_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        writer_for(tmp_path / "no" / "r.html")


def test_a_row_that_names_its_manifest_says_which(tmp_path: Path) -> None:
    asset = Asset("a.jpg", origin=Origin("lists/m.csv", 7))
    values = Outcome(asset, Status.FAILED, reason="no", code="bad_row", retry=Retry.PERSON).to_dict()

    assert "row 7 of m.csv" in written(tmp_path / "r.html", values)


def test_a_report_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    report = writer_for(tmp_path / "r.html")
    report.add(line())
    report.discard()

    assert not list(tmp_path.iterdir())


def test_a_wrong_report_is_told_before_a_run_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    imagepipe = CommandLine(tmp_path, capsys, monkeypatch)
    Path("a.jpg").write_bytes(jpeg())

    result = imagepipe("upload", "a.jpg", "--sku", "A", "--sandbox", "--jobs", "0", "--report", "ok.csv", "--report",
                       "no/r.html")

    assert result.code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg"]
