"""What a cell of the table is, and how it is looked at: on the bytes that leave, with decoders that are not Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import other_decoders
import pytest
import pyvips
from other_decoders import Exiftool, by_vips
from pictures import CANARY

from imagepipe.api import Shaping
from imagepipe.asset import Asset
from imagepipe.errors import ImageError

#: Of exiftool: what it says of any file, and what a picture is not without.
INNOCENT = {"SourceFile", "ExifTool", "System", "File", "Composite", "JFIF", "PNG", "PNG-pHYs", "GIF", "RIFF",
            "Adobe"}
#: What libvips finds beside a picture that must not be there.
PRIVATE = ("icc-profile-data", "exif-data", "xmp-data", "iptc-data", "orientation", "gif-comment", "png-comment")
Truth = Callable[[bytes], np.ndarray]


@dataclass(frozen=True)
class Near:
    """How far off a channel may be, in steps of 255; colours are weighed by how much they show."""

    mean: float
    most: float  #: Of 99 pixels in a hundred.
    of_all: float
    flat: bool = False  #: It is the means of the inner parts of `PATCHES` that are compared.


SAME = Near(0, 0, 0)
ROUNDED = Near(0.1, 1, 1)  #: Another program rounds 16 bits, or alpha times colour, at another place.
COLOUR = Near(0.2, 2, 2)  #: Through a profile, without loss.
FLAT = Near(1, 2, 2, flat=True)  #: Through a profile, where lossy coding is without loss.
LOSSY = Near(1.5, 6, 14)  #: `SCENE`, at a quality of about 90; a shift by a pixel is 5 or more on average.
TWICE = Near(2, 8, 16)  #: `SCENE`, through two lossy codings, or with little room.
POOR = Near(2, 11, 16)  #: `SCENE`, of chroma that is one value for four pixels.
SCALED = Near(0.7, 3, 5)  #: By another program, without loss.
SCALED_LOSSY = Near(1.8, 7, 14)


@dataclass(frozen=True)
class Cell:
    """A kind of picture and one of its properties, and what is to become of it."""

    name: str
    make: Callable[[], bytes]
    action: str  #: `untouched`, `exact` (another type, the same pixels), `converted`, `fitted` or `refused`.
    type: str  #: Of what leaves; of what is refused, the code. Several that are all right: `png|webp|jpeg`.
    truth: Truth | None = None  #: RGBA that is to be seen, frames below each other; None: what libvips sees in it.
    frames: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)  #: Of `Shaping`.
    near: Near = SAME
    suffix: str = ""  #: Of the file's name, where a type cannot be told otherwise.


def untouched(name: str, make: Callable[[], bytes], type: str, truth: np.ndarray | Truth | None = None,
              **more: Any) -> Cell:
    """Its pixels leave as they came, and nothing else does."""
    return Cell(name, make, "untouched", type, _truth(truth), **more)


def exact(name: str, make: Callable[[], bytes], type: str, truth: np.ndarray | Truth | None = None,
          **more: Any) -> Cell:
    """It is encoded again, perhaps turned or as another type, with the same pixels."""
    return Cell(name, make, "exact", type, _truth(truth), **more)


def converted(name: str, make: Callable[[], bytes], type: str, truth: np.ndarray | Truth | None = None,
              near: Near = LOSSY, **more: Any) -> Cell:
    """It is encoded again, looking as it should."""
    return Cell(name, make, "converted", type, _truth(truth), near=near, **more)


def _truth(truth: np.ndarray | Truth | None) -> Truth | None:
    return (lambda _: truth) if isinstance(truth, np.ndarray) else truth


def fitted(name: str, make: Callable[[], bytes], type: str, truth: np.ndarray | Truth | None = None,
           near: Near = TWICE, **more: Any) -> Cell:
    """It is made to fit into `settings["max_bytes"]`."""
    return Cell(name, make, "fitted", type, _truth(truth), near=near, **more)


def refused(name: str, make: Callable[[], bytes], code: str, **more: Any) -> Cell:
    """It is not taken."""
    return Cell(name, make, "refused", code, **more)


def prepared(cell: Cell, data: bytes) -> Asset:
    """Put bytes through the whole preparation, as a file of the cell's kind."""
    name = f"picture{cell.suffix}"
    return Shaping(**cell.settings).pipeline()(Asset(name, data=data))


def look(cell: Cell, exiftool: Exiftool | None) -> None:
    """Prepare the picture of a cell and check everything about what leaves."""
    data = cell.make()
    if cell.action == "refused":
        with pytest.raises(ImageError) as raised:
            prepared(cell, data)
        assert (raised.value.code, bool(str(raised.value))) == (cell.type, True)
        return

    asset = prepared(cell, data)

    sent, facts = asset.data, asset.facts
    assert sent is not None and facts is not None
    assert facts.format in cell.type.split("|"), asset.notes
    seen = by_vips(sent)
    assert (facts.width, facts.height, facts.frames) == (seen.width, seen.height, seen.frames)
    assert seen.frames == cell.frames
    assert (facts.orientation, facts.bit_depth <= 8, facts.is_srgb) == (1, True, True)
    assert facts.has_alpha == bool((seen.pixels[..., 3] < 255).any())
    if cell.action != "fitted":  # which may do with less loss than it could
        assert asset.lossless == (cell.action in ("untouched", "exact"))
    is_legal(cell, sent, facts.format, max(facts.width, facts.height))
    is_private(sent, seen, exiftool)
    if facts.format == cell.type and len(sent) > len(data):
        assert any(note.startswith("grew") for note in asset.notes)
    check_pixels(cell, data, sent, seen)
    again = prepared(cell, sent)
    assert again.data == sent, again.notes


