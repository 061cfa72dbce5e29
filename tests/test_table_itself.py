"""The table sees what it is there for: pictures that are changed on their way do not pass."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import table_cells
import table_gif
import table_png
from pictures import CANARY, chunk
from PIL import Image, ImageChops
from table_cells import FLAT, Cell, converted, exact, look, untouched
from table_pictures import PATCHES, RAMP, SCENE, SOFT, moving, over

from imagepipe.asset import Asset

LOSSY = converted("to JPEG", lambda: table_png.png(SCENE), "jpeg", SCENE, settings={"format": "jpeg"})
PLAIN = converted("to JPEG, patches", lambda: table_png.png(PATCHES), "jpeg", PATCHES, near=FLAT,
                  settings={"format": "jpeg"})
ON_WHITE = converted("to JPEG, on white", lambda: table_png.png(SOFT), "jpeg", over((255, 255, 255)),
                     settings={"format": "jpeg"})
SEE_THROUGH = exact("to WebP", lambda: table_png.png(SOFT), "webp", SOFT, settings={"format": "webp"})
STILL = untouched("as it is", lambda: table_png.png(SCENE), "png", SCENE)
MOVING = exact("animated", lambda: table_gif.gif(*map(table_gif.gif_frame, moving())), "webp",
               np.concatenate([RAMP[frame] for frame in moving()]), frames=3, settings={"format": "webp"})


def premultiplied(image: Image.Image) -> Image.Image:
    *bands, alpha = image.split()
    return Image.merge("RGBA", [*(ImageChops.multiply(band, alpha) for band in bands), alpha])


CHANGES: dict[str, tuple[Cell, Callable[[Image.Image], Image.Image]]] = {
    "red and blue exchanged": (LOSSY, lambda image: Image.merge("RGB", image.split()[::-1])),
    "a pixel to the right": (LOSSY, lambda image: ImageChops.offset(image, 1, 0)),
    "a pixel down": (LOSSY, lambda image: ImageChops.offset(image, 0, 1)),
    "mirrored": (LOSSY, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "darker by 3 of 255": (PLAIN, lambda image: image.point(lambda value: value - 3)),
    "of a gamma that is 2 % off": (PLAIN, lambda image: image.point(
        [round(255 * (value / 255) ** 1.02) for value in range(256)] * 3)),
    "on a background that is not white": (ON_WHITE, lambda image: image.point(lambda value: min(value, 240))),
    "colours times alpha": (SEE_THROUGH, premultiplied),
    "no alpha": (SEE_THROUGH, lambda image: image.convert("RGB")),
    "one step off": (STILL, lambda image: image.point(lambda value: value ^ 1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_pixels_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, change = CHANGES[name]
    look(cell, None)
    real = table_cells.prepared

    def changed(cell: Cell, data: bytes) -> Asset:
        asset = real(cell, data)
        image = Image.open(io.BytesIO(asset.data or b""))
        out = io.BytesIO()
        options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}
        change(image).save(out, image.format, **options.get(str(image.format), {}))
        return asset.evolve(data=out.getvalue())

    monkeypatch.setattr(table_cells, "prepared", changed)

    with pytest.raises(AssertionError):
        look(cell, None)


@pytest.mark.parametrize("change", [
    lambda data: data + CANARY,
    lambda data: data[:33] + chunk(b"tEXt", b"a\0b") + data[33:],
    lambda data: data[:-1],
], ids=["something behind the end", "a text", "the end missing"])
def test_a_change_of_the_container_is_seen(change: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    real = table_cells.prepared

    def changed(cell: Cell, data: bytes) -> Asset:
        asset = real(cell, data)
        return asset.evolve(data=change(asset.data or b""))

    monkeypatch.setattr(table_cells, "prepared", changed)

    with pytest.raises((AssertionError, table_cells.pyvips.error.Error)):
        look(STILL, None)


def test_a_frame_that_is_missing_or_another_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    look(MOVING, None)
    real = table_cells.prepared
    frames = moving()
    for kept in (frames[:2], [frames[0], frames[2], frames[1]], [frames[0], frames[0], frames[2]]):
        others = table_gif.gif(*map(table_gif.gif_frame, kept))
        monkeypatch.setattr(table_cells, "prepared", lambda cell, data, others=others: real(cell, others))

        with pytest.raises(AssertionError):
            look(MOVING, None)
