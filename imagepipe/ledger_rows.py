"""What a ledger keeps, as records, and how they are read from its tables and written to them."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture belongs, what was last read from there, and which image shows it."""

    store: str
    product: int
    key: str
    image_id: int
    source_sha256: str
    path: str = ""  #: Kept as the bytes that name it, so that another locale finds the same file.
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
    shown: str | None = None  #: `Shown` as JSON, written down before we replace it, and before we delete it.


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
    undoes: str = ""  #: The run that it takes back: `run` is then the one whose picture is sent again.


@dataclass(frozen=True, slots=True)
class Shown:
    """How a store showed an image."""

    sort_order: int
    is_thumbnail: bool
    description: str

    @classmethod
    def of(cls, text: str | None) -> Shown | None:
        """Return what `to_json` wrote; None where nothing was."""
        return cls(**json.loads(text)) if text else None

    def to_json(self) -> str:
        """Return it as the ledger keeps it."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a place was before a run let it show another image, or forgot it."""

    number: int  #: In the order in which it happened.
    by: str  #: That run.
    place: Place


def select(table: str, order: str, **wanted: str | int | None) -> tuple[Any, ...]:
    """Return a query for the rows that have the values that are not None, and those values."""
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in given)
    return f"SELECT * FROM {table} WHERE {where} ORDER BY {order}", *given.values()


def insert(db: sqlite3.Connection, table: str, record: Place | Image) -> None:
    """Write a record to its table, in the place of one with the same key."""
    names = record.__slots__
    db.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
               [_bytes_of(record.path) if name == "path" and isinstance(record, Place) else getattr(record, name)
                for name in names])


def note_replaced(db: sqlite3.Connection, by: str, place: Place, *, image_id: int | None) -> None:
    """Keep what a place is now, if it shows another image than `image_id`; the first time in a run counts."""
    names = ", ".join(Place.__slots__)
    db.execute(f"INSERT OR IGNORE INTO replaced (by, {names}) SELECT ?, {names} FROM places "
               "WHERE store = ? AND product = ? AND key = ? AND image_id IS NOT ?",
               (by, place.store, place.product, place.key, image_id))


def put_back(db: sqlite3.Connection, undone: str, place: Place) -> None:
    """Forget that a run replaced what a place shows once more, and what kept that image without a place."""
    db.execute("DELETE FROM replaced WHERE store = ? AND product = ? AND key = ? AND by = ?",
               (place.store, place.product, place.key, undone))
    db.execute("UPDATE images SET shown = NULL WHERE store = ? AND product = ? AND image_id = ?",
               (place.store, place.product, place.image_id))
    db.execute("UPDATE images SET keep = 0 WHERE store = ?1 AND product = ?2 AND image_id = ?3 AND NOT EXISTS "
               "(SELECT 1 FROM replaced WHERE store = ?1 AND product = ?2 AND image_id = ?3)",
               (place.store, place.product, place.image_id))


def note_gone(db: sqlite3.Connection, store: str, product: int, image_id: int, run: str) -> None:
    """Write down that a run deleted an image; a place that showed it is free, so that its picture is sent again."""
    db.execute("UPDATE images SET deleted_by = ? WHERE store = ? AND product = ? AND image_id = ?",
               (run, store, product, image_id))
    db.execute("DELETE FROM places WHERE store = ? AND product = ? AND image_id = ?", (store, product, image_id))


def place_of(row: sqlite3.Row) -> Place:
    """Return a place as its table has it."""
    thumbnail = row["is_thumbnail"]
    return Place(**{**{name: row[name] for name in Place.__slots__}, "path": os.fsdecode(row["path"]),
                    "is_thumbnail": None if thumbnail is None else bool(thumbnail)})


def image_of(row: sqlite3.Row) -> Image:
    """Return an image as its table has it."""
    return Image(**{**dict(row), "ours": bool(row["ours"]), "keep": bool(row["keep"])})


def replaced_of(row: sqlite3.Row) -> Replaced:
    """Return a replacement as its table has it."""
    return Replaced(row["number"], row["by"], place_of(row))


def _bytes_of(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # half a character, which no file name can hold
        return path.encode("utf-8", "backslashreplace")
