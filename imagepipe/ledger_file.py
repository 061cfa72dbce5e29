"""The ledger as a file: its schema, what is checked before anything is written, and the writer's lock."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import IO

from imagepipe.errors import LedgerDamaged, LedgerError, LedgerLocked, LedgerNewer

SCHEMA_VERSION = 2
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
    # what undo needs to put back what a run replaced; and paths as the bytes that name the file, which text of one
    # locale is not in another
    2: """
    CREATE TABLE places_2 (
        store TEXT NOT NULL, product INTEGER NOT NULL, key TEXT NOT NULL,
        image_id INTEGER NOT NULL, source_sha256 TEXT NOT NULL,
        path BLOB NOT NULL, size INTEGER, mtime_ns INTEGER, inode INTEGER, etag TEXT,
        settings TEXT NOT NULL, sort_order INTEGER, is_thumbnail INTEGER, description TEXT,
        run TEXT NOT NULL,
        PRIMARY KEY (store, product, key)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO places_2 SELECT store, product, key, image_id, source_sha256, CAST(path AS BLOB), size, mtime_ns,
        inode, etag, settings, sort_order, is_thumbnail, description, run FROM places;
    DROP TABLE places;
    ALTER TABLE places_2 RENAME TO places;
    CREATE INDEX places_by_image ON places (store, product, image_id);
    CREATE INDEX places_by_source ON places (store, source_sha256);
    CREATE TABLE replaced (
        number INTEGER PRIMARY KEY AUTOINCREMENT, by TEXT NOT NULL,
        store TEXT NOT NULL, product INTEGER NOT NULL, key TEXT NOT NULL,
        image_id INTEGER NOT NULL, source_sha256 TEXT NOT NULL,
        path BLOB NOT NULL, size INTEGER, mtime_ns INTEGER, inode INTEGER, etag TEXT,
        settings TEXT NOT NULL, sort_order INTEGER, is_thumbnail INTEGER, description TEXT,
        run TEXT NOT NULL,
        UNIQUE (store, product, key, by)
    ) STRICT;
    CREATE INDEX replaced_by_run ON replaced (store, by);
    CREATE INDEX replaced_by_source ON replaced (store, source_sha256);
    ALTER TABLE images ADD COLUMN shown TEXT;
    ALTER TABLE operations ADD COLUMN undoes TEXT NOT NULL DEFAULT '';
    """,
}

#: Where locks and shared memory do not work as SQLite needs them (https://www.sqlite.org/wal.html, "Overview" 3).
_NETWORK_FILE_SYSTEMS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.rclone", "fuse.s3fs",
    "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb", "smb2", "smb3", "smbfs",
})


def now() -> str:
    """Return the time for people to read; nothing is ever decided by it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """Open and check the file before anything is written to it."""
    try:
        version = _inspect(path) if path.exists() and path.stat().st_size else 0
        if not version and not writing:
            raise LedgerDamaged(f"the ledger {path} is empty")
        mode = "rwc" if writing else "ro"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None,
                                     check_same_thread=False, timeout=10)
        try:
            if writing:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                migrate(connection, version)
            elif version < SCHEMA_VERSION:
                return _copy(connection, version)
        except BaseException:
            connection.close()  # else it would hold what it has locked
            raise
        return connection
    except (sqlite3.Error, OSError) as error:
        if not writing or not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.OperationalError):
            raise LedgerError(f"the ledger {path} cannot be opened: {error}; "
                              "name another with --ledger FILE") from error
        raise LedgerDamaged(_damaged(path, str(error))) from error


def is_blank(path: Path) -> bool:
    """Tell whether nothing was ever written into a ledger: it is not there, or was cut off while it was made.

    A file that cannot be read is not blank: opening it says what is wrong.
    """
    if not path.exists() or not path.stat().st_size:
        return True
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as found:
            return _nothing_in(found)
    except sqlite3.Error:
        return False


def _nothing_in(connection: sqlite3.Connection) -> bool:
    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return marks == [0, 0] and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()


def _copy(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """Return the present schema's copy, in memory, of a ledger of an older one that may only be read."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection):
        connection.backup(copy)
    migrate(copy, version)
    return copy


def _inspect(path: Path) -> int:
    """Return the schema version of a ledger, reading only; refuse what is none of ours.

    0 is a new file that was cut off before anything was in it.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        if _nothing_in(connection):
            return 0
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


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a ledger of `version` (0: a new file) to the present one, each step whole or not at all."""
    for target in range(version + 1, SCHEMA_VERSION + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {_MIGRATIONS[target]}; PRAGMA application_id = {_APPLICATION_ID}; "
            f"PRAGMA user_version = {target}; COMMIT;")


def hold(path: Path) -> IO[str]:
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
    handle.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": now()}))
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


def refuse_network(path: Path, mounts: str = "/proc/self/mounts") -> None:
    """Raise `LedgerError` where the folder of `path` is on a network file system."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return  # no Linux: nothing to go by
    folder = f"{path.absolute().parent.resolve()}/".replace("//", "/")
    best, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) > 2:
            mount = fields[1].replace("\\040", " ").rstrip("/") + "/"
            if folder.startswith(mount) and len(mount) >= len(best):
                best, kind = mount, fields[2]
    if kind in _NETWORK_FILE_SYSTEMS:
        raise LedgerError(f"the ledger {path} would be on a network file system ({kind}), where SQLite cannot keep "
                          "it safe; name a local file with --ledger FILE, or go without one: --ledger none")
