"""WebP: lossy, lossless and animated, by libwebp."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from imagepipe.asset import Frame

__all__ = ["MAX_SIDE", "write_webp", "write_webp_animation"]

#: Of a side, in pixels: a WebP holds no more (RFC 9649, section 2.7).
MAX_SIDE = 16_383

_LARGE, _HUGE = 6_000_000, 40_000_000  # pixels


def tidy_for_webp(image: Image.Image) -> Image.Image:
    """Return the picture as RGB or RGBA."""
    if image.mode in ("RGB", "RGBA"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def alpha_quality(quality: float) -> int:
    """Return how well alpha is kept in a lossy picture: exactly in good ones, since its steps show at edges first."""
    return 100 if quality >= 90 else max(60, round(quality))


def write_webp(image: Image.Image, *, quality: float, lossless: bool, hard: bool = False, icc: bytes | None = None,
               exif: bytes = b"", xmp: bytes = b"") -> bytes:
    """Return `image` as a WebP with nothing but what is named here.

    Lossless ones keep the colour of transparent pixels too. `quality`, 0 to 100, is how strongly
    a lossy one is compressed. `hard` is with nearly all the effort that there is.
    """
    pixels = image.width * image.height
    method = 4 if pixels <= _LARGE else 2 if pixels <= _HUGE else 0
    effort = 90 if hard else 60 if pixels <= _LARGE else 20
    method = 6 if hard else method
    out = io.BytesIO()
    # in a lossless WebP, `quality` is effort: 20 with method 2 takes 4 % more bytes than 60 with method 4, and half of
    # the time (six photographs and scenes of 0.2 MP)
    tidy_for_webp(image).save(out, "WEBP", lossless=lossless, quality=effort if lossless else quality,
                              method=method if lossless else max(2, method), alpha_quality=alpha_quality(quality),
                              exact=lossless, icc_profile=icc or "", exif=exif,
                              xmp=xmp)
    return out.getvalue()


def write_webp_animation(frames: Sequence[Frame], loop: int | None, *, quality: float, lossless: bool,
                         hard: bool = False, icc: bytes | None = None, exif: bytes = b"", xmp: bytes = b"") -> bytes:
    """Return the frames as an animated WebP; `loop` as in `Pixels`."""
    images = [tidy_for_webp(frame.image) for frame in frames]
    out = io.BytesIO()
    images[0].save(out, "WEBP", save_all=True, append_images=images[1:], lossless=lossless,
                   duration=[frame.duration for frame in frames], loop=1 if loop is None else min(loop, 65_535),
                   quality=((90 if hard else 30) if lossless else quality), method=6 if hard else 3,
                   minimize_size=hard,
                   alpha_quality=100 if lossless else alpha_quality(quality), background=(0, 0, 0, 0),
                   icc_profile=icc or "", exif=exif, xmp=xmp)
    return out.getvalue()
