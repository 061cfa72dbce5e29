"""What a container says of the picture that is in it."""

from __future__ import annotations

from dataclasses import dataclass

from imagepipe.asset import Color


@dataclass(frozen=True, slots=True)
class Header:
    """What the container says of a picture, read without decoding it."""

    format: str  #: One of the names in `asset.Facts`.
    width: int  #: In pixels, as stored (before `orientation` is applied).
    height: int
    frames: int = 1  #: Counted, never taken from a claim.
    has_alpha: bool = False  #: An alpha channel, or transparency that the container can show.
    bit_depth: int = 8  #: Bits a channel.
    channels: str = "rgb"  #: `gray`, `rgb`, `palette`, `cmyk`, `ycck` or `bilevel`.
    orientation: int = 1  #: Of EXIF, 1 to 8; anything else is 1.
    color: Color = Color()
    loop: int | None = None  #: How often an animation plays: 0 for ever; None: not stated, so once.
    quality: int | None = None  #: JPEG: estimated from the quantisation tables, 1 to 100.
    subsampling: str | None = None  #: JPEG: `4:4:4`, `4:2:2`, `4:2:0`, ….
    progressive_scans: int = 0  #: JPEG: how many scans the picture is in; 1 in a baseline one.
    hidden: tuple[str, ...] = ()  #: What there is beside the picture, in words: `EXIF`, `a comment`, ….
    notes: tuple[str, ...] = ()  #: Oddities that are no fault, as sentences without a full stop.
    shown_alike: bool = True  #: False where programs differ on what it shows, until it is encoded again.
