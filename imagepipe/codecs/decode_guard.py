"""What stands round every call of a decoder: its exceptions, its warnings, and its limits.

Pillow keeps two things for the whole process: a limit on pixels (`Image.MAX_IMAGE_PIXELS`) and
the filters of the `warnings` module. `shielded` changes them as little as it can: while one of
our decoders is at work, warnings that Pillow raises about a picture are dropped, and the limit is
raised for a picture that is over it and within ours. Threads share both, so the last one out puts
them back; what the caller's own threads set in the meantime stands.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from imagepipe.errors import Corrupt, ImagepipeError, TooManyPixels

__all__ = ["corrupt", "reason", "shielded"]

_ADVICE = "open it in an image editor and save it again, or use another copy of it"
_OURS = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif|pi_heif|pylibjxl)(\.|$)"), 0)


class _Shared:
    """What of the process is changed while decoders are at work, and what it was before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.filters: list[Any] | None = None
        self.limit_before: int | None = None
        self.limit_set: int | None = None

    def enter(self, pixels: int) -> None:
        with self.lock:
            self.inside += 1
            if self.filters is None:
                self.filters = warnings.filters  # type: ignore[assignment]  # a list, typed as a sequence
                self.filters.insert(0, _OURS)  # type: ignore[union-attr]  # just assigned
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and pixels > limit:
                if self.limit_set is None:
                    self.limit_before = limit
                Image.MAX_IMAGE_PIXELS = self.limit_set = pixels

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside:
                return
            # A caller's thread that is within `catch_warnings` holds a copy of the list: clear both.
            for filters in (self.filters, warnings.filters):
                while filters and _OURS in filters:
                    filters.remove(_OURS)  # type: ignore[union-attr]  # a list, typed as a sequence
            self.filters = None
            if self.limit_set is not None and self.limit_set == Image.MAX_IMAGE_PIXELS:
                Image.MAX_IMAGE_PIXELS = self.limit_before
            self.limit_before = self.limit_set = None


_shared = _Shared()


@contextmanager
def shielded(name: str, pixels: int = 0) -> Iterator[None]:
    """Let a decoder work on a picture of `pixels` pixels; whatever it raises becomes ours.

    `name` says in a sentence what is decoded: `this PNG`. Raises `TooManyPixels` where Pillow
    meets a size that the header did not state, `Corrupt` for everything else; errors of
    imagepipe and `MemoryError` pass through.
    """
    _shared.enter(pixels)
    try:
        yield
    except (ImagepipeError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"{name} grows beyond what its header says: {reason(error)}; {_ADVICE}") from error
    except Exception as error:  # whatever third-party decoders raise: 13 types were seen
        raise corrupt(name, reason(error)) from error
    finally:
        _shared.leave()


def corrupt(name: str, why: str) -> Corrupt:
    """Return the error that says that `name` is damaged, why, and what to do."""
    return Corrupt(f"{name} is damaged or incomplete ({why}); {_ADVICE}")


def reason(error: BaseException) -> str:
    """Return what a decoder said, on one short line that is safe to print."""
    text = " ".join(str(error).split()) or type(error).__name__
    if re.search(r"0x[0-9a-f]{6,}>", text):  # `cannot identify image file <_io.BytesIO object at 0x7f…>`
        text = "the decoder does not recognise it"
    return "".join(char if char.isprintable() else "?" for char in text)[:160]
