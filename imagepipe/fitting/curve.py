"""Finding the quality at which a picture fits into a number of bytes.

Encoding a large picture over and over is what takes the time, so the sizes at other qualities are
predicted from a sample of it (`codecs.sampling`), and each full encode corrects the prediction.
The sample is encoded only where the answer is near: in between, the logarithm of a size is nearly
a straight line over the right axis.

What is guaranteed: a result is measured, so it is within the budget. That the next whole quality
would exceed the budget is measured as well, or follows from the measured size and the ratio of two
sizes of the sample with a margin to spare, which grows with what the sample missed; where the
margin is too small, that quality is encoded too, as long as encodes are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

__all__ = ["ENCODES", "Curve", "Found", "search"]

ENCODES = 4  #: Of a whole picture, at most.

_FIRST_SLACK, _SLACK = 0.001, 0.003  # what is left free for errors of the prediction, before and after the first encode
_CAUTION = 0.010  # what is left free besides, where that costs no whole quality
_RATIO_ERROR, _ERROR_SHARE = 0.004, 0.08  # of a ratio; and how much of a missed size may be in a ratio too
_COARSE = 0.013  # how much larger a next quality may be than a ratio in another coding says (0.0025, off by 0.0033)
_CLOSE = 0.004  # near enough to a target, as a part of it
_PROBES = 8  # of the sample, for one question


@dataclass
class Curve:
    """Sizes as a function of quality, predicted from a sample that is encoded at a few of them."""

    encode_sample: Callable[[float], int]  #: The size of the sample at a quality.
    share: float  #: How much larger the picture is than the sample.
    overhead: int = 0  #: Bytes that do not grow with the picture: headers and tables.
    step: float = 0.1  #: Between qualities that are looked at.
    place: Callable[[float], float] = float  #: Where a quality is on an axis over which log(size) is nearly straight.
    slope: float = 0.03  #: Of log(size) over that axis, as long as only one size is known.
    start: float = 85.0  #: The quality that is looked at first.
    factor: float = 1.0  #: What its coding takes, as a multiple of what the sample's takes.
    correction: float = 1.0  #: What the last full encode had, as a multiple of what was predicted.
    _seen: dict[float, int] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        """The sample is the whole picture."""
        return self.share == 1

    @property
    def margin(self) -> float:
        """How far, as a part, a prediction may be off once it has been corrected."""
        return 0.0 if self.is_exact else _RATIO_ERROR + _ERROR_SHARE * abs(math.log(self.correction))

    def size(self, quality: float) -> float:
        """Return the size in bytes that the sample predicts, which is encoded if it was not before."""
        quality = round(quality, 4)
        if quality not in self._seen:
            self._seen[quality] = self.encode_sample(quality)
        return self._whole(self._seen[quality])

    def times(self, other: Curve, quality: float) -> Curve:
        """Return this curve for the coding of `other`, as if that saved everywhere what it saves at one quality.

        Nearby that is off by up to 1 % for a step of quality.
        """
        if self.is_exact:
            return other
        return replace(self, factor=(other.size(quality) - self.overhead) / (self.size(quality) - self.overhead))

    def modelled(self, quality: float) -> float:
        """Return the size in bytes that follows from what was seen of the sample nearby."""
        place, size, slope = self._line(lambda seen: abs(self.place(seen) - self.place(quality)))
        return size * math.exp(slope * (self.place(quality) - place))

    def near(self, target: float, low: float, high: float, probes: int) -> float:
        """Return the quality from `low` to `high` that is roughly of the size `target`, after so many probes."""
        quality = min(high, max(low, self.start))
        for _ in range(probes):
            if abs(math.log(self.size(quality) / target)) < 0.03:
                break
            quality = self._modelled_quality(target, low, high)
        return quality

    def correct(self, quality: float, measured: int) -> None:
        """Take a measured size into account."""
        predicted = self.size(quality)
        if not self.is_exact and measured > self.overhead and predicted > self.overhead:
            self.correction *= (measured - self.overhead) / (predicted - self.overhead)

    def best(self, target: float, low: float, high: float, close: float = _CLOSE) -> float:
        """Return a quality from `low` to `high` of a size from `target * (1 - close)` to `target`, or next below.

        It is `low` where no quality is predicted to be within `target`.
        """
        high = max(low, high)
        for number in range(_PROBES):
            beyond = min((quality for quality in self._seen if low <= quality <= high and self.size(quality) > target),
                         default=None)
            within = max((quality for quality in self._seen if low <= quality <= high and self.size(quality) <= target
                          and (beyond is None or quality < beyond)), default=None)
            if beyond == low:
                return low
            if within is not None and (within == high or self.size(within) >= target * (1 - close)
                                       or (beyond is not None and beyond - within < self.step * 1.5)):
                return within
            least = low if within is None else within + self.step
            most = high if beyond is None else max(least, beyond - self.step)
            if number < _PROBES // 2 and self._seen:
                wanted = self._modelled_quality(target * (1 - close / 2), low, high)
            else:
                wanted = (least + most) / 2 if self._seen else self.start
            quality = round(min(most, max(least, round(wanted / self.step) * self.step)), 4)
            if quality in self._seen:
                break
            self.size(quality)
        kept = [quality for quality in self._seen if low <= quality <= high and self.size(quality) <= target]
        return max(kept, default=low)

    def _whole(self, seen: int) -> float:
        if self.is_exact:
            return seen
        return self.overhead + max(1, seen - self.overhead) * self.share * self.factor * self.correction

    def _line(self, distance: Callable[[float], float]) -> tuple[float, float, float]:
        """Return the place and size of what was seen nearest, and the slope there."""
        first, *others = sorted(self._seen, key=distance)
        place, size = self.place(first), self._whole(self._seen[first])
        for second in others[:1]:
            across = self.place(second) - place
            slope = math.log(self._whole(self._seen[second]) / size) / across
            if 0.3 * self.slope < slope < 3 * self.slope:
                return place, size, slope
        return place, size, self.slope

    def _modelled_quality(self, target: float, low: float, high: float) -> float:
        place, size, slope = self._line(lambda seen: abs(math.log(self._whole(self._seen[seen]) / target)))
        wanted = place + math.log(target / size) / slope
        for _ in range(24):  # `place` is turned round by halving
            middle = (low + high) / 2
            low, high = (middle, high) if self.place(middle) <= wanted else (low, middle)
        return (low + high) / 2


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search."""

    data: bytes | None  #: None: nothing fits.
    quality: float  #: Of the data; else the lowest that was allowed.
    size: float  #: Of the data; else what the lowest quality takes, measured or predicted.
    encodes: int  #: Of the whole picture.


