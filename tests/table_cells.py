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
class Cell:
    """A kind of picture and one of its properties, and what is to become of it."""

    name: str
    make: Callable[[], bytes]
    action: str  #: `untouched`, `exact` (another type, the same pixels), `converted`, `fitted` or `refused`.
    type: str  #: Of what leaves; of what is refused, the code. Several that are all right: `png|webp|jpeg`.
    truth: Truth | None = None  #: RGBA that is to be seen, frames below each other; None: what libvips sees in it.
    frames: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)  #: Of `Shaping`.
    near: float = 11  #: How far a channel of the mean of 4 x 4 pixels may be off; 0: no pixel may be.
    suffix: str = ""  #: Of the file's name, where a type cannot be told otherwise.


def untouched(name: str, make: Callable[[], bytes], type: str, **more: Any) -> Cell:
    """Its pixels leave as they came, and nothing else does."""
    return Cell(name, make, "untouched", type, **more)


def exact(name: str, make: Callable[[], bytes], type: str, truth: np.ndarray | Truth | None = None,
          **more: Any) -> Cell:
    """It is encoded again, perhaps turned or as another type, with the same pixels."""
    return Cell(name, make, "exact", type, _truth(truth), **{"near": 0} | more)


def converted(name: str, make: Callable[[], bytes], type: str, truth: np.ndarray | Truth | None = None,
              **more: Any) -> Cell:
    """It is encoded again, looking as it should."""
    return Cell(name, make, "converted", type, _truth(truth), **more)


def _truth(truth: np.ndarray | Truth | None) -> Truth | None:
    return (lambda _: truth) if isinstance(truth, np.ndarray) else truth


def fitted(name: str, make: Callable[[], bytes], type: str, **more: Any) -> Cell:
    """It is made to fit into `settings["max_bytes"]`."""
    return Cell(name, make, "fitted", type, **more)


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
    frames = facts.frames if facts.format == "png" else seen.frames  # libvips shows one frame of an APNG
    assert (facts.width, facts.height, facts.frames) == (seen.width, seen.height, cell.frames) and frames == cell.frames
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
        return
    if cell.truth is None:
        source = by_vips(data, upright=True, to_srgb=True, fail_on="none")
        wanted, count = source.pixels, source.frames
    else:
        wanted, count = other_decoders.rgba(cell.truth(data)), cell.frames
    height = len(wanted) // count
    if cell.action != "fitted" and "max_edge" not in cell.settings:
        assert (seen.width, seen.height) == (wanted.shape[1], height)
    for number in range(min(count, seen.frames)):
        one = resized(wanted[number * height:][:height], seen.width, seen.height)
        other = seen.pixels[number * seen.height:][:seen.height]
        if cell.action == "exact" and not cell.near:
            assert difference(one, other) == 0
        else:
            assert difference(averaged(one), averaged(other)) <= max(cell.near, 16 if cell.action == "fitted" else 0)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The furthest that any channel of any pixel is off; colours do not count where they are not shown."""
    alpha = np.abs(one[..., 3] - other[..., 3].astype(float)).max()
    apart = np.abs(one[..., :3] - other[..., :3].astype(float))
    return float(max(alpha, (apart * (np.minimum(one[..., 3:], other[..., 3:]) > 0)).max()))


def averaged(array: np.ndarray) -> np.ndarray:
    """Means of 4 x 4 pixels, weighed by alpha: what remains when the noise of lossy coding is taken out."""
    height, width = array.shape[0] // 4 * 4, array.shape[1] // 4 * 4
    weighed = array.astype(float)
    weighed[..., :3] *= weighed[..., 3:] / 255
    if not (height and width):
        return weighed
    return weighed[:height, :width].reshape(height // 4, 4, width // 4, 4, 4).mean(axis=(1, 3))


def resized(array: np.ndarray, width: int, height: int) -> np.ndarray:
    """The array in another size, as libvips does it."""
    if array.shape[:2] == (height, width):
        return array
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array)).copy(interpretation="srgb")
    small = image.thumbnail_image(width, height=height, size="force")
    return np.frombuffer(io.BytesIO(small.write_to_memory()).getvalue(), np.uint8).reshape(height, width, 4)
