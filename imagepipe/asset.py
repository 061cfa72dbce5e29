"""The record that flows from a source to a store, and what hangs on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from imagepipe.plain import public_url

if TYPE_CHECKING:
    from PIL import Image



_UNSENT = ("send_product_id", False)  # the one field whose default is not None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a picture belongs, and how it is shown there. None means: not stated.

    >>> Target.of("77")
    Target(product_id=77)
    >>> Target.of("SHIRT-1")
    Target(sku='SHIRT-1')
    """

    product_id: int | None = None  #: The store's number for the product.
    sku: str | None = None  #: The stock-keeping unit, of a product or of one of its variants.
    sort_order: int | None = None  #: Lower comes first; 0 is a value.
    is_thumbnail: bool | None = None  #: Shown for the product in lists; one a product.
    description: str | None = None  #: The alternative text.
    date_modified: str | None = None  #: Sent only where stated; ISO 8601.
    send_product_id: bool = False  #: Also send `product_id` in the body, which the API allows.

    @classmethod
    def of(cls, value: Target | str | int | None) -> Target:
        """Return `value` as a target: ASCII digits are a product id, other text is a SKU."""
        if isinstance(value, Target):
            return value
        if value is None or value == "":
            return cls()
        text = str(value)
        if text.isascii() and text.isdigit():
            return cls(product_id=int(text))
        return cls(sku=text)

    def __repr__(self) -> str:
        values = ((name, getattr(self, name)) for name in self.__slots__)
        stated = (f"{name}={value!r}" for name, value in values if value is not None and (name, value) != _UNSENT)
        return f"Target({', '.join(stated)})"


@dataclass(frozen=True, slots=True)
class Origin:
    """Which line of which manifest asked for a picture."""

    manifest: str | None = None  #: Path of the manifest as given; None for a folder or a call.
    row_number: int | None = None  #: 1 is the first row of data; of a file, as an editor would not count it.
    row: Mapping[str, Any] | None = field(default=None, repr=False)  #: The row as it stood, all columns: with secrets.


