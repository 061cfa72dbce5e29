"""The table: JPEG."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import table_jpeg as make
from other_decoders import Exiftool, by_vips, exiftool, needs  # noqa: F401 - a fixture
from pictures import CANARY, in_jpeg, segment, srgb_profile
from profiles import ADOBE, cmyk_profile, gray_profile, rgb_profile
from table_cells import (
    COLOUR,
    FLAT,
    LOSSY,
    POOR,
    SCALED_LOSSY,
    TWICE,
    Cell,
    converted,
    exact,
    fitted,
    look,
    refused,
    untouched,
)
from table_pictures import EVEN, PATCHES, SCENE, by_magick, grey, saved, turned

from imagepipe.color.inks import default_cmyk

WIDE = rgb_profile(ADOBE, 2.2)
SMALL = {"max_edge": 32}
Encoder = Callable[[np.ndarray], bytes]


def by_cjpeg(*options: str) -> Encoder:
    """A JPEG by libjpeg-turbo's own program, for what the others do not write."""
    def made(array: np.ndarray) -> bytes:
        picture = b"P6 %d %d 255\n" % array.shape[1::-1] + array.tobytes()
        return subprocess.run([needs("cjpeg"), *options], input=picture, capture_output=True, check=True).stdout

    return made


#: Of each kind, what makes it, and how near what is encoded again comes to it.
JPEGS: dict[str, Encoder] = {
    "4:4:4": lambda array: make.jpeg(array, "444"),
    "4:2:2": lambda array: make.jpeg(array, "422"),
    "4:2:0": lambda array: make.jpeg(array, "420"),
    "4:1:1": lambda array: make.jpeg(array, "411"),
    "4:4:0": lambda array: make.jpeg(array, "440"),
    "grey": lambda array: make.jpeg(grey(array)),
    "progressive": lambda array: saved("jpg", array, interlace=True, Q=90),
    "restart markers": lambda array: saved("jpg", array, restart_interval=2, Q=90),
    "several pictures (MPO)": make.multi_picture,
    "with a gain map (Ultra HDR)": make.ultra_hdr,
    "with a film (MotionPhoto)": make.motion_photo,
    "with a film (MicroVideo)": make.micro_video,
    "RGB": by_cjpeg("-rgb", "-quality", "90"),
    "RGB by Adobe's marker": lambda array: make.marked_rgb(by_cjpeg("-rgb", "-quality", "90")(array)),
    "RGB by its channels' names": lambda array: make.unmarked_rgb(by_cjpeg("-rgb", "-quality", "90")(array)),
    "smoothed, a restart every row": by_cjpeg("-smooth", "10", "-restart", "1", "-quality", "90"),
    "a restart every block": by_cjpeg("-restart", "1B", "-quality", "90"),
    "arithmetic coding": by_cjpeg("-arithmetic", "-quality", "90"),
    "arithmetic coding, progressive": by_cjpeg("-arithmetic", "-progressive", "-quality", "90"),
    "by ImageMagick": lambda array: by_magick(array, "-set", "comment", "CANARY-7f3a", "-quality", "92", "jpg:-")(),
    "tables together": lambda array: make.tables_together(make.jpeg(array)),
    "tables of 16 bits": lambda array: make.wide_tables(make.jpeg(array)),
    "tables twice": lambda array: make.tables_twice(make.jpeg(array)),
    "grey, sampled 2 x 2": lambda array: make.sampled_twice(make.jpeg(grey(array))),
    "filled between its parts": lambda array: make.filled(make.jpeg(array)),
}


