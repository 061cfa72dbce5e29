"""The composite of a PSD or PSB as a picture of 8 bits: all depths, all colours, all compressions.

Numbers of 32 bits are amounts of light, whatever the profile says of a curve: Photoshop works so,
and so do others that write them. They are coded as sRGB codes light, and the profile keeps its
primaries. White is 1; see `deep` for what lies above.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from imagepipe import budget
from imagepipe.asset import Color
from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.decode_modes import FINE, left_over
from imagepipe.codecs.decode_psd import Layout
from imagepipe.codecs.deep import Scale, scale_of_floats, to_bytes
from imagepipe.codecs.linear import with_srgb_curves
from imagepipe.color import is_srgb_profile
from imagepipe.errors import Corrupt

__all__ = ["composite"]

_NAME = "this PSD"
_DARKER = 0.01  # than it can be is worth counting; rounding makes 0.004 of 8 bits
_FEW = 0.01  # of the values may be, before it is believed
_RAW, _RUNS, _ZIP, _ZIP_PREDICTED = range(4)
_ROOM = 16  # bytes a pixel: the result, what rounding left over, and what is made of it later


def composite(data: bytes, found: Layout, *,
              accept_damaged: bool = False) -> tuple[Image.Image, tuple[str, ...], str, Color]:
    """Return the composite, what there is to say, what is damaged about it, and what its numbers mean."""
    pixels = found.width * found.height
    budget.reserve(len(data) * 2 + pixels * found.depth // 8 * (found.channels + 6) + pixels * _ROOM)
    planes = _Planes(data, found, accept_damaged)
    planes.find()
    light = found.depth == 32
    scale = Scale(0, (1 << found.depth) - 1)
    if light:
        scale = scale_of_floats(planes.numbers(channel) for channel in range(found.colors))
    over = found.transparent and found.mode in ("CMYK", "LAB")  # which have no mode with alpha
    alpha = planes.numbers(found.colors) if found.transparent else None
    share = alpha.astype(np.float32) / (1.0 if light else scale.white) if alpha is not None else None
    on_white = share is not None and found.mode != "P" and _is_on_white(planes, share, scale)
    channels = found.colors + (alpha is not None and not over)
    result = np.empty((found.height, found.width, channels), dtype=np.uint8)
    exact = (found.depth == 16 and found.mode in ("L", "RGB") and alpha is None and found.icc is not None
             and not is_srgb_profile(found.icc, "gray" if found.mode == "L" else "rgb"))
    fine = np.empty((found.height, found.width, found.colors if exact else 0), dtype=np.uint8)
    for channel in range(found.colors):
        values = planes.numbers(channel)
        if found.mode == "P":
            result[..., channel] = values
        elif share is not None and not over and on_white:
            result[..., channel] = _without_white(values, share, scale, light)
        else:
            if share is not None and over and not on_white:
                paper = scale.white if found.mode == "CMYK" or not channel else (scale.white + 1) / 2
                values = values * share + paper * (1 - share)
            result[..., channel] = to_bytes(values, scale, inverted=found.mode in ("CMYK", "1"), light=light)
        if exact:
            fine[..., channel] = left_over(values, result[..., channel])
    notes = scale.notes
    if alpha is not None:
        shares = to_bytes(alpha, Scale(0.0, 1.0) if light else scale)
        if over:
            notes = (*notes, f"laid on white: it has alpha, which is not kept beside "
                             f"{'inks' if found.mode == 'CMYK' else 'Lab'}")
        else:
            result[..., -1] = shares
    icc = with_srgb_curves(found.icc) if light and found.icc else found.icc
    image = _image(result, found)
    if exact:
        image.info[FINE] = _image(fine, found)
    return image, notes, planes.damage, Color(icc=icc)


def _is_on_white(planes: _Planes, share: Any, scale: Scale) -> bool:
    """Say whether what is transparent in part was laid on white, as Photoshop does and ImageMagick does not.

    Then nothing can be darker than the white that shines through.
    """
    part = (share > 0) & (share < 1)
    least = 1 - share[part] - _DARKER
    channels = range(1 if planes.found.mode == "LAB" else planes.found.colors)
    darker = 0
    for channel in channels:
        stored = (planes.numbers(channel)[part].astype(np.float32) - scale.black) / (scale.white - scale.black)
        darker += int(np.count_nonzero(stored < least))
    return bool(darker <= _FEW * least.size * len(channels))


def _without_white(values: Any, share: Any, scale: Scale, light: bool) -> Any:
    """Return a channel before it was laid on white."""
    plain = to_bytes(values, scale, light=light).copy()
    part = (share > 0) & (share < 1)
    if part.any():
        stored = (values[part].astype(np.float32) - scale.black) / (scale.white - scale.black)
        before = (stored - (1 - share[part])) / share[part]
        plain[part] = to_bytes(before, Scale(0.0, 1.0), light=light)
    return plain


def _image(array: Any, found: Layout) -> Image.Image:
    """Return bytes as a picture."""
    if found.mode in ("CMYK", "LAB"):
        if found.mode == "LAB":
            array[..., 1:] ^= 128  # Pillow's bytes have a and b signed
        return Image.frombytes(found.mode, (found.width, found.height), array.data)
    if found.mode == "P":
        colors = np.frombuffer(found.palette, dtype=np.uint8, count=768).reshape(3, 256).T
        array = np.concatenate((colors[array[..., 0]], array[..., 1:]), axis=2)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


@dataclass(slots=True)
class _Planes:
    """The channels of a composite, one after the other."""

    data: bytes
    found: Layout
    accept_damaged: bool
    damage: str = ""
    compression: int = _RAW
    starts: tuple[tuple[int, int], ...] = ()  #: Where each channel starts and how many bytes it has.
    plain: Any = None  #: Of zipped ones: all channels, unpacked.

    def find(self) -> None:
        """Find where the channels are. Raises `Corrupt`."""
        found, at = self.found, self.found.picture + 2
        if at > len(self.data):
            raise corrupt(_NAME, "it breaks off before its picture")
        self.compression = int.from_bytes(self.data[at - 2:at], "big")
        size = found.row * found.height
        if self.compression == _RAW:
            self.starts = tuple((at + channel * size, size) for channel in range(found.channels))
        elif self.compression == _RUNS:
            wide, lines = (4 if found.large else 2), found.channels * found.height
            if at + wide * lines > len(self.data):
                raise corrupt(_NAME, "it breaks off before its picture")
            lengths = np.frombuffer(self.data, dtype=f">u{wide}", count=lines, offset=at)
            sizes = lengths.reshape(found.channels, found.height).sum(axis=1, dtype=np.int64)
            ends = at + wide * lines + np.cumsum(sizes)
            self.starts = tuple((int(end - one), int(one)) for end, one in zip(ends, sizes, strict=True))
        elif self.compression in (_ZIP, _ZIP_PREDICTED):
            self._inflate(at, size * found.channels)
        else:
            raise corrupt(_NAME, f"there is no compression with the number {self.compression}")
        if self.starts:
            start, length = self.starts[found.colors + found.transparent - 1]
            if start + length > len(self.data) and not self.accept_damaged:
                there, needed = len(self.data) - at, start + length - at
                raise corrupt(_NAME, f"{there:,} of {needed:,} bytes of its picture are there")

    def _inflate(self, at: int, size: int) -> None:
        """Unpack all channels, which are one stream, at once."""
        try:
            plain = zlib.decompressobj().decompress(memoryview(self.data)[at:], size)
        except zlib.error as error:
            raise corrupt(_NAME, str(error)) from error
        if len(plain) < size:
            self._missing(len(plain), size)
            plain = plain.ljust(size, b"\0")
        found = self.found
        self.plain = np.frombuffer(plain, dtype=np.uint8).reshape(found.channels, found.height, found.row)

    def _missing(self, there: int, size: int) -> None:
        error = corrupt(_NAME, f"{there:,} of {size:,} bytes of its picture are there")
        if not self.accept_damaged:
            raise error
        self.damage = self.damage or str(error)

    def numbers(self, channel: int) -> Any:
        """Return the numbers of a channel, in rows."""
        found = self.found
        rows = self._bytes(channel)
        if found.depth == 1:
            return np.unpackbits(rows, axis=1, count=found.width)
        if self.compression == _ZIP_PREDICTED:
            rows = _unpredicted(rows, found.depth)
        kind = {8: "u1", 16: ">u2", 32: ">f4"}[found.depth]
        values = np.ascontiguousarray(rows).view(kind)
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _bytes(self, channel: int) -> Any:
        """Return the bytes of a channel, in rows."""
        found = self.found
        if self.plain is not None:
            return self.plain[channel]
        start, size = self.starts[channel]
        stored = self.data[start:start + size]
        if self.compression == _RUNS:
            stored = self._runs(stored, size)
        elif len(stored) < size:
            self._missing(len(stored), size)
            stored += bytes(size - len(stored))
        return np.frombuffer(stored, dtype=np.uint8).reshape(found.height, found.row)

    def _runs(self, stored: bytes, size: int) -> bytes:
        """Return what is packed in runs (PackBits), as Pillow unpacks it."""
        found = self.found
        try:
            if len(stored) < size:
                raise corrupt(_NAME, "it breaks off in its picture")
            picture = Image.frombytes("L", (found.row, found.height), stored, "packbits", "L")
        except (Corrupt, ValueError, OSError) as error:
            if not self.accept_damaged:
                raise
            self.damage = self.damage or str(error)
            # twice a row of nothing is enough for whatever is missing: 128 bytes for 2
            filled = stored + b"\x81\0" * (found.row * found.height // 128 + found.height)
            picture = Image.frombytes("L", (found.row, found.height), filled, "packbits", "L")
        return picture.tobytes()


def _unpredicted(rows: Any, depth: int) -> Any:
    """Return rows of bytes of which differences are stored: of numbers, or of 32 bits of bytes by significance."""
    if depth == 16:
        values = rows.view(">u2").astype(np.uint16)
        return np.cumsum(values, axis=1, dtype=np.uint16).astype(">u2").view(np.uint8)
    plain = np.cumsum(rows, axis=1, dtype=np.uint8)
    return plain if depth == 8 else plain.reshape(len(rows), 4, -1).swapaxes(1, 2).reshape(rows.shape)
