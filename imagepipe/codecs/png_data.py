"""What a PNG's compressed data holds beyond its pixels: bytes behind the end of the stream, and rows too many.

Decoders ignore both, or warn, so they are a place to hide things in, and left-overs of careless
editors lie there. Finding out takes inflating the data once (about a third of a decode).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from imagepipe.codecs.png_walk import Chunk, Layout

_IN, _OUT = 1 << 15, 1 << 18  # bytes fed and taken at a time: zlib copies what it is fed and does not take
_SIP = 16  # the same, where the length matters
_WIDEST = b"\x78\xda"  # the start of a stream that looks back 32,768 bytes, as far as any can (RFC 1950)
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def without_surplus(data: bytes, layout: Layout) -> dict[int, bytes]:
    """Return new bodies for the chunks of data that hold more than pixels, by where they start.

    The pixels stay the same. Data that is broken or too short is left as it is: decoding tells.
    """
    changed: dict[int, bytes] = {}
    frames = iter(layout.frames)
    size = (layout.width, layout.height)
    group: list[Chunk] = []
    for chunk in layout.chunks:
        if group and chunk.kind != group[0].kind:
            changed |= _changed(data, layout, size, group)
            group = []
        if chunk.kind == b"fcTL" and layout.frames:
            frame = next(frames)
            size = (frame.width, frame.height)
        elif chunk.kind in (b"IDAT", b"fdAT"):
            group.append(chunk)
    return changed


def _changed(data: bytes, layout: Layout, size: tuple[int, int], chunks: list[Chunk]) -> dict[int, bytes]:
    skip = 12 if chunks[0].kind == b"fdAT" else 8  # the sequence number is no data
    view = memoryview(data)
    used = _stream(_needed(layout, *size), [view[chunk.start + skip:chunk.end - 4] for chunk in chunks])
    if used is None:
        return {}
    changed = {}
    for number, chunk in enumerate(chunks):
        head, length = data[chunk.start + 8:chunk.start + skip], chunk.end - 4 - chunk.start - skip
        if isinstance(used, bytes):  # a new stream: all of it in the first chunk
            changed[chunk.start] = head + (used if number == 0 else b"")
        else:
            if used < length:
                changed[chunk.start] = head + data[chunk.start + skip:chunk.start + skip + used]
            used = max(used - length, 0)
    return changed


def _stream(needed: int, parts: Sequence[memoryview]) -> int | bytes | None:
    """Return how many bytes of a stream count; a new stream where it holds too many rows; None to let it be."""
    inflate = zlib.decompressobj()
    present = fed = 0
    try:
        for slice_ in _slices(parts):
            fed += len(slice_)
            rest: bytes | memoryview = slice_
            while rest and not inflate.eof:
                present += len(inflate.decompress(rest, _OUT))
                rest = inflate.unconsumed_tail
                if present > needed:
                    return _shortened(parts, needed)
            if inflate.eof:
                if present < needed:
                    return None
                used = fed - len(inflate.unused_data)
                if _looks_too_far_back(parts, needed):
                    return _WIDEST + b"".join(parts)[2:used]
                return None if used == sum(map(len, parts)) else used
    except zlib.error:
        return None
    return None


def _looks_too_far_back(parts: Sequence[memoryview], needed: int) -> bool:
    """Return whether a stream says of itself that it looks back less far than it does.

    Some programs wrote such. Browsers read them, while libpng on its own, libvips and ImageMagick do not.
    """
    bits = (next((part[0] for part in parts if len(part)), 0) >> 4) + 8
    if 1 << bits >= min(needed, 1 << 15):
        return False
    inflate = zlib.decompressobj(bits)
    try:
        for part in parts:
            for at in range(0, len(part), _SIP):
                rest: bytes | memoryview = part[at:at + _SIP]
                while rest and not inflate.eof:  # what is given out at once can be looked back at too, so little is
                    inflate.decompress(rest, _SIP)
                    rest = inflate.unconsumed_tail
    except zlib.error:
        return True
    return False


def _shortened(parts: Sequence[memoryview], needed: int) -> bytes:
    """Return a stream of only the first `needed` bytes that the parts inflate to."""
    inflate, deflate = zlib.decompressobj(), zlib.compressobj(9)
    out = []
    for slice_ in _slices(parts):
        rest: bytes | memoryview = slice_
        while rest and needed:
            piece = inflate.decompress(rest, min(_OUT, needed))
            needed -= len(piece)
            out.append(deflate.compress(piece))
            rest = inflate.unconsumed_tail
    return b"".join(out) + deflate.flush()


def _slices(parts: Sequence[memoryview]) -> Iterator[memoryview]:
    for part in parts:
        for at in range(0, len(part), _IN):
            yield part[at:at + _IN]


def _needed(layout: Layout, width: int, height: int) -> int:
    """Return how many bytes the rows of a picture have, each with its filter (sections 7.2 and 8.1)."""
    bits = _SAMPLES[layout.color_type] * layout.depth

    def rows(columns: int, count: int) -> int:
        return count * (1 + (columns * bits + 7) // 8) if columns else 0

    if not layout.is_interlaced:
        return rows(width, height)
    return sum(rows((width - left + across - 1) // across, (height - top + down - 1) // down)
               for left, top, across, down in _PASSES)