def jpegs() -> Iterator[Cell]:
    for kind, encoder in JPEGS.items():
        name, poor = f"JPEG {kind}", kind == "4:1:1"

        def data(array: np.ndarray = SCENE, encoder: Encoder = encoder) -> bytes:
            return encoder(array)

        stays = converted if "arithmetic" in kind else untouched  # which browsers do not show
        yield stays(name, data, "jpeg", **{"near": TWICE} if stays is converted else {})  # it may not grow
        yield stays(f"{name}, private", lambda data=data: make.private(data()), "jpeg")
        yield stays(f"{name}, sRGB profile", lambda data=data: make.with_profile(data(), srgb_profile()), "jpeg")
        yield converted(f"{name}, sideways", lambda data=data: make.private(data(), 6), "jpeg",
                        near=TWICE if poor else LOSSY)
        if "grey" not in kind:
            yield converted(f"{name}, Adobe RGB", lambda data=data: make.with_profile(data(PATCHES), WIDE), "jpeg",
                            near=FLAT)
        yield fitted(f"{name}, over budget", lambda data=data: make.private(data()), "jpeg",
                     settings={"max_bytes": 900}, near=POOR if poor else TWICE)
        yield converted(f"{name}, over the edge", lambda data=data: make.private(data(EVEN), 8), "jpeg",
                        settings=SMALL, near=POOR if poor else SCALED_LOSSY)
    for orientation in range(1, 9):
        for sampling in ("420", "422"):
            def stored(orientation: int = orientation, sampling: str = sampling) -> bytes:
                return make.private(make.jpeg(turned(SCENE, orientation), sampling), orientation)

            cell = untouched if orientation == 1 else converted
            yield cell(f"JPEG {sampling}, orientation {orientation}", stored, "jpeg",
                       **{} if orientation == 1 else {"truth": SCENE, "near": TWICE})
    yield untouched("JPEG, an orientation that is none", lambda: make.sideways(make.jpeg(), 9), "jpeg")
    yield from jpegs_of_inks()
    yield from jpegs_otherwise()


def jpegs_of_inks() -> Iterator[Cell]:
    inks = np.dstack([255 - PATCHES, grey(PATCHES) // 4])
    profile = cmyk_profile()
    for name, encoder in {"inks": make.cmyk, "inks, YCCK": make.ycck}.items():
        # what inks look like of which nothing is said is our own choice; that it is applied is checked here
        yield converted(f"JPEG of {name}", lambda encoder=encoder: encoder(inks), "jpeg",
                        lambda data: by_vips(make.with_profile(data, default_cmyk()), to_srgb=True).pixels, near=FLAT)
        yield converted(f"JPEG of {name}, with their profile",
                        lambda encoder=encoder: make.with_profile(encoder(inks), profile), "jpeg", near=FLAT)
        yield converted(f"JPEG of {name}, with their profile, sideways, private",
                        lambda encoder=encoder: make.private(make.with_profile(encoder(inks), profile), 6), "jpeg",
                        near=FLAT)


def jpegs_otherwise() -> Iterator[Cell]:
    """Other types asked for, and what is refused."""
    yield converted("JPEG grey, with a gamma", lambda: make.with_profile(make.jpeg(grey(PATCHES)), gray_profile(1.4)),
                    "jpeg", near=FLAT)
    yield exact("JPEG to PNG", make.jpeg, "png", settings={"format": "png"})
    yield exact("JPEG to PNG, sideways, private", lambda: make.private(make.jpeg(), 7), "png",
                settings={"format": "png"})
    yield converted("JPEG, Adobe RGB, to PNG", lambda: make.with_profile(make.jpeg(), WIDE), "png", near=COLOUR,
                    settings={"format": "png"})
    yield converted("JPEG to WebP", make.jpeg, "webp", settings={"format": "webp"}, near=TWICE)
    yield refused("JPEG of 12 bits", make.twelve_bits, "format_not_allowed")
    yield refused("JPEG, cut", lambda: make.jpeg()[:-300], "corrupt")
    yield untouched("JPEG without an end", lambda: in_jpeg(make.jpeg(), segment(0xFE, CANARY))[:-2], "jpeg")
    yield untouched("JPEG progressive, without an end", lambda: saved("jpg", interlace=True)[:-2], "jpeg")
    yield refused("JPEG progressive, without its last scan",
                  lambda: (lambda data: data[:data.rindex(b"\xff\xda")])(saved("jpg", interlace=True)), "corrupt")
    yield refused("JPEG, too many pixels", make.jpeg, "too_many_pixels", settings={"max_pixels": 1000})
    yield refused("JPEG, no budget at all", make.jpeg, "cannot_fit", settings={"max_bytes": 40})


@pytest.mark.parametrize("cell", [*jpegs()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)


def test_what_has_a_gain_map_or_a_film_is_so_in_the_eyes_of_others(exiftool: Exiftool | None) -> None:  # noqa: F811
    if exiftool is None:
        pytest.skip("exiftool is not installed")

    hdr, motion, micro = (exiftool.tags(encoder()) for encoder in (make.ultra_hdr, make.motion_photo, make.micro_video))

    assert (hdr["MPF0:NumberOfImages"], hdr["XMP-hdrgm:Version"]) == ("2", "1.0")
    assert motion["XMP-GCamera:MotionPhoto"] == "1" and micro["XMP-GCamera:MicroVideo"] == "1"
