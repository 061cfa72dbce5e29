"""The table: GIF."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import table_gif as make
from other_decoders import Exiftool, exiftool  # noqa: F401 - a fixture
from table_cells import (
    SAME,
    TWICE,
    Cell,
    Near,
    converted,
    exact,
    fitted,
    look,
    refused,
    untouched,
)
from table_pictures import INDICES, LEVELS, PALETTE, RAMP, SCENE, SIZE, by_magick, moving, saved

SMALL = {"max_edge": 32}
PART, HOLE = LEVELS[10:30, 5:25], int(LEVELS[20, 15])
#: Scaled down and of 256 colours again, where the colours were spread over the pixels (dithered) before.
SPECKLED = Near(3, 16, 24)
FEW = Near(2.2, 40, 60)  #: Scaled down, of two palettes before and of far fewer colours now, so as not to grow.
EDGES = Near(1.2, 5, 10)  #: Scaled down by another program, beside holes, and of fewer colours so as not to grow.

GIFS: dict[str, tuple[Callable[[], bytes], int]] = {
    "still": (lambda: make.gif(make.gif_frame()), 1),
    "of a drawing": (lambda: make.gif(make.gif_frame(INDICES), palette=PALETTE), 1),
    "by libvips, interlaced": (lambda: saved("gif", SCENE, interlace=True), 1),
    "by ImageMagick": (by_magick(SCENE, "-set", "comment", "CANARY-7f3a", "gif:-"), 1),
    "transparent": (lambda: make.gif(make.gif_frame(transparent=48)), 1),
    "interlaced": (lambda: make.gif(make.gif_frame(interlaced=True)), 1),
    "of a local palette": (lambda: make.gif(make.gif_frame(palette=RAMP), palette=None), 1),
    "of two palettes": (lambda: make.gif(make.gif_frame(palette=RAMP), palette=PALETTE), 1),
    "at a place on the screen, interlaced, transparent": (
        lambda: make.gif(make.gif_frame(PART, (11, 7), interlaced=True, transparent=HOLE, palette=RAMP)), 1),
    "larger than its screen": (lambda: make.gif(make.gif_frame(), size=(50, 40)), 1),
    "animated": (lambda: make.gif(*map(make.gif_frame, moving()), loop=0), 3),
    "animated, local palettes, once": (
        lambda: make.gif(*(make.gif_frame(frame, palette=RAMP) for frame in moving()), palette=None), 3),
    "animated, each frame of another kind": (lambda: make.gif(
        make.gif_frame(disposal=1), make.gif_frame(PART, (3, 4), palette=PALETTE, interlaced=True, disposal=1),
        make.gif_frame(PART, (30, 4), transparent=HOLE, disposal=3), make.gif_frame(PART, (30, 20), palette=RAMP[::-1],
                                                                               transparent=HOLE + 1, disposal=1),
        make.gif_frame(PART, (10, 20), interlaced=True), loop=2), 5),
    **{f"animated, parts, disposal {disposal}": (
        lambda disposal=disposal: make.gif(make.gif_frame(disposal=1), *(
            make.gif_frame(PART, (7 * number, 9), disposal=disposal, transparent=HOLE) for number in (1, 2, 3)),
            loop=5), 4) for disposal in (0, 1, 2, 3)},
}


def gifs() -> Iterator[Cell]:
    for name, (data, frames) in GIFS.items():
        yield untouched(f"GIF {name}", data, "gif", frames=frames)
        yield untouched(f"GIF {name}, private", lambda data=data: make.private_gif(data()), "gif", frames=frames)
        near = FEW if "another kind" in name else SPECKLED if "by " in name or "drawing" in name else EDGES
        yield converted(f"GIF {name}, over the edge", data, "gif|webp|png", frames=frames, settings=SMALL, near=near)
        yield exact(f"GIF {name} to WebP", data, "webp", frames=frames, settings={"format": "webp"})
    yield from gifs_with_room()
    yield from gifs_that_stick_out()
    still, animated = GIFS["still"][0], GIFS["animated"][0]
    yield fitted("GIF, a little over budget", still, "gif", near=SAME, settings={"max_bytes": len(still()) - 100})
    yield fitted("GIF, over budget, smaller as PNG", still, "png", near=SAME, settings={"max_bytes": 1900})
    yield fitted("GIF, over budget", still, "webp|jpeg", settings={"max_bytes": 1000})
    yield fitted("GIF animated, a little over budget", animated, "gif", frames=3, near=SAME,
                 settings={"max_bytes": len(animated()) - 100})
    yield fitted("GIF animated, over budget", animated, "webp", frames=3, settings={"max_bytes": 1900})
    yield converted("GIF animated to JPEG", GIFS["animated"][0], "jpeg", RAMP[moving()[0]], settings={"format": "jpeg"},
                    near=TWICE)
    yield refused("GIF of 151 frames", lambda: make.gif(*[make.gif_frame(INDICES[:2, :2])] * 151, loop=0),
                  "too_many_frames")
    yield refused("GIF, cut", lambda: make.gif(make.gif_frame())[:-300], "corrupt")


def gifs_with_room() -> Iterator[Cell]:
    """Parts of the screen that nothing covers, where no colour is transparent: programs differ until there is one."""
    for name, size, (left, top) in (("at a place on the screen", SIZE, (11, 7)),
                                    ("that starts off its screen", (70, 55), (50, 35))):
        shown = np.zeros((*size[::-1], 4), np.uint8)
        shown[top:top + 20, left:left + 20, :3], shown[top:top + 20, left:left + 20, 3] = RAMP[PART], 255
        data = lambda at=(left, top): make.gif(make.gif_frame(PART, at))  # noqa: E731 - one of many
        yield exact(f"GIF {name}", data, "gif|webp", shown)  # which may be smaller
        yield exact(f"GIF {name}, private", lambda data=data: make.private_gif(data()), "gif|webp", shown)
        yield exact(f"GIF {name} to WebP", data, "webp", shown, settings={"format": "webp"})
    first = np.dstack([RAMP[LEVELS], np.full((44, 60, 1), 255, np.uint8)])
    second, third = first.copy(), first.copy()
    second[9:29, 7:27, :3] = RAMP[PART]
    third[9:29, 7:27] = 0
    third[20:40, 30:50, :3] = RAMP[PART]
    yield exact("GIF animated, parts, wiped, no colour transparent", lambda: make.gif(
        make.gif_frame(), make.gif_frame(PART, (7, 9), disposal=2), make.gif_frame(PART, (30, 20))), "gif|webp",
        np.concatenate([first, second, third]), frames=3)


def gifs_that_stick_out() -> Iterator[Cell]:
    """Frames that are not all on the screen, which are shown as Chromium shows them (looked at by its ImageDecoder)."""
    first, part = RAMP[LEVELS], RAMP[PART]
    later = first.copy()
    later[35:, 50:] = part[:9, :10]
    hole = np.dstack([first, np.full((44, 60, 1), 255, np.uint8)])
    hole[35:, 50:] = 0
    hole[2:22, 2:22, :3], hole[2:22, 2:22, 3] = part, 255
    opaque = [np.dstack([shown, np.full((44, 60, 1), 255, np.uint8)]) for shown in (first, later)]
    parts = make.gif_frame(), make.gif_frame(PART, (50, 35))
    yield exact("GIF with a frame that sticks out", lambda: make.gif(*parts), "gif", np.concatenate([first, later]),
                frames=2)
    yield exact("GIF with a frame that sticks out, private", lambda: make.private_gif(make.gif(*parts)), "gif",
                np.concatenate([first, later]), frames=2)
    yield exact("GIF with a frame that sticks out of a screen that grows", lambda: make.gif(*parts, size=(50, 40)),
                "gif", np.concatenate([first, later]), frames=2)
    yield exact("GIF with a frame that sticks out and is wiped", lambda: make.gif(
        parts[0], make.gif_frame(PART, (50, 35), disposal=2), make.gif_frame(PART, (2, 2))), "gif|webp",
        np.concatenate([*opaque, hole]), frames=3)
    yield exact("GIF with a frame that is all outside", lambda: make.gif(
        parts[0], make.gif_frame(PART, (100, 35))), "gif", np.concatenate([first, first]), frames=2)
    yield exact("GIF with a frame that sticks out, to WebP", lambda: make.gif(*parts), "webp",
                np.concatenate([first, later]), frames=2, settings={"format": "webp"})
    part = make.gif_frame(PART, (2, 2))
    vast = part[:13] + b"\xff\xff\xff\xff" + part[17:]  # of 65,535 x 65,535 pixels, by what it says
    yield refused("GIF with a frame far larger than its screen", lambda: make.gif(make.gif_frame(), vast), "corrupt")


@pytest.mark.parametrize("cell", [*gifs()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)
