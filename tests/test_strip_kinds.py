"""Each kind of thing that cameras and programs put beside a picture, in each container: none of it leaves.

Searched for in the bytes, in what they inflate to, and by exiftool; where a picture passes through,
and where it is encoded again.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pictures
import pytest
import pyvips
import table_bmp
import table_gif
import table_jpeg
import table_others
import table_png
import table_tiff
import table_webp
from other_decoders import Exiftool, by_vips, exiftool, needs, run  # noqa: F401 - a fixture
from pictures import (
    CANARY,
    chunk,
    exif,
    gif_extension,
    in_gif,
    in_jpeg,
    in_png,
    iptc,
    png_chunks,
    riff,
    segment,
    srgb_profile,
    webp_chunks,
    xmp,
)
from PIL import Image
from profiles import ADOBE, SRGB, rgb_profile, srgb_curve
from table_cells import INNOCENT, LOSSY, distances
from table_pictures import AFTER_THE_END, GREY, SCENE, SIZE, SOFT, film, saved

from imagepipe.asset import Asset
from imagepipe.shaping import Shaping

WIDE = rgb_profile(ADOBE, 2.2)
NAMED_SRGB = rgb_profile(SRGB, srgb_curve, name=CANARY.decode())
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def extended_webp(image: bytes, *chunks: tuple[bytes, bytes], flags: int = 0) -> bytes:
    return pictures.extended_webp(image, *chunks, flags=flags, size=SIZE)


def bare(data: bytes) -> bytes:
    """A WebP without the EXIF that libvips puts into it."""
    return riff(*(pair for pair in webp_chunks(data) if pair[0] in (b"VP8 ", b"VP8L")))


JPEG, PNG, WEBP = table_jpeg.jpeg(), table_png.png(SCENE), bare(saved("webp"))
GIF = table_gif.gif(table_gif.gif_frame())
FRAMES = [np.dstack([GREY] * 3), SCENE]
APNG, MOVING_WEBP = table_png.animated_png(FRAMES), table_webp.animated_webp(FRAMES, lossless=True)
THUMBNAIL = in_jpeg(table_jpeg.jpeg(SCENE[:16, :16]), segment(0xFE, CANARY))


def photoshop(number: int, body: bytes) -> bytes:
    """A resource of Photoshop, as APP13 carries it."""
    return (b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(body)) + body
            + b"\0" * (len(body) & 1))


def jumbf() -> bytes:
    """Content credentials in two segments, as they are when they are long (ISO 19566-5)."""
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + kind + body

    label = box(b"jumd", bytes.fromhex("6332706100110010800000aa00389b71") + b"\3c2pa\0")
    whole = box(b"jumb", label + box(b"json", b'{"by": "' + CANARY + b'"}' + b" " * 3000 + CANARY))
    return b"".join(segment(0xEB, b"JP\0\1" + struct.pack(">I", number) + whole[:8] + part)
                    for number, part in ((1, whole[8:1500]), (2, whole[1500:])))


def hexadecimal(kind: bytes, body: bytes) -> bytes:
    """What ImageMagick makes of metadata: digits in a text."""
    return b"Raw profile type " + kind + b"\0\0" + zlib.compress(
        b"\n%s\n%8d\n" % (kind, len(body)) + body.hex().encode() + b"\n")


def _with_frame(data: bytes) -> bytes:
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60, 44, 0, 0, 7, 100, 0, 0))
    return in_png(PNG, control, chunk(b"fdAT", struct.pack(">I", 1) + data), before=b"IEND")


def in_frame(data: bytes) -> bytes:
    """An animated WebP with something in its first frame that no frame has."""
    chunks = webp_chunks(data)
    at = next(number for number, pair in enumerate(chunks) if pair[0] == b"ANMF")
    extra = b"prVt" + struct.pack("<I", len(CANARY)) + CANARY + b"\0" * (len(CANARY) & 1)
    chunks[at] = (b"ANMF", chunks[at][1] + extra)
    return riff(*(pair for pair in chunks if pair[0] != b"EXIF"))


def heif(**options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(SCENE))
    out = io.BytesIO()
    file.save(out, quality=90, **options)
    return out.getvalue()


def gps_tiff() -> bytes:
    """A TIFF whose position, EXIF and further texts stand in directories of their own."""
    words = {tag: (2, len(CANARY) + 1, CANARY + b"\0") for tag in (269, 271, 272, 315, 316, 33432)}
    return table_tiff.tiff(extra={**words, 33723: (7, len(CANARY), CANARY), 37724: (7, len(CANARY), CANARY)}, pages=2)


UPRIGHT = xmp().replace(b'tiff:Orientation="6"', b"")
KINDS: dict[str, Callable[[], bytes]] = {
    "JPEG: EXIF, position, thumbnail, maker note": lambda: in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(1))),
    "JPEG: the same, sideways": lambda: in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(6))),
    "JPEG: the same, little-endian": lambda: in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(3, order="little"))),
    "JPEG: EXIF twice": lambda: in_jpeg(JPEG, *[segment(0xE1, b"Exif\0\0" + exif(1))] * 2),
    "JPEG: EXIF that is broken": lambda: in_jpeg(JPEG, segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff" + CANARY)),
    "JPEG: XMP": lambda: in_jpeg(JPEG, segment(0xE1, XMP_HEAD + xmp())),
    "JPEG: XMP of two parts": lambda: in_jpeg(JPEG, segment(0xE1, XMP_HEAD + xmp()), *(
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 22, at) + CANARY)
        for at in (0, 11))),
    "JPEG: IPTC": lambda: in_jpeg(JPEG, segment(0xED, iptc(CANARY))),
    "JPEG: a thumbnail of Photoshop": lambda: in_jpeg(JPEG, segment(0xED, photoshop(0x40C, bytes(28) + THUMBNAIL))),
    "JPEG: a path and a caption of Photoshop": lambda: in_jpeg(JPEG, segment(0xED, photoshop(0x7D0, CANARY)),
                                                                 segment(0xED, photoshop(0x3F0, CANARY))),
    "JPEG: comments": lambda: in_jpeg(JPEG, segment(0xFE, CANARY), segment(0xFE, b"by " + CANARY)),
    "JPEG: thumbnails of JFIF": lambda: in_jpeg(
        b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\2\2" + CANARY + b"x") + JPEG[20:],
        segment(0xE0, b"JFXX\0\x10" + THUMBNAIL), at=2 + 4 + 14 + 12),
    "JPEG: several pictures": table_jpeg.multi_picture,
    "JPEG: a gain map": table_jpeg.ultra_hdr,
    "JPEG: a film": table_jpeg.motion_photo,
    "JPEG: a film, as before 2020 and by Samsung": table_jpeg.micro_video,
    "JPEG: content credentials": lambda: in_jpeg(JPEG, jumbf()),
    "JPEG: FlashPix": lambda: in_jpeg(JPEG, *(segment(0xE2, b"FPXR\0\0" + bytes((number,)) + CANARY)
                                                 for number in (1, 2))),
    "JPEG: quality of Photoshop, and Kodak's": lambda: in_jpeg(
        JPEG, segment(0xEC, b"Ducky\0\1\0\4\0\0\0" + CANARY), segment(0xE3, b"Meta\0\0" + exif(1))),
    "JPEG: every segment of programs": lambda: in_jpeg(JPEG, *(segment(0xE0 + number, CANARY) for number in range(16))),
    "JPEG: more in Adobe's marker": lambda: in_jpeg(JPEG, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + CANARY), at=20),
    "JPEG: between scans": lambda: (lambda data: in_jpeg(data, segment(0xFE, CANARY), segment(0xE1, CANARY),
                                                           at=data.rindex(b"\xff\xda")))(
        saved("jpg", SCENE, interlace=True, Q=90, strip=True)),
    "JPEG: between its parts": lambda: in_jpeg(JPEG, CANARY, at=20),
    "JPEG: an sRGB profile with a name": lambda: table_jpeg.with_profile(JPEG, NAMED_SRGB),
    "JPEG: a profile that is none": lambda: table_jpeg.with_profile(JPEG, CANARY * 30),
    "JPEG: behind the end": lambda: JPEG + AFTER_THE_END + in_jpeg(JPEG, segment(0xFE, CANARY)),
    "PNG: EXIF, position, thumbnail, maker note": lambda: in_png(PNG, chunk(b"eXIf", exif(1))),
    "PNG: the same, sideways": lambda: in_png(PNG, chunk(b"eXIf", exif(8))),
    "PNG: text": lambda: in_png(PNG, chunk(b"tEXt", b"Author\0" + CANARY), chunk(b"tEXt", CANARY + b"\0x")),
    "PNG: text, compressed": lambda: in_png(PNG, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(CANARY))),
    "PNG: text in many languages": lambda: in_png(PNG, chunk(b"iTXt", b"Title\0\0\0de\0" + CANARY + b"\0" + CANARY)),
    "PNG: the same, compressed": lambda: in_png(PNG, chunk(b"iTXt", b"Title\0\1\0de\0\0" + zlib.compress(CANARY))),
    "PNG: XMP": lambda: in_png(PNG, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp())),
    "PNG: metadata in digits": lambda: in_png(PNG, *(chunk(b"zTXt", hexadecimal(kind, body)) for kind, body in (
        (b"exif", b"Exif\0\0" + exif(1)), (b"iptc", iptc()), (b"xmp", xmp()), (b"APP1", exif(1))))),
    "PNG: content credentials": lambda: in_png(PNG, chunk(b"caBX", b"jumb" + CANARY)),
    "PNG: a signature and chunks of programs": lambda: in_png(PNG, chunk(b"dSIG", CANARY), chunk(b"prVt", CANARY),
                                                              chunk(b"iDOT", CANARY)),
    "PNG: an sRGB profile with a name": lambda: in_png(PNG, chunk(
        b"iCCP", CANARY + b"\0\0" + zlib.compress(NAMED_SRGB))),
    "PNG: more behind its profile": lambda: in_png(PNG, table_png.iccp(srgb_profile() + CANARY)),
    "PNG: a palette that is suggested": lambda: in_png(PNG, chunk(b"sPLT", CANARY + b"\0\x08" + bytes(6)),
                                                       chunk(b"PLTE", CANARY + b"!")),
    "PNG: more behind its data": lambda: table_png.with_surplus(PNG, CANARY),
    "PNG: more rows than it has": lambda: table_png.with_rows(SCENE, 9),
    "PNG: frames that nothing shows": lambda: _with_frame(zlib.compress(CANARY * 20)),
    "PNG: behind the end": lambda: in_png(PNG, chunk(b"tEXt", b"a\0" + CANARY), before=b"IEND") + AFTER_THE_END,
    "PNG: in the end": lambda: PNG[:-12] + chunk(b"IEND", CANARY),
    "APNG: between frames": lambda: in_png(APNG, chunk(b"tEXt", b"a\0" + CANARY), before=b"fdAT") + CANARY,
    "WebP: EXIF, position, thumbnail, maker note": lambda: extended_webp(WEBP, (b"EXIF", exif(1)), flags=8),
    "WebP: the same, sideways": lambda: extended_webp(WEBP, (b"EXIF", exif(5)), flags=8),
    "WebP: XMP": lambda: extended_webp(WEBP, (b"XMP ", xmp()), flags=4),
    "WebP: not announced": lambda: extended_webp(WEBP, (b"EXIF", exif(6)), (b"XMP ", xmp()), (b"ICCP", NAMED_SRGB),
                                                 ),
    "WebP: content credentials and parts of programs": lambda: extended_webp(
        WEBP, (b"C2PA", CANARY), (b"prVt", CANARY), (b"ALPH", CANARY)),
    "WebP: an sRGB profile with a name": lambda: extended_webp(WEBP, (b"ICCP", NAMED_SRGB), flags=0x20),
    "WebP: behind the end": lambda: WEBP + AFTER_THE_END,
    "WebP animated: EXIF, XMP, behind the end": lambda: table_webp.private_webp(MOVING_WEBP),
    "WebP animated: in a frame": lambda: in_frame(MOVING_WEBP),
    "GIF: a comment": lambda: in_gif(GIF, gif_extension(0xFE, CANARY)),
    "GIF: text": lambda: in_gif(GIF, gif_extension(0x01, b"\0" * 12, CANARY)),
    "GIF: XMP": lambda: in_gif(GIF, b"\x21\xff\x0bXMP DataXMP" + xmp() + bytes((1, *range(255, -1, -1), 0))),
    "GIF: of programs": lambda: in_gif(GIF, gif_extension(0xFF, b"PROGRAM 1.0", CANARY), gif_extension(
        0xFF, b"ICCRGBG1012", NAMED_SRGB[:200] + CANARY), gif_extension(0x2C, CANARY)),
    "GIF: more in the loop count": lambda: in_gif(GIF, gif_extension(0xFF, b"NETSCAPE2.0", b"\1\0\0", CANARY)),
    "GIF: behind the end": lambda: GIF + AFTER_THE_END,
    "TIFF: texts, XMP, a second page": gps_tiff,
    "PSD: IPTC": table_others.psd,
    "TGA: a text": table_others.tga,
    "ICO: in its picture": lambda: table_others.ico((32, table_png.private_png(table_png.png(SOFT[:32, :32])))),
    "PPM: comments": lambda: table_others.ppm("P6"),
    "BMP: behind the end": lambda: table_bmp.bmp(24) + CANARY,
    "BMP: an sRGB profile with a name": lambda: table_bmp.bmp(24, head=124, profile=NAMED_SRGB),
    "XBM: a comment": table_bmp.xbm,
    "HEIC: EXIF, XMP": lambda: heif(exif=exif(1), xmp=UPRIGHT),
    "HEIC: a film": lambda: heif() + (8 + len(film())).to_bytes(4, "big") + b"mpvd" + film(),
    "AVIF: EXIF, XMP": lambda: saved("avif", SCENE, fields={"exif-data": b"Exif\0\0" + exif(1), "xmp-data": UPRIGHT},
                                     compression="av1", Q=95, effort=1),
    "JPEG 2000: XMP": lambda: _jpeg_2000() + _uuid(xmp()),
}


def _jpeg_2000() -> bytes:
    out = io.BytesIO()
    Image.fromarray(SCENE).save(out, "JPEG2000", irreversible=False)
    return out.getvalue()


def _uuid(packet: bytes) -> bytes:
    body = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + packet
    return (len(body) + 8).to_bytes(4, "big") + b"uuid" + body


def opened_up(data: bytes) -> bytes:
    """The bytes, and what is in them compressed or in digits."""
    found = [data]
    if data.startswith(b"\x89PNG"):
        parts = png_chunks(data)
        found += [inflated(body) for kind, body in parts if kind in (b"zTXt", b"iTXt", b"iCCP", b"fdAT")]
        found.append(inflated(b"".join(body for kind, body in parts if kind == b"IDAT"), 0))
    digits = b"".join(found).lower()
    return b"".join(found) + (b"in digits: " + CANARY if CANARY.hex().encode() in digits else b"")


def inflated(body: bytes, start: int | None = None) -> bytes:
    """What a part inflates to, wherever in it the compressed data start, and what is behind them."""
    starts = [start] if start is not None else [at for at in range(len(body)) if body[at] & 15 == 8]
    out = b""
    for at in starts:
        inflate = zlib.decompressobj()
        try:
            out += inflate.decompress(body[at:], 1_000_000) + inflate.unused_data
        except zlib.error:
            continue
    return out


@pytest.mark.parametrize("settings", [{}, {"max_edge": 30}], ids=["as it is", "smaller"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_kind_leaves(kind: str, settings: dict[str, int]) -> None:
    given = KINDS[kind]()
    assert CANARY in opened_up(given)

    sent = Shaping(**settings).pipeline()(Asset(f"picture.{'tga' if kind.startswith('TGA') else 'x'}", data=given)).data

    assert sent is not None
    assert CANARY not in opened_up(sent)


def test_exiftool_finds_nothing_of_any_kind(tmp_path: Path) -> None:
    needs("exiftool")
    shaped = Shaping().pipeline()
    for number, (kind, make) in enumerate(KINDS.items()):
        given = make()
        asset = shaped(Asset(f"picture.{'tga' if kind.startswith('TGA') else 'x'}", data=given))
        (tmp_path / f"{number} sent").write_bytes(asset.data or b"")
        if kind in SEEN:
            (tmp_path / f"{number} given").write_bytes(given)

    told = json.loads(run("exiftool", "-q", "-q", "-json", "-G1", "-a", "-u", "-U", "-ee", "-b",
                          *tmp_path.iterdir()))

    groups: dict[str, set[str]] = {"sent": set(), "given": set()}
    for tags in told:
        which = tags["SourceFile"].rpartition(" ")[2]
        groups[which] |= {name.partition(":")[0] for name in tags}
        if which == "sent":
            assert not [value for value in tags.values() if CANARY.decode() in str(value)], tags["SourceFile"]
    assert len(told) == len(KINDS) + len(SEEN)
    assert not groups["sent"] - INNOCENT
    # it does see them where they are
    assert groups["given"] >= {"GPS", "IFD1", "IFD0", "IPTC", "Photoshop", "JUMBF", "MPF0", "XMP-dc", "XMP-hdrgm",
                               "ICC-header"}


SEEN = {"JPEG: EXIF, position, thumbnail, maker note", "JPEG: IPTC", "JPEG: a path and a caption of Photoshop",
        "JPEG: content credentials", "JPEG: several pictures", "JPEG: XMP", "JPEG: a gain map",
        "JPEG: an sRGB profile with a name"}
KEPT: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": lambda icc: in_jpeg(table_jpeg.private(table_jpeg.with_profile(JPEG, icc)), segment(
        0xE1, b"Exif\0\0" + exif(1, copyright=b"(c) Ann"))),
    "PNG": lambda icc: in_png(PNG, table_png.iccp(icc), chunk(b"eXIf", exif(1, copyright=b"(c) Ann")),
                              chunk(b"tEXt", b"Comment\0" + CANARY)) + AFTER_THE_END,
    "WebP": lambda icc: extended_webp(WEBP, (b"ICCP", icc), (b"EXIF", exif(1, copyright=b"(c) Ann")), (b"XMP ", xmp()),
                                      flags=0x2C) + AFTER_THE_END,
}


@pytest.mark.parametrize("smaller", [False, True], ids=["as it is", "smaller"])
@pytest.mark.parametrize("kind", KEPT)
def test_copyright_and_profile_are_kept_and_nothing_else(kind: str, smaller: bool,
                                                          exiftool: Exiftool | None) -> None:  # noqa: F811
    settings = {"max_edge": 30} if smaller else {}
    given = KEPT[kind](WIDE)

    sent = Shaping(keep=frozenset({"copyright", "icc"}), color="keep", **settings).pipeline()(
        Asset("picture", data=given)).data

    assert sent is not None and CANARY not in opened_up(sent)
    assert by_vips(sent).fields >= {"icc-profile-data"}
    assert profile_of(sent) == WIDE and b"(c) Ann" in sent
    if exiftool is not None:
        tags = exiftool.tags(sent)
        assert tags["IFD0:Copyright"] == "(c) Ann"
        groups = {name.partition(":")[0] for name in tags} - INNOCENT
        assert {group for group in groups if not group.startswith("ICC")} == {"IFD0"}
        assert {name for name in tags if name.startswith("IFD0:")} <= {
            "IFD0:Copyright", "IFD0:Orientation", "IFD0:YCbCrPositioning", "IFD0:XResolution", "IFD0:YResolution",
            "IFD0:ResolutionUnit"}


@pytest.mark.parametrize("kind", KEPT)
def test_a_kept_copyright_does_not_keep_the_profile_and_the_other_way_round(kind: str) -> None:
    given = KEPT[kind](NAMED_SRGB)

    statement, profile, both = (
        Shaping(keep=frozenset(words)).pipeline()(Asset("picture", data=given)).data or b""
        for words in ({"copyright"}, {"icc"}, {"copyright", "icc"}))

    assert [profile_of(sent) for sent in (statement, profile, both)] == [b"", NAMED_SRGB, NAMED_SRGB]
    assert [b"(c) Ann" in sent for sent in (statement, profile, both)] == [True, False, True]
    for sent in (statement, profile, both):
        assert CANARY not in opened_up(sent.replace(NAMED_SRGB, b"") if kind != "PNG" else without_profile(sent))
        assert distances(by_vips(sent).pixels, by_vips(given, fail_on="none").pixels)[0] <= LOSSY.mean


def profile_of(data: bytes) -> bytes:
    """The profile that libvips finds."""
    image = pyvips.Image.new_from_buffer(data, "")
    return bytes(image.get("icc-profile-data")) if image.get_typeof("icc-profile-data") else b""


def without_profile(data: bytes) -> bytes:
    return data[:8] + b"".join(chunk(kind, body) for kind, body in png_chunks(data) if kind != b"iCCP")
