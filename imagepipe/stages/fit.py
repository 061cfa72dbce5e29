"""Fit: what leaves is within the limits, at the best quality that they allow."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from imagepipe import codecs
from imagepipe.asset import Asset, Facts, Pixels
from imagepipe.codecs.encode import DEFAULT_QUALITY, MAX_SIDE, encode, upright
from imagepipe.codecs.encode_png import is_opaque
from imagepipe.codecs.encode_within import (
    Fitted,
    Range,
    fit_lossless,
    fit_quality,
    quality_size_at,
    resized,
    scaled,
    shrunk,
)
from imagepipe.errors import CannotFit, ConfigurationError

#: The longer side of the store's zoom view, in pixels: below it, zooming shows nothing more.
ZOOM = 1280

_BEST = 95  # more than this costs many bytes and shows nothing
_LEAST = 85  # for pictures whose pixels are new: made smaller, or never compressed before


@dataclass(frozen=True)
class Fit:
    """Encode what has to be encoded, so that it is within the limits; leave alone what is.

    The result is never over `max_bytes`, and a JPEG or lossy WebP that the limit binds is at the
    best quality that fits (`imagepipe.fitting` says how that is known). Below `min_quality` it gets
    fewer pixels instead. A PNG that does not fit becomes a WebP or, if it is opaque, a JPEG, where
    `may_change_type`; an animated GIF becomes an animated WebP.

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
        return _Fitting(self, asset, facts).result()

    def edge(self, format: str) -> int:
        """Return how long a side of a picture of this type may be."""
        limits = [MAX_SIDE.get(format, 2**31 - 1)]
        if self.max_edge is not None:
            limits.append(self.max_edge)
        if format == "gif":
            limits.append(self.max_gif_edge)
        return min(limits)

    def _complies(self, facts: Facts, size: int) -> bool:
        return (size <= self.max_bytes and max(facts.width, facts.height) <= self.edge(facts.format)
                and (facts.format != "gif" or facts.frames <= self.max_gif_frames))


