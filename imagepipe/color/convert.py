"""Pictures brought to sRGB, 8 bits a channel, by what their containers say of colour."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from PIL import Image, ImageCms

from imagepipe.asset import Color
from imagepipe.color.build import gray_profile, matrix_profile
from imagepipe.color.hdr import toned
from imagepipe.color.inks import default_cmyk
from imagepipe.color.planes import mapped, mapped_grey
from imagepipe.color.profiles import is_broken_profile, opened
from imagepipe.color.shaper import shaper
from imagepipe.color.space import Space, is_srgb, stated

__all__ = ["to_srgb"]

_BROKEN = "a broken colour profile, so sRGB is assumed"
_EXACT = 400_000  # pixels up to which each one is computed, where a table of 33 steps would do for more
_STEPS_33 = 33 << 16  # cmsFLAGS_GRIDPOINTS(33) of lcms2.h
_KEPT = 12  # transforms; one of inks has 7 MB

_transforms: OrderedDict[tuple[bytes, str, bool], ImageCms.ImageCmsTransform] = OrderedDict()
_lock = threading.Lock()


def to_srgb(image: Image.Image, color: Color, *, cmyk_profile: bytes | None = None, fine: Image.Image | None = None,
            owned: bool = False) -> tuple[Image.Image, str]:
    """Return the picture in sRGB, and one sentence on what was done: '' where nothing had to be.

    The result is `RGB`, `RGBA`, `L` or `LA`, grey stays grey, alpha is not touched, and the image
    given is not changed unless it is `owned` (it is returned itself where it is right as it is). With
    `fine`, of 16-bit pictures (see `Frame`), all 16 bits count, but for profiles that are tables. Of
    several statements on colour the one counts that `is_srgb` says. Inks go through the embedded
    profile, else `cmyk_profile`, else the model in `inks`; Lab is CIELAB under D50, as in TIFF.

    The intent is relative colorimetric with black-point compensation: white becomes white,
    black becomes black, and a colour that sRGB has stays what it is, which is what a product
    photograph is for. Perceptual would move those too, differently with each maker's profile,
    and does the same wherever a profile is only a matrix. Colours outside sRGB come out at its edge.

    Matrix profiles are exact to 1 of 255. Tables (inks, Lab) are computed pixel by pixel in small
    pictures; in large ones through a lattice, within 2 of 255 but for about 1 in 150 colours at
    the edge of sRGB, where a channel that is nearly 0 may differ by more.
    """
    image = _plain(image)
    if fine is not None and (fine.size != image.size or fine.mode != ("L" if image.mode in ("L", "LA") else "RGB")):
        fine = None  # of a picture that has been changed since
    if image.mode == "CMYK":
        return _from_inks(image, color.icc, cmyk_profile)
    if image.mode == "LAB":
        return _through(image, b"", "RGB"), "converted from Lab to sRGB"
    channels = "gray" if image.mode in ("L", "LA") else "rgb"
    if is_srgb(color, channels):
        broken = color.icc is not None and stated(color) is None and is_broken_profile(color.icc, channels)
        return image, _BROKEN if broken else ""
    space = stated(color)
    if space is not None:
        return _from_space(image, space, fine, owned)
    icc = color.icc or b""
    return _converted(image, icc, fine, owned), f"converted from {_name(icc)} to sRGB"


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture in one of the modes that are worked on, without `info`."""
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        wide = "RGBA" if image.has_transparency_data else "RGB"
        image = image.convert("L" if image.mode in ("1", "I", "F") or image.mode.startswith("I;") else wide)
    elif image.info:
        image = image.copy()
    image.info = {}
    return image


def _from_inks(image: Image.Image, embedded: bytes | None, given: bytes | None) -> tuple[Image.Image, str]:
    if embedded is not None and not is_broken_profile(embedded, "cmyk"):
        return _through(image, embedded, "RGB"), f"converted from CMYK ({_name(embedded)}) to sRGB"
    note = "" if embedded is None else "; its own profile is broken"
    if given is not None and not is_broken_profile(given, "cmyk"):
        return _through(image, given, "RGB"), f"converted from CMYK ({_name(given)}, as asked for) to sRGB{note}"
    return (_through(image, default_cmyk(), "RGB"),
            f"converted from CMYK without a profile to sRGB, taken as offset print on coated paper{note}")


