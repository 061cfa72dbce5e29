"""How a stage says what memory it is about to need.

A stage knows how large a picture is once it has read the header, and before it allocates
anything: that is the moment to call `reserve`. In a worker process the parent then lets it
through at once, or when other large pictures are done, or refuses it. Anywhere else (inline,
threads, somebody else's executor) it does nothing.

It stands below the stages and the workers, so that neither has to import the other.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["reserve", "set_keeper"]

_keeper: Callable[[int], None] | None = None


def reserve(size: int) -> None:
    """Wait until `size` bytes, all that this picture needs at its peak, may be used.

    Raises `NeedsMemory` where the picture would not even fit alone. What is reserved is given
    back when the picture is done; a second call states a new total.
    """
    if _keeper is not None:
        _keeper(size)


def set_keeper(keeper: Callable[[int], None] | None) -> None:
    """Name who decides about memory in this process. Called once, by a worker process."""
    global _keeper
    _keeper = keeper
