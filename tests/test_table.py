"""The table: each type of picture with each of its properties, and what becomes of it.

JPEG, PNG, GIF and WebP, which may stay what they are. `test_table_changed.py` has the types that
have to change. `table_pictures.py` makes the pictures, `table_cells.py` says what is checked.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import table_pictures as make
from other_decoders import Exiftool, by_vips, needs
from pictures import chunk, extended_webp, in_png, srgb_profile, webp_chunks
from profiles import ADOBE, BT2020, P3, cmyk_profile, gray_profile, rgb_profile, srgb_curve
from table_cells import Cell, converted, exact, fitted, look, refused, untouched
from table_pictures import GREY, HOLES, INDICES, PALETTE, SCENE, SIZE, SOFT, deep, turned

WIDE = rgb_profile(ADOBE, 2.2)
SMALL = {"max_edge": 32}
FRAMES = [PALETTE[frame] for frame in make.moving()]
GREY_ALPHA = np.dstack([GREY, SOFT[..., 3]])


def by_cjpeg(*options: str) -> Callable[[], bytes]:
    """A JPEG by libjpeg-turbo's own program, for what the others do not write."""
    def made() -> bytes:
        picture = b"P6 %d %d 255\n" % SIZE + SCENE.tobytes()
        return subprocess.run([needs("cjpeg"), *options], input=picture, capture_output=True, check=True).stdout

    return made


def by_magick(array: np.ndarray, *options: str) -> Callable[[], bytes]:
    """Whatever ImageMagick writes; the last option is the type."""
    def made() -> bytes:
        kind, width, height = {1: "gray", 3: "rgb"}[array.shape[2]], *SIZE
        command = [needs("magick"), "-size", f"{width}x{height}", "-depth", "8", f"{kind}:-", *options]
        return subprocess.run(command, input=array.tobytes(), capture_output=True, check=True).stdout

    return made


JPEGS: dict[str, Callable[[], bytes]] = {
    "4:4:4": lambda: make.jpeg(sampling="444"),
    "4:2:2": lambda: make.jpeg(sampling="422"),
    "4:2:0": lambda: make.jpeg(sampling="420"),
    "4:1:1": lambda: make.jpeg(sampling="411"),
    "4:4:0": lambda: make.jpeg(sampling="440"),
    "grey": lambda: make.jpeg(GREY),
    "progressive": lambda: make.saved("jpg", interlace=True, Q=90),
    "restart markers": lambda: make.saved("jpg", restart_interval=2, Q=90),
    "several pictures (MPO, gain map)": make.multi_picture,
    "by cjpeg, RGB": by_cjpeg("-rgb", "-quality", "90"),
    "by cjpeg, smoothed, of rows of restarts": by_cjpeg("-smooth", "10", "-restart", "1"),
    "by ImageMagick": by_magick(SCENE, "-set", "comment", "CANARY-7f3a", "-quality", "92", "jpg:-"),
}


def jpegs() -> Iterator[Cell]:
    for name, data in JPEGS.items():
        name = f"JPEG {name}"
        yield untouched(name, data, "jpeg")
        yield untouched(f"{name}, private", lambda data=data: make.private(data()), "jpeg")
        yield untouched(f"{name}, sRGB profile", lambda data=data: make.with_profile(data(), srgb_profile()), "jpeg")
        yield converted(f"{name}, sideways", lambda data=data: make.private(data(), 6), "jpeg")
        if "grey" not in name:
            yield converted(f"{name}, Adobe RGB", lambda data=data: make.with_profile(data(), WIDE), "jpeg")
        yield fitted(f"{name}, over budget", lambda data=data: make.private(data()), "jpeg",
                     settings={"max_bytes": 700})
        yield converted(f"{name}, over the edge", lambda data=data: make.private(data(), 8), "jpeg", settings=SMALL)
    for orientation in range(1, 9):
        for sampling in ("420", "422"):
            def stored(orientation: int = orientation, sampling: str = sampling) -> bytes:
                return make.private(make.jpeg(turned(SCENE, orientation), sampling), orientation)

            cell = untouched if orientation == 1 else converted
            yield cell(f"JPEG {sampling}, orientation {orientation}", stored, "jpeg",
                       **{} if orientation == 1 else {"truth": SCENE})
    yield untouched("JPEG, an orientation that is none",
                    lambda: make.sideways(make.jpeg(), 9), "jpeg")
    yield converted("JPEG grey, with a gamma", lambda: make.with_profile(make.jpeg(GREY), gray_profile(1.4)), "jpeg")
    yield converted("JPEG of inks", make.cmyk, "jpeg", near=40)  # without a profile, both sides guess
    yield converted("JPEG of inks, YCCK", make.ycck, "jpeg", near=40)
    inks = cmyk_profile()
    yield converted("JPEG of inks, with their profile", lambda: make.with_profile(make.cmyk(), inks), "jpeg")
    yield converted("JPEG of inks, YCCK, sideways, private",
                    lambda: make.private(make.with_profile(make.ycck(), inks), 6), "jpeg")
    yield converted("JPEG, arithmetic coding", by_cjpeg("-arithmetic"), "jpeg")
    yield exact("JPEG to PNG", make.jpeg, "png", settings={"format": "png"})
    yield converted("JPEG to WebP", make.jpeg, "webp", settings={"format": "webp"})
    yield refused("JPEG of 12 bits", make.twelve_bits, "format_not_allowed")
    yield refused("JPEG, cut", lambda: make.jpeg()[:-300], "corrupt")
    yield refused("JPEG, too many pixels", make.jpeg, "too_many_pixels", settings={"max_pixels": 1000})
    yield refused("JPEG, no budget at all", make.jpeg, "cannot_fit", settings={"max_bytes": 40})


