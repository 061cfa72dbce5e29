"""What Fit says of its work, for people."""

from __future__ import annotations

from imagepipe.asset import Facts
from imagepipe.fitting.within import Fitted
from imagepipe.plain import size

__all__ = ["notes"]

_NAMES = {"jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WebP"}


def notes(fitted: Fitted, facts: Facts, pixels: tuple[int, int], came: int | None, budget: int, *,
          exact: bool) -> list[str]:
    """Return what was done, as short sentences.

    `facts` and `pixels` (upright) are of the picture before, `came` is how many bytes came in, where
    that is known, and `exact` says that no pixel is another now.
    """
    found = []
    if fitted.size != pixels:
        found.append(f"reduced from {pixels[0]} x {pixels[1]} to {fitted.size[0]} x {fitted.size[1]}")
    if fitted.colors is not None:
        found.append(f"reduced to {fitted.colors} colours")
    if fitted.format != facts.format:
        before = _NAMES.get(facts.format, facts.format.upper())
        found.append(f"{before} to {_NAMES[fitted.format]}" + (" without loss" if exact else ""))
    sent = len(fitted.data or b"")
    at = "" if fitted.quality is None else f" at quality {fitted.quality:g}"
    if came is not None and sent > came:
        found.append(f"grew from {size(came)} to {size(sent)}{at}")
    elif came is not None and came > budget:
        found.append(f"reduced from {size(came)} to {size(sent)}{at}")
    elif at:
        found.append(f"saved{at}")
    return found