def search(encode: Callable[[float], bytes], curve: Curve, budget: int, low: float, high: float,
           most: int = ENCODES, first: Curve | None = None) -> Found:
    """Return the picture at the best quality from `low` to `high` that is within `budget` bytes, after `most` encodes.

    `first`, a curve that costs less and is less exact, says with which quality to begin, and whether the next
    one is far too large. Nothing is encoded where the sample says that even `low` is far too large.
    """
    best: Found | None = None
    too_large = math.inf  # the lowest quality that was seen to exceed the budget
    encodes = 0
    smallest = math.inf
    data = b""
    while encodes < most and too_large > low:
        ceiling = max(low, min(high, too_large - curve.step))
        if best is None:
            quality = _first(first or curve, budget, low, ceiling) if not encodes else curve.best(
                budget * (1 - _SLACK * 4 ** (encodes - 1)), low, ceiling)
            if quality <= low:
                smallest = curve.size(low)
                if smallest > budget * (1 if curve.is_exact else 1.1 if not encodes else 1 + 2 * curve.margin):
                    break
        else:
            following = _next_whole(best.quality, curve.step)
            if following > ceiling:
                break
            if first is not None:
                if first.size(following) > budget * (1 + first.margin + _COARSE):
                    break
                curve.correct(best.quality, len(data))
                first = None
            if curve.size(following) > budget * (1 + curve.margin):
                break
            quality = max(following, curve.best(budget * (1 - _SLACK), following, ceiling))
        data = encode(quality)
        encodes += 1
        if len(data) > budget:
            first = None  # where to go from here has to be known better
        (first or curve).correct(quality, len(data))
        if len(data) <= budget:
            best = Found(data, quality, len(data), encodes)
            continue
        too_large = quality
        if quality <= low:
            smallest = len(data)
    if best is None:
        return Found(None, low, smallest if smallest < math.inf else curve.size(low), encodes)
    return Found(best.data, best.quality, best.size, encodes)


def _first(curve: Curve, budget: int, low: float, high: float) -> float:
    """Return the quality to begin with: a little lower than it might be, which fits more often, but not a whole one."""
    if curve.is_exact:
        return curve.best(budget, low, high)
    quality = curve.best(budget * (1 - _CAUTION), low, high, 1.5 * _CLOSE)
    following = _next_whole(quality, curve.step)
    if following <= high and curve.modelled(following) <= budget * (1 - _FIRST_SLACK) >= curve.size(following):
        return following
    return quality


def _next_whole(quality: float, step: float) -> float:
    return math.floor(quality + 1e-6) + 1 if step < 1 else quality + step
