"""The ledger: what was sent where, written down before it happens.

An SQLite file with five tables. One file may hold the rows of many stores: every row names its
store.

==========  =======================================================================
runs        one a run: which store, what settings, when, how it ended
inputs      one a run and input: its JSON line, and a small preview
places      where a picture belongs (store, product, source key), and which image is there
images      what a product holds because of us: image id, and the hash of the source
operations  every write to a store (post, put, delete): the intent, durably recorded
            before the request, and then its result
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
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from imagepipe.errors import LedgerDamaged, LedgerError, LedgerLocked, LedgerNewer

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x696D6770  # "imgp": tells our file from another program's

#: Each step brings a ledger from the version before to its own; never changed once released.
_MIGRATIONS: dict[int, str] = {
    1: """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, store TEXT NOT NULL, command TEXT NOT NULL, settings TEXT NOT NULL,
        started TEXT NOT NULL, ended TEXT, exit_code INTEGER, summary TEXT
    ) STRICT;
    CREATE TABLE inputs (
        run TEXT NOT NULL, number INTEGER NOT NULL, status TEXT NOT NULL, outcome TEXT NOT NULL, preview BLOB,
        PRIMARY KEY (run, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE places (
        store TEXT NOT NULL, product INTEGER NOT NULL, key TEXT NOT NULL,
        image_id INTEGER NOT NULL, source_sha256 TEXT NOT NULL,
        path TEXT NOT NULL, size INTEGER, mtime_ns INTEGER, inode INTEGER, etag TEXT,
        settings TEXT NOT NULL, sort_order INTEGER, is_thumbnail INTEGER, description TEXT,
        run TEXT NOT NULL,
        PRIMARY KEY (store, product, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX places_by_image ON places (store, product, image_id);
    CREATE TABLE images (
        store TEXT NOT NULL, product INTEGER NOT NULL, image_id INTEGER NOT NULL,
        source_sha256 TEXT NOT NULL, sha256 TEXT, name TEXT NOT NULL, url TEXT, size INTEGER,
        run TEXT NOT NULL, ours INTEGER NOT NULL, keep INTEGER NOT NULL DEFAULT 0, deleted_by TEXT,
        PRIMARY KEY (store, product, image_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE operations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, store TEXT NOT NULL, product INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('post', 'put', 'delete')),
        key TEXT NOT NULL, name TEXT NOT NULL, source_sha256 TEXT NOT NULL, sha256 TEXT NOT NULL,
        image_id INTEGER, highest_id INTEGER NOT NULL, attempt INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'done', 'failed', 'uncertain')),
        detail TEXT NOT NULL DEFAULT '', begun TEXT NOT NULL, ended TEXT
    ) STRICT;
    CREATE INDEX operations_open ON operations (store, state) WHERE state IN ('open', 'uncertain');
    """,
}

#: Where locks and shared memory do not work as SQLite needs them (https://www.sqlite.org/wal.html, "Overview" 3).
_NETWORK_FILE_SYSTEMS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.rclone", "fuse.s3fs",
    "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb", "smb2", "smb3", "smbfs",
})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture belongs, what was last read from there, and which image shows it."""

    store: str
    product: int
    key: str
    image_id: int
    source_sha256: str
    path: str = ""
    size: int | None = None
    mtime_ns: int | None = None
    inode: int | None = None
    etag: str | None = None
    settings: str = ""
    sort_order: int | None = None  #: As last stated and sent; None: never stated.
    is_thumbnail: bool | None = None
    description: str | None = None
    run: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that a product holds because of us, or that was adopted (`ours` False)."""

    store: str
    product: int
    image_id: int
    source_sha256: str
    sha256: str | None = None
    name: str = ""
    url: str | None = None
    size: int | None = None
    run: str = ""
    ours: bool = True
    keep: bool = False  #: Stays although no place points to it (`--on-change add`).
    deleted_by: str | None = None  #: The run that deleted it, or that learned that it is gone.


@dataclass(frozen=True, slots=True)
class Operation:
    """A write to a store: its intent and its result."""

    number: int
    run: str
    store: str
    product: int
    kind: str
    key: str
    name: str
    source_sha256: str
    sha256: str
    image_id: int | None
    highest_id: int
    attempt: int
    state: str
    detail: str = ""


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
            return cls(_connect(path, writing=False), path, None, is_new=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"the folder of the ledger {path} cannot be made: {error.strerror}; "
                              "name another with --ledger FILE") from error
        _refuse_network(path)
        lock = _hold(path)
        try:
            is_new = not path.exists() or path.stat().st_size == 0
            connection = _connect(path, writing=True)
        except BaseException:
            lock.close()
            raise
        return cls(connection, path, lock, is_new=is_new)

    @classmethod
    def in_memory(cls) -> Self:
        """Return a ledger that lasts as long as the run."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _migrate(connection, 0)
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
                       (run, store, command, settings, _now()))
        return run

    def end_run(self, run: str, *, exit_code: int, summary: dict[str, Any]) -> None:
        """Record how a run ended."""
        self.flush()
        with self._transaction() as db:
            db.execute("UPDATE runs SET ended = ?, exit_code = ?, summary = ? WHERE id = ?",
                       (_now(), exit_code, json.dumps(summary), run))

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
        rows = self._rows("SELECT * FROM runs WHERE ? IS NULL OR store = ? ORDER BY id DESC", store, store)
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
        return _place(rows[0]) if rows else None

    def places(self, store: str, product: int | None = None) -> list[Place]:
        """Return the places of a product, or of the whole store."""
        return [_place(row) for row in self._rows(*_select("places", "product, key", store=store, product=product))]

    def point(self, place: Place) -> None:
        """Let a place point to an image."""
        with self._transaction() as db:
            _insert(db, "places", place)

    def forget_place(self, place: Place) -> None:
        """Forget a place that has gone from the source; its image may become one without a place."""
        with self._transaction() as db:
            db.execute("DELETE FROM places WHERE store = ? AND product = ? AND key = ?",
                       (place.store, place.product, place.key))

    def images(self, store: str, product: int | None = None, *, run: str | None = None,
               deleted: bool = False) -> list[Image]:
        """Return what we know to be in a product, or in the store, or what one run put there."""
        sql, *values = _select("images", "product, image_id", store=store, product=product, run=run)
        images = [_image(row) for row in self._rows(sql, *values)]
        return images if deleted else [image for image in images if image.deleted_by is None]

    def learn(self, image: Image) -> None:
        """Record an image that was found in the store."""
        with self._transaction() as db:
            _insert(db, "images", image)

    def gone(self, store: str, product: int, image_id: int, run: str) -> None:
        """Record that an image is no longer in the store."""
        with self._transaction() as db:
            db.execute("UPDATE images SET deleted_by = ? WHERE store = ? AND product = ? AND image_id = ?",
                       (run, store, product, image_id))

    def keep(self, store: str, product: int, image_id: int) -> None:
        """Let an image stay although no place points to it."""
        with self._transaction() as db:
            db.execute("UPDATE images SET keep = 1 WHERE store = ? AND product = ? AND image_id = ?",
                       (store, product, image_id))

    def without_place(self, store: str, product: int) -> list[Image]:
        """Return our images in a product that no place points to: what a replacement left behind."""
        return [_image(row) for row in self._rows(
            "SELECT * FROM images AS i WHERE store = ? AND product = ? AND ours AND NOT keep AND deleted_by IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM places AS p WHERE p.store = i.store AND p.product = i.product "
            "AND p.image_id = i.image_id) ORDER BY image_id", store, product)]

    # -- operations ----------------------------------------------------------------------------

    def intend(self, run: str, store: str, product: int, kind: str, *, key: str = "", name: str = "",
               source_sha256: str = "", sha256: str = "", image_id: int | None = None, highest_id: int = 0,
               attempt: int = 1) -> int:
        """Record durably that a write is about to be sent; return the number of the operation."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO operations (run, store, product, kind, key, name, source_sha256, sha256, image_id, "
                "highest_id, attempt, state, begun) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
                (run, store, product, kind, key, name, source_sha256, sha256, image_id, highest_id, attempt, _now()))
            return int(cursor.lastrowid or 0)

    def settle(self, number: int, state: str, *, detail: str = "", image: Image | None = None,
               place: Place | None = None, gone: int | None = None) -> None:
        """Record the result of an operation, with all that follows from it, in one transaction."""
        with self._transaction() as db:
            row = db.execute("UPDATE operations SET state = ?, detail = ?, ended = ?, image_id = coalesce(?, image_id) "
                             "WHERE number = ? RETURNING run, store, product",
                             (state, detail, _now(), image.image_id if image else None, number)).fetchone()
            if image:
                _insert(db, "images", image)
            if place:
                _insert(db, "places", place)
            if gone is not None and row:
                db.execute("UPDATE images SET deleted_by = ? WHERE store = ? AND product = ? AND image_id = ?",
                           (row["run"], row["store"], row["product"], gone))

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


def _now() -> str:
    """Return the time for people to read; nothing is ever decided by it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _select(table: str, order: str, **wanted: str | int | None) -> tuple[Any, ...]:
    """Return a query for the rows that have the values that are not None, and those values."""
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in given)
    return f"SELECT * FROM {table} WHERE {where} ORDER BY {order}", *given.values()


