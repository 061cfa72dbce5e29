"""Rows from standard input, which may still be being written."""

import io
import os
import sys
import time
from pathlib import Path

import pytest

from imagepipe import sources
from imagepipe.asset import Asset, Target
from imagepipe.errors import ConfigurationError
from imagepipe.outcome import Outcome


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "b.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        yield source, sink


def until_ready(items) -> None:
    deadline = time.monotonic() + 30
    while not items.ready():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_line_is_there_as_soon_as_it_is_written_and_asking_does_not_block(pipe):
    source, sink = pipe
    items = sources.from_stdin(source)

    assert not items.ready()
    sink.write(b'{"image": "a.jpg", "sku": "A"}\n{"image": "b.')
    until_ready(items)
    first = next(items)
    assert not items.ready()
    sink.write(b'jpg"}')
    sink.close()
    until_ready(items)

    assert first.target == Target(sku="A")
    assert [item.key for item in items] == ["b.jpg"]
    assert items.ready()


def test_closing_ends_the_thread_though_the_writer_goes_on(pipe):
    source, sink = pipe
    items = sources.from_stdin(source)
    sink.write(b'{"image": "a.jpg"}\n')
    next(items)

    items.close()

    items._thread.join(30)
    assert not items._thread.is_alive()
    assert list(items) == []


def test_a_writer_far_ahead_waits_and_closing_lets_go_of_it():
    items = sources.from_stdin(io.StringIO('{"image": "a.jpg"}\n' * 5_000))

    next(items)
    assert items._lines.qsize() <= 1_000
    items.close()

    items._thread.join(30)
    assert not items._thread.is_alive()


def test_bad_lines_are_named_and_the_good_ones_go_on():
    text = b'\xef\xbb\xbf{"image": "a.jpg"}\r\n\n[]\ncaf\xe9\n' + b"x" * 1_100_000 + b'\n{"image": "b.jpg"}'

    items = list(sources.from_stdin(io.BytesIO(text)))

    assert [item.key for item in items if isinstance(item, Asset)] == ["a.jpg", "b.jpg"]
    refused = [item for item in items if isinstance(item, Outcome)]
    assert ["standard input, row " in item.reason for item in refused] == [True] * len(refused)
    assert [item.asset.origin.row_number for item in refused][:2] == [3, 4]


def test_a_line_too_long_from_a_pipe_is_one_refusal(tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"x" * 3_500_000 + b'\n{"image": "a.jpg"}\n')

    with path.open("rb") as file:
        refused, good = sources.from_stdin(file)

    assert "more than 1,000,000" in refused.reason
    assert good.key == "a.jpg"


def test_paths_stay_inside_the_working_folder_and_the_roots_given(tmp_path):
    (tmp_path / "work").mkdir()
    os.chdir(tmp_path / "work")  # the fixture puts it back
    text = '{"image": "../a.jpg"}\n'

    (refused,) = sources.from_stdin(io.StringIO(text))
    (given,) = sources.from_stdin(io.StringIO(text), roots=[tmp_path])

    assert refused.code == "outside_root"
    assert given.key == "a.jpg"


def test_a_stream_that_breaks_off_is_one_refusal():
    class Broken:
        def fileno(self):
            raise OSError("no descriptor")

        def readline(self):
            raise OSError(5, "Input/output error")

    (refused,) = sources.from_stdin(Broken())

    assert refused.code == "unreadable"
    assert "broke off" in refused.reason


def test_a_minus_means_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"image": "S/a.jpg"}\n'))
    Path("S").mkdir()
    Path("S/a.jpg").write_bytes(b"x")

    (asset,) = sources.from_path("-", match="{sku}/*")

    assert asset.target == Target(sku="S")


def test_other_encodings_are_read_line_by_line_or_refused_at_once():
    line = '{"image": "a.jpg", "sku": "\u00fc"}\n'.encode("cp1252")

    (asset,) = sources.from_stdin(io.BytesIO(line), encoding="cp1252")

    assert asset.target.sku == "\u00fc"
    with pytest.raises(ConfigurationError, match="line by line"):
        sources.from_stdin(io.BytesIO(b""), encoding="utf-16")
    with pytest.raises(ConfigurationError, match="no such encoding"):
        sources.from_stdin(io.BytesIO(b""), encoding="klingon")
