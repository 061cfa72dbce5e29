"""The types that Pillow decodes: opened by one plugin, their frames made whole, brought to 8 bits.

Of an ICO the largest picture is taken. Frames are asked for until
there are no more, or too many: what a file claims about their number is not believed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image, ImageFile, UnidentifiedImageError

from imagepipe.asset import Color
from imagepipe.codecs import decode_boxes
from imagepipe.codecs import exif as exif_codec
from imagepipe.codecs.decode_guard import corrupt, shielded
from imagepipe.codecs.decode_modes import from_floats, from_integers, from_sixteen, opaque, plain
from imagepipe.codecs.header import Header
from imagepipe.errors import Corrupt, TooManyFrames, TooManyPixels

__all__ = ["DECODER_LIMIT", "PLUGINS", "beyond_decoder", "frames", "metadata", "open_one", "peek", "still",
           "too_many_frames", "too_many_pixels"]

#: Our name -> Pillow's.
PLUGINS = {"jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "xbm": "XBM", "avif": "AVIF",
           "tiff": "TIFF", "jpeg2000": "JPEG2000", "psd": "PSD", "tga": "TGA", "ico": "ICO", "ppm": "PPM"}

#: Above, libavif and libheif read not even the header.
DECODER_LIMIT = 16_384 * 16_384

_CHANNELS = {"1": "bilevel", "L": "gray", "LA": "gray", "I": "gray", "I;16": "gray", "I;16B": "gray", "I;16L": "gray",
             "F": "gray", "P": "palette", "PA": "palette", "CMYK": "cmyk", "LAB": "lab"}
_MAX_PROFILE = 8_000_000  # bytes; a profile larger than a picture is none
_ALPHA_UNUSED = frozenset({"bmp", "tga"})  # where 32 bits a pixel often mean 24 and a byte of nothing


def open_one(data: bytes, format: str) -> ImageFile.ImageFile:
    """Open `data` with the plugin of one type, and no other. Raises whatever that raises."""
    return Image.open(io.BytesIO(data), formats=[PLUGINS[format]])


def too_many_pixels(width: int, height: int, frames: int, most: int) -> TooManyPixels:
    """Return the error that says how many pixels there are, and may be."""
    times = f" x {frames} frames" if frames > 1 else ""
    return TooManyPixels(f"{width:,} x {height:,}{times} is {width * height * frames:,} pixels, the limit is {most:,}; "
                         "raise --max-pixels or scale the picture down")


def beyond_decoder(width: int, height: int) -> TooManyPixels:
    """Return the error for a picture that is larger than any that the decoder reads."""
    return TooManyPixels(f"{width:,} x {height:,} is {width * height:,} pixels, and there is no decoder here for more "
                         f"than {DECODER_LIMIT:,}; scale the picture down")


def too_many_frames(frames: int | str, most: int) -> TooManyFrames:
    """Return the error that says how many frames there are, and may be."""
    return TooManyFrames(f"it has {frames} frames, the limit is {most}; shorten the animation")


def peek(data: bytes, format: str) -> Header:
    """Return what Pillow says of a picture before it decodes it. Raises whatever its plugin raises."""
    try:
        opened = open_one(data, format)
    except UnidentifiedImageError:
        width, height = decode_boxes.largest_size(data) if format == "avif" else (0, 0)
        if width * height > DECODER_LIMIT:
            raise beyond_decoder(width, height) from None
        raise
    with opened as image:
        frames = int(getattr(image, "n_frames", 1)) if format == "avif" else 1  # of others it would be counted, slowly
        # Pillow puts the boxes that turn and mirror into this block; its `getexif` also believes XMP, others do not
        orientation = exif_codec.read(image.info.get("exif", b"")).orientation if format == "avif" else 1
        transparent = "transparency" in image.info
        part = decode_boxes.clean_aperture(data, image.size) if format == "avif" and frames == 1 else None
        left, top, right, bottom = part or (0, 0, *image.size)
        return Header(
            format=format, width=right - left, height=bottom - top, frames=frames,
            has_alpha=image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or transparent,
            bit_depth=_depth(image, data), channels=_CHANNELS.get(image.mode, "rgb"),
            orientation=orientation,
            color=_color(image, data, format), loop=0 if frames > 1 else None)


def _depth(image: ImageFile.ImageFile, data: bytes) -> int:
    """Return the bits a channel of an opened picture; Pillow itself says it only for grey ones."""
    if image.format == "AVIF":
        return decode_boxes.pixel_depth(data)
    if image.format == "JPEG2000":
        return decode_boxes.jp2_depth(data)
    if image.format == "PPM" and image.tile and isinstance(args := image.tile[0].args, tuple):
        return 16 if any(isinstance(value, int) and value > 255 for value in args) else 8
    return {"1": 1, "I": 16, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)


def _color(image: Image.Image, data: bytes, format: str) -> Color:
    """Return what the container says of colour."""
    icc = image.info.get("icc_profile")
    if format == "jpeg2000":
        icc = decode_boxes.jp2_profile(data)
    if isinstance(icc, bytes) and 128 <= len(icc) <= _MAX_PROFILE:
        return Color(icc=icc)
    return Color(cicp=decode_boxes.nclx(data)) if format == "avif" else Color()


def metadata(data: bytes, format: str) -> dict[str, bytes]:
    """Return the EXIF (from its byte order on) and XMP of an AVIF or TIFF. Raises whatever the plugin raises."""
    with open_one(data, format) as image:
        exif = image.info.get("exif", b"") if format == "avif" else image.getexif().tobytes()
        xmp = image.info.get("xmp")
    found = {"exif": exif.removeprefix(b"Exif\0\0"), "xmp": xmp}
    return {name: value for name, value in found.items() if isinstance(value, bytes) and value}


def frames(image: Image.Image, header: Header, max_frames: int, max_pixels: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield every frame of an animation as a whole picture, and how long it is shown in milliseconds.

    Raises `TooManyFrames` and `TooManyPixels` on what comes, not on what was announced, and
    `Corrupt` where fewer frames come than the container holds.
    """
    size = (header.width, header.height)
    first = 1 if getattr(image, "default_image", False) else 0  # of an APNG, shown only where animation is not
    total = came = 0
    for index in range(first, first + max_frames + 1):
        try:
            image.seek(index)
        except EOFError:
            break
        came += 1
        if came > max_frames:
            raise too_many_frames(f"more than {max_frames}", max_frames)
        total += image.width * image.height
        if total > max_pixels:
            raise too_many_pixels(image.width, image.height, came, max_pixels)
        image.load()
        duration = image.info.get("duration", 0)
        frame = plain(image, more_to_come=True)
        if frame.size != size:  # a frame that sticks out makes the screen grow; what is outside is not shown
            frame = frame.crop((0, 0, *size))
        yield frame, round(duration) if isinstance(duration, (int, float)) and 0 <= duration < 1e9 else 0
        if header.frames <= 1:
            break
    if came < header.frames:
        raise corrupt(f"this {header.format.upper()}", f"{came} of {header.frames} frames can be read")


