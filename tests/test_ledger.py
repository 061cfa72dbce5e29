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
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagepipe import ledger_file
from imagepipe.errors import LedgerDamaged, LedgerError, LedgerLocked, LedgerNewer
from imagepipe.ledger import Image, Ledger, Place
from imagepipe.testing import jpeg


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


def ledger_of_the_first_schema(path: Path) -> None:
    """Make a ledger as the first version wrote it, with a place, its image and an open intent."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(f"BEGIN; {ledger_file._MIGRATIONS[1]}; PRAGMA application_id = "
                             f"{ledger_file._APPLICATION_ID}; PRAGMA user_version = 1; COMMIT;")
    connection.execute("INSERT INTO runs (id, store, command, settings, started) "
                       "VALUES ('run', 'store', '', '', 'then')")
    connection.execute("INSERT INTO places VALUES ('store', 7, 'é.jpg', 42, 'hash', '/shop/é.jpg', 9, 8, 7, NULL, "
                       "'Fit()', 3, 1, 'front', 'run')")
    connection.execute("INSERT INTO images VALUES ('store', 7, 42, 'hash', 'sent', 'name', NULL, 5, 'run', 1, 0, NULL)")
    connection.execute("INSERT INTO operations (run, store, product, kind, key, name, source_sha256, sha256, "
                       "highest_id, attempt, state, begun) "
                       "VALUES ('run', 'store', 7, 'post', 'b', 'n', 's', 't', 1, 1, 'open', 'then')")
    connection.close()


@pytest.mark.parametrize("writing", [True, False])
def test_a_ledger_of_the_first_schema_opens_with_all_that_is_in_it(tmp_path: Path, writing: bool) -> None:
    path = tmp_path / "ledger"
    ledger_of_the_first_schema(path)
    before = path.read_bytes()

    with Ledger.open(path, writing=writing) as book:
        assert not book.is_new
        assert book.place("store", 7, "é.jpg") == Place("store", 7, "é.jpg", 42, "hash", "/shop/é.jpg", 9, 8, 7, None,
                                                        "Fit()", 3, True, "front", "run")
        assert book.images("store") == [Image("store", 7, 42, "hash", "sent", "name", None, 5, "run")]
        assert [operation.undoes for operation in book.open_operations("store")] == [""]
        assert book.replaced("store") == []
        assert [row["id"] for row in book.runs("store")] == ["run"]

    if not writing:
        assert path.read_bytes() == before  # who only looks changes nothing
    with Ledger.open(path) as book:
        assert book._connection.execute("PRAGMA user_version").fetchone()[0] == ledger_file.SCHEMA_VERSION
        assert book._connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        assert len(book.places("store")) == 1


def test_a_migration_that_is_cut_off_leaves_the_ledger_as_it_was(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger"
    ledger_of_the_first_schema(path)
    monkeypatch.setitem(ledger_file._MIGRATIONS, 2, f"{ledger_file._MIGRATIONS[2]}; SELECT no_such_function()")
    with pytest.raises(LedgerError):
        Ledger.open(path)
    monkeypatch.undo()

    with Ledger.open(path) as book:
        assert book.places("store")[0].path == "/shop/é.jpg"


def test_what_a_place_was_is_kept_the_first_time_that_a_run_changes_it(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger") as book:
        first = Place("store", 7, "a", 1, "one", "/a", run="r1", description="front")
        for place in (first, replace(first, run="r2", description="text alone"), replace(first, image_id=2, run="r2"),
                      replace(first, image_id=3, run="r2"), replace(first, image_id=4, run="r3")):
            book.point(place)
        book.forget_place(replace(first, image_id=4), by="r4")

        kept = [(one.by, one.place.image_id, one.place.description) for one in book.replaced("store")]

        assert kept == [("r2", 1, "text alone"), ("r3", 3, "front"), ("r4", 4, "front")]
        book.point(replace(first, image_id=3), undoes="r3")
        assert [one.by for one in book.replaced("store")] == ["r2", "r4"]


#: Upload a folder, and say what became of each picture, in ASCII.
SCRIPT = """
import sys, json, os
sys.path.insert(0, sys.argv[1])
from memory_store import MemoryStore
from imagepipe import api
from imagepipe.ledger import Ledger
store = MemoryStore()
store.add_product(1)
with api.upload(sys.argv[2], store, product_id=1, ledger=sys.argv[3], jobs=0) as run:
    codes = [[outcome.status, outcome.code, outcome.asset.place] for outcome in run]
with Ledger.open(sys.argv[3], writing=False) as book:
    paths = [[place.key, os.fsencode(place.path).hex()] for place in book.places("memory")]
print(json.dumps([sys.getfilesystemencoding(), codes, paths, store.requests]))
"""


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names there are text")
def test_a_place_is_found_again_byte_for_byte_when_the_locale_has_changed(tmp_path: Path) -> None:
    """Whatever the name: UTF-8, none, or spelt as the escape of one that is none."""
    folder = tmp_path / "shop"
    folder.mkdir()
    names = [b"caf\xc3\xa9.jpg", b"caf\xe9.jpg", b"caf\\xe9.jpg", b"\xff\xfe\x80.jpg", "\U0001f455.jpg".encode()]
    for number, name in enumerate(names):
        (folder / os.fsdecode(name)).write_bytes(jpeg(48, 36, seed=number))

    def upload(**environment: str) -> Any:
        done = subprocess.run([sys.executable, "-c", SCRIPT, Path(__file__).parent, folder, tmp_path / "ledger"],
                              env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    encoding, codes, paths, _ = upload(PYTHONUTF8="1")
    assert encoding == "utf-8"
    assert [status for status, *_ in codes] == ["uploaded"] * len(names)
    assert {bytes.fromhex(path) for _, path in paths} == {os.fsencode(folder) + b"/" + name for name in names}
    assert len({key for key, _ in paths}) == len(names)

    other, again, same, requests = upload(PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")

    assert other != "utf-8"
    assert [code for _, code, _ in again] == ["already_uploaded"] * len(names)
    assert requests == []  # unchanged places, for which nobody has to be asked
    assert same == paths
