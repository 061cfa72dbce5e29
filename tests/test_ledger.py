"""The ledger: durable, one writer, never silently empty, refused rather than guessed at."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from imagepipe import ledger_file
from imagepipe.errors import LedgerDamaged, LedgerError, LedgerLocked, LedgerNewer
from imagepipe.ledger import Image, Ledger, Place


def test_what_is_written_is_there_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.sqlite3"
    with Ledger.open(path) as book:
        assert book.is_new
        run = book.begin_run("store", command="imagepipe upload", settings="Fit()")
        number = book.intend(run, "store", 7, "post", key="a.jpg", name="a-0-0.jpg", source_sha256="s", sha256="t")
        image = Image("store", 7, 42, "s", "t", "a/7/a-0-0__1.jpg", run=run)
        book.settle(number, "done", image=image, place=Place("store", 7, "a.jpg", 42, "s", run=run))
        book.record_input(run, 1, {"status": "uploaded", "source": "a.jpg"}, b"preview")
        book.end_run(run, exit_code=0, summary={"total": 1})

    with Ledger.open(path) as book:
        assert not book.is_new
        assert book.images("store", 7) == [image]
        assert book.place("store", 7, "a.jpg") == Place("store", 7, "a.jpg", 42, "s", run=run)
        assert book.open_operations("store") == []
        assert [(line["source"], preview) for line, preview in book.inputs(run)] == [("a.jpg", b"preview")]
        assert book.runs("store")[0]["exit_code"] == 0


def test_stores_do_not_see_each_others_rows(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as book:
        for store in ("one", "two"):
            number = book.intend("run", store, 7, "post", key="a.jpg", name="n", source_sha256="s", sha256="t")
            book.settle(number, "done", image=Image(store, 7, 42, "s"), place=Place(store, 7, "a.jpg", 42, "s"))
        book.gone("one", 7, 42, "run")

        assert book.images("one", 7) == []
        assert len(book.images("one", 7, deleted=True)) == 1
        assert len(book.images("two", 7)) == 1
        assert len(book.places("two")) == 1


def test_the_file_is_synced_before_an_intent_returns(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as book:
        assert book._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert book._connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_an_intent_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    script = textwrap.dedent(f"""
        import os, signal
        from imagepipe.ledger import Ledger
        book = Ledger.open({str(path)!r})
        book.intend("run", "store", 7, "post", key="a.jpg", name="n", source_sha256="s", sha256="t", highest_id=9)
        os.kill(os.getpid(), signal.SIGKILL)
        """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL

    with Ledger.open(path) as book:
        [operation] = book.open_operations("store")
        assert (operation.name, operation.highest_id, operation.state) == ("n", 9, "open")


def test_a_second_writer_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path), pytest.raises(LedgerLocked, match=f"in use by process {os.getpid()} on"):
        Ledger.open(path)
    Ledger.open(path).close()


def test_reading_needs_no_lock_and_blocks_no_run(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as book:
        run = book.begin_run("store")
        with Ledger.open(path, writing=False) as reader:
            assert [row["id"] for row in reader.runs()] == [run]
            book.begin_run("store")
            assert len(reader.runs()) == 2


def test_a_dead_holder_is_taken_over_from(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    script = f"import os; from imagepipe.ledger import Ledger; Ledger.open({str(path)!r}); os._exit(1)"
    subprocess.run([sys.executable, "-c", script], check=False)

    Ledger.open(path).close()


@pytest.mark.parametrize("content", [
    pytest.param(b"not a database, whatever the name says" * 40, id="not a database"),
    pytest.param(b"SQLite format 3\0" + b"\xff" * 4000, id="destroyed"),
])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(content)

    with pytest.raises(LedgerDamaged, match="ledger recover"):
        Ledger.open(path)

    assert path.read_bytes() == content


def test_a_page_that_was_overwritten_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger.open(path) as book:
        for number in range(300):
            book.point(Place("store", 1, f"{number}.jpg", number, "s" * 64))
    content = bytearray(path.read_bytes())
    content[4096 * 3:4096 * 4] = os.urandom(4096)
    path.write_bytes(content)

    with pytest.raises(LedgerDamaged):
        Ledger.open(path)

    assert path.read_bytes() == bytes(content)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()

    with pytest.raises(LedgerDamaged, match="another program"):
        Ledger.open(path)


def test_a_ledger_of_a_newer_version_is_refused_naming_both(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Ledger.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(LedgerNewer, match="its schema is 99, this one knows 2"):
        Ledger.open(path)


def test_a_network_file_system_is_refused_with_the_way_out(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x / ext4 rw 0 0\nserver:/share {tmp_path} nfs4 rw 0 0\n")

    with pytest.raises(LedgerError, match=r"network file system \(nfs4\).*--ledger none"):
        ledger_file.refuse_network(tmp_path / "ledger", str(mounts))


def test_a_full_disk_is_an_error_before_anything_is_sent(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as book:
        pages = book._connection.execute("PRAGMA page_count").fetchone()[0]
        book._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match=r"full.*nothing more is sent"):
            for number in range(200):
                book.intend("run", "store", 7, "post", name="n" * 500, source_sha256=str(number))


def test_a_folder_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(LedgerError, match="--ledger FILE"):
        Ledger.open(tmp_path / "file" / "ledger")


def test_looking_at_a_ledger_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger.open(tmp_path / "ledger", writing=False)
    assert list(tmp_path.iterdir()) == []


def test_many_threads_write_at_once(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as book:
        def work(product: int) -> None:
            for number in range(20):
                operation = book.intend("run", "store", product, "post", name=str(number))
                book.settle(operation, "done", image=Image("store", product, product * 100 + number, "s"))

        threads = [threading.Thread(target=work, args=(product,)) for product in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(book.images("store")) == 160
        assert book.open_operations("store") == []


def test_a_line_with_any_name_can_be_kept(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as book:
        line = {"status": "failed", "source": "caf\\xe9 \u202e\x1b[2J"}
        book.record_input("run", 1, line)
        book.flush()

        assert next(book.inputs("run"))[0] == json.loads(json.dumps(line))


def test_looking_up_a_product_does_not_read_the_whole_store(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as book:
        for table in ("places", "images"):
            sql = f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE store = ? AND product = ?"
            assert "SEARCH" in book._rows(sql, "s", 1)[0]["detail"]
