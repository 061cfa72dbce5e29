"""A full disk, and a ledger that cannot be written: before a request nothing is sent, after one nothing is forgotten.

Rows 36, 37, 38 and 42 of FAULTS.md.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from faulty_runs import VirtualTime, hurried, seven_rows
from faulty_store import TOKEN, FaultyStore

from imagepipe import api
from imagepipe.errors import ExitCode, LedgerError
from imagepipe.ledger import Ledger
from imagepipe.outcome import Outcome, Summary
from imagepipe.stores.folder import INDEX


class FullDisk:
    """A connection to the ledger whose disk is full at its n-th transaction, or from then on."""

    def __init__(self, connection: sqlite3.Connection, at: int, onwards: bool, word: str) -> None:
        self._connection, self._at, self._onwards, self._word = connection, at, onwards, word
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "row_factory":
            self._connection.row_factory = value
        else:
            super().__setattr__(name, value)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql.startswith(self._word):
            self.count += 1
            if self.count == self._at or (self._onwards and self.count > self._at):
                raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(sql, *values)


def upload(folder: Path, store: FaultyStore, rows: list[dict[str, Any]], ledger: Ledger | Path,
           **options: Any) -> tuple[list[Outcome], Summary]:
    virtual = VirtualTime()
    with hurried(store.base_url, virtual, connections=1) as client:
        run = api.upload(rows, client, ledger=ledger, jobs=0, roots=[folder], connections=1,
                         upload_options={"sleep": virtual.sleep, "waits": (0.5, 1.0)}, **options)
        return list(run), run.summary


def held(store: FaultyStore) -> Counter[tuple[int, str]]:
    """Return what the store holds, by product and the hash of the source."""
    return Counter((product, image["name"].rpartition(".")[0][-25:-9])
                   for product, images in store.images.items() for image in images.values())


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[tuple[Path, FaultyStore, list[dict[str, Any]], Path]]:
    """A store and a ledger after a clean run, and pictures of which some have changed since."""
    from imagepipe.testing import jpeg

    rows = seven_rows(tmp_path)
    with FaultyStore() as store:
        assert upload(tmp_path, store, rows, tmp_path / "before")[1].exit_code is ExitCode.OK
        for number, name in enumerate(("a.jpg", "e.jpg")):
            (tmp_path / name).write_bytes(jpeg(48, 36, seed=100 + number))
        (tmp_path / "new.jpg").write_bytes(jpeg(48, 36, seed=200))
        rows[1]["description"] = "text alone"
        yield tmp_path, store, [*rows, {"image": "new.jpg", "product_id": 2}], tmp_path / "before"


@pytest.mark.parametrize("onwards", [False, True], ids=["once", "onwards"])
@pytest.mark.parametrize("word", ["BEGIN", "COMMIT"])
def test_a_full_disk_at_any_write_of_the_ledger(changed: tuple[Path, FaultyStore, list[dict[str, Any]], Path],
                                                word: str, onwards: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent without its intent; what was sent is found again; each input is in the report once."""
    folder, store, rows, before = changed
    restore, kept = store.snapshot(), before.read_bytes()
    upload(folder, store, rows, before)
    wanted = held(store)
    assert max(wanted.values()) == 1
    stopped = at = 0
    while True:
        at += 1
        restore()
        path = folder / f"ledger-{word}-{onwards}-{at}"
        path.write_bytes(kept)
        caplog.clear()
        with Ledger.open(path) as book:
            disk = FullDisk(book._connection, at, onwards, word)
            book._connection = disk  # type: ignore[assignment]  # the disk is in our hand
            try:
                outcomes, summary = upload(folder, store, rows, book)
            except LedgerError:  # the run could not even be begun
                assert at == 1
                assert store.requests == []
                outcomes, summary = [], Summary()
        reached = disk.count >= at
        assert max(held(store).values()) == 1
        if outcomes:
            assert sorted(outcome.asset.source for outcome in outcomes) == sorted(row["image"] for row in rows)
            assert summary.total == len(rows)
        if reached and onwards and outcomes:
            assert summary.exit_code is ExitCode.TRY_AGAIN
            assert "the ledger" in summary.stopped
            stopped += 1
        with Ledger.open(path, writing=False) as book:
            known = {(image.product, image.image_id) for image in book.images(book.runs()[-1]["store"])}
        for product, images in store.images.items():
            for id_ in images:  # what the ledger could not be told, a person is
                assert (product, id_) in known or f"image {id_} is in product {product} of the store" in caplog.text
        if summary.exit_code is ExitCode.OK and outcomes:
            assert held(store) == wanted

        _, summary = upload(folder, store, rows, path)

        assert summary.exit_code is ExitCode.OK
        assert held(store) == wanted
        assert not store.wrong
        if not reached:
            break
    assert at > 8
    assert stopped or not onwards