@dataclass(frozen=True, slots=True)
class Received:
    """What was read from the source, before anything was done to it."""

    sha256: str  #: Hexadecimal, of the source bytes.
    size: int  #: In bytes.
    mtime_ns: int | None = None  #: Of a file.
    inode: int | None = None  #: Of a file.
    etag: str | None = None  #: Of a URL: its ETag, else its Last-Modified.
    format: str | None = field(default=None, compare=False)  #: What the content is, as in `Facts`; set by Decode.
    is_lossy: bool = field(default=False, compare=False)  #: It had been compressed with loss: a JPEG, a lossy WebP.


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture is: read from its header by Decode, kept true by the stages after it.

    While an asset has only pixels, `format` is the type in which it will be encoded.
    """

    format: str  #: `jpeg`, `png`, `gif`, `webp`, `bmp`, `wbmp`, `xbm`, `heic`, `avif`, `tiff`, ….
    width: int  #: In pixels, as stored (before `orientation` is applied).
    height: int
    frames: int = 1
    has_alpha: bool = False  #: The container can hold transparency, and does.
    bit_depth: int = 8  #: Bits a channel.
    orientation: int = 1  #: EXIF orientation, 1 to 8; 1 is upright.
    is_srgb: bool = True  #: Shown as it should be by a viewer that assumes sRGB.


@dataclass(frozen=True, slots=True)
class Color:
    """What the numbers in the pixels mean. All None: sRGB."""

    icc: bytes | None = None  #: The embedded profile.
    cicp: tuple[int, int, int, int] | None = None  #: Primaries, transfer, matrix, full range (ITU-T H.273).
    gamma: float | None = None  #: PNG gAMA: the encoding exponent, 0.45455 for sRGB-like.
    chromaticities: tuple[float, ...] | None = None  #: PNG cHRM: white, red, green, blue as x, y.


@dataclass(frozen=True, slots=True)
class Frame:
    """One full frame of a picture, never a part or a difference."""

    image: Image.Image  #: Of full size, with an empty `info`.
    duration: int = 0  #: In milliseconds; 0 in a still picture.
    #: Of a picture of 16 bits whose colours are still to be converted: what rounding to 8 left over, as `L` or
    #: `RGB`. The value of 16 bits is 257 times that in `image` plus this, of -128 to 127 (two's complement).
    fine: Image.Image | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded picture.

    Our own record, because a copied or pickled Pillow image keeps one frame, and its `info`
    finds its way into files.
    """

    frames: tuple[Frame, ...]
    loop: int | None = None  #: How often an animation plays: 0 for ever; None: not stated, so once.
    color: Color = Color()
    orientation: int = 1  #: Still to be applied; 1 is upright.
    quality: int | None = None  #: Estimated from the tables of the JPEG that it came from, 1 to 100.
    subsampling: str | None = None  #: Of that JPEG: `4:4:4`, `4:2:2`, `4:2:0`, ….
    metadata: Mapping[str, bytes] = field(default_factory=dict)  #: `exif`, `xmp`, `copyright`: kept only on request.

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, of every frame."""
        return self.frames[0].image.size


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a picture looks like, for finding pictures that look alike."""

    luma: int  #: 64 bits of a perceptual hash of brightness.
    color: int  #: 64 bits that describe colour, coarsely.


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a picture in the store."""

    image_id: int | None = None
    url: str | None = None
    name: str | None = None  #: The file name that was sent, with our marker; or the path written by `prepare`.
    sha256: str | None = None  #: Of the bytes sent.
    size: int | None = None  #: Of the bytes sent.
    action: str = "upload"  #: `upload`, `replace`, `update` or `none`.
    attempts: int = 0  #: Requests that tried to send it.


@dataclass(frozen=True, slots=True)
class Asset:
    """One picture on its way from a source to a store.

    It has two faces: `data`, the encoded bytes, and `pixels`, the decoded frames. At least one
    is there once it has been read; if both are, they agree. Stages never change an asset; they
    return a new one made by `evolve`.

    >>> Asset("front.jpg", "77").target
    Target(product_id=77)
    """

    source: str  #: Path or URL, exactly as the source gave it.
    target: Target = Target()  #: Where it goes; a bare id or SKU is taken too.
    data: bytes | None = field(default=None, repr=False)  #: The encoded file, as read or as it will be sent.
    pixels: Pixels | None = field(default=None, repr=False)  #: The decoded frames; None until a stage needs them.
    key: str = ""  #: The place's name within source and product; "" means `source`.
    location: str = ""  #: What Read opens: absolute path or URL; "" when data was handed over.
    origin: Origin = Origin()
    order: int = 0  #: Position among the pictures of its product, from 0; given on admission.
    number: int = 0  #: Position among the inputs of a run, from 1; given by `upload` and its like.
    received: Received | None = None  #: Set by Read, or by Decode for data that was handed over.
    facts: Facts | None = None  #: Set by Decode.
    lossless: bool = True  #: The pixels are those that were received.
    #: SHA-256 of what is shown, metadata aside: of a JPEG's stream, of other pixels where they are decoded anyway.
    fingerprint: str | None = None
    likeness: Likeness | None = None
    preview: bytes | None = field(default=None, repr=False)  #: A JPEG of at most 96 pixels, for the report.
    similar_to: str | None = None  #: Source of an earlier picture that looks the same.
    notes: tuple[str, ...] = ()  #: What was done, for the report; one sentence each.
    warnings: tuple[str, ...] = ()  #: Short stable words, such as `too_small_for_zoom`.
    delivery: Delivery | None = None  #: Set by the stage that delivers.

    def __post_init__(self) -> None:
        if not isinstance(self.target, Target):  # a convenience at the door, so that the field is one type inside
            object.__setattr__(self, "target", Target.of(self.target))

    def __repr__(self) -> str:
        """Return what is known of the picture, without bytes and without what signs an address.

        Tracebacks with variables, and tools that report errors, show this text.
        """
        values = ((one.name, getattr(self, one.name)) for one in fields(self) if one.repr)
        stated = (f"{name}={(public_url(value) if isinstance(value, str) else value)!r}" for name, value in values)
        return f"Asset({', '.join(stated)})"

    def evolve(self, *, note: str = "", warning: str = "", **changes: Any) -> Asset:
        """Return a copy with `changes`, and one more line of history."""
        if note:
            changes["notes"] = (*changes.get("notes", self.notes), note)
        if warning and warning not in self.warnings:
            changes["warnings"] = (*changes.get("warnings", self.warnings), warning)
        return replace(self, **changes)

    @property
    def place(self) -> str:
        """The source key: where this picture belongs within its product."""
        return self.key or self.source

    def without_bytes(self) -> Asset:
        """Return a copy that holds no picture: what an outcome keeps."""
        return replace(self, data=None, pixels=None)