def _insert(db: sqlite3.Connection, table: str, record: Place | Image) -> None:
    names = record.__slots__
    db.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
               [getattr(record, name) for name in names])


def _place(row: sqlite3.Row) -> Place:
    thumbnail = row["is_thumbnail"]
    return Place(**{**dict(row), "is_thumbnail": None if thumbnail is None else bool(thumbnail)})


def _image(row: sqlite3.Row) -> Image:
    return Image(**{**dict(row), "ours": bool(row["ours"]), "keep": bool(row["keep"])})


def _connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """Open and check the file before anything is written to it."""
    try:
        if path.exists() and path.stat().st_size:
            version = _inspect(path)
        elif writing:
            version = 0
        else:
            raise LedgerDamaged(f"the ledger {path} is empty")
        mode = "rwc" if writing else "ro"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None,
                                     check_same_thread=False, timeout=10)
        if writing:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, version)
        return connection
    except (sqlite3.Error, OSError) as error:
        if not writing or not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.OperationalError):
            raise LedgerError(f"the ledger {path} cannot be opened: {error}; "
                              "name another with --ledger FILE") from error
        raise LedgerDamaged(_damaged(path, str(error))) from error


def _inspect(path: Path) -> int:
    """Return the schema version of a ledger, reading only; refuse what is none of ours."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if application != _APPLICATION_ID:
            raise LedgerDamaged(_damaged(path, "it is a database of another program"))
        if version > SCHEMA_VERSION:
            raise LedgerNewer(f"the ledger {path} was written by a newer imagepipe (its schema is {version}, "
                              f"this one knows {SCHEMA_VERSION}); upgrade imagepipe")
        problems = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        if problems != ["ok"]:
            raise LedgerDamaged(_damaged(path, "; ".join(map(str, problems))))
        return version
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise LedgerDamaged(_damaged(path, str(error))) from error
    finally:
        connection.close()


def _damaged(path: Path, what: str) -> str:
    return (f"the ledger {path} is damaged ({what}); it was left as it is. 'imagepipe ledger recover' builds a new one "
            "from the store's listings, or name another with --ledger FILE")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for target in range(version + 1, SCHEMA_VERSION + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {_MIGRATIONS[target]}; PRAGMA application_id = {_APPLICATION_ID}; "
            f"PRAGMA user_version = {target}; COMMIT;")


def _hold(path: Path) -> IO[str]:
    """Take the writer's lock of a ledger, or raise `LedgerLocked` naming the holder.

    The lock is the system's, on a file beside the ledger, and ends with the process that holds
    it however that ends: a dead holder needs no taking over.
    """
    beside = path.with_name(path.name + ".lock")
    try:
        handle = beside.open("a+", encoding="utf-8")
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be locked: {error.strerror}; "
                          "name another with --ledger FILE") from error
    try:
        _lock(handle)
    except OSError as error:
        handle.seek(0)
        try:
            holder = json.loads(handle.read())
            who = f"process {holder['pid']} on {holder['host']}, started {holder['started']}"
        except (ValueError, KeyError, TypeError, OSError):
            who = "another process"
        handle.close()
        raise LedgerLocked(f"the ledger {path} is in use by {who}; wait for that run to end") from error
    handle.seek(0)
    handle.truncate()
    handle.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": _now()}))
    handle.flush()
    return handle


def _lock(handle: IO[str]) -> None:
    """Lock an open file for this process alone, or raise `OSError` at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        # a byte far behind the text, so that others can still read who holds it
        handle.seek(1 << 20)
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore] # Windows only
    else:
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refuse_network(path: Path, mounts: str = "/proc/self/mounts") -> None:
    """Raise `LedgerError` where the folder of `path` is on a network file system."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return  # no Linux: nothing to go by
    folder = path.absolute().parent.resolve()
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) > 2:
            mount = Path(fields[1].replace("\\040", " "))
            if folder.is_relative_to(mount) and len(mount.parts) >= best:
                best, kind = len(mount.parts), fields[2]
    if kind in _NETWORK_FILE_SYSTEMS:
        raise LedgerError(f"the ledger {path} would be on a network file system ({kind}), where SQLite cannot keep "
                          "it safe; name a local file with --ledger FILE, or go without one: --ledger none")


def settings_of(stages: Sequence[object]) -> str:
    """Return the recipe that made a picture, for telling whether settings have changed."""
    return repr(tuple(stages))
