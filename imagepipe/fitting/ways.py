"""What Fit tries with a picture, in which order, and what it says of the result."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from imagepipe import codecs
from imagepipe.asset import Asset, Facts, Pixels
from imagepipe.codecs.encode import DEFAULT_QUALITY, MAX_SIDE, upright
from imagepipe.codecs.encode_png import is_opaque
from imagepipe.codecs.webp import is_lossless
from imagepipe.errors import CannotFit, ConfigurationError
from imagepipe.fitting.colors import LEAST_COLORS, colors_of, few_enough, fit_colors, in_palette
from imagepipe.fitting.curve import ENCODES
from imagepipe.fitting.frames import is_exact_gif, thinned
from imagepipe.fitting.meaning import fit_meaning, meaning_in
from imagepipe.fitting.notes import notes
from imagepipe.fitting.sample import part_of
from imagepipe.fitting.shrink import lossless_size_at, quality_size_at, resized, scaled, shrunk
from imagepipe.fitting.within import Fitted, Range, fit_lossless, fit_quality, lossless_size

if TYPE_CHECKING:
    from imagepipe.stages.fit import Fit

_BEST = 95  # ssimulacra2 of 92.6 in full chroma; 100 takes more than twice the bytes and shows nothing more
_LEAST = 85  # for pictures whose pixels are new: made smaller, or never compressed before
_AGAIN = 75  # for pictures that were compressed more strongly: a second time shows, unless it is milder
_AS_IT_WAS = 40  # of a lossy WebP, whose quality nobody knows: in the bytes that it came in, it is about as good again
_PATIENCE = {"png": 4_000_000, "webp": 1 << 18}  # pixels that more effort is made for
_SHRUNK_COLORS = 64  # of a GIF that gets fewer pixels: a little above the least, as with qualities
_LITTLE = 1.1  # as many times the bytes as came in are better than colours whose loss may be seen
_BLENDS = 4  # colours for each that there was, where there were few: edges are made of them


class Fitting:
    """One picture on its way into the limits."""

    def __init__(self, limits: Fit, asset: Asset, facts: Facts) -> None:
        self.limits, self.asset, self.facts = limits, asset, facts
        self.left = ENCODES  # of the whole picture, over all that is tried
        self.had_data = asset.data is not None
        self.format = facts.format if facts.format in MAX_SIDE else "png" if facts.has_alpha else "jpeg"
        pixels = asset.pixels or self._decoded()
        self.received = upright(pixels).size if pixels.orientation != 1 else pixels.size
        if self.had_data:  # a JPEG is decoded at a smaller scale where that will do
            self.received = (facts.width, facts.height)
            if pixels.orientation > 4:
                self.received = (facts.height, facts.width)
        self.colors = colors_of(pixels) if self.format in ("png", "gif") else None
        self.quality, self.subsampling = pixels.quality, pixels.subsampling
        self.pixels = self._sized(pixels, limits.edge(self.format))
        self.is_resized = self.pixels.size != self.received
        self.is_thinned = False  # frames were dropped
        self.exact: dict[tuple[str, bool], Fitted] = {}  # without loss, by type, and whether more effort was made

    def result(self) -> tuple[Asset, Facts]:
        """Return the asset with its data, and its facts. Raises `CannotFit`, and what decoding raises."""
        fitted = self._still() if len(self.pixels.frames) == 1 else self._animated()
        if fitted.data is None:
            raise CannotFit(self.limits.max_bytes, round(fitted.bytes), self._advice())
        data, facts = fitted.data, self.facts
        header = codecs.read_header(data, fitted.format)
        asset = self.asset
        # encoders of animations mark what did not change as transparent, which shows nothing
        shows_holes = header.has_alpha and not all(is_opaque(frame.image) for frame in self.pixels.frames)
        changes = replace(facts, format=fitted.format, width=header.width, height=header.height, frames=header.frames,
                          has_alpha=shows_holes, bit_depth=header.bit_depth, orientation=1,
                          is_srgb=facts.is_srgb or meaning_in(fitted.format, self.pixels) is None)
        same = self._is_same(fitted)
        asset = asset.evolve(data=data, pixels=None, facts=changes, lossless=asset.lossless and same)
        sentences = notes(fitted, self.facts, self.received, self._came_as(), self.limits.max_bytes, exact=same)
        if meaning_in(fitted.format, self.pixels) is None:
            sentences.append("converted to sRGB, as the new type cannot say otherwise")
        if self.is_thinned:
            sentences.append(f"{facts.frames} frames thinned to {header.frames}")
        asset = asset.evolve(notes=(*asset.notes, *sentences))
        return asset, changes

    # -- still pictures ------------------------------------------------------------------------

    def _still(self) -> Fitted:
        ways = {"jpeg": self._as_jpeg, "png": self._as_png, "webp": self._as_webp, "gif": self._as_gif}
        return ways[self.format]()

    def _as_jpeg(self) -> Fitted:
        allowed = self._range()
        if self._budget() < self.limits.max_bytes:  # not to grow, it may be a little below what it came with
            own = self.quality or _LEAST
            fitted = self._lossy("jpeg", self._budget(), Range(min(allowed.low, max(1, own - 3)), allowed.high),
                                 self.left - 1)
            if fitted.data is not None:
                return fitted
            allowed = Range(min(allowed.low, own), min(allowed.high, own))  # rather larger than visibly worse
        fitted = self._lossy("jpeg", self.limits.max_bytes, allowed)
        if fitted.data is not None:
            return fitted
        fitted = self._smaller("jpeg", allowed)
        if fitted.data is None and self.limits.may_change_type:
            smaller = self._smaller_lossless("png")
            return smaller if smaller.data is not None else fitted
        return fitted

    def _as_png(self) -> Fitted:
        budget = self._budget()
        exact = self._exact("png", budget)
        if exact.data is not None:
            return exact
        may_change = self.limits.may_change_type
        grows = budget < self.limits.max_bytes
        # where nothing fits so far, the last encode is for what has a loss
        may_try = self._smallest("png").data is not None or self.left > 1
        fewer = self._in_palette(budget) if grows and may_try and self._is_new() else exact
        if fewer.data is not None and fewer.bytes <= budget:
            return fewer
        image = self.pixels.frames[0].image
        opaque = is_opaque(image)
        may_try = self._smallest("png").data is not None or self.left > 1
        if may_change and may_try and (grows or not opaque or image.getcolors(1024) is not None):
            webp = self._exact("webp", budget)
            if webp.data is not None:
                return webp
        if grows:  # rather larger than with a loss
            larger = self._smallest("png")
            if larger.data is not None:
                return larger if fewer.data is None or larger.bytes < fewer.bytes else fewer
        if not may_change:
            return self._smaller_lossless("png")
        format = "jpeg" if opaque and max(self.pixels.size) <= MAX_SIDE["jpeg"] else "webp"
        return self._lossy_or_smaller(format)

    def _as_webp(self) -> Fitted:
        if self._was_lossless():
            fitted = self._exact("webp", self._budget())
            if fitted.data is None:
                fitted = self._smallest("webp")
            if fitted.data is not None:
                return fitted
        elif self._budget() < self.limits.max_bytes:  # not to grow; but rather larger than visibly worse
            high = self._range().high
            fitted = self._lossy("webp", self._budget(), Range(min(high, _AS_IT_WAS), high), self.left - 1)
            if fitted.data is not None:
                return fitted
            again = min(high, _AGAIN)
            return self._lossy_or_smaller("webp", Range(min(self.limits.min_quality, again), again))
        return self._lossy_or_smaller("webp")

    def _as_gif(self) -> Fitted:
        budget, may_change = self._budget(), self.limits.may_change_type
        exact = self._lossless("gif", budget)
        if exact.data is not None:
            return exact
        if budget < self.limits.max_bytes:
            fitted = self._smaller_gif(budget)
            if fitted.data is not None:
                return fitted
        if may_change:
            return self._as_png() if len(self.pixels.frames) == 1 else self._moving_webp()
        fitted = self._colors(self.limits.max_bytes, LEAST_COLORS, self.left - 1)
        if fitted.data is not None:
            return fitted
        return self._smaller_lossless("gif", min(_SHRUNK_COLORS, (self.colors or 256) * _BLENDS))

    def _smaller_gif(self, budget: int) -> Fitted:
        """Return a GIF that would grow in fewer colours, where that is not seen, or as another type without loss.

        It is rather larger than visibly worse.
        """
        fitted = self._lossless("gif", self.limits.max_bytes)
        if fitted.data is None:  # what binds is the limit, and what has a loss needs the encodes that are left
            return fitted
        least = (few_enough(self.pixels, self.colors) or 256) if self._is_new() else None
        if least is not None:
            fewer = self._colors(budget, least, 2)
            if fewer.data is not None:
                return fewer
        if self.limits.may_change_type and lossless_size(part_of(self.pixels), "webp", lossless=True) < budget * 1.2:
            webp = self._exact("webp", budget)
            if webp.data is not None:
                return webp
        if least is not None and self.left > 0:
            fewer = fit_lossless(self.pixels, "gif", self.limits.max_bytes, colors=least)
            if fewer.data is not None and fewer.bytes < fitted.bytes:
                return fewer
        return fitted

    # -- animations ----------------------------------------------------------------------------

    def _animated(self) -> Fitted:
        frames, most = self.pixels.frames, self.limits.max_gif_frames
        if self.format == "jpeg":
            self.pixels = replace(self.pixels, frames=frames[:1])
            return self._as_jpeg()
        if self.format == "gif" and len(frames) > most:
            if self.limits.may_change_type:
                return self._moving_webp()
            self.pixels = thinned(self.pixels, most)
            self.is_thinned = True
        return {"gif": self._as_gif, "png": self._as_png, "webp": self._as_webp}[self.format]()

    def _moving_webp(self) -> Fitted:
        exact = self._lossless("webp", self.limits.max_bytes)
        return exact if exact.data is not None else self._lossy_or_smaller("webp")

    # -- what they share -----------------------------------------------------------------------

    def _exact(self, format: str, budget: int) -> Fitted:
        """Return the picture without loss, if that fits; with more effort where it would only be larger than before."""
        fitted = self._lossless(format, budget)
        if fitted.data is None and budget < self.limits.max_bytes and self.left > 1 and self._is_worth_it(format):
            fitted = self._lossless(format, budget, hard=True)
        return fitted

    def _is_worth_it(self, format: str) -> bool:
        """Say whether more effort takes no more than a few seconds."""
        return self.pixels.size[0] * self.pixels.size[1] * len(self.pixels.frames) <= _PATIENCE[format]

    def _lossless(self, format: str, budget: int, *, hard: bool = False) -> Fitted:
        """Return the picture without loss, if that fits; what was encoded before is not encoded again."""
        if max(self.pixels.size) > MAX_SIDE[format]:
            return Fitted(None, format, self.pixels.size, math.inf)
        before = self.exact.get((format, hard))
        if before is None or (before.data is None and before.bytes <= budget):
            before = fit_lossless(fit_meaning(format, self.pixels), format, self.limits.max_bytes, hard=hard)
            self.exact[format, hard] = before
            self.left -= before.encodes
        return before if len(before.data or b"") <= budget else replace(before, data=None)

    def _smallest(self, format: str) -> Fitted:
        """Return the smallest of what was made without loss, if that fits into the limit."""
        return min((self.exact[format, hard] for hard in (False, True) if (format, hard) in self.exact),
                   key=lambda fitted: fitted.bytes)

    def _in_palette(self, budget: int) -> Fitted:
        """Return a picture whose pixels are new as a PNG of few colours, where that is not seen.

        One that came in few has few again, unless it would only be a little larger without.
        """
        came = self.colors if self._smallest("png").bytes > budget * _LITTLE else None
        few = few_enough(self.pixels, came) if self._is_worth_it("png") else None
        pixels = None if few is None else in_palette(self.pixels, few)
        if pixels is None:
            return Fitted(None, "png", self.pixels.size, math.inf)
        fitted = fit_lossless(pixels, "png", self.limits.max_bytes, hard=True)
        self.left -= fitted.encodes
        return replace(fitted, colors=colors_of(pixels))

    def _colors(self, budget: int, low: int, most: int) -> Fitted:
        fitted = fit_colors(self.pixels, budget, low, max(1, most))
        self.left -= fitted.encodes
        return fitted

    def _lossy(self, format: str, budget: int, allowed: Range, most: int | None = None) -> Fitted:
        fitted = fit_quality(fit_meaning(format, self.pixels), format, budget, allowed,
                             max(1, self.left if most is None else most))
        self.left -= fitted.encodes
        return fitted

    def _lossy_or_smaller(self, format: str, allowed: Range | None = None) -> Fitted:
        if max(self.pixels.size) > MAX_SIDE[format]:
            self.pixels = self._sized(self.pixels, MAX_SIDE[format])
        allowed = allowed or self._range()
        fitted = self._lossy(format, self.limits.max_bytes, allowed)
        return fitted if fitted.data is not None else self._smaller(format, allowed)

    def _smaller(self, format: str, allowed: Range) -> Fitted:
        """Return the picture with fewer pixels, at a quality a little above the lowest."""
        budget = self.limits.max_bytes
        aim = allowed.low + min(4, (allowed.high - allowed.low) / 3)
        pixels = fit_meaning(format, self.pixels)
        return shrunk(pixels, lambda smaller, most: fit_quality(smaller, format, budget, allowed, most),
                      quality_size_at(pixels, format, aim), budget, self.left, aim)

    def _smaller_lossless(self, format: str, colors: int | None = None) -> Fitted:
        """Return the picture with fewer pixels, without loss but for that, and of `colors`."""
        budget = self.limits.max_bytes
        how = {} if colors is None else {"colors": colors, "together": True}
        pixels = fit_meaning(format, self.pixels)
        return shrunk(pixels, lambda smaller, most: fit_lossless(smaller, format, budget, colors=colors),
                      lossless_size_at(pixels, format, **how), budget, self.left)

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
            high = min(_BEST, max(self.quality, _AGAIN))
        return Range(min(self.limits.min_quality, high), high)

    def _budget(self) -> int:
        """Return how many bytes there may be: no more than came in, where the type stays the same."""
        came = self._came_as()
        if came is None or self._came_format() != self.format:
            return self.limits.max_bytes
        return min(self.limits.max_bytes, came)

    def _is_new(self) -> bool:
        """Say whether the pixels are others than those that came in."""
        return self.is_resized or not self.asset.lossless

    def _came_format(self) -> str | None:
        """Return the type that came in."""
        if self.had_data:
            return self.facts.format
        if self.asset.received is not None and self.asset.received.format is not None:
            return self.asset.received.format
        return "jpeg" if self.quality is not None else None

    def _was_lossless(self) -> bool:
        """Say whether the picture came from a lossless WebP, or from something else without loss."""
        data, received = self.asset.data, self.asset.received
        if data is not None:
            return self.facts.format != "webp" or is_lossless(data)
        return self.asset.lossless and self.quality is None and not (received is not None and received.is_lossy)

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

    def _is_same(self, fitted: Fitted) -> bool:
        """Say whether the pixels are those that came in."""
        has_lost = self.is_thinned or fitted.quality is not None or fitted.colors is not None
        has_lost = has_lost or meaning_in(fitted.format, self.pixels) is None
        if has_lost or fitted.size != self.received or fitted.data is None:
            return False
        return fitted.format != "gif" or is_exact_gif(fitted.data, self.pixels)

    def _came_as(self) -> int | None:
        """Return how many bytes came in."""
        if self.asset.received is not None:
            return self.asset.received.size
        return None if self.asset.data is None else len(self.asset.data)

    def _advice(self) -> str:
        if not self.limits.may_change_type:
            return "raise --max-bytes, lower --min-quality or let the type change"
        return "raise --max-bytes or lower --min-quality"
