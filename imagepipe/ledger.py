"""The ledger: what was sent where, written down before it happens.

An SQLite file with six tables. One file may hold the rows of many stores: every row names its
store.

==========  =======================================================================
runs        one a run: which store, what settings, when, how it ended
inputs      one a run and input: its JSON line, and a small preview
places      where a picture belongs (store, product, source key), and which image is there
images      what a product holds because of us: image id, and the hash of the source
operations  every write to a store (post, put, delete): the intent, durably recorded
            before the request, and then its result
replaced    what a place was before a run let it show another image: what undo puts back
==========  =======================================================================

Durability: WAL with ``synchronous=FULL``, so that a committed row survives a power cut
(https://www.sqlite.org/pragma.html#pragma_synchronous), and ``BEGIN IMMEDIATE``, so that a
writer never finds out at commit that it lost. One process writes at a time: it holds a lock on
a file beside the ledger, which the system releases when the process dies. Reading needs no lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Self

from imagepipe.errors import LedgerDamaged, LedgerError
from imagepipe.ledger_file import connect, hold, migrate, now, refuse_network
from imagepipe.ledger_rows import (
    Image,
    Operation,
    Place,
    Replaced,
    Shown,
    image_of,
    insert,
    note_gone,
    note_replaced,
    place_of,
    put_back,
    replaced_of,
    select,
)

__all__ = ["Image", "Ledger", "Operation", "Place", "Replaced", "Shown"]


class Ledger:
    """The journal of what was sent where. Safe to use from many threads.

    `Ledger.open(path)` for writing, `Ledger.open(path, writing=False)` for looking, and
    `Ledger.in_memory()` for a run without one: it remembers within the run, and its `durable`
    is False, which forbids deletions.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None, lock: IO[str] | None, *, is_new: bool
    ) -> None:
        self.path = path
        self.durable = path is not None
        self.is_new = is_new  #: Nothing was in it when it was opened.
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._lock_file = lock
        self._mutex = threading.RLock()
        self._pending: list[tuple[Any, ...]] = []
        self._pending_since = time.monotonic()

    # -- opening -------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, writing: bool = True) -> Self:
        """Open the ledger at `path`; make it if it is not there and `writing`.

        Raises `LedgerLocked`, `LedgerNewer`, `LedgerDamaged`, or `LedgerError` where the file
        system does not let us keep what we write.
        """
        path = Path(path)
        if not writing:
            if not path.exists():
                raise LedgerError(f"there is no ledger at {path}")
            return cls(connect(path, writing=False), path, None, is_new=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"the folder of the ledger {path} cannot be made: {error.strerror}; "
                              "name another with --ledger FILE") from error
        refuse_network(path)
        lock = hold(path)
        try:
            connection = connect(path, writing=True)
            is_new = not connection.execute("SELECT 1 FROM runs LIMIT 1").fetchall()
        except BaseException:
            lock.close()
            raise
        return cls(connection, path, lock, is_new=is_new)

    @classmethod
    def in_memory(cls) -> Self:
        """Return a ledger that lasts as long as the run."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        migrate(connection, 0)
        return cls(connection, None, None, is_new=True)

    def close(self) -> None:
        """Write what is pending, close the file, and let the next run have it."""
        with self._mutex:
            try:
                with contextlib.suppress(LedgerError):
                    self.flush()
            finally:
                self._connection.close()
                if self._lock_file is not None:
                    self._lock_file.close()  # releases the lock; the file stays, so that nobody locks a ghost
                    self._lock_file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is done inside, durably; raise `LedgerError` where that cannot be."""
        with self._mutex:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise LedgerError(f"the ledger {self.path} cannot be written: {error}; nothing more is sent. "
                                  "Free some space or mend the permissions, then run the same command again") from error

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._mutex:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise LedgerDamaged(f"the ledger {self.path} cannot be read: {error}") from error

    # -- runs and inputs -----------------------------------------------------------------------

    def begin_run(self, store: str, *, command: str = "", settings: str = "") -> str:
        """Record that a run has started; return its id, which sorts by time."""
        run = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + uuid.uuid4().hex[:8]
        with self._transaction() as db:
            db.execute("INSERT INTO runs (id, store, command, settings, started) VALUES (?, ?, ?, ?, ?)",
                       (run, store, command, settings, now()))
        return run

    def end_run(self, run: str, *, exit_code: int, summary: dict[str, Any]) -> None:
        """Record how a run ended."""
        self.flush()
        with self._transaction() as db:
            db.execute("UPDATE runs SET ended = ?, exit_code = ?, summary = ? WHERE id = ?",
                       (now(), exit_code, json.dumps(summary), run))

    def record_input(self, run: str, number: int, line: dict[str, Any], preview: bytes | None = None) -> None:
        """Record the outcome of input `number` of a run.

        Written in groups, at the latest after a second or with `flush`: what a store holds is
        in the other tables, which are written at once.
        """
        with self._mutex:
            self._pending.append((run, number, line["status"], json.dumps(line), preview))
            if len(self._pending) >= 200 or time.monotonic() - self._pending_since > 1.0:
                self.flush()

    def flush(self) -> None:
        """Write the inputs that wait to be written."""
        with self._mutex:
            self._pending_since = time.monotonic()
            if self._pending:
                with self._transaction() as db:
                    db.executemany("INSERT OR REPLACE INTO inputs (run, number, status, outcome, preview) "
                                   "VALUES (?, ?, ?, ?, ?)", self._pending)
                self._pending.clear()

    def runs(self, store: str | None = None) -> list[dict[str, Any]]:
        """Return the runs, the last one first."""
        rows = self._rows("SELECT * FROM runs WHERE ? IS NULL OR store = ? ORDER BY rowid DESC", store, store)
        return [dict(row) for row in rows]

    def inputs(self, run: str) -> Iterator[tuple[dict[str, Any], bytes | None]]:
        """Yield the JSON line and the preview of each input of a run, in input order."""
        last = -1
        while rows := self._rows("SELECT number, outcome, preview FROM inputs WHERE run = ? AND number > ? "
                                 "ORDER BY number LIMIT 500", run, last):
            for row in rows:
                yield json.loads(row["outcome"]), row["preview"]
            last = rows[-1]["number"]

    # -- places and images ---------------------------------------------------------------------

    def place(self, store: str, product: int, key: str) -> Place | None:
        """Return what is known of a place."""
        rows = self._rows("SELECT * FROM places WHERE store = ? AND product = ? AND key = ?", store, product, key)
        return place_of(rows[0]) if rows else None

    def places(self, store: str, product: int | None = None, *, image_id: int | None = None,
               source_sha256: str | None = None) -> list[Place]:
        """Return the places of a product, or of the whole store: all, or those that show an image or a picture."""
        return [place_of(row) for row in self._rows(*select(
            "places", "product, key", store=store, product=product, image_id=image_id, source_sha256=source_sha256))]

    def point(self, place: Place, *, undoes: str = "") -> None:
        """Let a place point to an image; with `undoes`, to what it showed before that run."""
        with self._transaction() as db:
            _point(db, place, undoes)

    def replaced(self, store: str, *, by: str | None = None, product: int | None = None, key: str | None = None,
                 source_sha256: str | None = None) -> list[Replaced]:
        """Return what places were before a run (or any) let them show another image, in the order of events."""
        return [replaced_of(row) for row in self._rows(*select(
            "replaced", "number", store=store, by=by, product=product, key=key, source_sha256=source_sha256))]

    def give_up(self, replaced: Replaced) -> None:
        """Forget what a place was before, as it cannot be put back."""
        with self._transaction() as db:
            db.execute("DELETE FROM replaced WHERE number = ?", (replaced.number,))

    def forget_place(self, place: Place, *, by: str = "") -> None:
        """Forget a place that has gone from the source; its image may become one without a place.

        With `by`, the run that does so, it is kept for `undo`.
        """
        with self._transaction() as db:
            if by:
                note_replaced(db, by, place, image_id=None)
            db.execute("DELETE FROM places WHERE store = ? AND product = ? AND key = ?",
                       (place.store, place.product, place.key))

    def images(self, store: str, product: int | None = None, *, run: str | None = None, image_id: int | None = None,
               source_sha256: str | None = None, deleted: bool = False) -> list[Image]:
        """Return what we know to be in a product, or in the store, or what one run recorded: all, or of one picture."""
        sql, *values = select("images", "product, image_id", store=store, product=product, run=run, image_id=image_id,
                               source_sha256=source_sha256)
        images = [image_of(row) for row in self._rows(sql, *values)]
        return images if deleted else [image for image in images if image.deleted_by is None]

    def learn(self, image: Image) -> None:
        """Record an image that was found in the store."""
        with self._transaction() as db:
            insert(db, "images", image)

    def gone(self, store: str, product: int, image_id: int, run: str) -> None:
        """Record that an image is no longer in the store, and that no place shows it any more."""
        with self._transaction() as db:
            note_gone(db, store, product, image_id, run)

    def keep(self, store: str, product: int, image_id: int) -> None:
        """Let an image stay although no place points to it."""
        with self._transaction() as db:
            db.execute("UPDATE images SET keep = 1 WHERE store = ? AND product = ? AND image_id = ?",
                       (store, product, image_id))

    def without_place(self, store: str, product: int) -> list[Image]:
        """Return our images in a product that no place points to: what a replacement left behind."""
        return [image_of(row) for row in self._rows(
            "SELECT * FROM images AS i WHERE store = ? AND product = ? AND ours AND NOT keep AND deleted_by IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM places AS p WHERE p.store = i.store AND p.product = i.product "
            "AND p.image_id = i.image_id) ORDER BY image_id", store, product)]

    # -- operations ----------------------------------------------------------------------------

    def intend(self, run: str, store: str, product: int, kind: str, *, key: str = "", name: str = "",
               source_sha256: str = "", sha256: str = "", image_id: int | None = None, highest_id: int = 0,
               attempt: int = 1, undoes: str = "", shown: Mapping[int, Shown] | None = None) -> int:
        """Record durably that a write is about to be sent; return the number of the operation.

        `shown` is how the store shows images that the write replaces or deletes.
        """
        with self._transaction() as db:
            for id_, values in (shown or {}).items():
                db.execute("UPDATE images SET shown = ? WHERE store = ? AND product = ? AND image_id = ?",
                           (values.to_json(), store, product, id_))
            cursor = db.execute(
                "INSERT INTO operations (run, store, product, kind, key, name, source_sha256, sha256, image_id, "
                "highest_id, attempt, undoes, state, begun) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
                (run, store, product, kind, key, name, source_sha256, sha256, image_id, highest_id, attempt, undoes,
                 now()))
            return int(cursor.lastrowid or 0)

    def settle(self, number: int, state: str, *, detail: str = "", image: Image | None = None,
               place: Place | None = None, gone: int | None = None) -> None:
        """Record the result of an operation, with all that follows from it, in one transaction."""
        with self._transaction() as db:
            row = db.execute("UPDATE operations SET state = ?, detail = ?, ended = ?, image_id = coalesce(?, image_id) "
                             "WHERE number = ? RETURNING run, store, product, undoes",
                             (state, detail, now(), image.image_id if image else None, number)).fetchone()
            if image:
                insert(db, "images", image)
            if place:
                _point(db, place, row["undoes"] if row else "")
            if gone is not None and row:
                note_gone(db, row["store"], row["product"], gone, row["run"])

    def open_operations(self, store: str) -> list[Operation]:
        """Return the writes whose fate is unknown: cut off, or left uncertain."""
        return self.operations(store, "state IN ('open', 'uncertain')")

    def posts(self, store: str, product: int, source_sha256: str) -> list[Operation]:
        """Return every POST of a picture to a product that was ever intended, whatever became of it."""
        return self.operations(store, "kind = 'post' AND product = ? AND source_sha256 = ?", product, source_sha256)

    def operations(self, store: str, where: str = "1", *values: Any) -> list[Operation]:
        """Return operations of a store, in the order in which they were intended."""
        columns = ", ".join(Operation.__slots__)
        rows = self._rows(f"SELECT {columns} FROM operations WHERE store = ? AND {where} ORDER BY number",
                          store, *values)
        return [Operation(**dict(row)) for row in rows]


def _point(db: sqlite3.Connection, place: Place, undoes: str) -> None:
    if undoes:
        put_back(db, undoes, place)
    elif place.run:
        note_replaced(db, place.run, place, image_id=place.image_id)
    insert(db, "places", place)
