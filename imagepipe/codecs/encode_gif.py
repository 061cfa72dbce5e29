"""GIF: each frame only where it differs from the one before, with a palette of its own where it needs one.

A frame whose changed part has no more than 256 colours is exact. Other frames get the 255 colours
that serve them best, and error diffusion where flat patches would be seen otherwise. Where bytes
count, all frames share one palette, of as few colours as are asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image

from imagepipe.asset import Frame
from imagepipe.codecs.encode_palette import all_or_nothing, serving
from imagepipe.codecs.encode_png import exact_palette

__all__ = ["MAX_SIDE", "write_gif"]

#: Of a side, in pixels: 16 bits (GIF89a, section 18).
MAX_SIDE = 65_535

_KEEP, _CLEAR = 1, 2  # what is done with a frame when its time is over (GIF89a, section 23)
_LONGEST = 65_535 * 10  # milliseconds


@dataclass(frozen=True, slots=True)
class _Patch:
    """The part of a frame that is to be drawn."""

    image: Image.Image  #: `P`, with the palette put on.
    transparent: int | None  #: The index that leaves what is below.
    at: tuple[int, int]
    clears: bool  #: What it covers is transparent afterwards.


def write_gif(frames: Sequence[Frame], loop: int | None, *, colors: int = 256, together: bool = False) -> bytes:
    """Return the frames as a GIF with nothing but them, their times and `loop`, as in `Pixels`.

    `colors` is how many a frame may have, or all frames `together`. Transparency is all or nothing
    in a GIF: half counts as opaque.
    """
    width, height = frames[0].image.size
    shared = _shared(frames, colors)
    images: Iterator[Image.Image] = (all_or_nothing(frame.image) for frame in frames)
    if shared is None and together:
        palette = serving([frame.image for frame in frames], colors, with_hole=len(frames) > 1)
        shared, images = palette.keys, palette.applied(images)
    flags = 0x70
    table = b""
    if shared is not None:
        table, bits = _color_table(shared)
        flags |= 0x80 | bits
    out = [b"GIF89a", struct.pack("<HHBBB", width, height, flags, 0, 0), table]
    if loop is not None and loop != 1 and len(frames) > 1:  # the extension counts repetitions, and 0 is for ever
        repeats = min(loop - 1, 65_535) if loop else 0
        out.append(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\0")
    times = _centiseconds([frame.duration for frame in frames])
    animated = len(frames) > 1
    for patch, time in zip(_patches(images, shared, colors), times, strict=True):
        how: dict[str, Any] = {"duration": time, "include_color_table": shared is None}
        if animated:
            how["disposal"] = _CLEAR if patch.clears else _KEEP
        if patch.transparent is not None:
            how["transparency"] = patch.transparent
        out += GifImagePlugin.getdata(patch.image, patch.at, **how)
    return b"".join([*out, b";"])


def _patches(images: Iterable[Image.Image], shared: bytes | None, colors: int) -> Iterator[_Patch]:
    """Yield what is drawn of each frame: what is not there yet, and what the next one uncovers, to be cleared."""
    shown: Any = None
    for now, following in _with_next(images):
        pixels = _numbers(now)
        drawn = pixels != (0 if shown is None else shown)
        uncovered = (pixels != 0) & (_numbers(following) == 0)
        clears = bool(uncovered.any())
        # the first frame covers all: where nothing is ever drawn, some viewers show a colour and not a hole
        box = (0, 0, *now.size) if shown is None else _box(drawn | uncovered)
        within = (slice(box[1], box[3]), slice(box[0], box[2]))
        part, inside = now.crop(box), drawn[within]
        if not inside.all():
            part = Image.fromarray(np.where(inside[..., None], np.asarray(part), np.uint8(0)))
        shown = pixels
        if clears:
            shown = pixels.copy()
            shown[within] = 0
        indexed = _in_colors(part, colors, clears) if shared is None else _in_shared(part, shared)
        yield _Patch(*indexed, (box[0], box[1]), clears)


def _with_next(images: Iterable[Image.Image]) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Yield each frame with the one that follows it: the first after the last, since most go on for ever."""
    iterator = iter(images)
    first = now = next(iterator)
    for following in iterator:
        yield now, following
        now = following
    yield now, first


def _numbers(image: Image.Image) -> Any:
    """Return the pixels of an RGBA picture as one number each."""
    return np.asarray(image).view("<u4")[..., 0]


def _in_colors(part: Image.Image, colors: int, clears: bool) -> tuple[Image.Image, int | None]:
    """Return a picture whose pixels are opaque, or all zero where nothing is drawn, in a palette, and the hole in it.

    A frame that `clears` has a transparent colour also if it shows no pixel of it: without one,
    Pillow and libvips clear to an opaque background.
    """
    exact = exact_palette([part, Image.new("RGBA", (1, 1))] if clears else [part], colors)
    if exact is not None:
        (image, *_), _, alpha = exact
        return image, 0 if alpha else None
    palette = serving([part], colors, with_hole=clears)
    return _in_shared(next(palette.applied(iter([part]))), palette.keys)


def _in_shared(part: Image.Image, shared: bytes) -> tuple[Image.Image, int | None]:
    """Return the picture in the palette of all frames, whose first entry is what is transparent."""
    keys = np.frombuffer(shared, "<u4")
    order = np.argsort(keys)
    places = np.searchsorted(keys[order], _numbers(part))
    image = Image.fromarray(order.astype(np.uint8)[places])
    image.putpalette(b"".join(shared[i:i + 3] for i in range(0, len(shared), 4)))
    return image, 0 if keys[0] == 0 else None


def _shared(frames: Sequence[Frame], colors: int) -> bytes | None:
    """Return the colours of all frames as RGBA, transparent first; None where they are too many for one palette."""
    found: set[int] = set()
    for frame in frames:
        counted = all_or_nothing(frame.image).getcolors(colors)
        if counted is None:
            return None
        found |= {int.from_bytes(bytes(color), "little") for _, color in counted}  # type: ignore[arg-type]  # RGBA
        if len(found) > colors:
            return None
    if len(frames) > 1:
        found.add(0)  # what stays as it was
    if len(found) > colors:
        return None
    return b"".join(key.to_bytes(4, "little") for key in sorted(found))


def _color_table(shared: bytes) -> tuple[bytes, int]:
    """Return the table, filled up to a power of two, and the exponent less one, as the header states it."""
    rgb = b"".join(shared[i:i + 3] for i in range(0, len(shared), 4))
    bits = max(1, (len(rgb) // 3 - 1).bit_length())
    return rgb.ljust(3 << bits, b"\0"), bits - 1


def _box(mask: Any) -> tuple[int, int, int, int]:
    """Return the rectangle around what is set; one pixel where nothing is, because a frame has to have one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return (0, 0, 1, 1)
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _centiseconds(durations: Sequence[int]) -> list[int]:
    """Return the times in milliseconds that are whole hundredths of a second, without drifting from the sum.

    Browsers show times of 10 ms and less as 100 ms: what was longer is not made so short.
    """
    out: list[int] = []
    owed = 0
    for duration in durations:
        wanted = duration + owed
        time = min(_LONGEST, max(0, round(wanted / 10) * 10))
        if duration > 10:
            time = max(20, time)
        out.append(time)
        owed = max(-20, min(20, wanted - time))
    return out
