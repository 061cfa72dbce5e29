"""GIF: frames put on the screen one after the other, as browsers do it.

Pillow decodes each; putting them together is done here, as Pillow clears the place of a frame to an
opaque colour where the frames before had no transparent one, and browsers, libvips, ImageMagick
and gifsicle clear it to nothing (GIF89a, section 23, speaks of a background that nobody shows).
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from imagepipe.codecs import gif
from imagepipe.codecs.decode_modes import plain
from imagepipe.codecs.decode_pillow import open_one, too_many_frames, too_many_pixels
from imagepipe.codecs.header import Header

__all__ = ["frames"]

_CLEAR, _BRING_BACK = 2, 3


def frames(data: bytes, header: Header, max_frames: int, max_pixels: int, accept_damaged: bool = False
           ) -> Iterator[tuple[Image.Image, int]]:
    """Yield every frame as a whole picture, and how long it is shown in milliseconds.

    Frames are `RGB`, or `RGBA` where the screen has holes. Raises
    `TooManyFrames`, `TooManyPixels` and what the decoder raises.
    """
    size = (header.width, header.height)
    screen = Image.new("RGBA", size)
    for number, patch in enumerate(gif.patches(data, accept_damaged=accept_damaged), 1):
        if number > max_frames:
            raise too_many_frames(f"more than {max_frames}", max_frames)
        if number * size[0] * size[1] > max_pixels:
            raise too_many_pixels(*size, number, max_pixels)
        with open_one(patch.file, "gif") as stored:
            stored.load()
            image = plain(stored)
        before = screen.copy() if patch.disposal == _BRING_BACK else None
        place = (*patch.at, patch.at[0] + image.width, patch.at[1] + image.height)
        has_holes = image.mode in ("LA", "RGBA")
        screen.paste(image, place, image.getchannel("A") if has_holes else None)
        yield screen.copy(), patch.duration
        if before is not None:
            screen = before
        elif patch.disposal == _CLEAR:
            screen.paste((0, 0, 0, 0), place)