def test_a_ledger_that_may_only_be_read_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = seven_rows(tmp_path)
    inner = sqlite3.connect
    with Ledger.open(tmp_path / "ledger") as book:
        book.begin_run("store")
    # the superuser, who may run this, writes to everything: so the file is opened as he would not be able to
    monkeypatch.setattr("imagepipe.ledger_file.sqlite3.connect", lambda name, **options: inner(
        name.replace("mode=rwc", "mode=ro"), **options))

    with FaultyStore() as store:
        with pytest.raises(LedgerError, match="cannot be"):
            upload(tmp_path, store, rows, tmp_path / "ledger")
        assert store.requests == []


def test_a_ledger_that_is_missing_where_there_should_be_one_is_warned_of_once(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = seven_rows(tmp_path)
    with FaultyStore() as store:
        upload(tmp_path, store, rows, tmp_path / "one")
        assert "is new, but" not in caplog.text
        (tmp_path / "empty").write_bytes(b"")
        sent = len(store.sent)
        for name in ("another", "empty"):
            caplog.clear()
            with caplog.at_level(logging.WARNING, "imagepipe"):
                _, summary = upload(tmp_path, store, rows, tmp_path / name)
            assert caplog.text.count("is new, but the store already holds images that imagepipe sent") == 1
            assert summary.exit_code is ExitCode.OK
        assert len(store.sent) == sent


def test_a_full_disk_fails_the_first_picture_that_is_prepared_and_leaves_the_rest(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half-written stays, and the same command goes on once there is space."""
    rows = [{"image": row["image"]} for row in seven_rows(tmp_path)]
    options: dict[str, Any] = {"jobs": 0, "roots": [tmp_path], "similar": "ignore"}
    inner, full = os.fdopen, [False]

    class File:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> File:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def write(self, data: bytes) -> int:
            if data.startswith(b"\xff\xd8") and sum(1 for _ in (tmp_path / "out").rglob("*.jpg")) >= 2:
                full[0] = True
            if full[0]:
                self._file.write(data[:100])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(self._file.write(data))

    monkeypatch.setattr("imagepipe.stores.folder.os.fdopen", lambda handle, mode: File(inner(handle, mode)))
    run = api.prepare_to(tmp_path / "out", rows, **options)
    outcomes = list(run)

    assert Counter(str(outcome.status) for outcome in outcomes) == {"ready": 2, "failed": 1, "planned": 4}
    [failed] = [outcome for outcome in outcomes if outcome.failed]
    assert "No space left on device" in failed.reason
    assert run.summary.exit_code is ExitCode.TRY_AGAIN
    assert "free some space" in run.summary.stopped
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != INDEX]
    assert len(files) == 2
    monkeypatch.undo()
    run = api.prepare_to(tmp_path / "out", rows, **options)
    assert run.wait().exit_code is ExitCode.OK
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 6  # one of the seven is a duplicate


@pytest.mark.parametrize("command", ["upload", "undo"])
def test_a_second_run_ends_at_once_naming_the_first_and_looking_goes_on(
        tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    imagepipe = CommandLine(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", TOKEN)
    rows = seven_rows(tmp_path)
    with FaultyStore() as store:
        upload(tmp_path, store, rows, tmp_path / "ledger")
        access = ("--base-url", store.base_url, "--ledger", "ledger")
        arguments = ("a.jpg", "--sku", "MUG", "--jobs", "0") if command == "upload" else ()
        with Ledger.open(tmp_path / "ledger"):
            store.requests.clear()
            refused = imagepipe(command, *arguments, *access, "--yes")
            looking = imagepipe("verify", *access)
        assert refused.code == 4
        assert f"is in use by process {os.getpid()} on" in refused.said
        assert {request.method for request in store.requests} <= {"GET"}
        assert looking.code == 0
        assert imagepipe(command, *arguments, *access, "--yes").code == 0