def is_legal(cell: Cell, sent: bytes, format: str, edge: int) -> None:
    """Check that what leaves is of its type, within the limits, and faultless to the tools for its type."""
    magic = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF8", "webp": b"RIFF"}
    assert sent.startswith(magic[format])
    assert len(sent) <= cell.settings.get("max_bytes", 8_000_000)
    assert edge <= cell.settings.get("max_edge", edge)
    assert other_decoders.complaints(sent, format) == []


def is_private(sent: bytes, seen: other_decoders.Seen, exiftool: Exiftool | None) -> None:
    """Check that nothing leaves but the picture."""
    assert CANARY not in sent
    assert not seen.fields.intersection(PRIVATE)
    assert not any(name.startswith(("exif-", "png-comment")) for name in seen.fields)
    if exiftool is not None:
        tags = exiftool.tags(sent)
        assert not {name for name in tags if name.partition(":")[0] not in INNOCENT}
        assert not [value for value in tags.values() if CANARY.decode() in value]
        assert "ExifTool:Warning" not in tags


def check_pixels(cell: Cell, data: bytes, sent: bytes, seen: other_decoders.Seen) -> None:
    """Compare what is seen with what should be seen."""
    if cell.action == "untouched":
        before = by_vips(data, fail_on="none")
        assert np.array_equal(before.pixels, seen.pixels)
        assert len(sent) <= len(data)
    if cell.truth is None:
        source = by_vips(data, upright=True, to_srgb=True, fail_on="none")
        wanted, count = source.pixels, source.frames
    else:
        wanted, count = other_decoders.rgba(cell.truth(data)), cell.frames
    height, width = len(wanted) // count, wanted.shape[1]
    if "max_edge" in cell.settings:
        factor = cell.settings["max_edge"] / max(width, height)
        assert max(abs(seen.width - width * factor), abs(seen.height - height * factor)) < 1
        assert max(seen.width, seen.height) == cell.settings["max_edge"]
    else:
        assert (seen.width, seen.height) == (width, height)
    for number in range(seen.frames):  # of a picture that moved, perhaps the first
        one = resized(wanted[number * height:][:height], seen.width, seen.height)
        other = seen.pixels[number * seen.height:][:seen.height]
        if "max_edge" in cell.settings and sent.startswith(b"GIF8"):
            one, other = without_edges(one, other)
        if cell.near == SAME:
            assert difference(one, other) == 0
            continue
        mean, most, of_all = distances(one, other, flat=cell.near.flat)
        assert mean <= cell.near.mean and most <= cell.near.most and of_all <= cell.near.of_all, (mean, most, of_all)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The furthest that any channel of any pixel is off; colours do not count where they are not shown."""
    alpha = np.abs(one[..., 3] - other[..., 3].astype(float)).max()
    apart = np.abs(one[..., :3] - other[..., :3].astype(float))
    return float(max(alpha, (apart * (np.minimum(one[..., 3:], other[..., 3:]) > 0)).max()))


def distances(one: np.ndarray, other: np.ndarray, *, flat: bool = False) -> tuple[float, float, float]:
    """How far channels are off on average, in 99 pixels of a hundred, and in the worst."""
    one, other = weighed(one), weighed(other)
    if flat:
        one, other = inner(one), inner(other)
    apart = np.abs(one - other)
    worst = apart.max(axis=2)
    return float(apart.mean()), float(np.percentile(worst, 99)), float(worst.max())


def weighed(array: np.ndarray) -> np.ndarray:
    """Colours times alpha, and alpha."""
    values = array.astype(float)
    values[..., :3] *= values[..., 3:] / 255
    return values


def without_edges(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is all shown or all transparent in `one`: a GIF has nothing in between, so edges may go either way."""
    clear = (one[..., 3:] == 0) | (one[..., 3:] == 255)
    assert clear.mean() > 0.6
    return one * clear, other * clear


def inner(array: np.ndarray) -> np.ndarray:
    """The means of the inner 8 x 8 pixels of squares of 16 x 16."""
    height, width = (side // 16 for side in array.shape[:2])
    squares = array[:height * 16, :width * 16].reshape(height, 16, width, 16, -1)
    return np.asarray(squares[:, 4:12, :, 4:12].mean(axis=(1, 3)))


def resized(array: np.ndarray, width: int, height: int) -> np.ndarray:
    """The array in another size, as libvips does it."""
    if array.shape[:2] == (height, width):
        return array
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array)).copy(interpretation="srgb")
    small = image.thumbnail_image(width, height=height, size="force")
    return np.frombuffer(io.BytesIO(small.write_to_memory()).getvalue(), np.uint8).reshape(height, width, 4)