def still(data: bytes, header: Header, *, accept_damaged: bool = False) -> tuple[Image.Image, tuple[str, ...], bool]:
    """Return the one picture of a file, what there is to say, and whether it is damaged."""
    notes: tuple[str, ...] = ()
    damaged = False
    with open_one(data, header.format) as image:
        try:
            with shielded(f"this {header.format.upper()}", header.width * header.height):
                image.load()
        except Corrupt as error:
            if not accept_damaged or getattr(image, "_im", None) is None:
                raise
            image.tile = []  # what was decoded before the fault stands, and nothing more is tried
            notes, damaged = (f"damaged: {error}",), True
        result = _shallow(image)
    if header.format in _ALPHA_UNUSED and result.mode == "RGBA" and result.getchannel("A").getextrema() == (0, 0):
        result = result.convert("RGB")
    elif header.format == "ico" and result.mode == "RGBA" and result.getchannel("A").getextrema() == (0, 0):
        result = _by_mask(data)
    elif result.mode in ("RGBA", "LA") and opaque(result):
        result = result.convert(result.mode[:-1])
    result.info = {}
    return result, notes, damaged


def _by_mask(data: bytes) -> Image.Image:
    """Return an icon of 32 bits whose alpha was never filled in: as in Windows, its mask counts then.

    Pillow takes the mask where the directory says that there are fewer bits.
    """
    directory = bytearray(data[:6 + 16 * int.from_bytes(data[4:6], "little")])
    for at in range(6, len(directory) - 15, 16):
        if directory[at + 6:at + 8] == b"\x20\0":
            directory[at + 6] = 24
    with open_one(bytes(directory) + data[len(directory):], "ico") as image:
        image.load()
        result = plain(image)
    return result.convert("RGB") if opaque(result) else result


def _shallow(image: Image.Image) -> Image.Image:
    """Return a loaded picture in 8 bits."""
    if image.mode.startswith("I;16"):
        return from_sixteen(image)
    if image.mode == "I":
        return from_sixteen(image) if image.format == "PPM" else from_integers(image)
    if image.mode == "F":
        return from_floats(image)
    return plain(image)