class _Fitting:
    """One picture on its way into the limits."""

    def __init__(self, limits: Fit, asset: Asset, facts: Facts) -> None:
        self.limits, self.asset, self.facts = limits, asset, facts
        self.had_data = asset.data is not None
        self.format = facts.format if facts.format in MAX_SIDE else "png" if facts.has_alpha else "jpeg"
        pixels = asset.pixels or self._decoded()
        self.received = upright(pixels).size if pixels.orientation != 1 else pixels.size
        if self.had_data:  # a JPEG is decoded at a smaller scale where that will do
            self.received = (facts.width, facts.height)
            if pixels.orientation > 4:
                self.received = (facts.height, facts.width)
        self.quality, self.subsampling = pixels.quality, pixels.subsampling
        self.pixels = self._sized(pixels, limits.edge(self.format))
        self.is_resized = self.pixels.size != self.received

    def result(self) -> Asset:
        """Return the asset with its data."""
        fitted = self._still() if len(self.pixels.frames) == 1 else self._animated()
        if fitted.data is None:
            raise CannotFit(self.limits.max_bytes, round(fitted.bytes), self._advice())
        data, facts = fitted.data, self.facts
        header = codecs.read_header(data, fitted.format)
        asset = self.asset
        changes = replace(facts, format=fitted.format, width=header.width, height=header.height, frames=header.frames,
                          has_alpha=header.has_alpha, bit_depth=header.bit_depth, orientation=1)
        same = fitted.quality is None and fitted.size == self.received and self._is_exact(fitted)
        asset = asset.evolve(data=data, pixels=None, facts=changes, lossless=asset.lossless and same)
        for note in self._notes(fitted):
            asset = asset.evolve(note=note)
        return _checked_for_zoom(asset, changes)

    # -- still pictures ------------------------------------------------------------------------

    def _still(self) -> Fitted:
        ways = {"jpeg": self._as_jpeg, "png": self._as_png, "webp": self._as_webp, "gif": self._as_gif}
        return ways[self.format]()

    def _as_jpeg(self) -> Fitted:
        allowed = self._range()
        fitted = self._lossy("jpeg", self._budget(), allowed)
        if fitted.data is None and self._budget() < self.limits.max_bytes:  # rather larger than visibly worse
            allowed = Range(allowed.low, min(allowed.high, self.quality or _LEAST))
            fitted = self._lossy("jpeg", self.limits.max_bytes, allowed)
        if fitted.data is not None:
            return fitted
        fitted = self._smaller("jpeg", allowed)
        if fitted.data is None and self.limits.may_change_type:
            smaller = self._smaller_lossless("png")
            return smaller if smaller.data is not None else fitted
        return fitted

    def _as_png(self) -> Fitted:
        budget = self.limits.max_bytes
        fitted = fit_lossless(self.pixels, "png", budget)
        if fitted.data is not None:
            return fitted
        encodes = fitted.encodes
        if not self.limits.may_change_type:
            return self._smaller_lossless("png")
        image = self.pixels.frames[0].image
        opaque = is_opaque(image)
        if not opaque or image.getcolors(1024) is not None:
            webp = self._webp_if_it_may(lossless=True)
            if webp is not None and webp.data is not None:
                return replace(webp, encodes=webp.encodes + encodes)
        format = "jpeg" if opaque and max(self.pixels.size) <= MAX_SIDE["jpeg"] else "webp"
        if format == "webp" and max(self.pixels.size) > MAX_SIDE["webp"]:
            self.pixels = self._sized(self.pixels, MAX_SIDE["webp"])
        allowed = self._range()
        fitted = self._lossy(format, budget, allowed)
        return fitted if fitted.data is not None else self._smaller(format, allowed)

    def _as_webp(self) -> Fitted:
        allowed = self._range()
        if self._was_lossless():
            fitted = fit_lossless(self.pixels, "webp", self._budget())
            if fitted.data is not None:
                return fitted
        fitted = self._lossy("webp", self._budget(), allowed)
        return fitted if fitted.data is not None else self._smaller("webp", allowed)

    def _as_gif(self) -> Fitted:
        fitted = fit_lossless(self.pixels, "gif", self.limits.max_bytes)
        if fitted.data is not None:
            return fitted
        return self._as_png() if self.limits.may_change_type else self._smaller_lossless("gif")

    def _webp_if_it_may(self, *, lossless: bool) -> Fitted | None:
        if max(self.pixels.size) > MAX_SIDE["webp"]:
            return None
        return fit_lossless(self.pixels, "webp", self.limits.max_bytes) if lossless else None

    # -- animations ----------------------------------------------------------------------------

    def _animated(self) -> Fitted:
        budget, may_change = self.limits.max_bytes, self.limits.may_change_type
        if self.format == "jpeg":
            self.pixels = replace(self.pixels, frames=self.pixels.frames[:1])
            return self._as_jpeg()
        too_many = self.format == "gif" and len(self.pixels.frames) > self.limits.max_gif_frames
        if too_many and not may_change:
            self.pixels = _thinned(self.pixels, self.limits.max_gif_frames)
            too_many = False
        allowed = self._range()
        if not too_many:
            if self.format == "webp" and not self._was_lossless():
                fitted = self._lossy("webp", budget, allowed)
                return fitted if fitted.data is not None else self._smaller("webp", allowed)
            fitted = fit_lossless(self.pixels, self.format, budget)
            if fitted.data is not None:
                return fitted
            if not may_change:
                return self._smaller_lossless(self.format)
        if max(self.pixels.size) > MAX_SIDE["webp"]:
            self.pixels = self._sized(self.pixels, MAX_SIDE["webp"])
        fitted = self._lossy("webp", budget, allowed)
        return fitted if fitted.data is not None else self._smaller("webp", allowed)

    # -- what they share -----------------------------------------------------------------------

    def _lossy(self, format: str, budget: int, allowed: Range) -> Fitted:
        return fit_quality(self.pixels, format, budget, allowed)

    def _smaller(self, format: str, allowed: Range) -> Fitted:
        """Return the picture with fewer pixels, at a quality a little above the lowest."""
        budget = self.limits.max_bytes
        aim = allowed.low + min(4, (allowed.high - allowed.low) / 3)
        return shrunk(self.pixels, lambda smaller: fit_quality(smaller, format, budget, allowed),
                      quality_size_at(self.pixels, format, aim), budget)

    def _smaller_lossless(self, format: str) -> Fitted:
        budget = self.limits.max_bytes
        whole = len(encode(self.pixels, format, lossless=True))
        return shrunk(self.pixels, lambda smaller: fit_lossless(smaller, format, budget),
                      lambda factor: whole * factor ** 1.7, budget)

    def _range(self) -> Range:
        """Return which qualities are allowed."""
        high: float
        if self.limits.quality is not None:
            high = self.limits.quality
        elif self.is_resized or self.quality is None:
            is_too_large = self.had_data and len(self.asset.data or b"") > self.limits.max_bytes
            high = _BEST if is_too_large and not self.is_resized else min(_BEST, max(_LEAST, self.quality
                                                                                    or DEFAULT_QUALITY))
        elif self.had_data and len(self.asset.data or b"") > self.limits.max_bytes:
            high = self.quality  # the bytes bind, not habit
        else:
            high = min(_BEST, max(self.quality, 75))
        return Range(min(self.limits.min_quality, high), high)

    def _budget(self) -> int:
        """Return how many bytes there may be: no more than came in, where the type stays the same."""
        received = self.asset.received
        if received is None or self.quality is None or self.format != "jpeg":
            return self.limits.max_bytes
        return min(self.limits.max_bytes, received.size)

    def _was_lossless(self) -> bool:
        """Say whether the picture came from a lossless WebP, or from something else without loss."""
        data = self.asset.data
        if data is None:
            return self.asset.lossless and self.quality is None
        return b"VP8L" in data[:4096] and b"VP8 " not in data[:4096]

    def _decoded(self) -> Pixels:
        from imagepipe.codecs.decode import decode  # pulls in what the untouched path needs none of

        if self.asset.data is None:
            raise ConfigurationError("Fit needs a picture: put Read and Decode before it")
        edge = self.limits.edge(self.format)
        return decode(self.asset.data, self.facts.format, max_edge=edge if max(
            self.facts.width, self.facts.height) > edge else None, max_frames=100_000)

    def _sized(self, pixels: Pixels, edge: int) -> Pixels:
        """Return the picture upright, and its longer side no longer than `edge`."""
        longest = max(self.received)
        size = self.received if longest <= edge else scaled(self.received, edge / longest)
        turned = (size[1], size[0]) if pixels.orientation > 4 else size
        return upright(resized(pixels, turned))

    def _is_exact(self, fitted: Fitted) -> bool:
        """Say whether a GIF holds the very pixels; the other types that have no quality do."""
        if fitted.format != "gif" or fitted.data is None:
            return True
        return _gif_is_exact(fitted.data, self.pixels)

    def _notes(self, fitted: Fitted) -> list[str]:
        notes = []
        sent, came = len(fitted.data or b""), self._came_as()
        if fitted.size != self.received:
            notes.append(f"reduced from {self.received[0]} x {self.received[1]} to {fitted.size[0]} x {fitted.size[1]}")
        if fitted.format != self.facts.format:
            notes.append(f"{_NAMES[self.facts.format] if self.facts.format in _NAMES else self.facts.format.upper()} "
                         f"to {_NAMES[fitted.format]}" + ("" if fitted.quality is not None else " without loss"))
        at = "" if fitted.quality is None else f" at quality {fitted.quality:g}"
        if came is None:
            notes.append(f"encoded as {_NAMES[fitted.format]}, {_mb(sent)}{at}")
        elif sent > came:
            notes.append(f"grew from {_mb(came)} to {_mb(sent)}{at}")
        else:
            notes.append(f"reduced from {_mb(came)} to {_mb(sent)}{at}")
        return notes

    def _came_as(self) -> int | None:
        """Return how many bytes came in."""
        if self.asset.received is not None:
            return self.asset.received.size
        return None if self.asset.data is None else len(self.asset.data)

    def _advice(self) -> str:
        if not self.limits.may_change_type:
            return "raise --max-bytes, lower --min-quality or let the type change"
        return "raise --max-bytes or lower --min-quality"