def _from_space(image: Image.Image, space: Space, fine: Image.Image | None, owned: bool) -> tuple[Image.Image, str]:
    if space.narrow:
        bands = len(image.getbands())
        stretched = [min(255, max(0, round((value - 16) * 255 / 219))) for value in range(256)]
        kept = list(range(256))
        image = image.point(stretched * (bands - 1) + kept if image.mode.endswith("A") else stretched * bands)
        fine, owned = None, True
    if space.high:
        return toned(image, space, fine, owned=owned), (
            f"toned down from high dynamic range ({space.high.upper()}) to sRGB")
    note = f"converted from {'narrow range' if space.narrow else space.name} to sRGB"
    if image.mode in ("L", "LA"):
        icc = None if space.curve is None else gray_profile(space.curve)
    else:
        icc = matrix_profile(space.points, space.curve)
    return (image if icc is None else _converted(image, icc, fine, owned)), note


def _converted(image: Image.Image, icc: bytes, fine: Image.Image | None, owned: bool) -> Image.Image:
    """Return a grey or RGB picture sent through a profile for it."""
    way = shaper(icc)
    if image.mode in ("L", "LA"):
        if way is not None and fine is not None:
            return mapped_grey(image, (way.light(65536)[0] - way.black) / (1 - way.black), fine=fine)
        greys = Image.frombytes("L", (256, 1), bytes(range(256)))
        table = list(_through(greys, icc, "RGB").getchannel("G").tobytes())
        return image.point(table if image.mode == "L" else [*table, *range(256)])
    if way is not None and (fine is not None or way.black > 0):
        return mapped(image, way.light(256 if fine is None else 65536), way.matrix, black=way.black, fine=fine,
                      owned=owned)
    return _through(image, icc, image.mode, owned=owned)


def _through(image: Image.Image, icc: bytes, mode: str, *, owned: bool = False) -> Image.Image:
    """Return the picture sent through a profile to sRGB, as `mode`; no profile means Lab."""
    transform = _transform(icc, image.mode, exact=image.width * image.height <= _EXACT)
    # littleCMS writes every channel, so there is nothing to be filled before
    result = transform.apply(image, image if owned and image.mode == mode else Image.new(mode, image.size, None))
    result.info = {}  # the profile of sRGB, which nobody needs to be told
    return result


def _transform(icc: bytes, mode: str, *, exact: bool) -> ImageCms.ImageCmsTransform:
    """Return the way from a profile to sRGB; building one of inks takes a second, so some are kept.

    littleCMS lets threads share one.
    """
    key = (hashlib.sha256(icc).digest(), mode, exact)
    with _lock:  # also while building: two threads with the same inks want it once
        if key in _transforms:
            _transforms.move_to_end(key)
            return _transforms[key]
        built = _built(icc, mode, exact)
        _transforms[key] = built
        if len(_transforms) > _KEPT:
            _transforms.popitem(last=False)
    return built


def _built(icc: bytes, mode: str, exact: bool) -> ImageCms.ImageCmsTransform:
    """Build the way from a profile, which `profiles` has found usable, to sRGB."""
    source = opened(icc) if icc else ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    # A white that is not the profile's would be made white, and its neighbours bent towards it.
    flags = int(ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOWHITEONWHITEFIXUP)
    if mode == "L":  # 256 values, of which littleCMS would make a curve that is coarse in the dark
        flags |= int(ImageCms.Flags.NOOPTIMIZE)
    elif not source.profile.is_matrix_shaper:
        tables = _STEPS_33 if mode == "CMYK" else int(ImageCms.Flags.HIGHRESPRECALC)
        flags |= int(ImageCms.Flags.NOOPTIMIZE) if exact else tables
    target, out = ImageCms.createProfile("sRGB"), "RGBA" if mode == "RGBA" else "RGB"
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    try:
        return ImageCms.buildTransform(source, target, mode, out, intent, ImageCms.Flags(flags))
    except ImageCms.PyCMSError:  # of a strange one: as it was tried when it was judged
        return ImageCms.buildTransform(source, target, mode, out, intent, ImageCms.Flags.NOOPTIMIZE)


def _name(icc: bytes) -> str:
    """Return what a profile calls itself, fit for a sentence."""
    try:
        said = opened(icc).profile.profile_description or ""
    except (OSError, ValueError, ImageCms.PyCMSError):
        said = ""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
    return shown[:60] or "the embedded profile"
