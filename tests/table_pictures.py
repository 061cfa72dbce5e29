"""What the pictures of the table show, as arrays. The modules `table_jpeg`, `table_png` and so on make files of them.

Most show `SCENE` as well as their type can; what is planted in them is `CANARY`. They are made by encoders of
many kinds: written there byte by byte, libvips, libjpeg-turbo.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pyvips
from other_decoders import by_vips, needs
from pictures import CANARY

from imagepipe.color.inks import default_cmyk

SIZE = (60, 44)  # divided by no block of any codec's, and not square


def scene(width: int, height: int) -> np.ndarray:
    """Waves of light that are alike from no two sides, and colours that change more slowly.

    Lossy coding, also of chroma at a quarter, stays within a few steps of it; a pixel's shift is 5 of 255 on average.
    """
    down, across = np.mgrid[:height, :width] * 2 * np.pi
    luma = 128 + 36 * np.sin(across / 26 + down / 41) + 28 * np.cos(down / 29 - across / 67 + 0.7)
    blue, red = 30 * np.sin(across / 95 - down / 80 + 0.4), 30 * np.cos(across / 88 + down / 101 + 1.1)
    channels = (luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue)
    return np.rint(np.stack(channels, axis=-1)).clip(0, 255).astype(np.uint8)


SCENE = scene(*SIZE)


def grey(array: np.ndarray) -> np.ndarray:
    """The luminance of RGB, in one channel."""
    return np.rint(array @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]


GREY = grey(SCENE)
BLACK_OR_WHITE = (GREY > 127).astype(np.uint8)
HOLES = np.dstack([SCENE, np.where(np.add.outer(np.arange(44), np.arange(60)) < 30, 0, 255).astype(np.uint8)])
SOFT = np.dstack([SCENE, np.add.outer(np.arange(44) * 2, np.arange(60) * 2).astype(np.uint8) + 30])
#: A drawing: 64 colours, with hard edges between them.
PALETTE = np.asarray([(r, g, b) for r in (0, 85, 170, 255) for g in (0, 85, 170, 255) for b in (0, 85, 170, 255)],
                     np.uint8)
INDICES = ((SCENE.astype(int) + 42) // 85 @ np.array([16, 4, 1])).astype(np.uint8)
#: 64 colours that go over into each other: what is scaled or coded lossily stays near them.
RAMP = np.asarray([(70 + step * 5 // 2, 30 + step * 3, 110 + step * 7 // 4) for step in range(64)], np.uint8)
LEVELS = ((GREY[..., 0].astype(int) - GREY.min()) * 63 // (int(GREY.max()) - GREY.min())).astype(np.uint8)
#: Of a size that a JPEG may be decoded at three quarters of without a rest.
EVEN = scene(64, 48)
#: Twelve colours in squares of 16 pixels, which are whole blocks of every codec, however chroma is sampled.
PATCHES = np.asarray([[(200, 40, 50), (60, 170, 70), (50, 70, 190), (210, 190, 60)],
                      [(240, 240, 240), (130, 130, 130), (35, 35, 35), (90, 180, 190)],
                      [(180, 90, 160), (110, 80, 60), (230, 170, 140), (20, 90, 60)]],
                     np.uint8).repeat(16, axis=0).repeat(16, axis=1)
AFTER_THE_END = b"\0\0\0\x18ftypmp42" + b"\0" * 12 + CANARY + b"PK\3\4<script>" + CANARY


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return what a file has to store, so that `array` is seen when the orientation is applied."""
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 7, 8):
        array = array[:, ::-1]
    if orientation in (3, 4, 6, 7):
        array = array[::-1]
    return array


def to_vips(array: np.ndarray, interpretation: str = "") -> pyvips.Image:
    """An array as an image of libvips."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array))
    deep = array.dtype == np.uint16
    guess = ("grey16" if deep else "b-w") if array.shape[2] < 3 else ("rgb16" if deep else "srgb")
    return image.copy(interpretation=interpretation or guess)


def saved(kind: str, array: np.ndarray = SCENE, *, interpretation: str = "", fields: dict[str, Any] | None = None,
          **options: Any) -> bytes:
    """What libvips writes of an array; `fields` are bytes and numbers beside it, such as `icc-profile-data`."""
    image = to_vips(array, interpretation)
    for name, value in (fields or {}).items():
        image.set_type({bytes: pyvips.GValue.blob_type, int: pyvips.GValue.gint_type}[type(value)], name, value)
    data: bytes = image.write_to_buffer(f".{kind}", **options)
    return data


def deep(array: np.ndarray) -> np.ndarray:
    """Eight bits as sixteen, with low bytes that decide how they are rounded back."""
    low = np.arange(array.size).reshape(array.shape) * 37 % 256
    return array.astype(np.uint16) * 256 + low.astype(np.uint16)


def shallow(array: np.ndarray) -> np.ndarray:
    """Sixteen bits as eight, rounded."""
    return np.rint(array / 257).astype(np.uint8)


def packed(array: np.ndarray, depth: int) -> list[bytes]:
    """Rows of values as bytes, the first value in the highest bits."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in array]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in array]
    bits = (array[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1)).tobytes() for row in bits.astype(np.uint8)]


def by_magick(array: np.ndarray, *options: str) -> Callable[[], bytes]:
    """Whatever ImageMagick writes; the last option is the type."""
    def made() -> bytes:
        height, width, bands = array.shape
        kind = {1: "gray", 3: "rgb", 4: "rgba"}[bands]
        command = [needs("magick"), "-size", f"{width}x{height}", "-depth", "8", f"{kind}:-", *options]
        return subprocess.run(command, input=array.tobytes(), capture_output=True, check=True).stdout

    return made


def film() -> bytes:
    """The beginning of an MP4, with a canary for a picture."""
    head = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
    return head + (8 + len(CANARY)).to_bytes(4, "big") + b"mdat" + CANARY


def moving() -> list[np.ndarray]:
    """Levels of three frames in which a bright spot moves."""
    down, across = np.mgrid[:SIZE[1], :SIZE[0]]
    spots = (40 * np.exp(-((across - 15 - 12 * number) ** 2 + (down - 20) ** 2) / 60) for number in range(3))
    return [np.minimum(LEVELS + spot.astype(np.uint8), 63).astype(np.uint8) for spot in spots]


def over(colour: tuple[int, int, int]) -> np.ndarray:
    """The soft scene on a colour."""
    alpha = SOFT[..., 3:] / 255.0
    return np.rint(SOFT[..., :3] * alpha + np.array(colour) * (1 - alpha)).astype(np.uint8)


def through(profile: bytes, array: np.ndarray = SCENE) -> Callable[[bytes], np.ndarray]:
    """A picture through a profile, by libvips; the truth of a cell, whatever its bytes are."""
    return lambda _: by_vips(saved("tif", array, fields={"icc-profile-data": profile}), to_srgb=True).pixels


def inks_by_vips(inks: np.ndarray, profile: bytes | None) -> Callable[[bytes], np.ndarray]:
    """Four inks through a profile, by libvips; None: through ours for inks of which nothing is said.

    What those look like is our own choice, so that only what is done with it can be checked.
    """
    return lambda _: by_vips(saved("tif", inks, interpretation="cmyk", fields={
        "icc-profile-data": profile or default_cmyk()}), to_srgb=True, fail_on="none").pixels
