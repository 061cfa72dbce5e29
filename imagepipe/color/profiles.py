"""ICC profiles, judged by what they do to colours: sRGB already, something else, or broken.

A profile that cannot be used says nothing that could be obeyed, so its picture is shown as
browsers show it: as sRGB. littleCMS does the arithmetic (through `PIL.ImageCms`).
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Iterator

from PIL import Image, ImageCms

__all__ = ["MAX_PROFILE", "SAME", "is_broken_profile", "is_srgb_profile", "opened", "space_of", "tag_of"]

MAX_PROFILE = 4_000_000  #: Bytes; the largest honest profiles, of printers, have some 3 MB.
SAME = 2  #: Steps of 255 by which a colour may move in a profile that counts as sRGB.

#: Classes that describe a device or a space: input, display, output, colour space (ICC.1:2022, 7.2.5).
_CLASSES = frozenset((b"scnr", b"mntr", b"prtr", b"spac"))
#: Spaces of pictures that we have: their names in the header, and Pillow's mode.
_MODES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK", b"Lab ": "LAB"}
_SPACES = {"gray": "GRAY", "bilevel": "GRAY", "rgb": "RGB", "palette": "RGB", "cmyk": "CMYK", "ycck": "CMYK",
           "lab": "Lab"}

_MOST_TAGS = 200
_KEPT = 512  # verdicts; 33 bytes and a word each
_verdicts: OrderedDict[bytes, str] = OrderedDict()
_lock = threading.Lock()


def is_srgb_profile(icc: bytes, channels: str | None = None) -> bool:
    """Return whether a picture with this profile is shown right by a viewer that assumes sRGB.

    A lattice of colours is sent through the profile to sRGB as a picture would be: no channel of
    any of them may move by more than `SAME` steps of 255, or, where another channel is far
    brighter, by one more for each 64 steps between the two (the curve is steep near 0, and a
    pure red of (255, 4, 0) looks like one of (255, 0, 0)). That takes in the many copies of sRGB with
    curves of few points or rounded primaries; a plain gamma of 2.2 moves dark tones by 7, and the
    primaries of PAL some colours by 30. Of a grey profile, all 256 greys are looked at.

    A broken profile counts as sRGB (see `is_broken_profile`). `channels` is as in `Header`; where it
    is given, a profile for other channels is broken.
    """
    return _verdict(icc) == "srgb" or is_broken_profile(icc, channels)


def is_broken_profile(icc: bytes, channels: str | None = None) -> bool:
    """Return whether a profile cannot be used for what it is in.

    That is: truncated or damaged, of more than `MAX_PROFILE` bytes, no description of a device or
    a space (a device link, an abstract profile, named colours), or for other channels than the
    picture has.
    """
    if channels is not None and space_of(icc) != _SPACES.get(channels, "RGB"):
        return True
    return _verdict(icc) == "broken"


def space_of(icc: bytes) -> str:
    """Return the space of the colours that a profile is for, as its header says: `RGB`, `GRAY`, `CMYK`, …."""
    return icc[16:20].decode("latin-1").rstrip()


def tag_of(icc: bytes, name: bytes) -> bytes | None:
    """Return the content of a tag, from its type on; None where there is none, or nothing sensible at all."""
    if not _plausible(icc):
        return None
    return next((icc[start:start + length] for tag, start, length in _table(icc) if tag == name), None)


def opened(icc: bytes) -> ImageCms.ImageCmsProfile:
    """Return a profile opened by littleCMS. Raises `ImageCms.PyCMSError` or `OSError` where it cannot be."""
    return ImageCms.ImageCmsProfile(io.BytesIO(icc))


def _verdict(icc: bytes) -> str:
    """Return `srgb`, `other` or `broken`; what was found is remembered by SHA-256."""
    if not _plausible(icc):
        return "broken"
    key = hashlib.sha256(icc).digest()
    with _lock:
        if key in _verdicts:
            _verdicts.move_to_end(key)
            return _verdicts[key]
    verdict = _judge(icc)
    with _lock:
        _verdicts[key] = verdict
        if len(_verdicts) > _KEPT:
            _verdicts.popitem(last=False)
    return verdict


def _plausible(icc: bytes) -> bool:
    """Return whether the header and the table of tags make sense (ICC.1:2022, 7.2 and 7.3)."""
    size = int.from_bytes(icc[:4], "big")
    if not 132 <= size <= len(icc) <= MAX_PROFILE or icc[36:40] != b"acsp":
        return False
    if icc[12:16] not in _CLASSES or icc[16:20] not in _MODES:
        return False
    tags = int.from_bytes(icc[128:132], "big")
    if not 0 < tags <= _MOST_TAGS or 132 + 12 * tags > size:
        return False
    return all(start + length <= size for _, start, length in _table(icc))


def _table(icc: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, place and length of each tag that the table names."""
    tags = min(_MOST_TAGS, int.from_bytes(icc[128:132], "big"))
    for at in range(132, min(132 + 12 * tags, len(icc) - 11), 12):
        yield icc[at:at + 4], int.from_bytes(icc[at + 4:at + 8], "big"), int.from_bytes(icc[at + 8:at + 12], "big")


def _judge(icc: bytes) -> str:
    mode = _MODES[icc[16:20]]
    before = _lattice(mode)
    try:
        # Without optimisation littleCMS computes each colour through the curves and the matrix
        # themselves, not through a table made of them: this is a handful of colours.
        transform = ImageCms.buildTransform(
            opened(icc), ImageCms.createProfile("sRGB"), mode, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.NOOPTIMIZE | ImageCms.Flags.BLACKPOINTCOMPENSATION)  # as pictures are converted
        after = transform.apply(before)
    except Exception:  # noqa: BLE001 - what a hostile profile makes a library raise is no promise of theirs
        return "broken"
    if mode not in ("L", "RGB"):
        return "other"
    return "srgb" if _look_alike(before.convert("RGB").tobytes(), after.tobytes()) else "other"


def _look_alike(before: bytes, after: bytes) -> bool:
    """Return whether no colour has moved by more than is said in `is_srgb_profile`."""
    for at in range(0, len(before), 3):
        brightest = max(before[at:at + 3])
        for was, now in zip(before[at:at + 3], after[at:at + 3], strict=True):
            if abs(was - now) > SAME + (brightest - was) // 64:
                return False
    return True


def _lattice(mode: str) -> Image.Image:
    """Return a picture of colours spread over the whole space, the dark ones and the greys included."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    if mode != "RGB":
        return Image.new(mode, (8, 1))
    steps = (0, 4, 10, 20, 40, 70, 110, 150, 200, 230, 255)
    colours = [bytes((r, g, b)) for r in steps for g in steps for b in steps]
    colours += [bytes((grey, grey, grey)) for grey in range(256)]
    return Image.frombytes("RGB", (len(colours), 1), b"".join(colours))