PNGS: dict[str, tuple[np.ndarray, int]] = {
    "grey of 1 bit": (make.BLACK_OR_WHITE, 1), "grey of 2 bits": (GREY >> 6, 2), "grey of 4 bits": (GREY >> 4, 4),
    "grey": (GREY, 8), "RGB": (SCENE, 8), "grey and alpha": (GREY_ALPHA, 8), "RGBA": (SOFT, 8),
}


def pngs() -> Iterator[Cell]:
    for name, (array, depth) in PNGS.items():
        for interlaced in (False, True):
            def data(array: np.ndarray = array, depth: int = depth, interlaced: bool = interlaced) -> bytes:
                return make.png(array, depth, interlaced=interlaced)

            title = f"PNG {name}{', interlaced' if interlaced else ''}"
            yield untouched(title, data, "png")
            yield untouched(f"{title}, private", lambda data=data: make.private_png(data()), "png")
            scale = np.uint8(255 // (2 ** depth - 1))
            yield exact(f"{title}, sideways",
                            lambda array=array, depth=depth, interlaced=interlaced: make.private_png(
                                make.png(turned(array, 6), depth, interlaced=interlaced), 6),
                            "png", array * scale)
        yield converted(f"PNG {name}, over the edge", data, "png", settings=SMALL)
        if array.shape[2] >= 3:
            yield converted(f"PNG {name}, Adobe RGB", lambda data=data: in_png(data(), iccp(WIDE)), "png")
            yield fitted(f"PNG {name}, over budget", data, "webp|jpeg", settings={"max_bytes": 900})
    for orientation in range(1, 9):
        def stored(orientation: int = orientation) -> bytes:
            return make.private_png(make.png(turned(HOLES, orientation)), orientation)

        yield (untouched if orientation == 1 else exact)(f"PNG, orientation {orientation}", stored, "png",
                                                         truth=HOLES)
    for name, array in {"grey": GREY, "RGB": SCENE, "grey and alpha": GREY_ALPHA, "RGBA": SOFT}.items():
        yield converted(f"PNG {name} of 16 bits", lambda array=array: make.private_png(make.png(deep(array), 16)),
                        "png", array, near=1)
        yield converted(f"PNG {name} of 16 bits, interlaced, sideways",
                        lambda array=array: make.private_png(make.png(deep(turned(array, 5)), 16, interlaced=True), 5),
                        "png", array, near=1)
    yield from pngs_of_colours()
    yield from pngs_in_motion()
    yield refused("PNG, cut", lambda: make.png(SCENE)[:-30], "corrupt")
    yield refused("PNG, a wrong sum", lambda: make.png(SCENE)[:-40] + b"\0" + make.png(SCENE)[-39:], "corrupt")


def pngs_of_colours() -> Iterator[Cell]:
    """Palettes, colours that are transparent, and chunks that say what colours mean."""
    for depth in (4, 8):
        palette, indices = (PALETTE, INDICES) if depth == 8 else (PALETTE[::4], INDICES // 4)
        yield untouched(f"PNG of a palette, {depth} bits",
                        lambda depth=depth, palette=palette, indices=indices: make.private_png(
                            make.png(indices, depth, palette=palette)), "png")
    trns = chunk(b"tRNS", bytes((0, 128)))
    yield untouched("PNG of a palette, some of it transparent",
                    lambda: make.png(INDICES, 8, None, trns, palette=PALETTE), "png")
    yield untouched("PNG RGB, one colour transparent",
                    lambda: make.png(SCENE, 8, None, chunk(b"tRNS", struct.pack(">3H", *map(int, SCENE[0, 0])))), "png")
    yield untouched("PNG grey, one value transparent",
                    lambda: make.png(GREY, 8, None, chunk(b"tRNS", struct.pack(">H", int(GREY[0, 0, 0])))), "png")
    key = deep(SCENE)[20, 20]
    shown = np.dstack([SCENE, np.where((SCENE[20, 20] == SCENE).all(axis=2), 0, 255).astype(np.uint8)])
    yield converted("PNG RGB of 16 bits, one colour transparent",
                    lambda: make.png(deep(SCENE), 16, None, chunk(b"tRNS", struct.pack(">3H", *map(int, key)))), "png",
                    shown, near=1)
    yield converted("PNG RGBA to JPEG", lambda: make.png(SOFT), "jpeg", over((255, 255, 255)),
                    settings={"format": "jpeg"})
    yield converted("PNG RGBA to JPEG, on a colour", lambda: make.png(SOFT), "jpeg", over((10, 200, 30)),
                    settings={"format": "jpeg", "background": "rgb(10, 200, 30)"})
    yield untouched("PNG with an sRGB profile", lambda: in_png(make.png(SCENE), iccp(srgb_profile())), "png")
    yield untouched("PNG that says sRGB", lambda: in_png(make.png(SCENE), chunk(b"sRGB", b"\0"),
                                                         chunk(b"gAMA", struct.pack(">I", 45455))), "png")
    linear = (SCENE / 255.0)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    yield converted("PNG with gAMA 1.0", lambda: in_png(make.png(SCENE), chunk(b"gAMA", struct.pack(">I", 100_000))),
                    "png", np.rint(encoded).astype(np.uint8))
    numbers = [round(value * 100_000) for point in P3 for value in point]
    wide = chunk(b"cHRM", struct.pack(">8I", *numbers)) + chunk(b"gAMA", struct.pack(">I", 45455))
    as_p3 = through(rgb_profile(P3, 2.2))
    yield converted("PNG with cHRM of P3", lambda: in_png(make.png(SCENE), wide), "png", as_p3, near=3)
    yield converted("PNG with cICP of P3", lambda: in_png(make.png(SCENE), chunk(b"cICP", bytes((12, 13, 0, 1)))),
                    "png", through(rgb_profile(P3, srgb_curve)))
    yield converted("PNG with a profile of Rec. 2020",
                    lambda: make.private_png(in_png(make.png(SCENE), iccp(rgb_profile(BT2020, 2.4)))), "png")


def pngs_in_motion() -> Iterator[Cell]:
    yield untouched("APNG", lambda: make.animated_png(FRAMES), "png", frames=3)
    yield untouched("APNG, private", lambda: make.private_png(make.animated_png(FRAMES)), "png", frames=3)
    yield exact("APNG, sideways",
                    lambda: make.private_png(make.animated_png([turned(frame, 6) for frame in FRAMES]), 6), "png",
                    np.concatenate(FRAMES), frames=3)
    yield exact("APNG to WebP", lambda: make.animated_png(FRAMES), "webp", np.concatenate(FRAMES), frames=3,
                    settings={"format": "webp"})


GIFS: dict[str, tuple[Callable[[], bytes], int]] = {
    "still": (lambda: make.gif(make.gif_frame()), 1),
    "by libvips, interlaced": (lambda: make.saved("gif", SCENE, interlace=True), 1),
    "by ImageMagick": (by_magick(SCENE, "-set", "comment", "CANARY-7f3a", "gif:-"), 1),
    "transparent": (lambda: make.gif(make.gif_frame(transparent=48)), 1),
    "interlaced": (lambda: make.gif(make.gif_frame(interlaced=True)), 1),
    "of a local palette": (lambda: make.gif(make.gif_frame(palette=PALETTE), palette=None), 1),
    "animated": (lambda: make.gif(*map(make.gif_frame, make.moving()), loop=0), 3),
    "animated, local palettes, once": (
        lambda: make.gif(*(make.gif_frame(frame, palette=PALETTE) for frame in make.moving()), palette=None), 3),
    **{f"animated, parts, disposal {disposal}": (
        lambda disposal=disposal: make.gif(make.gif_frame(disposal=1), *(
            make.gif_frame(INDICES[10:30, 5:25], (7 * number, 9), disposal=disposal, transparent=int(INDICES[20, 10]))
            for number in (1, 2, 3)), loop=5), 4) for disposal in (0, 1, 2, 3)},
}


def gifs() -> Iterator[Cell]:
    for name, (data, frames) in GIFS.items():
        yield untouched(f"GIF {name}", data, "gif", frames=frames)
        yield untouched(f"GIF {name}, private", lambda data=data: make.private_gif(data()), "gif", frames=frames)
        yield converted(f"GIF {name}, over the edge", data, "gif|webp|png", frames=frames, settings=SMALL,
                        near=70 if "disposal 2" in name else 24)  # holes have hard edges in a GIF
        yield exact(f"GIF {name} to WebP", data, "webp", frames=frames, settings={"format": "webp"})
    yield fitted("GIF, over budget", GIFS["still"][0], "png|webp|gif|jpeg", settings={"max_bytes": 500})
    yield fitted("GIF animated, over budget", GIFS["animated"][0], "webp|gif", frames=3, settings={"max_bytes": 1500})
    yield converted("GIF animated to JPEG", GIFS["animated"][0], "jpeg", FRAMES[0], settings={"format": "jpeg"})
    yield refused("GIF of 151 frames", lambda: make.gif(*[make.gif_frame(INDICES[:2, :2])] * 151, loop=0),
                  "too_many_frames")
    yield refused("GIF, cut", lambda: make.gif(make.gif_frame())[:-300], "corrupt")


WEBPS: dict[str, tuple[Callable[[], bytes], int]] = {
    "lossy": (lambda: make.saved("webp", Q=85), 1),
    "lossless": (lambda: make.saved("webp", lossless=True), 1),
    "lossy, alpha": (lambda: make.saved("webp", SOFT, Q=85), 1),
    "lossless, alpha": (lambda: make.saved("webp", SOFT, lossless=True), 1),
    "animated": (lambda: make.animated_webp(FRAMES, Q=85), 3),
    "animated, lossless": (lambda: make.animated_webp(FRAMES, lossless=True), 3),
}


def webps() -> Iterator[Cell]:
    for name, (data, frames) in WEBPS.items():
        yield untouched(f"WebP {name}", data, "webp", frames=frames)
        yield untouched(f"WebP {name}, private", lambda data=data: make.private_webp(data()), "webp", frames=frames)
        if frames == 1:
            yield untouched(f"WebP {name}, sRGB profile", lambda data=data: with_icc(data(), srgb_profile()), "webp")
            yield converted(f"WebP {name}, Adobe RGB", lambda data=data: with_icc(data(), WIDE), "webp")
            yield fitted(f"WebP {name}, over budget", data, "webp|jpeg", settings={"max_bytes": 300})
        yield converted(f"WebP {name}, over the edge", data, "webp", frames=frames, settings=SMALL)
        yield (exact if frames == 1 else converted)(f"WebP {name} to PNG", data, "png", settings={"format": "png"})
    for orientation in range(2, 9):
        def stored(orientation: int = orientation) -> bytes:
            array = turned(HOLES, orientation)
            return make.private_webp(make.saved("webp", array, lossless=True), orientation, array.shape[1::-1])

        yield exact(f"WebP, orientation {orientation}", stored, "webp", HOLES)
    yield refused("WebP, cut", lambda: make.saved("webp")[:-40], "corrupt")


def over(colour: tuple[int, int, int]) -> np.ndarray:
    """The soft scene on a colour."""
    alpha = SOFT[..., 3:] / 255.0
    return np.rint(SOFT[..., :3] * alpha + np.array(colour) * (1 - alpha)).astype(np.uint8)


def iccp(profile: bytes) -> bytes:
    import zlib

    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def with_icc(data: bytes, profile: bytes) -> bytes:
    inner = [pair for pair in webp_chunks(data) if pair[0] not in (b"EXIF", b"VP8X")]
    alpha = any(kind in (b"ALPH", b"VP8L") for kind, _ in inner)
    simple = make_riff(inner)
    return extended_webp(simple, (b"ICCP", profile), flags=0x20 | (0x10 if alpha else 0), size=SIZE)


def make_riff(chunks: list[tuple[bytes, bytes]]) -> bytes:
    from pictures import riff

    return riff(*chunks)


def through(profile: bytes) -> Callable[[bytes], np.ndarray]:
    """The scene through a profile, by libvips."""
    return lambda _: by_vips(in_png(make.png(SCENE), iccp(profile)), to_srgb=True).pixels


@pytest.fixture(scope="module")
def exiftool() -> Iterator[Exiftool | None]:
    import shutil

    if shutil.which("exiftool") is None:
        yield None
        return
    with Exiftool() as asked:
        yield asked


@pytest.mark.parametrize("cell", [*jpegs(), *pngs(), *gifs(), *webps()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:
    look(cell, exiftool)
