"""The table: WebP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import table_webp as make
from other_decoders import Exiftool, by_vips, exiftool  # noqa: F401 - a fixture
from pictures import CANARY, exif, riff, srgb_profile, webp_chunks
from profiles import ADOBE, rgb_profile
from table_cells import (
    COLOUR,
    FLAT,
    POOR,
    SCALED,
    TWICE,
    Cell,
    Near,
    converted,
    exact,
    fitted,
    look,
    refused,
    untouched,
)
from table_pictures import HOLES, PATCHES, SCENE, SOFT, saved, turned

WIDE = rgb_profile(ADOBE, 2.2)
SMALL = {"max_edge": 32}
OPAQUE_PATCHES = np.dstack([PATCHES, np.full((48, 64, 1), 200, np.uint8)])
Encoder = Callable[[np.ndarray], bytes]

WEBPS: dict[str, tuple[Encoder, np.ndarray, np.ndarray]] = {
    "lossy": (lambda array: saved("webp", array, Q=85), SCENE, PATCHES),
    "lossless": (lambda array: saved("webp", array, lossless=True), SCENE, PATCHES),
    "lossy, alpha": (lambda array: saved("webp", array, Q=85), SOFT, OPAQUE_PATCHES),
    "lossless, alpha": (lambda array: saved("webp", array, lossless=True), SOFT, OPAQUE_PATCHES),
}


def webps() -> Iterator[Cell]:
    for kind, (encoder, array, patches) in WEBPS.items():
        name, lossless = f"WebP {kind}", "lossless" in kind

        def data(encoder: Encoder = encoder, array: np.ndarray = array) -> bytes:
            return encoder(array)

        def small(encoder: Encoder = encoder, patches: np.ndarray = patches) -> bytes:
            return make.with_icc(encoder(patches), WIDE, (64, 48))

        yield untouched(name, data, "webp")
        yield untouched(f"{name}, private", lambda data=data: make.private_webp(data()), "webp")
        yield untouched(f"{name}, sRGB profile", lambda data=data: make.with_icc(data(), srgb_profile()), "webp")
        yield converted(f"{name}, Adobe RGB", small, "webp", near=FLAT)
        yield fitted(f"{name}, over budget", data, "webp|jpeg", near=TIGHT,
                     settings={"max_bytes": 500 if "alpha" in kind else 450})
        yield converted(f"{name}, over the edge", data, "webp", settings=SMALL,
                        near=EDGES if lossless else POOR)
        yield exact(f"{name} to PNG", data, "png", settings={"format": "png"})
    for orientation in range(2, 9):
        def stored(orientation: int = orientation) -> bytes:
            array = turned(HOLES, orientation)
            return make.private_webp(saved("webp", array, lossless=True), orientation, array.shape[1::-1])

        yield exact(f"WebP, orientation {orientation}", stored, "webp", HOLES)
    yield converted("WebP lossy, sideways", lambda: make.private_webp(
        saved("webp", turned(SCENE, 6), Q=85), 6, (44, 60)), "webp", near=TWICE)
    yield from webps_of_odd_containers()
    yield from webps_in_motion()
    yield refused("WebP, cut", lambda: saved("webp")[:-40], "corrupt")


EDGES = Near(0.7, 4, 10)  #: Scaled down by another program, beside holes.
TIGHT = Near(2.6, 11, 20)  #: With less room than a quality of 80 takes.
PARTS = Near(4, 22, 42)  #: The same, coded lossily, and as whole frames in no more bytes than the parts took.


def webps_of_odd_containers() -> Iterator[Cell]:
    """Alpha of every coding, flags that do not say what is there, and lengths that are odd."""
    alpha = SOFT[..., 3]
    for filtering, name in enumerate(("none", "from the left", "from above", "from both")):
        yield untouched(f"WebP with alpha not compressed, filter: {name}",
                        lambda filtering=filtering: make.with_alpha(alpha, filtering), "webp")
    yield untouched("WebP with alpha of fewer values", lambda: make.with_alpha(alpha & 0xF0, reduced=True), "webp")
    yield untouched("WebP with alpha that hides nothing", lambda: make.with_alpha(alpha | 0xFF), "webp")
    yield exact("WebP with alpha not compressed to PNG", lambda: make.with_alpha(alpha, 3), "png",
                settings={"format": "png"})
    for flags in (0x00, 0x10, 0x2C, 0x3C, 0xC1):
        # libvips reads none with flags that mean nothing
        yield (exact if flags & 0xC1 else untouched)(
            f"WebP lossy of flags {flags:#x}", lambda flags=flags: make.flagged(saved("webp"), flags), "webp",
            lambda _: by_vips(saved("webp")).pixels)
        # Chromium shows the one, libwebp's own program both, and libvips neither unless alpha is announced
        yield exact(f"WebP lossless of flags {flags:#x}",
                    lambda flags=flags: make.flagged(saved("webp", SOFT, lossless=True), flags), "webp", SOFT)
        yield exact(f"WebP with alpha of flags {flags:#x}", lambda flags=flags: make.with_alpha(alpha, flags=flags),
                    "webp", lambda _: by_vips(make.with_alpha(alpha)).pixels)
    yield untouched("WebP with EXIF and a profile that are not announced", lambda: make.flagged(
        saved("webp"), 0, (b"EXIF", exif(6)), (b"ICCP", WIDE)), "webp")
    yield untouched("WebP with parts of odd length", lambda: make.flagged(
        saved("webp"), 0, (b"prVt", CANARY + b"12"), (b"odd!", b"x")), "webp")
    yield untouched("WebP with filling that is not zero", lambda: riff(
        *(pair for pair in webp_chunks(make.flagged(saved("webp"), 0, (b"odd!", b"x")))))[:-1] + b"\x7f", "webp")
    yield untouched("WebP simple, with more parts", lambda: riff(*webp_chunks(saved("webp", SCENE, strip=True)),
                                                                  (b"EXIF", exif(6)), (b"prVt", CANARY)), "webp")
    odd = SCENE[:43, :59]
    yield untouched("WebP of odd sides", lambda: saved("webp", odd, Q=80), "webp")


def webps_in_motion() -> Iterator[Cell]:
    for name, options in {"lossy": {"Q": 85}, "lossless": {"lossless": True}}.items():
        def data(options: dict[str, int] = options) -> bytes:
            return make.animated_webp(make.FRAMES, **options)

        yield untouched(f"WebP animated, {name}", data, "webp", frames=3)
        yield untouched(f"WebP animated, {name}, private", lambda data=data: make.private_webp(data()), "webp",
                        frames=3)
        yield converted(f"WebP animated, {name}, over the edge", data, "webp", frames=3, settings=SMALL,
                        near=SCALED if name == "lossless" else POOR)
        yield converted(f"WebP animated, {name}, to PNG", data, "png", settings={"format": "png"}, near=COLOUR)
        yield (exact if name == "lossless" else converted)(
            f"WebP animated, {name}, sideways", lambda data=data: make.private_webp(data(), 5), "webp",
            by_orientation_5, frames=3, **{} if name == "lossless" else {"near": TWICE})
    for blends in (False, True):
        for clears in (False, True):
            for lossless in (False, True):
                def parts(blends: bool = blends, clears: bool = clears, lossless: bool = lossless) -> bytes:
                    return make.moving_parts(blends=blends, clears=clears, lossless=lossless)

                name = (f"WebP animated, parts that {'lie over' if blends else 'replace'} the last"
                        f"{', wiped' if clears else ''}{'' if lossless else ', lossy'}")
                yield untouched(name, lambda parts=parts: make.private_webp(parts()), "webp", frames=4)
                yield converted(f"{name}, over the edge", parts, "webp", frames=4, settings=SMALL,
                                near=EDGES if lossless else PARTS)


def by_orientation_5(data: bytes) -> np.ndarray:
    """The frames of an animation across the diagonal."""
    seen = by_vips(data, fail_on="none").pixels
    frames = [seen[at:at + 44].transpose(1, 0, 2) for at in range(0, len(seen), 44)]
    return np.concatenate(frames)


@pytest.mark.parametrize("cell", [*webps()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)
