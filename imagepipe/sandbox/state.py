"""What the sandbox's store holds: products, variants, images; kept in SQLite and in files."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagepipe.errors import ConfigurationError
from imagepipe.sandbox.answers import Refusal, not_found

_VERSION = 1
_SCHEMA = """
CREATE TABLE products (id INTEGER PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, modified TEXT NOT NULL);
CREATE INDEX products_sku ON products (sku);
CREATE TABLE variants (id INTEGER PRIMARY KEY AUTOINCREMENT, product_id INTEGER NOT NULL REFERENCES products (id),
  sku TEXT NOT NULL, is_base INTEGER NOT NULL);
CREATE INDEX variants_sku ON variants (sku);
CREATE INDEX variants_product ON variants (product_id);
CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT, product_id INTEGER NOT NULL REFERENCES products (id),
  is_thumbnail INTEGER NOT NULL, sort_order INTEGER NOT NULL, description TEXT NOT NULL, image_file TEXT NOT NULL,
  modified TEXT NOT NULL, image_url TEXT, format TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  frames INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE INDEX images_product ON images (product_id);
CREATE INDEX images_file ON images (image_file);
"""


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the store."""

    id: int
    sku: str
    name: str
    modified: str  #: RFC 3339.


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of a product; one without options has a single one, its base variant, with its SKU."""

    id: int
    product_id: int
    sku: str
    is_base: bool


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a product, and what the store found it to be."""

    id: int
    product_id: int
    is_thumbnail: bool
    sort_order: int
    description: str
    image_file: str  #: The path under which the store keeps it.
    modified: str  #: RFC 3339.
    image_url: str | None  #: The address that it was given by, if it was.
    format: str  #: Empty for an address that was not fetched, as are the sizes then 0.
    width: int
    height: int
    frames: int
    size: int  #: In bytes.
    sha256: str  #: Hexadecimal, of the bytes received.


