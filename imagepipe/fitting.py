"""Finding the quality, or the size, at which a picture fits into a number of bytes.

Encoding a large picture over and over is what takes the time, so the sizes at other qualities are
predicted from a sample of it (`codecs.sampling`), and each full encode corrects the prediction.
What a sample says about the *ratio* of two qualities is good to 0.3 % (25 pictures, qualities 50 to
96), however badly it tells the size itself, which it misses by 2 % (standard deviation).

What is guaranteed: a result is measured, so it is within the budget. That the next whole quality
would exceed the budget is measured as well, or follows from the measured size and the predicted
ratio with a margin to spare, which grows with what the sample missed; where the margin is too
small, that quality is encoded too. No search takes more than `ENCODES` full encodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["ENCODES", "Curve", "Found", "first_target", "search", "shrink_by"]

ENCODES = 4

_FIRST_SLACK, _SLACK = 0.001, 0.003  # what is left free for errors of the prediction, before and after the first encode
_CAUTION = 0.010  # what is left free besides, where that costs no whole quality
_RATIO_ERROR, _ERROR_SHARE = 0.003, 0.08  # of a ratio; and how much of a missed size may be in a ratio too
_CLOSE = 0.004  # near enough to a target, as a part of it


@dataclass
class Curve:
    """Sizes as a function of quality, predicted from a sample that is encoded at each quality asked for."""

    encode_sample: Callable[[float], int]  #: The size of the sample at a quality.
    share: float  #: How much larger the picture is than the sample.
    overhead: int = 0  #: Bytes that do not grow with the picture: headers and tables.
    step: float = 0.1  #: Between qualities that are looked at.
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
        """Return the predicted size in bytes."""
        quality = round(quality, 4)
        if quality not in self._seen:
            self._seen[quality] = self.encode_sample(quality)
        seen = self._seen[quality]
        if self.is_exact:
            return seen
        return self.overhead + max(1, seen - self.overhead) * self.share * self.correction

    def correct(self, quality: float, measured: int) -> None:
        """Take a measured size into account."""
        predicted = self.size(quality)
        if not self.is_exact and measured > self.overhead and predicted > self.overhead:
            self.correction *= (measured - self.overhead) / (predicted - self.overhead)

    def best(self, target: float, low: float, high: float) -> float:
        """Return the highest quality from `low` to `high` predicted to be within `target`; `low` if there is none."""
        at_high = self.size(high)
        if at_high <= target or high <= low:
            return high
        at_low = self.size(low)
        if at_low > target:
            return low
        while high - low > self.step * 1.5 and at_low < target * (1 - _CLOSE):
            # sizes grow roughly exponentially with quality
            part = math.log(target / at_low) / math.log(at_high / at_low) if at_high > at_low else 0.5
            between = low + (high - low) * min(0.9, max(0.1, part))
            between = round(between / self.step) * self.step
            between = min(high - self.step, max(low + self.step, between))
            size = self.size(between)
            if size <= target:
                low, at_low = between, size
            else:
                high, at_high = between, size
        return round(low, 4)


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search."""

    data: bytes | None  #: None: nothing fits.
    quality: float  #: Of the data; else the lowest that was allowed.
    size: float  #: Of the data; else what the lowest quality takes, measured or predicted.
    encodes: int  #: Of the whole picture.


def first_target(budget: int) -> float:
    """Return what to aim at before anything is known but a sample."""
    return budget * (1 - _FIRST_SLACK)


def search(encode: Callable[[float], bytes], curve: Curve, budget: int, low: float, high: float) -> Found:
    """Return the picture at the best quality from `low` to `high` that is within `budget` bytes."""
    best: Found | None = None
    too_large = math.inf  # the lowest quality that was seen to exceed the budget
    encodes = 0
    smallest = curve.size(low)
    if smallest > budget * (1 if curve.is_exact else 1.1):
        return Found(None, low, smallest, 0)
    while encodes < ENCODES:
        ceiling = min(high, too_large - curve.step)
        if best is None:
            target = first_target(budget) if not encodes else budget * (1 - _SLACK * 4 ** (encodes - 1))
            quality = curve.best(budget if curve.is_exact else target, low, max(low, ceiling))
            if not encodes and not curve.is_exact and quality < high:
                # a little less is as good a result within the same whole quality, and fits more often
                quality = curve.best(budget * (1 - _CAUTION), max(low, math.floor(quality)), quality)
        else:
            following = _next_whole(best.quality, curve.step)
            if following > min(high, ceiling) or curve.size(following) > budget * (1 + curve.margin):
                break
            quality = max(following, curve.best(budget * (1 - _SLACK), following, ceiling))
        data = encode(quality)
        encodes += 1
        curve.correct(quality, len(data))
        if len(data) <= budget:
            best = Found(data, quality, len(data), encodes)
            continue
        too_large = quality
        if quality <= low:
            smallest = len(data)
            break
    if best is None:
        return Found(None, low, smallest, encodes)
    return Found(best.data, best.quality, best.size, encodes)


def _next_whole(quality: float, step: float) -> float:
    return math.floor(quality + 1e-6) + 1 if step < 1 else quality + step


def shrink_by(size_at: Callable[[float], float], budget: int) -> float:
    """Return the factor for both sides at which a size, predicted by `size_at(factor)`, is just within the budget.

    `size_at(1)` exceeds it.
    """
    upper, at_upper = 1.0, size_at(1.0)
    factor = upper
    for _ in range(6):
        # bytes grow with a power of the factor, between 1 and 2; 2 finds the first guess from above
        factor = max(1e-5, upper * (budget / at_upper) ** 0.5)
        size = size_at(factor)
        if size <= budget:
            if size > budget * 0.9:
                break
            power = math.log(at_upper / size) / math.log(upper / factor)
            factor = min(upper, factor * (budget * 0.97 / size) ** (1 / max(0.5, power)))
            break
        upper, at_upper = factor, size
    return factor
