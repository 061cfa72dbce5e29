"""Strip: nothing but the picture leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from imagepipe import codecs
from imagepipe.asset import Asset, Pixels
from imagepipe.codecs import profile, sniff
from imagepipe.codecs.container import KEEPABLE, listed
from imagepipe.errors import ConfigurationError


@dataclass(frozen=True)
class Strip:
    """Cut everything out of a picture's file that does not show the picture; pixels stay as they are.

    What goes: EXIF with its position, thumbnail and maker notes, XMP, IPTC, comments, texts, what
    programs put in for themselves, further pictures and films, and whatever follows the end. What
    stays: an orientation other than upright, and a profile that is not sRGB, so that it may stand
    before or behind `Convert`.
    """

    keep: frozenset[str] = frozenset()  #: What stays nevertheless: `copyright`, `icc`, `exif`, `xmp`.

    def __init__(self, keep: Iterable[str] = frozenset()) -> None:
        words = frozenset((keep,) if isinstance(keep, str) else keep)
        if words - KEEPABLE:
            raise ConfigurationError(f"Strip cannot keep {listed(sorted(words - KEEPABLE))}; "
                                     f"it can keep {listed(sorted(KEEPABLE))}")
        object.__setattr__(self, "keep", words)

    def __repr__(self) -> str:
        # sorted: the recipe of a pipeline is the same text in every process
        return f"Strip(keep={{{', '.join(map(repr, sorted(self.keep)))}}})" if self.keep else "Strip()"

    def __call__(self, asset: Asset) -> Asset:
        if asset.pixels is not None:
            pixels = _stripped(asset.pixels, self.keep)
            if pixels is not asset.pixels:
                asset = asset.evolve(pixels=pixels)
        if asset.data is None:
            return asset
        format = asset.facts.format if asset.facts else sniff.identify(asset.data, asset.source).format
        if format not in codecs.REBUILT:
            return asset  # of a type that has to change: encoders write only what they are told
        cleaned = codecs.clean(asset.data, format, self.keep)
        if cleaned.data is asset.data:
            return asset
        removed = f"removed {listed(cleaned.removed)}" if cleaned.removed else "tidied the container"
        return asset.evolve(data=cleaned.data, note=removed)


def _stripped(pixels: Pixels, keep: frozenset[str]) -> Pixels:
    """Return the pixels with only the metadata and the profile that the rebuilt container would have."""
    kept = keep | {"artist"} if "copyright" in keep else keep
    metadata = {name: value for name, value in pixels.metadata.items() if name in kept}
    color, icc = pixels.color, pixels.color.icc
    if icc is not None:
        mode = pixels.frames[0].image.mode
        channels = {"L": "gray", "LA": "gray", "1": "gray", "I;16": "gray", "I": "gray", "F": "gray",
                    "CMYK": "cmyk"}.get(mode, "rgb")
        sound = profile.sound(icc, channels) if mode != "LAB" else icc
        worth = sound is not None and profile.is_worth_keeping(sound, keep)
        color = replace(color, icc=sound if worth else None)
    if len(metadata) == len(pixels.metadata) and color == pixels.color:
        return pixels
    return replace(pixels, metadata=metadata, color=color)
