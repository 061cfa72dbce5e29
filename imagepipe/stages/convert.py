"""Convert: upright, sRGB, 8 bits a channel, of a type that the store takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageColor

from imagepipe.asset import Asset, Color, Facts, Frame, Pixels
from imagepipe.errors import ConfigurationError

_TAKEN = frozenset({"jpeg", "png", "gif", "webp"})  # what leaves: the store takes it, and every browser shows it
_EXACT = frozenset({"bmp", "wbmp", "xbm"})  # taken too, but some importers refuse them; PNG holds the same pixels
_PHOTOGRAPHIC = frozenset({"heic", "avif", "jpeg2000", "raw", "jxl"})  # made by cameras, or for photographs
_FORMATS = ("auto", "keep", "jpeg", "png", "webp")
_COLORS = ("srgb", "keep")
_NAMES = {"webp": "WebP", "jpeg2000": "JPEG 2000", "raw": "camera raw", "jxl": "JPEG XL", "ico": "icon",
          "pixels": "pixels"}
_CHANNELS = {"L": "gray", "LA": "gray", "CMYK": "cmyk", "LAB": "lab"}
_SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height
_FEW = 256  # colours: as many as a palette has
_SAMPLE = 1 << 18  # pixels of which the sizes as PNG and as JPEG are compared


@dataclass(frozen=True)
class Convert:
    """Turn a picture upright, bring it to sRGB and 8 bits, and choose the type in which it will leave.

    One that is all that already is returned as it is. The type, with `format="auto"`: JPEG, PNG, GIF
    and WebP stay what they are; BMP, WBMP and XBM become PNG, pixel for pixel; of the others, what
    moves becomes an animated WebP, what is transparent anywhere becomes PNG, and the rest JPEG; but
    a TIFF, PSD, TGA, PPM or icon of at most 256 colours, of which a sample is smaller as PNG than as
    JPEG, is taken for a drawing and becomes PNG. `keep` never changes one
    of those four types; `jpeg`, `png` and `webp` ask for one. JPEG and PNG show the first frame of an
    animation (with the warning `animation_lost`), but an animated PNG stays one.

    Transparent parts are laid on `background` where the picture becomes a JPEG: because that
    is asked for (on white, if no colour is given), or because a colour is given.
    """

    format: str = "auto"  #: `auto`, `keep`, `jpeg`, `png` or `webp`.
    background: str | None = None  #: A colour as in CSS: `white`, `#f4f4f4`, `rgb(10, 20, 30)`.
    color: str = "srgb"  #: Or `keep`: values and profile stay as they are, where the new type can hold them.
    cmyk_profile: str | None = None  #: File of a profile for CMYK pictures that carry none.
    max_edge: int | None = None  #: The longest edge that will be wanted: lets a JPEG be decoded smaller.

    def __post_init__(self) -> None:
        if self.format not in _FORMATS:
            raise ConfigurationError(f"there is no format {self.format!r}; there are {', '.join(_FORMATS)}")
        if self.color not in _COLORS:
            raise ConfigurationError(f"color is {' or '.join(_COLORS)}, not {self.color!r}")
        if self.max_edge is not None and self.max_edge < 1:
            raise ConfigurationError(f"max_edge is {self.max_edge}, but a picture has at least one pixel")
        _ground(self.background)
        if self.cmyk_profile is not None:
            _profile(self.cmyk_profile)

    def __call__(self, asset: Asset) -> Asset:
        facts = asset.facts or _facts(asset)
        if asset.data is not None and self._complies(facts):
            return asset
        work = _Work(asset, facts, asset.pixels or self._decoded(asset, facts))
        work.turn()
        work.drop_idle_alpha()
        if self.format in ("jpeg", "png") and facts.format != self.format:
            work.keep_first_frame()
        if self.color == "srgb":
            work.to_srgb(self._inks())
        target = self._type(work)
        if self.color == "keep":
            work.fit_color(target, self._inks())
        if target == "jpeg":
            work.flatten(self.background)
        return work.done(target)

    def _complies(self, facts: Facts) -> bool:
        """Say whether a picture may leave as it is."""
        if facts.format not in _TAKEN or self.format not in ("auto", "keep", facts.format):
            return False
        return facts.orientation == 1 and facts.bit_depth <= 8 and (facts.is_srgb or self.color == "keep")

    def _decoded(self, asset: Asset, facts: Facts) -> Pixels:
        """Return the pixels of an asset that has only data. Raises what decoding raises."""
        from imagepipe.codecs.decode import decode

        if asset.data is None:
            raise ConfigurationError("Convert found neither data nor pixels; put Read and Decode in front of it")
        return decode(asset.data, facts.format, max_edge=self.max_edge)

    def _inks(self) -> bytes | None:
        return None if self.cmyk_profile is None else _profile(self.cmyk_profile)

    def _type(self, work: _Work) -> str:
        """Return the type in which the picture will leave."""
        received = work.facts.format
        if self.format not in ("auto", "keep"):
            return self.format
        if received in _TAKEN:
            return received
        if received in _EXACT:
            return "png"
        if len(work.pixels.frames) > 1:
            return "webp"
        if _has_alpha(work.pixels):
            if self.background is None:
                return "png"
            work.flatten(self.background)
        drawn = received not in _PHOTOGRAPHIC and _is_smaller_as_png(work.pixels.frames[0].image)
        return "png" if drawn else "jpeg"


class _Work:
    """A picture while it is converted, and what there is to say about it."""

    def __init__(self, asset: Asset, facts: Facts, pixels: Pixels) -> None:
        self.asset, self.facts, self.pixels = asset, facts, pixels
        self.notes: list[str] = []
        self.warning = ""
        scaled = facts.format == "jpeg" and pixels.size != (facts.width, facts.height)  # by a scaled decode
        self.lossless = asset.lossless and facts.bit_depth <= 8 and not scaled

    def turn(self) -> None:
        """Apply the orientation to all frames."""
        from imagepipe.codecs.encode import upright

        orientation = self.pixels.orientation
        if orientation == 1:
            return
        self.pixels = upright(self.pixels)
        if orientation in _SIDEWAYS and self.pixels.subsampling == "4:2:2":
            # Its chroma is halved the other way now, which is not written: only full chroma loses nothing.
            self.pixels = replace(self.pixels, subsampling="4:4:4")
        self.notes.append(f"turned upright (EXIF orientation {orientation})")

    def drop_idle_alpha(self) -> None:
        """Drop an alpha channel in which every pixel of every frame is shown in full."""
        images = [frame.image for frame in self.pixels.frames]
        if all(image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255) for image in images):
            self._change(lambda image: image.convert(image.mode[:-1]))
            self.notes.append("dropped an alpha channel that hides nothing")

    def keep_first_frame(self) -> None:
        """Drop all frames but the first."""
        first, *others = self.pixels.frames
        if others:
            self.pixels = replace(self.pixels, frames=(replace(first, duration=0),), loop=None)
            self.notes.append(f"the first of {1 + len(others)} frames taken")
            self.warning = "animation_lost"
            self.lossless = False

    def to_srgb(self, inks: bytes | None, because: str = "") -> None:
        """Bring the colours to sRGB."""
        from imagepipe.color import is_srgb, to_srgb

        notes: list[str] = []
        received = () if self.asset.pixels is None else self.asset.pixels.frames
        # one that was decoded or turned here, and is in no other frame: nobody misses what it was before
        ours = len(self.pixels.frames) == 1 and all(one.image is not self.pixels.frames[0].image for one in received)

        def converted(frame: Frame) -> Frame:
            result, note = to_srgb(frame.image, self.pixels.color, cmyk_profile=inks, fine=frame.fine, owned=ours)
            notes.append(note)
            return Frame(result, frame.duration)

        mode = self.pixels.frames[0].image.mode
        self.lossless = self.lossless and is_srgb(self.pixels.color, _CHANNELS.get(mode, "rgb"))
        self._change_frames(converted)
        if self.pixels.color != Color():
            self.pixels = replace(self.pixels, color=Color())
        if notes[0]:
            self.notes.append(notes[0] + because)

    def fit_color(self, target: str, inks: bytes | None) -> None:
        """Leave the colours as they are, and say what they mean in the way that the type `target` has for it."""
        from imagepipe.color import color_for

        color = color_for(target, self.pixels.color, _CHANNELS.get(self.pixels.frames[0].image.mode, "rgb"))
        if color is None:
            self.to_srgb(inks, f", as {_name(target)} cannot say otherwise")
        elif color != self.pixels.color:
            self.pixels = replace(self.pixels, color=color)

    def flatten(self, background: str | None) -> None:
        """Lay what is transparent on a colour."""
        if not _has_alpha(self.pixels):
            return
        ground = _ground(background)
        self._change(lambda image: _laid(image, ground))
        self.notes.append(f"transparent parts laid on {background or 'white'}")
        self.lossless = False

    def done(self, target: str) -> Asset:
        """Return the asset as it is now, to be encoded as `target`; itself where nothing was to be done."""
        from imagepipe.color import is_srgb

        asset, received = self.asset, self.facts.format
        image = self.pixels.frames[0].image
        self._change_frames(lambda frame: replace(frame, fine=None))  # which says nothing of colours that are kept
        if self.facts.bit_depth > 8:
            self.notes.append(f"from {self.facts.bit_depth} to 8 bits a channel")
        if received != target:
            self.notes.append(f"{_name(received)} to {_name(target)}")
        facts = Facts(target, *self.pixels.size, frames=len(self.pixels.frames), has_alpha=_has_alpha(self.pixels),
                      is_srgb=is_srgb(self.pixels.color, _CHANNELS.get(image.mode, "rgb")))
        if asset.data is None and self.pixels is asset.pixels and facts == asset.facts:
            return asset
        return asset.evolve(data=None, pixels=self.pixels, facts=facts, lossless=self.lossless,
                            notes=(*asset.notes, *self.notes), warning=self.warning)

    def _change(self, change: Callable[[Image.Image], Image.Image]) -> None:
        """Replace every frame's image by what `change` makes of it."""
        self._change_frames(lambda frame: replace(frame, image=change(frame.image)))

    def _change_frames(self, change: Callable[[Frame], Frame]) -> None:
        frames = tuple(map(change, self.pixels.frames))
        if any(new.image is not old.image or new.fine is not old.fine
               for new, old in zip(frames, self.pixels.frames, strict=True)):
            self.pixels = replace(self.pixels, frames=frames)


