"""For anyone's tests: a store on this machine, and small real pictures made in code.

>>> from imagepipe.testing import Sandbox, jpeg
>>> with Sandbox(products=["SHIRT-1"]) as sandbox:  # doctest: +SKIP
...     run_my_shop_sync(sandbox.base_url, sandbox.token, jpeg(orientation=6, gps=(52.5, 13.4)))
...     assert b"Exif" not in sandbox.received(1)

The pictures have the statistics of photographs (gradients, shapes, texture, noise), so that
compression behaves as it does on real ones. The same arguments give the same pixels; the bytes may
differ between versions of Pillow.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagepipe.errors import ConfigurationError
from imagepipe.sandbox import Request, Sandbox

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Request", "Sandbox", "bmp", "exif", "gif", "heic", "jpeg", "photo", "picture", "png", "tiff", "wbmp",
           "webp", "xbm"]

_DATE = "2024:05:17 10:42:07"  # when all of these photographs were taken


def photo(width: int = 640, height: int = 480, seed: int = 0) -> Image.Image:
    """Return an RGB picture with the statistics of a photograph; another `seed` is another scene."""
    from PIL import Image, ImageChops, ImageDraw

    chance = random.Random(seed)
    image = _random(chance, 3, 3).resize((width, height), Image.Resampling.BICUBIC)  # light and its colour
    draw = ImageDraw.Draw(image)
    for _ in range(9):  # things with edges
        x, y, size = chance.randrange(width), chance.randrange(height), chance.uniform(0.05, 0.3) * min(width, height)
        shape = (x - size, y - size * 0.7, x + size, y + size * 0.7)
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        if chance.random() < 0.5:
            draw.ellipse(shape, fill=colour)
        else:
            draw.rectangle(shape, fill=colour)
    for scale, strength in ((24, 0.25), (6, 0.12)):  # texture, coarse and fine
        texture = _random(chance, max(2, width // scale), max(2, height // scale))
        image = Image.blend(image, texture.resize(image.size, Image.Resampling.BICUBIC), strength)
    grain = _random(chance, width, height).point(lambda value: 122 + value // 20)
    return ImageChops.add(image, grain, offset=-128)


def _random(chance: random.Random, width: int, height: int) -> Image.Image:
    from PIL import Image

    return Image.frombytes("RGB", (width, height), chance.randbytes(width * height * 3))


def exif(*, orientation: int = 1, gps: tuple[float, float] | None = None, make: str = "Phonemaker") -> bytes:
    """Return EXIF as a phone writes it: maker, date, orientation, and latitude and longitude in degrees."""
    from PIL import ExifTags, Image

    tags = Image.Exif()
    tags[ExifTags.Base.Make] = make
    tags[ExifTags.Base.Model] = "Phone 9"
    tags[ExifTags.Base.DateTime] = _DATE
    tags[ExifTags.Base.Orientation] = orientation
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = _DATE
    if gps is not None:
        where = tags.get_ifd(ExifTags.IFD.GPSInfo)
        for degrees, axis in zip(gps, ("Latitude", "Longitude"), strict=True):
            letters = {"Latitude": "NS", "Longitude": "EW"}[axis]
            where[ExifTags.GPS[f"GPS{axis}Ref"]] = letters[degrees < 0]
            minutes, seconds = divmod(round(abs(degrees) * 3600, 3), 60)
            where[ExifTags.GPS[f"GPS{axis}"]] = (minutes // 60, minutes % 60, round(seconds, 3))
    return tags.tobytes()


def jpeg(width: int = 640, height: int = 480, *, seed: int = 0, quality: int = 88, orientation: int | None = None,
         gps: tuple[float, float] | None = None, mode: str = "RGB", **options: Any) -> bytes:
    """Return a JPEG; with `orientation` or `gps` also with a phone's EXIF.

    `mode` may be `L` or `CMYK`. `options` go to Pillow: `progressive`, `subsampling`, `comment`,
    `icc_profile`, `exif`.
    """
    if orientation is not None or gps is not None:
        options.setdefault("exif", exif(orientation=orientation or 1, gps=gps))
    return _saved(photo(width, height, seed).convert(mode), "JPEG", quality=quality, **options)


def png(width: int = 320, height: int = 240, *, seed: int = 0, alpha: bool = False, mode: str | None = None,
        **options: Any) -> bytes:
    """Return a PNG; with `alpha`, one whose thing stands on transparent ground, with a soft edge.

    `mode` may be `L`, `P`, `1` or `I;16`. `options` go to Pillow: `pnginfo`, `exif`, `icc_profile`.
    """
    image = photo(width, height, seed)
    if alpha:
        image.putalpha(_cutout(width, height))
    if mode == "I;16":
        from PIL import Image

        grey = image.convert("L")
        deep = bytearray(2 * width * height)
        deep[1::2] = deep[0::2] = grey.tobytes()  # v * 257: the whole range of 16 bits
        image = Image.frombytes("I;16", (width, height), bytes(deep))
    elif mode:
        image = image.convert(mode)
    return _saved(image, "PNG", **options)


def _cutout(width: int, height: int) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFilter

    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse((width * 0.1, height * 0.1, width * 0.9, height * 0.9), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(2))


def gif(width: int = 160, height: int = 120, *, seed: int = 0, frames: int = 1, duration: int = 80,
        **options: Any) -> bytes:
    """Return a GIF; with several `frames` an animation, each shown for `duration` milliseconds."""
    return _animated("GIF", width, height, seed, frames, duration=duration, **options)


def webp(width: int = 320, height: int = 240, *, seed: int = 0, frames: int = 1, duration: int = 80,
         alpha: bool = False, quality: int = 80, **options: Any) -> bytes:
    """Return a WebP; with several `frames` an animation. `options` go to Pillow: `lossless`, `exif`."""
    return _animated("WEBP", width, height, seed, frames, alpha, duration=duration, quality=quality, **options)


def _animated(kind: str, width: int, height: int, seed: int, frames: int, alpha: bool = False,
              **options: Any) -> bytes:
    scene = photo(width + 4 * frames, height, seed)
    shown = [scene.crop((4 * number, 0, 4 * number + width, height)) for number in range(frames)]  # a slow pan
    if alpha:
        for frame in shown:
            frame.putalpha(_cutout(width, height))
    if frames > 1:
        return _saved(shown[0], kind, save_all=True, append_images=shown[1:], **({"loop": 0} | options))
    options.pop("duration")
    return _saved(shown[0], kind, **options)


def bmp(width: int = 160, height: int = 120, *, seed: int = 0, **options: Any) -> bytes:
    """Return a BMP."""
    return _saved(photo(width, height, seed), "BMP", **options)


def tiff(width: int = 320, height: int = 240, *, seed: int = 0, mode: str = "RGB", **options: Any) -> bytes:
    """Return a TIFF; `mode` may be `CMYK`. `options` go to Pillow: `compression`, `icc_profile`."""
    return _saved(photo(width, height, seed).convert(mode), "TIFF", **options)


def heic(width: int = 320, height: int = 240, *, seed: int = 0, gps: tuple[float, float] | None = None,
         **options: Any) -> bytes:
    """Return a HEIC as a phone makes it; raises `ConfigurationError` where nothing here can encode one."""
    try:
        import pillow_heif

        file = io.BytesIO()
        pillow_heif.from_pillow(photo(width, height, seed)).save(file, exif=exif(gps=gps), **options)
    except (ImportError, AttributeError, RuntimeError) as error:
        raise ConfigurationError("this installation cannot encode HEIC; install pillow-heif") from error
    return file.getvalue()


def xbm(width: int = 96, height: int = 64, *, seed: int = 0) -> bytes:
    """Return an X bitmap, black and white."""
    from PIL import ImageChops

    # its set bits are black, and Pillow writes them for white
    return _saved(ImageChops.invert(photo(width, height, seed).convert("L")).convert("1"), "XBM")


def wbmp(width: int = 96, height: int = 64, *, seed: int = 0) -> bytes:
    """Return a wireless bitmap, black and white: two zero bytes, width, height, rows of bits."""
    return bytes(2) + _counted(width) + _counted(height) + photo(width, height, seed).convert("1").tobytes()


def _counted(value: int) -> bytes:
    """Return a number in the multi-byte form of WBMP: seven bits a byte, all but the last with the eighth bit set."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


_MAKERS: dict[str, Callable[..., bytes]] = {
    "jpg": jpeg, "jpeg": jpeg, "png": png, "gif": gif, "webp": webp, "bmp": bmp, "tif": tiff, "tiff": tiff,
    "heic": heic, "xbm": xbm, "wbmp": wbmp}


def picture(path: str | Path, **options: Any) -> Path:
    """Write a picture of the type that the name of `path` tells, and return the path; folders are made.

    `options` are those of the function for that type.

    >>> picture("shoes/17.jpg", orientation=6)  # doctest: +SKIP
    PosixPath('shoes/17.jpg')
    """
    path = Path(path)
    maker = _MAKERS.get(path.suffix.lower().removeprefix("."))
    if maker is None:
        raise ConfigurationError(f"{path.name}: a picture of which type? {', '.join(sorted(_MAKERS))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(maker(**options))
    return path


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
