"""PNG: every row present, and 16 bits scaled instead of cut.

Pillow shows a PNG whose data end early as if the rest were black, so the data are inflated once
more and counted. It is given only the parts that show the picture: a text or profile that inflates
to a gigabyte is not looked at.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from PIL import Image, ImageChops

from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.decode_modes import FINE, detached, from_sixteen, join, left_over_of_bytes
from imagepipe.codecs.header import Header

__all__ = ["Parts", "check_rows", "deep", "first_header", "parts", "salvage"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SHOWN = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"IEND"})
_MOVING = frozenset({b"acTL", b"fcTL", b"fdAT"})
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples a pixel (PNG, 11.2.2)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 18  # inflated at a time
_FED = 1 << 15  # fed at a time: zlib copies what it is fed and does not take
_NAME = "this PNG"


@dataclass(slots=True)
class Parts:
    """What of a PNG is needed to show it."""

    width: int
    height: int
    depth: int
    kind: int  #: Colour type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA.
    interlaced: bool
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)  #: In order, the parts that show the picture.

    @property
    def bits(self) -> int:
        """Bits a pixel."""
        return self.depth * _SAMPLES[self.kind]

    def data(self, name: bytes) -> bytes | None:
        """Return the content of the first chunk `name`."""
        return next((content for kind, content in self.chunks if kind == name), None)

    def file(self, ihdr: bytes | None = None) -> bytes:
        """Return a PNG of these parts, with another header where one is given."""
        out = [_SIGNATURE]
        frames = sum(name == b"fcTL" for name, _ in self.chunks)
        for name, content in self.chunks:
            if name == b"IHDR" and ihdr is not None:
                content = ihdr
            elif name == b"acTL":  # a claim, which Pillow believes
                content = frames.to_bytes(4, "big") + content[4:]
            elif name == b"tRNS" and self.kind == 0 and self.depth in (2, 4) and len(content) == 2:
                # Pillow compares it with grey that is scaled to 8 bits already
                content = bytes((0, (content[1] & (1 << self.depth) - 1) * (255 // ((1 << self.depth) - 1))))
            checksum = zlib.crc32(content, zlib.crc32(name))
            out += [len(content).to_bytes(4, "big"), name, content, checksum.to_bytes(4, "big")]
        return b"".join(out)


def parts(data: bytes, *, still: bool = False) -> Parts:
    """Return the parts of a PNG that show it; what comes after damage is left out, checksums are not looked at.

    Of one that is `still`, stray parts of an animation show nothing.
    """
    found: Parts | None = None
    at, end = 8, len(data)
    chunks: list[tuple[bytes, bytes]] = []
    while at + 8 <= end:
        length, name = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        if name in _SHOWN and not (still and name in _MOVING):
            content = data[at + 8:at + 8 + length]
            if name == b"IHDR" and found is None and len(content) == 13:
                found = Parts(int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big"), content[8],
                              content[9], content[12] == 1, chunks)
            checksum = data[at + 8 + length:at + 12 + length]
            if name != b"tRNS" or (found is not None and _counts(found, content, checksum)):
                chunks.append((name, content))
        if name == b"IEND":
            break
        at += length + 12
    if found is None or found.kind not in _SAMPLES or found.depth not in (1, 2, 4, 8, 16):
        raise corrupt(_NAME, "its header makes no sense")
    if chunks[-1][0] != b"IEND":
        chunks.append((b"IEND", b""))
    return found


def _counts(found: Parts, clear: bytes, checksum: bytes) -> bool:
    """Return whether a tRNS is one that decoders heed: the first, intact, in its place, and of the right length.

    Pillow heeds every one.
    """
    seen = {name for name, _ in found.chunks}
    if seen & {b"tRNS", b"IDAT"} or zlib.crc32(clear, zlib.crc32(b"tRNS")) != int.from_bytes(checksum, "big"):
        return False
    if found.kind == 3:
        return 0 < len(clear) <= len(found.data(b"PLTE") or b"") // 3
    return len(clear) == {0: 2, 2: 6}.get(found.kind)


def first_header(data: bytes) -> Header:
    """Return what a damaged PNG says of its first picture."""
    found = parts(data)
    channels = "gray" if found.kind in (0, 4) else "palette" if found.kind == 3 else "rgb"
    return Header("png", found.width, found.height, has_alpha=found.kind in (4, 6) or found.data(b"tRNS") is not None,
                  bit_depth=found.depth, channels=channels)


def _row_bytes(width: int, bits: int) -> int:
    """Return the bytes of a row, with the byte that names its filter."""
    return (width * bits + 7) // 8 + 1


def _needed(found: Parts, width: int, height: int) -> int:
    """Return how many bytes the rows of a picture take, inflated (PNG, 8.2: empty passes have none)."""
    if not found.interlaced:
        return height * _row_bytes(width, found.bits)
    total = 0
    for left, top, across, down in _ADAM7:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * _row_bytes(columns, found.bits)
    return total


def check_rows(found: Parts) -> None:
    """Inflate the picture, and every frame of an animation; raise `Corrupt` unless all rows are there."""
    _check(found, found.width, found.height, (content for name, content in found.chunks if name == b"IDAT"))
    frame: list[bytes] = []
    size = (0, 0)
    for name, content in found.chunks:
        if name == b"fcTL" or name == b"IEND":
            if frame:
                _check(found, *size, frame)
            frame, size = [], (int.from_bytes(content[4:8], "big"), int.from_bytes(content[8:12], "big"))
        elif name == b"fdAT":
            frame.append(content[4:])


def _check(found: Parts, width: int, height: int, compressed: Iterable[bytes]) -> None:
    """Raise `Corrupt` unless `compressed` inflates to all rows of `width` x `height` pixels."""
    needed = _needed(found, width, height)
    present = 0
    try:
        for piece in _inflated(compressed):
            present += len(piece)
            if present > needed + _PIECE:  # more than there is room for shows nothing, and could go on for ever
                return
    except EOFError:
        if present >= needed:  # libpng complains
            raise corrupt(_NAME, "its data has no end, which proves that it is intact") from None
    except zlib.error as error:
        raise corrupt(_NAME, f"its data cannot be inflated: {error}") from error
    if present < needed:
        raise corrupt(_NAME, f"{present:,} of {needed:,} bytes of its rows are there")


def _inflated(compressed: Iterable[bytes], fed: int = _FED) -> Iterator[bytes]:
    """Yield what `compressed` inflates to, in pieces; `fed` bytes are lost in front of a fault.

    Raises `EOFError` where the stream breaks off, and `zlib.error`.
    """
    inflate = zlib.decompressobj()
    for content in compressed:
        view = memoryview(content)
        for at in range(0, len(view), fed):
            rest: bytes | memoryview = view[at:at + fed]
            while rest and not inflate.eof:
                yield inflate.decompress(rest, _PIECE)
                rest = inflate.unconsumed_tail
    while not inflate.eof and (piece := inflate.decompress(b"", _PIECE)):
        yield piece
    if not inflate.eof:
        raise EOFError


def salvage(found: Parts) -> bytes:
    """Return a whole PNG of what can be inflated of a damaged one; missing rows are black, or transparent."""
    needed = _needed(found, found.width, found.height)
    rows = bytearray()
    try:
        for piece in _inflated((content for name, content in found.chunks if name == b"IDAT"), fed=32):
            rows += piece
            if len(rows) >= needed:
                break
    except (EOFError, zlib.error):
        pass  # what came before stands
    if not rows:
        raise corrupt(_NAME, "none of its rows can be inflated")
    rows = rows[:needed] + bytes(max(0, needed - len(rows)))
    step = _row_bytes(found.width, found.bits)
    if not found.interlaced:
        for at in range(0, needed, step):
            if rows[at] > 4:  # a filter that does not exist
                rows[at] = 0
    chunks = [(name, content) for name, content in found.chunks if name in (b"IHDR", b"PLTE", b"tRNS")]
    chunks += [(b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return Parts(found.width, found.height, found.depth, found.kind, found.interlaced, chunks).file()


def deep(found: Parts, *, fine: bool = False) -> Image.Image:
    """Return a 16-bit PNG in 8 bits, scaled and rounded.

    Pillow reads only the high bytes of 16-bit colour. It is asked for the same data again as if
    they were in the other byte order, which gives the low bytes; both make the rounded value. With
    `fine`, what rounding left over of the colours is in its `info`.
    """
    data = found.file()
    clear = found.data(b"tRNS")
    if found.kind == 0:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            grey = image.convert("I")
        result = from_sixteen(grey)
        if fine:
            high, low = (grey.point([at >> bits & 255 for at in range(65536)], "L") for bits in (8, 0))
            result.info[FINE] = left_over_of_bytes(high, low, result)
        if clear is not None and len(clear) == 2:
            value = int.from_bytes(clear, "big")
            result.putalpha(grey.point([0 if at == value else 255 for at in range(65536)], "L"))
        return result
    if found.kind == 4:  # 4 bytes a pixel, as RGBA of 8 bits has: grey high, grey low, alpha high, alpha low
        header = found.chunks[0][1]
        with Image.open(io.BytesIO(found.file(header[:8] + b"\x08\x06" + header[10:])), formats=["PNG"]) as image:
            bands = image.split()
        result = Image.merge("LA", (join(bands[0], bands[1]), join(bands[2], bands[3])))
        if fine:
            result.info[FINE] = left_over_of_bytes(bands[0], bands[1], result)
        return result
    mode = "RGBA" if found.kind == 6 else "RGB"
    high, low = (_read(data, rawmode) for rawmode in (f"{mode};16B", f"{mode};16L"))
    result = join(high, low)
    if fine:
        result.info[FINE] = left_over_of_bytes(high, low, result)
    if clear is not None and len(clear) == 6 and mode == "RGB":
        result.putalpha(ImageChops.invert(_equals(high, low, clear)))
    return result


def _read(data: bytes, rawmode: str) -> Image.Image:
    """Return a PNG as Pillow reads it when told that its data are in `rawmode`."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.tile = [tile._replace(args=rawmode) for tile in image.tile]
        image.load()
        return detached(image)


def _equals(high: Image.Image, low: Image.Image, color: bytes) -> Image.Image:
    """Return a mask of the pixels that are of a 16-bit colour: 255 where they are."""
    mask = Image.new("L", high.size, 255)
    for picture, offset in ((high, 0), (low, 1)):
        for band, value in zip(picture.split(), color[offset::2], strict=True):
            same = band.point([255 if at == value else 0 for at in range(256)])
            mask = ImageChops.darker(mask, same)
    return mask
