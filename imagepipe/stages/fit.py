"""Fit: what leaves is within the limits, at the best quality that they allow."""

from __future__ import annotations

from dataclasses import dataclass

from imagepipe.asset import Asset, Facts
from imagepipe.errors import ConfigurationError

#: The longer side of the store's zoom view, in pixels: below it, zooming shows nothing more.
ZOOM = 1280


@dataclass(frozen=True)
class Fit:
    """Encode what has to be encoded, so that it is within the limits; leave alone what is.

    The result is never over `max_bytes`, and a JPEG or lossy WebP that the limit binds is at the
    best quality that fits (`imagepipe.fitting` says how that is known). Below `min_quality` it gets
    fewer pixels instead; a GIF first gets fewer colours, down to 32.

    A picture that keeps its type is no larger than it was received, if there is a way: more effort, a
    palette for what came in one or does not show it, a lower quality where the bytes say that it was no
    better before, a lossless WebP where `may_change_type`. Rather than visibly worse it is larger, and
    the notes say so.

    A PNG that does not fit becomes a WebP or, if it is opaque, a JPEG, where `may_change_type`; an animated
    GIF becomes an animated WebP.

    `quality` is the best that may be used; None: that of the source where it is known, so that
    encoding again is not visibly worse, and no more than 95.
    """

    max_bytes: int = 8_000_000
    max_edge: int | None = None  #: Of the longer side, in pixels; nothing is enlarged.
    quality: int | None = None  #: 1 to 100.
    min_quality: int = 70  #: ssimulacra2 of about 70 on photographs, where artefacts begin to show at full size.
    may_change_type: bool = True
    max_gif_edge: int = 5120  #: Of a GIF, in pixels; the store takes no more.
    max_gif_frames: int = 150

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_edge", "max_gif_edge", "max_gif_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} has to be at least 1, not {value}")
        for name in ("quality", "min_quality"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 100:
                raise ConfigurationError(f"{name} has to be from 1 to 100, not {value}")

    def __call__(self, asset: Asset) -> Asset:
        facts = asset.facts or _facts(asset)
        if asset.data is not None and self._complies(facts, len(asset.data)):
            return _checked_for_zoom(asset if asset.facts else asset.evolve(facts=facts), facts)
        from imagepipe.fitting.ways import Fitting  # encoders are not needed for what complies

        return _checked_for_zoom(*Fitting(self, asset, facts).result())

    def edge(self, format: str) -> int:
        """Return how long a side of a picture of this type may be."""
        from imagepipe.codecs.encode import MAX_SIDE

        limits = [MAX_SIDE.get(format, 2**31 - 1)]
        if self.max_edge is not None:
            limits.append(self.max_edge)
        if format == "gif":
            limits.append(self.max_gif_edge)
        return min(limits)

    def _complies(self, facts: Facts, size: int) -> bool:
        return (size <= self.max_bytes and max(facts.width, facts.height) <= self.edge(facts.format)
                and (facts.format != "gif" or facts.frames <= self.max_gif_frames))


def _facts(asset: Asset) -> Facts:
    """Return the facts of a picture that has not been through Decode."""
    if asset.data is None:
        if asset.pixels is None:
            raise ConfigurationError("Fit needs a picture: put Read and Decode before it")
        from imagepipe.codecs.encode_png import is_opaque

        opaque = all(is_opaque(frame.image) for frame in asset.pixels.frames)
        frames = len(asset.pixels.frames)
        return Facts("gif" if frames > 1 else "jpeg" if opaque else "png", *asset.pixels.size, frames=frames,
                     has_alpha=not opaque)
    from imagepipe.codecs.decode import read_any_header
    from imagepipe.codecs.sniff import identify
    from imagepipe.color import is_srgb
    from imagepipe.errors import NotAnImage

    kind = identify(asset.data, asset.source)
    if kind.format is None:
        raise NotAnImage(f"{asset.source} is {kind.name}")
    header = read_any_header(asset.data, kind.format)
    return Facts(kind.format, header.width, header.height, header.frames, header.has_alpha, header.bit_depth,
                 header.orientation, is_srgb(header.color, header.channels))


def _checked_for_zoom(asset: Asset, facts: Facts) -> Asset:
    """Return the asset, with a warning where it has too few pixels to be zoomed into."""
    if max(facts.width, facts.height) >= ZOOM or "too_small_for_zoom" in asset.warnings:
        return asset
    return asset.evolve(warning="too_small_for_zoom")
