"""The samples of a TIFF as numbers: strips and tiles unpacked, predictors undone, a band of rows at a time.

Compressions that give back the bytes that went in (LZW, deflate, PackBits, LZMA, Zstandard) are
left to Pillow's libtiff, which unpacks any strip when it is told that a pixel is a byte of grey.
So samples of all depths, numbers and byte orders can be read that Pillow has no picture for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from imagepipe.codecs import tiff
from imagepipe.codecs.decode_guard import corrupt, shielded
from imagepipe.codecs.tiff import Page
from imagepipe.errors import Corrupt

__all__ = ["BYTEWISE", "Bands", "block_bytes", "readable"]

_NAME = "this TIFF"
_NONE = 1
#: Compressions that are undone here, by the name that Pillow has for them.
BYTEWISE = {_NONE: "", 5: "tiff_lzw", 8: "tiff_adobe_deflate", 32773: "packbits", 32946: "tiff_deflate", 34925: "lzma",
            50000: "zstd"}
_BAND = 1 << 23  # bytes of samples that are unpacked at a time, at least a row of strips or tiles
_NUMBERS = 1 << 20  # samples that are numbers at a time
_MEGAPIXEL = 1 << 20
_MOST_BESIDE = 64 * _MEGAPIXEL  # pixels of all tiles, of which a narrow picture may leave most unused
_FAR_MORE = 1000  # times; the list of a damaged file may be short, but one made up is refused
_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 8)[:, ::-1], axis=1)[:, 0]


def readable(page: Page) -> bool:
    """Say whether the samples of a picture can be had as numbers."""
    if page.compression not in BYTEWISE or not 1 <= page.samples <= 64:
        return False
    if page.numbers == 3:
        fits = page.bits in (16, 32, 64)
    else:
        fits = page.numbers in (1, 2) and (1 <= page.bits <= 16 or page.bits in (24, 32))
    predictable = {1: True, 2: page.bits in (8, 16, 32, 64), 3: page.numbers == 3}
    # Predictor is a tag of LZW and its like; of others libtiff ignores it
    without = page.compression in (_NONE, 32773)
    return fits and (without or predictable.get(page.predictor, False))


def block_bytes(page: Page) -> int:
    """Return the bytes of a row of strips or tiles, in all its planes: what has to be in memory at once."""
    return page.block[1] * _across(page) * _row_bytes(page) * (page.samples if page.separate else 1)


def _across(page: Page) -> int:
    return -(-page.width // page.block[0])


def _in_block(page: Page) -> int:
    """Return how many samples a pixel of a strip or tile has."""
    return 1 if page.separate else page.samples


def _row_bytes(page: Page) -> int:
    """Return the bytes of a row of a strip or tile."""
    return -(-page.block[0] * _in_block(page) * page.bits // 8)


@dataclass(slots=True)
class Bands:
    """The samples of a picture, a band of rows after the other: arrays of rows, columns and samples.

    Iterating raises `Corrupt` where data are missing or broken; where damage is accepted, what is
    missing is zero, and `damage` says why.
    """

    data: bytes
    page: Page
    wanted: int  #: So many of the first samples are read.
    accept_damaged: bool = False
    damage: str = ""

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        page = self.page
        down = -(-page.height // page.block[1])
        self._check(down * _across(page) * (page.samples if page.separate else 1))
        step = max(1, _BAND // max(1, block_bytes(page)))
        for first in range(0, down, step):
            last = min(down, first + step)
            top = first * page.block[1]
            rows = min(page.height, last * page.block[1]) - top
            before = range(0, self.wanted * down, down) if page.separate else range(1)
            planes = [self._band(first, last, rows, others) for others in before]
            # A strip or tile may be the whole picture, and what is made of its numbers takes up to 50 bytes for each.
            several = page.tiled and last - first > 1
            some = rows if several else max(1, _NUMBERS // (page.block[0] * _across(page) * page.samples))
            for at in range(0, rows, some):
                values = [self._numbers(plane, last - first, range(at, min(at + some, rows))) for plane in planes]
                yield top + at, (values[0] if len(values) == 1 else np.concatenate(values, axis=2))[..., :self.wanted]

    def _check(self, needed: int) -> None:
        """Raise `Corrupt` where there are not as many strips or tiles as it takes, or where they make no sense."""
        page, there = self.page, len(self.page.offsets)
        if page.block[0] * page.block[1] > 4 * max(page.width * page.height, _MEGAPIXEL):
            raise corrupt(_NAME, f"its parts have {page.block[0]:,} x {page.block[1]:,} pixels, more than all of it")
        planes = page.samples if page.separate else 1
        if needed * page.block[0] * page.block[1] > max(4 * page.width * page.height, _MOST_BESIDE) * planes:
            raise corrupt(_NAME, f"its {needed:,} parts of {page.block[0]:,} x {page.block[1]:,} pixels are far more "
                                 "than all of it")
        if needed > there and (not self.accept_damaged or needed > _FAR_MORE * there):
            raise corrupt(_NAME, f"{there:,} of {needed:,} parts of its picture are listed")

    def _band(self, first: int, last: int, rows: int, before: int) -> Any:
        """Return the bytes of the rows of blocks from `first` to `last`, `before` of which are of other planes."""
        page, across = self.page, _across(self.page)
        # a last strip has only the rows that there are, a last tile has all
        lines = (last - first) * across * page.block[1] if page.tiled else rows
        return _unpredicted(self._unpacked(range((before + first) * across, (before + last) * across), lines), page)

    def _numbers(self, band: Any, down: int, rows: range) -> Any:
        """Return some rows of a band as numbers, tiles laid beside each other: rows, columns, samples.

        They are some of one row of tiles, or start at the first of `down` rows of tiles.
        """
        page, across = self.page, _across(self.page)
        if not page.tiled:
            return _values(band[rows.start:rows.stop], page)
        width, height = page.block
        if down == 1:
            height = len(rows)
            band = band.reshape(across, page.block[1], -1)[:, rows.start:rows.stop].reshape(across * height, -1)
        tiles = _values(band, page).reshape(down, across, height, width, -1).swapaxes(1, 2)
        return tiles.reshape(down * height, across * width, -1)[:len(rows), :page.width]

    def _unpacked(self, blocks: range, lines: int) -> Any:
        """Return `lines` rows of bytes that the strips or tiles `blocks` hold."""
        page, row = self.page, _row_bytes(self.page)
        each = page.block[1] * row
        result = np.zeros(lines * row, dtype=np.uint8)
        try:
            if page.compression == _NONE:
                self._copied(blocks, each, result)
            else:
                self._through_libtiff(blocks, lines, row, result)
        except Corrupt as error:
            if not self.accept_damaged:
                raise
            self.damage = self.damage or str(error)
        return result.reshape(lines, row)

    def _copied(self, blocks: range, each: int, result: Any) -> None:
        """Put into `result` what is not compressed."""
        single = len(self.page.offsets) == (self.page.samples if self.page.separate else 1)
        for number, block in enumerate(blocks):
            part = result[number * each:(number + 1) * each]
            stated = self.page.counts[block] if block < len(self.page.counts) else 0
            if 0 < stated < len(part) and not single:  # of single strips some old writers state anything
                raise corrupt(_NAME, f"a part of its picture has {stated:,} bytes instead of {len(part):,}")
            start = self.page.offsets[block] if block < len(self.page.offsets) else len(self.data)
            there = np.frombuffer(self.data, dtype=np.uint8)[start:start + len(part)]
            part[:len(there)] = _REVERSED[there] if self.page.bits_reversed else there
            if len(there) < len(part):
                raise corrupt(_NAME, f"{len(there):,} of {len(part):,} bytes of a part of its picture are there")

    def _through_libtiff(self, blocks: range, lines: int, row: int, result: Any) -> None:
        """Put into `result` what libtiff unpacks: it is given the blocks as strips of a grey picture of bytes."""
        page = self.page
        parts = page.parts(self.data, blocks)
        if not all(parts) and not self.accept_damaged:
            raise corrupt(_NAME, "a part of its picture is not in the file")
        order = 2 if page.bits_reversed else 1
        file = tiff.build(page.order, {
            256: ("I", (row,)), 257: ("I", (lines,)), 258: ("H", (8,)), 259: ("H", (page.compression,)),
            262: ("H", (1,)), 266: ("H", (order,)), 277: ("H", (1,)), 278: ("I", (page.block[1],))}, parts)
        with shielded(_NAME, lines * row), Image.open(io.BytesIO(file), formats=["TIFF"]) as image:
            try:
                image.load()
            finally:
                # What was unpacked before a fault stands. `tile` empty: nothing more is tried.
                image.tile = []
                if getattr(image, "_im", None) is not None:
                    some = max(1, _BAND // row)
                    for top in range(0, lines, some):
                        part = image.crop((0, top, row, min(lines, top + some)))
                        result[top * row:(top + some) * row] = np.asarray(part).reshape(-1)


def _unpredicted(rows: Any, page: Page) -> Any:
    """Return rows of bytes without the predictor: what is stored are differences to the pixel before."""
    if page.compression in (_NONE, 32773) or page.predictor == 1:
        return rows
    stride = _in_block(page)
    if page.predictor == 2:
        native = _native(rows.view(page.order + "u" + str(page.bits // 8)))
        pixels = native.reshape(len(rows), -1, stride)
        np.cumsum(pixels, axis=1, dtype=pixels.dtype, out=pixels)
        return native.astype(page.order + native.dtype.str[1:], copy=False).view(np.uint8)
    # Adobe, TIFF Technical Note 3: the bytes of a row sorted by significance, the highest first, then differences
    size = page.bits // 8
    np.cumsum(rows.reshape(len(rows), -1, stride), axis=1, dtype=np.uint8, out=rows.reshape(len(rows), -1, stride))
    sorted_bytes = rows.reshape(len(rows), size, -1).swapaxes(1, 2)
    return np.ascontiguousarray(sorted_bytes if page.order == ">" else sorted_bytes[..., ::-1]).reshape(rows.shape)


def _native(array: Any) -> Any:
    """Return numbers in the byte order of this machine."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _values(rows: Any, page: Page) -> Any:
    """Return rows of bytes as numbers: lines, pixels, samples."""
    count, size = page.block[0] * _in_block(page), page.bits // 8
    shape = (len(rows), page.block[0], _in_block(page))
    if page.bits == 8:  # signed too: of the few such files, all that were seen hold plain bytes
        return rows.reshape(shape)
    if page.bits in (16, 32, 64):
        letter = {1: "u", 2: "i", 3: "f"}[page.numbers]
        return _native(rows.view(f"{page.order}{letter}{size}")).reshape(shape)
    if page.bits == 24:
        parts = rows.reshape(len(rows), count, 3).astype(np.uint32)
        low, high = (0, 2) if page.order == "<" else (2, 0)
        values = parts[..., low] | parts[..., 1] << 8 | parts[..., high] << 16
    else:  # of other depths samples follow each other bit by bit, the highest first, whatever the byte order
        bits = np.unpackbits(rows, axis=1, count=count * page.bits).reshape(len(rows), count, page.bits)
        values = np.zeros(bits.shape[:2], dtype=np.uint8 if page.bits < 8 else np.uint16)
        for place in range(page.bits):
            values = values << 1 | bits[..., place]
    values = values.reshape(shape)
    if page.numbers == 2:
        half = 1 << page.bits - 1
        return (values.astype(np.int64) ^ half) - half
    return values