_IMAGE = ", ".join(field.name for field in fields(Image))


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class State:
    """The store. Every method may be called from any thread; what one does is done wholly or not at all.

    A process that dies loses nothing that was answered; a power cut may lose the last images.
    """

    def __init__(self, folder: Path, *, first_id: int, max_images: int, durable: bool) -> None:
        self.folder = folder
        self._first_id = first_id
        self._max_images = max_images
        self._lock = threading.RLock()
        for name in ("originals", "renditions"):
            (folder / name).mkdir(exist_ok=True)
        for left in (folder / "originals").glob("new-*"):  # written by a process that died before it counted
            left.unlink(missing_ok=True)
        self._database = sqlite3.connect(folder / "store.sqlite3", check_same_thread=False, isolation_level=None)
        try:
            self._prepare(durable)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise ConfigurationError(f"the sandbox's store in {folder} cannot be used ({error}); "
                                     "delete that folder to begin with an empty one") from error

    def _prepare(self, durable: bool) -> None:
        run = self._database.execute
        run("PRAGMA journal_mode = WAL" if durable else "PRAGMA journal_mode = MEMORY")
        run("PRAGMA synchronous = NORMAL" if durable else "PRAGMA synchronous = OFF")
        run("PRAGMA foreign_keys = ON")
        version = run("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"it has layout {version}, this imagepipe knows {_VERSION}")

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._database.close()

    @contextmanager
    def changing(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Hold the store for several steps that are one: all of them count, or none."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database.execute
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # not after some failures, such as a full disk
                    self._database.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()

    # Products

    def add_product(self, sku: str, name: str, variants: Iterable[str], product_id: int | None = None) -> int:
        """Add a product and return its id; one with `variants` has these and no base variant."""
        with self.changing() as run:
            if product_id is None:
                product_id = 1 + max(self._first_id - 1, run("SELECT coalesce(max(id), 0) FROM products").fetchone()[0])
            run("INSERT INTO products VALUES (?, ?, ?, ?)", (product_id, sku, name or sku or f"Product {product_id}",
                                                             now()))
            skus = list(variants)
            for variant in skus or [sku]:
                run("INSERT INTO variants (product_id, sku, is_base) VALUES (?, ?, ?)", (product_id, variant, not skus))
        return product_id

    def products(self, where: str = "1", values: Sequence[Any] = (), *, order: str = "id", limit: int = -1,
                 offset: int = 0) -> tuple[list[Product], int]:
        """Return the products that a condition selects, one page of them, and how many there are in all."""
        with self._lock:
            total = self._rows(f"SELECT count(*) FROM products WHERE {where}", values)[0][0]
            rows = self._rows(f"SELECT * FROM products WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
                              (*values, limit, offset))
        return [Product(*row) for row in rows], total

    def product(self, product_id: int) -> Product | None:
        """Return one product."""
        return next(iter(self.products("id = ?", (product_id,))[0]), None)

    def has_sku(self, sku: str) -> bool:
        """Return whether a product or a variant goes by `sku`."""
        return bool(self._rows("SELECT 1 FROM variants WHERE sku = ?1 UNION SELECT 1 FROM products WHERE sku = ?1",
                               (sku,)))

    def ensure(self, *, ids: Iterable[int] = (), skus: Iterable[str] = ()) -> None:
        """Add the products that are not there yet."""
        with self._lock:
            for product_id in ids:
                if self.product(product_id) is None:
                    self.add_product("", "", (), product_id)
            for sku in skus:
                if not self.has_sku(sku):
                    self.add_product(sku, "", ())

    def variants(self, where: str = "1", values: Sequence[Any] = (), *, limit: int = -1,
                 offset: int = 0) -> tuple[list[Variant], int]:
        """Return the variants that a condition selects, one page of them, and how many there are in all."""
        with self._lock:
            total = self._rows(f"SELECT count(*) FROM variants WHERE {where}", values)[0][0]
            rows = self._rows(f"SELECT * FROM variants WHERE {where} ORDER BY id LIMIT ? OFFSET ?",
                              (*values, limit, offset))
        return [Variant(row[0], row[1], row[2], bool(row[3])) for row in rows], total

    # Images

    def images(self, product_id: int, *, order: str = "id", limit: int = -1, offset: int = 0) -> list[Image]:
        """Return the images of a product, or a page of them."""
        return self._images("product_id = ?", (product_id,), order=order, limit=limit, offset=offset)

    def count_images(self, product_id: int | None = None) -> int:
        """Return how many images a product has, or all together have."""
        where, values = ("1", ()) if product_id is None else ("product_id = ?", (product_id,))
        return int(self._rows(f"SELECT count(*) FROM images WHERE {where}", values)[0][0])

    def image(self, image_id: int, product_id: int | None = None) -> Image | None:
        """Return one image; None where there is none, or not with that product."""
        found = next(iter(self._images("id = ?", (image_id,))), None)
        return found if found and product_id in (None, found.product_id) else None

    def image_at(self, image_file: str) -> Image | None:
        """Return the image that is kept under a path."""
        return next(iter(self._images("image_file = ?", (image_file,))), None)

    def _images(self, where: str, values: Sequence[Any], *, order: str = "id", limit: int = -1,
                offset: int = 0) -> list[Image]:
        rows = self._rows(f"SELECT {_IMAGE} FROM images WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
                          (*values, limit, offset))
        return [Image(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]

    def original(self, image_id: int) -> Path:
        """Return where the bytes of an image are, as they were received."""
        return self.folder / "originals" / str(image_id)

    def add_image(self, product_id: int, values: dict[str, Any], data: bytes | None) -> Image:
        """Add an image to a product that is there, and return it; its bytes are in place before it counts."""
        written = None if data is None else self._write(data)
        digest = hashlib.sha256(data).hexdigest() if data is not None else ""
        try:
            with self.changing() as run:
                many = self.count_images(product_id)
                if many >= self._max_images:
                    raise Refusal(422, f"The product has {many:,} images already, which is as many as a product can "
                                  "have", {"image_file": f"at most {self._max_images:,} images a product"})
                is_thumbnail = values.get("is_thumbnail", False) or not many
                if is_thumbnail:
                    run("UPDATE images SET is_thumbnail = 0 WHERE product_id = ?", (product_id,))
                row = {"sort_order": 0, "description": "", "image_url": None, **values, "product_id": product_id,
                       "is_thumbnail": is_thumbnail, "modified": now(), "size": len(data or b""), "sha256": digest}
                names = ", ".join(row)
                image_id = run(f"INSERT INTO images ({names}) VALUES ({', '.join('?' * len(row))})",
                               tuple(row.values())).lastrowid
                if image_id is None:
                    raise RuntimeError("SQLite gave no id to a row")
                if written is not None:
                    written.replace(self.original(image_id))
        finally:
            if written is not None:
                written.unlink(missing_ok=True)
        return self._there(image_id, product_id)

    def _write(self, data: bytes) -> Path:
        with tempfile.NamedTemporaryFile(dir=self.folder / "originals", prefix="new-", delete=False) as file:
            file.write(data)
        return Path(file.name)

    def update_image(self, product_id: int, image_id: int, values: dict[str, Any]) -> Image:
        """Change order, thumbnail or alt text of an image.

        The thumbnail can be moved to an image, not taken off one: a product with images has one.
        An image that is put further back pushes the images at and behind its new place by one, as
        the description of `sort_order` has it.
        """
        with self.changing() as run:
            before = self._there(image_id, product_id)
            if values.pop("is_thumbnail", False):
                run("UPDATE images SET is_thumbnail = (id = ?) WHERE product_id = ?", (image_id, product_id))
            order = values.get("sort_order", before.sort_order)
            if order > before.sort_order:
                run("UPDATE images SET sort_order = min(sort_order + 1, 2147483647) "
                    "WHERE product_id = ? AND id != ? AND sort_order >= ?", (product_id, image_id, order))
            for name, value in {**values, "modified": now()}.items():
                run(f"UPDATE images SET {name} = ? WHERE id = ?", (value, image_id))
        return self._there(image_id, product_id)

    def delete_image(self, product_id: int, image_id: int) -> None:
        """Delete an image; if it was the thumbnail, the first of the others becomes it."""
        with self.changing() as run:
            image = self._there(image_id, product_id)
            run("DELETE FROM images WHERE id = ?", (image_id,))
            if image.is_thumbnail:
                run("UPDATE images SET is_thumbnail = 1 WHERE id = (SELECT id FROM images WHERE product_id = ? "
                    "ORDER BY sort_order, id LIMIT 1)", (product_id,))
        self.original(image_id).unlink(missing_ok=True)
        for rendition in (self.folder / "renditions").glob(f"{image_id}-*"):
            rendition.unlink(missing_ok=True)

    def _there(self, image_id: int, product_id: int) -> Image:
        image = self.image(image_id, product_id)
        if image is None:
            raise not_found(f"Image {image_id} of product {product_id}")
        return image
