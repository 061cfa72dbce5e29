"""The table: PNG and APNG."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest
import table_png as make
from other_decoders import Exiftool, by_vips, exiftool  # noqa: F401 - a fixture
from pictures import CANARY, chunk, in_png, srgb_profile
from profiles import ADOBE, BT2020, P3, SRGB, adapted, gray_profile, rgb_profile, srgb_curve
from table_cells import (
    COLOUR,
    ROUNDED,
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
from table_pictures import (
    BLACK_OR_WHITE,
    GREY,
    HOLES,
    INDICES,
    LEVELS,
    PALETTE,
    RAMP,
    SCENE,
    SOFT,
    deep,
    moving,
    over,
    shallow,
    through,
    turned,
)

WIDE = rgb_profile(ADOBE, 2.2)
SMALL = {"max_edge": 32}
FRAMES = [RAMP[frame] for frame in moving()]
GREY_ALPHA = np.dstack([GREY, SOFT[..., 3]])
HARD = Near(3, 30, 45)  #: Scaled: black beside white, where programs round what overshoots at other places.
FEW = Near(2, 12, 18)  #: Scaled, and of fewer values so as not to grow.

PNGS: dict[str, tuple[np.ndarray, int]] = {
    "grey of 1 bit": (BLACK_OR_WHITE, 1), "grey of 2 bits": (GREY >> 6, 2), "grey of 4 bits": (GREY >> 4, 4),
    "grey": (GREY, 8), "RGB": (SCENE, 8), "grey and alpha": (GREY_ALPHA, 8), "RGBA": (SOFT, 8),
}


def pngs() -> Iterator[Cell]:
    for name, (array, depth) in PNGS.items():
        for interlaced in (False, True):
            def data(array: np.ndarray = array, depth: int = depth, interlaced: bool = interlaced) -> bytes:
                return make.png(array, depth, interlaced=interlaced)

            title = f"PNG {name}{', interlaced' if interlaced else ''}"
            values = array * np.uint8(255 // (2 ** depth - 1))
            yield untouched(title, data, "png", values)
            yield untouched(f"{title}, private", lambda data=data: make.private_png(data()), "png", values)
            yield exact(f"{title}, sideways",
                        lambda array=array, depth=depth, interlaced=interlaced: make.private_png(
                            make.png(turned(array, 6), depth, interlaced=interlaced), 6),
                        "png", values)
        yield converted(f"PNG {name}, over the edge", data, "png", settings=SMALL,
                        near={1: HARD, 2: FEW}.get(depth, SCALED))
        if array.shape[2] >= 3:
            yield converted(f"PNG {name}, Adobe RGB", lambda data=data: in_png(data(), make.iccp(WIDE)), "png",
                            near=COLOUR)
            yield fitted(f"PNG {name}, over budget", data, "webp|jpeg", settings={"max_bytes": 1000})
    for orientation in range(1, 9):
        def stored(orientation: int = orientation) -> bytes:
            return make.private_png(make.png(turned(HOLES, orientation)), orientation)

        yield (untouched if orientation == 1 else exact)(f"PNG, orientation {orientation}", stored, "png",
                                                         truth=HOLES)
    yield from pngs_of_16_bits()
    yield from pngs_of_palettes()
    yield from pngs_with_a_transparent_colour()
    yield from pngs_of_colours()
    yield from pngs_of_odd_containers()
    yield from pngs_in_motion()
    yield refused("PNG, cut", lambda: make.png(SCENE)[:-30], "corrupt")
    yield refused("PNG, a wrong sum", lambda: make.png(SCENE)[:-40] + b"\0" + make.png(SCENE)[-39:], "corrupt")


def pngs_of_16_bits() -> Iterator[Cell]:
    for name, array in {"grey": GREY, "RGB": SCENE, "grey and alpha": GREY_ALPHA, "RGBA": SOFT}.items():
        yield converted(f"PNG {name} of 16 bits", lambda array=array: make.private_png(make.png(deep(array), 16)),
                        "png", shallow(deep(array)), near=ROUNDED)
        yield converted(f"PNG {name} of 16 bits, interlaced, sideways",
                        lambda array=array: make.private_png(
                            make.png(turned(deep(array), 5), 16, interlaced=True), 5),
                        "png", shallow(deep(array)), near=ROUNDED)


def pngs_of_palettes() -> Iterator[Cell]:
    """Palettes of 1 to 8 bits, some of whose colours are transparent in part or in full."""
    for depth in (1, 2, 4, 8):
        palette, indices = PALETTE[::64 >> depth or 1][:2 ** depth], INDICES >> max(0, 6 - depth)
        for alpha in (b"", bytes((0, 128)), bytes((255, 0, 7))):
            if len(alpha) > len(palette):
                continue
            values = np.frombuffer(alpha.ljust(len(palette), b"\xff"), np.uint8)
            shown = np.concatenate([palette, values[:, None]], axis=1)[indices]
            for interlaced in (False, True):
                yield untouched(
                    f"PNG of a palette, {depth} bits{f', {len(alpha)} alphas' if alpha else ''}"
                    f"{', interlaced' if interlaced else ''}",
                    lambda depth=depth, palette=palette, indices=indices, alpha=alpha, interlaced=interlaced:
                    make.private_png(make.png(indices, depth, None, *([chunk(b"tRNS", alpha)] if alpha else []),
                                              palette=palette, interlaced=interlaced)), "png", shown)
        yield exact(f"PNG of a palette, {depth} bits, sideways",
                    lambda depth=depth, palette=palette, indices=indices: make.private_png(
                        make.png(turned(indices[..., None], 8), depth, palette=palette), 8), "png", palette[indices])
    yield converted("PNG of a palette, over the edge", lambda: make.png(LEVELS, 8, palette=RAMP), "png", settings=SMALL,
                    near=SCALED)
    yield converted("PNG of a palette, Adobe RGB",
                    lambda: make.png(LEVELS, 8, palette=RAMP, before_palette=(make.iccp(WIDE),)), "png", near=COLOUR)


def pngs_with_a_transparent_colour() -> Iterator[Cell]:
    for depth in (1, 2, 4, 8, 16):
        values = deep(GREY) if depth == 16 else GREY >> (8 - depth)
        key = values[20, 20]
        shown = shallow(values) if depth == 16 else values * np.uint8(255 // (2 ** depth - 1))
        shown = np.dstack([shown, np.where(values == key, 0, 255).astype(np.uint8)])
        for interlaced, orientation in ((False, 1), (True, 1), (False, 8)):
            def grey(values: np.ndarray = values, depth: int = depth, interlaced: bool = interlaced,
                     orientation: int = orientation) -> bytes:
                trns = chunk(b"tRNS", struct.pack(">H", int(values[20, 20, 0])))
                return make.private_png(make.png(turned(values, orientation), depth, None, trns, interlaced=interlaced),
                                        orientation)

            name = (f"PNG grey of {depth} bits, one value transparent{', interlaced' if interlaced else ''}"
                    f"{', sideways' if orientation > 1 else ''}")
            if depth == 16:
                yield converted(name, grey, "png", shown, near=ROUNDED)
            else:
                yield (untouched if orientation == 1 else exact)(name, grey, "png", shown)
    for depth, values in ((8, SCENE), (16, deep(SCENE))):
        def colours(values: np.ndarray = values, depth: int = depth) -> bytes:
            return make.png(values, depth, None, chunk(b"tRNS", struct.pack(">3H", *map(int, values[20, 20]))))

        shown = shallow(values) if depth == 16 else values
        shown = np.dstack([shown, np.where((values == values[20, 20]).all(axis=2), 0, 255).astype(np.uint8)])
        name = f"PNG RGB of {depth} bits, one colour transparent"
        yield converted(name, colours, "png", shown, near=ROUNDED) if depth == 16 else untouched(name, colours, "png",
                                                                                              shown)
    yield exact("PNG RGB, one colour transparent, sideways", lambda: make.private_png(make.png(
        turned(SCENE, 6), 8, None, chunk(b"tRNS", struct.pack(">3H", *map(int, SCENE[20, 20])))), 6), "png",
        np.dstack([SCENE, np.where((SCENE[20, 20] == SCENE).all(axis=2), 0, 255).astype(np.uint8)]))


def pngs_of_colours() -> Iterator[Cell]:
    """Chunks that say what colours mean, and transparent parts laid on something."""
    yield converted("PNG RGBA to JPEG", lambda: make.png(SOFT), "jpeg", over((255, 255, 255)),
                    settings={"format": "jpeg"})
    yield converted("PNG RGBA to JPEG, on a colour", lambda: make.png(SOFT), "jpeg", over((10, 200, 30)),
                    settings={"format": "jpeg", "background": "rgb(10, 200, 30)"})
    yield untouched("PNG with an sRGB profile", lambda: in_png(make.png(SCENE), make.iccp(srgb_profile())), "png")
    yield untouched("PNG with an sRGB profile, any type asked to be kept",
                    lambda: in_png(make.png(SOFT), make.iccp(srgb_profile())), "png", settings={"format": "keep"})
    yield untouched("PNG that says sRGB", lambda: in_png(make.png(SCENE), chunk(b"sRGB", b"\0"),
                                                         chunk(b"gAMA", struct.pack(">I", 45455))), "png")
    linear = (SCENE / 255.0)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    yield converted("PNG with gAMA 1.0", lambda: in_png(make.png(SCENE), chunk(b"gAMA", struct.pack(">I", 100_000))),
                    "png", np.rint(encoded).astype(np.uint8), near=COLOUR)
    numbers = [round(value * 100_000) for point in P3 for value in point]
    wide = chunk(b"cHRM", struct.pack(">8I", *numbers)) + chunk(b"gAMA", struct.pack(">I", 45455))
    yield converted("PNG with cHRM of P3", lambda: in_png(make.png(SCENE), wide), "png", through(rgb_profile(P3, 2.2)),
                    near=COLOUR)
    yield converted("PNG with cICP of P3", lambda: in_png(make.png(SCENE), chunk(b"cICP", bytes((12, 13, 0, 1)))),
                    "png", through(rgb_profile(P3, srgb_curve)), near=COLOUR)
    yield converted("PNG with a profile of Rec. 2020",
                    lambda: make.private_png(in_png(make.png(SCENE), make.iccp(rgb_profile(BT2020, 2.4)))), "png",
                    near=COLOUR)
    yield converted("PNG grey, with a gamma", lambda: in_png(make.png(GREY), make.iccp(gray_profile(1.4))), "png",
                    near=COLOUR)
    yield converted("PNG of 16 bits, Adobe RGB", lambda: in_png(make.png(deep(SCENE), 16), make.iccp(WIDE)), "png",
                    computed(deep(SCENE)), near=COLOUR)


def computed(array: np.ndarray) -> np.ndarray:
    """Sixteen bits of `WIDE` in sRGB, by numbers: libvips is up to 12 of 255 off where they are outside of sRGB."""
    linear = np.linalg.inv(adapted(SRGB)) @ adapted(ADOBE) @ ((array.reshape(-1, 3) / 65535) ** (563 / 256)).T
    linear = linear.T.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8).reshape(array.shape)


def pngs_of_odd_containers() -> Iterator[Cell]:
    """What is beside the pixels, and how their data are cut."""
    beside = {"significant bits": chunk(b"sBIT", b"\5\6\5"), "a background": chunk(b"bKGD", b"\0\xff\0\0\0\x80"),
              "a density": chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
              "an offset": chunk(b"oFFs", struct.pack(">iiB", 5, -7, 0)), "content credentials": chunk(b"caBX", CANARY),
              "a suggested palette": chunk(b"sPLT", CANARY + b"\0\x08" + bytes(6)),
              "a histogram": chunk(b"hIST", CANARY),
              "a profile that is none": make.iccp(CANARY * 50),
              "a profile that never ends": make.iccp(bytes(12_000_000)),
              "an sRGB profile with more behind it": make.iccp(srgb_profile() + CANARY * 100_000)}
    for name, part in beside.items():
        yield untouched(f"PNG with {name}", lambda part=part: in_png(make.png(SCENE), part), "png", SCENE)
    yield converted("PNG, Adobe RGB with more behind it", lambda: in_png(
        make.png(SCENE), make.iccp(WIDE + CANARY * 100_000)), "png", through(WIDE), near=COLOUR)
    yield untouched("PNG of many small parts", lambda: make.cut(make.png(SCENE), 7), "png", SCENE)
    yield untouched("PNG with parts of no length", lambda: make.cut(make.png(SCENE), 50, empty=True), "png", SCENE)
    yield untouched("PNG with more behind its data", lambda: make.with_surplus(make.png(SCENE), CANARY), "png", SCENE)
    yield untouched("PNG with more rows than it has", lambda: make.with_rows(SCENE, 9), "png", SCENE)


def pngs_in_motion() -> Iterator[Cell]:
    whole = np.concatenate(FRAMES)
    yield untouched("APNG", lambda: make.animated_png(FRAMES), "png", whole, frames=3)
    yield untouched("APNG, private", lambda: make.private_png(make.animated_png(FRAMES)), "png", whole, frames=3)
    yield exact("APNG, sideways",
                lambda: make.private_png(make.animated_png([turned(frame, 6) for frame in FRAMES]), 6), "png",
                whole, frames=3)
    yield converted("APNG, Adobe RGB", lambda: in_png(make.animated_png(FRAMES), make.iccp(WIDE), before=b"acTL"),
                    "png", lambda _: np.concatenate([through(WIDE, frame)(b"") for frame in FRAMES]), frames=3,
                    near=COLOUR)
    yield exact("APNG to WebP", lambda: make.animated_png(FRAMES), "webp", whole, frames=3,
                settings={"format": "webp"})
    yield converted("APNG to JPEG", lambda: make.animated_png(FRAMES), "jpeg", FRAMES[0], settings={"format": "jpeg"},
                    near=TWICE)
    for behind in (False, True):
        for disposal in (0, 1, 2):
            for blending in (0, 1):
                def parts(behind: bool = behind, disposal: int = disposal, blending: int = blending) -> bytes:
                    return make.moving_parts(disposal, blending, unlike_all=behind)

                name = (f"APNG of parts, disposal {disposal}, blending {blending}"
                        f"{', behind another picture' if behind else ''}")
                yield untouched(name, lambda parts=parts: make.private_png(parts()), "png", frames=4)
                yield exact(f"{name}, to WebP", parts, "webp", frames=4, settings={"format": "webp"},
                            near=COLOUR)
    yield converted("APNG behind another picture, to JPEG", lambda: make.moving_parts(0, 0, unlike_all=True), "jpeg",
                    lambda data: on_white(by_vips(data).pixels[:44]), settings={"format": "jpeg"}, near=TWICE)


def on_white(array: np.ndarray) -> np.ndarray:
    alpha = array[..., 3:] / 255.0
    return np.rint(array[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


@pytest.mark.parametrize("cell", [*pngs()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)