def _facts(asset: Asset) -> Facts:
    """Return what an asset is that did not pass through Decode. Raises what reading its header raises."""
    from imagepipe.color import is_srgb

    if asset.data is None:
        if asset.pixels is None:
            raise ConfigurationError("Convert found neither data nor pixels; put Read and Decode in front of it")
        return Facts("pixels", *asset.pixels.size, frames=len(asset.pixels.frames))
    from imagepipe.codecs import sniff
    from imagepipe.codecs.decode import read_any_header

    header = read_any_header(asset.data, sniff.identify(asset.data, asset.source).format or "unknown")
    return Facts(header.format, header.width, header.height, frames=header.frames, has_alpha=header.has_alpha,
                 bit_depth=header.bit_depth, orientation=header.orientation,
                 is_srgb=is_srgb(header.color, header.channels))


def _name(format: str) -> str:
    return _NAMES.get(format, format.upper())


def _has_alpha(pixels: Pixels) -> bool:
    return any(frame.image.mode.endswith("A") for frame in pixels.frames)


def _laid(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    """Return the picture laid on a plain colour: grey stays grey on a grey."""
    if not image.mode.endswith("A"):
        return image
    gray = image.mode == "LA" and len(set(ground)) == 1
    result = Image.new("L" if gray else "RGB", image.size, ground[0] if gray else ground)
    result.paste(image.convert(result.mode), mask=image.getchannel("A"))
    return result


def _is_smaller_as_png(image: Image.Image) -> bool:
    """Say whether this is a drawing or a text: of few colours, and smaller without loss than as a JPEG."""
    if image.mode not in ("L", "RGB") or image.getcolors(_FEW) is None:
        return False
    from imagepipe.codecs.encode import encode
    from imagepipe.codecs.sampling import mosaic

    sample = Pixels((Frame(mosaic(image, _SAMPLE, (256, 64))),))
    return len(encode(sample, "png")) < len(encode(sample, "jpeg"))


def _ground(background: str | None) -> tuple[int, int, int]:
    """Return a colour as red, green, blue. Raises `ConfigurationError` where it is none."""
    try:
        red, green, blue, *_ = ImageColor.getrgb(background or "white")
    except ValueError as error:
        raise ConfigurationError(f"{background!r} is no colour; write it as in CSS: white, #f4f4f4, rgb(10, 20, 30)"
                                 ) from error
    return red, green, blue


@lru_cache(maxsize=8)
def _profile(path: str) -> bytes:
    """Return the profile for CMYK in a file. Raises `ConfigurationError` where there is none."""
    from imagepipe.color import is_broken_profile

    try:
        profile = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the CMYK profile {path} cannot be read: {error.strerror}") from error
    if is_broken_profile(profile, "cmyk"):
        raise ConfigurationError(f"{path} is no usable ICC profile for CMYK")
    return profile