_NAMES = {"jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WebP"}


def _facts(asset: Asset) -> Facts:
    """Return the facts of a picture that has not been through Decode."""
    if asset.data is None:
        if asset.pixels is None:
            raise ConfigurationError("Fit needs a picture: put Read and Decode before it")
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


def _thinned(pixels: Pixels, most: int) -> Pixels:
    """Return at most so many frames of an animation; those that stay are shown for longer."""
    count = len(pixels.frames)
    starts = [index * count // most for index in range(most)] + [count]
    frames = []
    for start, end in zip(starts, starts[1:], strict=False):
        group = pixels.frames[start:end]
        frames.append(replace(group[0], duration=sum(frame.duration for frame in group)))
    return replace(pixels, frames=tuple(frames))


def _gif_is_exact(data: bytes, pixels: Pixels) -> bool:
    from PIL import Image, ImageChops

    with Image.open(io.BytesIO(data), formats=["GIF"]) as written:
        for index, frame in enumerate(pixels.frames):
            written.seek(index)
            if ImageChops.difference(written.convert("RGBA"), frame.image.convert("RGBA")).getbbox(alpha_only=False):
                return False
    return True


def _mb(size: int) -> str:
    if size >= 100_000:
        return f"{size / 1e6:.1f} MB"
    return f"{size / 1e3:.1f} kB" if size >= 1000 else f"{size} bytes"
