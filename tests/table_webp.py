"""WebPs for the table, by libwebp through libvips and put together here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyvips
from pictures import CANARY, exif, extended_webp, riff, webp_chunks, xmp
from table_pictures import AFTER_THE_END, RAMP, SCENE, SIZE, SOFT, moving, saved, to_vips


def private_webp(data: bytes, orientation: int = 1, size: tuple[int, int] = SIZE) -> bytes:
    """A WebP with metadata and a chunk that nobody knows, and something behind its end."""
    inner = [pair for pair in webp_chunks(data) if pair[0] != b"EXIF"]  # libvips writes one of its own
    flags = 0x0C | (0x10 if any(kind in (b"ALPH", b"VP8L") for kind, _ in inner) else 0)
    inner = [pair for pair in inner if pair[0] != b"VP8X"] if inner[0][0] != b"VP8X" else inner
    if inner[0][0] == b"VP8X":
        inner[0] = (b"VP8X", bytes((inner[0][1][0] | 0x0C,)) + inner[0][1][1:])
    else:
        head = bytes((flags, 0, 0, 0)) + b"".join((side - 1).to_bytes(3, "little") for side in size)
        inner.insert(0, (b"VP8X", head))
    inner += [(b"EXIF", exif(orientation)), (b"XMP ", xmp()), (b"prVt", CANARY)]
    return riff(*inner) + AFTER_THE_END


def animated_webp(frames: Sequence[np.ndarray], **options: Any) -> bytes:
    image = to_vips(np.concatenate(frames))
    image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].shape[0])
    image.set_type(pyvips.GValue.array_int_type, "delay", [70] * len(frames))
    data: bytes = image.webpsave_buffer(**options)
    return data


def with_icc(data: bytes, profile: bytes, size: tuple[int, int] = SIZE) -> bytes:
    inner = [pair for pair in webp_chunks(data) if pair[0] not in (b"EXIF", b"VP8X")]
    alpha = any(kind in (b"ALPH", b"VP8L") for kind, _ in inner)
    return extended_webp(riff(*inner), (b"ICCP", profile), flags=0x20 | (0x10 if alpha else 0), size=size)


def with_alpha(alpha: np.ndarray, filtering: int = 0, *, flags: int = 0x10, reduced: bool = False) -> bytes:
    """The scene, lossy, with alpha that is not compressed, after one of the filters of RFC 9649, section 2.7.1.2."""
    values = alpha.astype(int)
    left, above, corner = (np.zeros_like(values) for _ in range(3))
    left[:, 1:], above[1:], corner[1:, 1:] = values[:, :-1], values[:-1], values[:-1, :-1]
    left[1:, 0], above[0, 1:] = values[:-1, 0], values[0, :-1]  # at the edges there is one neighbour
    slope = (left + above - corner).clip(0, 255)
    slope[0], slope[:, 0] = left[0], above[:, 0]
    guess = (np.zeros_like(values), left, above, slope)[filtering]
    coded = ((values - guess) % 256).astype(np.uint8).tobytes()
    picture = dict(webp_chunks(saved("webp", SCENE, Q=90)))[b"VP8 "]
    head = bytes((flags, 0, 0, 0)) + b"".join((side - 1).to_bytes(3, "little") for side in SIZE)
    return riff((b"VP8X", head), (b"ALPH", bytes((filtering << 2 | reduced << 4,)) + coded), (b"VP8 ", picture))


def moving_parts(*, blends: bool, clears: bool, lossless: bool = True, whole: np.ndarray = SOFT) -> bytes:
    """An animation whose later frames are parts, transparent in part; put together here."""
    frames = [(whole, (0, 0)), *((SOFT[10:30, 5:26], (8 * number, 20 - 6 * number)) for number in (1, 2, 3))]
    parts = []
    for number, (array, at) in enumerate(frames):
        inner = [pair for pair in webp_chunks(saved("webp", array, lossless=lossless, Q=90))
                 if pair[0] in (b"ALPH", b"VP8 ", b"VP8L")]
        how = 0 if number == 0 else (0 if blends else 2) | (1 if clears else 0)
        numbers = (at[0] // 2, at[1] // 2, array.shape[1] - 1, array.shape[0] - 1, 70)
        parts.append((b"ANMF", b"".join(value.to_bytes(3, "little") for value in numbers) + bytes((how,))
                      + riff(*inner)[12:]))
    head = bytes((0x12, 0, 0, 0)) + b"".join((side - 1).to_bytes(3, "little") for side in SIZE)
    return riff((b"VP8X", head), (b"ANIM", b"\xff\xff\xff\xff\2\0"), *parts)


def flagged(data: bytes, flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP whose flags are these, whatever is in it."""
    simple = riff(*(pair for pair in webp_chunks(data) if pair[0] != b"EXIF"))
    return extended_webp(simple, *chunks, flags=flags, size=SIZE)


FRAMES = [RAMP[frame] for frame in moving()]
