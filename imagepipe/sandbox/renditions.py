"""The smaller pictures that a store makes of an image, for its pages."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from imagepipe.sandbox.pictures import opened
from imagepipe.sandbox.state import Image, State

SIZES = {"zoom": (1280, 1280), "standard": (560, 850), "thumbnail": (330, 500), "tiny": (66, 100)}
"""Largest width and height of each, as they stand in the addresses of the official description."""

CONTENT_TYPES = {"bmp": "image/bmp", "gif": "image/gif", "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png",
                 "wbmp": "image/vnd.wap.wbmp", "webp": "image/webp", "xbm": "image/x-xbitmap"}
_WRITTEN_AS = {"jpeg": "jpg", "gif": "gif", "webp": "webp"}


def rendition_extension(image: Image) -> str:
    """Return the type that the renditions of an image have: its own, or PNG where browsers do not show that."""
    return _WRITTEN_AS.get(image.format, "png")


def rendition(state: State, image: Image, width: int, height: int) -> bytes:
    """Return an image made to fit into a box; kept, so that it is made once.

    The pixels are shown as they came: orientation and profile are dropped and not applied, as it is
    unknown whether a store would. A picture that fits is never enlarged. Raises FileNotFoundError
    for an image that has just been deleted.
    """
    if not image.format:
        return _unfetched(width, height)
    kept = state.folder / "renditions" / f"{image.id}-{width}x{height}"
    if kept.exists():
        return kept.read_bytes()
    data = _make(image, state.original(image.id).read_bytes(), width, height)
    with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=f"{image.id}-new-", delete=False) as file:
        file.write(data)
    Path(file.name).replace(kept)
    return data


def _make(image: Image, data: bytes, width: int, height: int) -> bytes:
    fits = image.width <= width and image.height <= height
    if fits and (image.frames > 1 or image.format == "gif"):
        return data  # a small animation stays one
    from PIL import Image as pillow

    file = io.BytesIO()
    if image.format == "wbmp":
        rows = (image.width + 7) // 8 * image.height
        picture = pillow.frombytes("1", (image.width, image.height), data[-rows:])
    else:
        with opened(image.format, data) as source:
            if image.format == "jpeg":
                source.draft("RGB", (2 * width, 2 * height))
            source.load()
            picture = source.copy()
    alpha = "A" in picture.getbands() or "transparency" in picture.info
    picture = picture.convert("RGBA" if alpha and image.format != "jpeg" else "RGB")
    picture.thumbnail((width, height))
    picture.info.clear()
    kind = {"jpg": "JPEG", "gif": "GIF", "webp": "WEBP"}.get(rendition_extension(image), "PNG")
    if kind == "GIF":
        picture = picture.quantize(method=pillow.Quantize.FASTOCTREE)  # the usual way takes seconds
    picture.save(file, kind, **({"quality": 85} if kind in ("JPEG", "WEBP") else {}))
    return file.getvalue()


def _unfetched(width: int, height: int) -> bytes:
    """Return a grey picture for an address that was noted and not fetched."""
    from PIL import Image as pillow

    file = io.BytesIO()
    pillow.new("L", (min(width, 330), min(height, 330)), 208).save(file, "PNG")
    return file.getvalue()
