"""Damaged containers: only our errors come out of the walkers, soon, and never another picture.

A short run by default; with --slow, the same for minutes.
"""

import contextlib
import time

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from other_decoders import by_vips, rgba
from pictures import (
    animated,
    chunk,
    encoded,
    exif,
    extended_webp,
    in_jpeg,
    in_png,
    iptc,
    photo,
    png_chunks,
    riff,
    segment,
    webp_chunks,
    xmp,
)

from imagepipe import codecs
from imagepipe.codecs import decode, sniff, statements, wbmp, xbm
from imagepipe.codecs import exif as exif_codec
from imagepipe.errors import ImageError

SMALL = photo((24, 16))
ALPHA = photo((24, 16), "RGBA")
SEEDS = {
    "jpeg": [
        encoded("JPEG", SMALL), encoded("JPEG", SMALL, progressive=True), encoded("JPEG", SMALL.convert("CMYK")),
        encoded("JPEG", SMALL.convert("L"), restart_marker_blocks=1),
        in_jpeg(encoded("JPEG", SMALL), segment(0xE1, b"Exif\0\0" + exif(6, thumbnail=False)), segment(0xED, iptc()),
                segment(0xFE, b"comment")) + b"\0\0\0\x18ftypmp42",
    ],
    "png": [
        encoded("PNG", SMALL), encoded("PNG", ALPHA), encoded("PNG", SMALL.quantize(8), transparency=0),
        encoded("PNG", SMALL.convert("1")), animated("PNG"),
        in_png(encoded("PNG", SMALL), chunk(b"eXIf", exif(6, thumbnail=False)), chunk(b"gAMA", b"\0\0\xb1\x8f"),
               chunk(b"tEXt", b"Comment\0text")) + b"more",
    ],
    "webp": [
        encoded("WEBP", SMALL), encoded("WEBP", ALPHA), encoded("WEBP", ALPHA, lossless=True), animated("WEBP"),
        extended_webp(encoded("WEBP", SMALL), (b"EXIF", exif(6, thumbnail=False)), (b"XMP ", xmp()), flags=12,
                      size=(24, 16)),
    ],
    "gif": [
        encoded("GIF", SMALL), encoded("GIF", SMALL.quantize(8), comment=b"comment", transparency=1),
        animated("GIF", loop=2), animated("GIF", disposal=2),
    ],
    "bmp": [encoded("BMP", SMALL), encoded("BMP", SMALL.quantize(16))],
    "wbmp": [b"\0\0\x18\x10" + bytes(range(48)), b"\0\0\x81\0\2" + bytes(34)],
    "xbm": [encoded("XBM", SMALL.convert("1")),
            b"#define a_width 16\n#define a_height 2\nstatic short a_bits[] = {\n 0x1234, 0xffff };\n"],
}
#: Types that have no walker of their own, and BMP: only decoded.
OTHERS = {
    "bmp": [encoded("BMP", SMALL), encoded("BMP", SMALL.quantize(16)), b"BM" + bytes(8) + b"\x3e\0\0\0\x28" + bytes(3)
            + b"\x05\0\0\0\3\0\0\0\1\0\x08\0\1" + bytes(15) + b"\2" + bytes(7) + b"\3\2\1\0\6\5\4\0"
            + b"\5\1\0\0\0\3\1\0\1\0\0\2\1\0\3\1\0\0\0\1"],
    "tga": [encoded("TGA", SMALL), encoded("TGA", ALPHA, compression="tga_rle")],
    "ico": [encoded("ICO", ALPHA, sizes=[(16, 16)]), encoded("ICO", ALPHA, sizes=[(16, 16)], bitmap_format="bmp")],
    "ppm": [encoded("PPM", SMALL), b"P2\n# c\n4 3\n255\n" + b" ".join(b"%d" % value for value in range(12)),
            b"P7\nWIDTH 4\nHEIGHT 3\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(range(48)),
            b"PF\n2 2\n-1.0\n" + bytes(48)],
    "jpeg2000": [encoded("JPEG2000", SMALL)],
}
BLOCKS = [exif(orientation, order=order) for orientation in (1, 6, 9) for order in ("big", "little")]
KEEPS = [frozenset(), frozenset({"copyright"}), frozenset({"copyright", "icc", "exif", "xmp"})]


@st.composite
def damaged(draw, format: str) -> bytes:
    """A seed with some bytes changed, parts cut out, doubled or put in, or its end cut off."""
    data = bytearray(draw(st.sampled_from(SEEDS.get(format) or OTHERS[format])))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 5)):
            case 0 if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1 if data:
                data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xD9, 0xDA, 0xFE, 0xFF]))
            case 2:
                del data[at:at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = data[at:at + draw(st.integers(1, 40))]
            case 4:
                data[at:at] = draw(st.binary(max_size=12))
            case 5:
                del data[at:]
    return bytes(data)


def gif_parts(data: bytes) -> list[bytes]:
    """A GIF cut between its blocks; the first part is its header."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    parts = [data[:at]]
    while at < len(data):
        start = at
        at += 2 if data[at] == 0x21 else 1 if data[at] == 0x3B else 11 + (
            3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        while data[start] != 0x3B and data[at]:
            at += data[at] + 1
        at += data[start] != 0x3B
        parts.append(data[start:at])
    return parts


def joined_png(chunks) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in chunks)


CUT = {"png": (lambda data: png_chunks(data.removesuffix(b"more")), joined_png),
       "webp": (webp_chunks, lambda chunks: riff(*chunks)), "gif": (gif_parts, b"".join)}


@st.composite
def rearranged(draw, format: str) -> bytes:
    """A seed whose parts were moved, doubled or dropped, or which has parts of another, all of them sound."""
    cut, join = CUT[format]
    parts = cut(draw(st.sampled_from(SEEDS[format])))
    for _ in range(draw(st.integers(1, 3))):
        at, to = draw(st.integers(1, len(parts))), draw(st.integers(1, len(parts)))
        match draw(st.integers(0, 3)):
            case 0:
                parts[to:to] = parts[at:at + 1]
            case 1:
                del parts[at:at + 1]
            case 2:
                moved = parts[at:at + 1]
                del parts[at:at + 1]
                parts[to:to] = moved
            case 3:
                other = cut(draw(st.sampled_from(SEEDS[format])))
                parts.insert(to, draw(st.sampled_from(other[1:] or other)))
    return join(parts)


def repaired(format: str, data: bytes) -> bytes:
    """The same with right checksums and sizes, so that what is behind them is tried too."""
    if format == "webp" and len(data) > 8:
        return b"RIFF" + (len(data) - 8).to_bytes(4, "little") + data[8:]
    if format != "png":
        return data
    out, at = data[:8], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        if at + 12 + size > len(data):
            break
        out += chunk(data[at + 4:at + 8], data[at + 8:at + 8 + size])
        at += 12 + size
    return out + data[at:]


def seen(data: bytes, format: str) -> tuple[int, int, int, bytes] | None:
    """The picture as libvips has it, also where it complains; None where it gives up."""
    many = {"n": -1} if format in ("gif", "webp") else {}
    try:
        image = pyvips.Image.new_from_buffer(data, "", fail_on="none", **many)
        if image.width * image.height > 4_000_000:
            return None
        if image.hasalpha() and image[image.bands - 1].min() == 255:  # an alpha channel that says nothing
            image = image[:image.bands - 1]
        return image.width, image.height, image.bands, bytes(image.write_to_memory())
    except pyvips.Error:
        return None


def check(format: str, data: bytes) -> None:
    started = time.process_time()
    header = None
    with contextlib.suppress(ImageError):
        header = codecs.read_header(data, format)
    with contextlib.suppress(ImageError):
        codecs.read_header(data, format, accept_damaged=True)
    if format in codecs.REBUILT:
        with contextlib.suppress(ImageError):
            codecs.metadata(data, format)
        if header is None:
            with pytest.raises(ImageError):
                codecs.rebuild(data, format)
        else:
            faithful(format, data, header)
    elif header is not None and format != "bmp":
        with contextlib.suppress(ImageError):
            assert (wbmp if format == "wbmp" else xbm).decode(data).size == (header.width, header.height)
    assert time.process_time() - started < 5  # it is a loop that is looked for, not slowness


def faithful(format: str, data: bytes, header: codecs.Header) -> None:
    """The rebuilt picture reads the same, by us and by another decoder, and cannot be reduced further."""
    assert sniff.identify(data).format == format
    before = seen(data, format)
    for keep in KEEPS:
        rebuilt = codecs.rebuild(data, format, keep)
        again = codecs.read_header(rebuilt, format)
        for name in ("width", "height", "frames", "has_alpha", "bit_depth", "channels", "orientation", "loop"):
            assert getattr(again, name) == getattr(header, name), name
        assert codecs.rebuild(rebuilt, format, keep) is rebuilt
        if before is not None and not is_ambiguous(header):
            assert seen(rebuilt, format) == before


def is_ambiguous(header: codecs.Header) -> bool:
    """Whether decoders differ on what the source shows; what leaves is made so that they agree."""
    return (not header.shown_alike or bool({"a stray control block", "alpha that does not count"} & set(header.hidden))
            or "flags that do not say what is there" in header.notes)


def shown_as_others_show_it(format: str, data: bytes) -> None:
    """What is decoded is what libvips makes of the rebuilt container, without a complaint."""
    try:
        pixels = decode.decode(data, format, max_pixels=500_000)
    except ImageError:
        return
    header = codecs.read_header(data, format)
    if is_ambiguous(header) or max(header.width, header.height) > 2_048:  # of a larger GIF, libvips doubts the size
        return
    frames = pixels.frames[:1] if format == "png" else pixels.frames
    ours = np.concatenate([rgba(np.asarray(frame.image.convert("RGBA"))) for frame in frames]).astype(int)
    if len(pixels.frames) > 1 and format == "png":  # libvips shows the picture for programs without animation
        return
    theirs = by_vips(codecs.rebuild(data, format)).pixels.astype(int)
    assert ours.shape == theirs.shape
    if format == "gif":  # of a colour that the table does not have, libvips makes a hole, and browsers black
        theirs = np.where((theirs[..., 3:] == 0) & (ours == [0, 0, 0, 255]).all(axis=2)[..., None], ours, theirs)
    assert np.abs(ours[..., 3] - theirs[..., 3]).max() <= 1
    shown = np.abs(ours[..., :3] * ours[..., 3:] - theirs[..., :3] * theirs[..., 3:]) / 255
    assert shown.max() <= (3 if format == "webp" else 1)


@pytest.mark.parametrize("format", SEEDS)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_containers_give_our_errors_or_the_same_picture(format, data):
    broken = data.draw(damaged(format))
    check(format, broken)
    check(format, repaired(format, broken))


@pytest.mark.slow
@pytest.mark.parametrize("format", SEEDS)
@settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_containers_for_minutes(format, data):
    broken = data.draw(damaged(format))
    check(format, broken)
    check(format, repaired(format, broken))


@pytest.mark.parametrize("format", CUT)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_decoded_is_what_others_see(format, data):
    odd = data.draw(st.one_of(rearranged(format), damaged(format).map(lambda broken: repaired(format, broken))))
    check(format, odd)
    shown_as_others_show_it(format, odd)


@pytest.mark.slow
@pytest.mark.parametrize("format", CUT)
@settings(max_examples=4_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_decoded_is_what_others_see_for_minutes(format, data):
    odd = data.draw(st.one_of(rearranged(format), damaged(format).map(lambda broken: repaired(format, broken))))
    check(format, odd)
    shown_as_others_show_it(format, odd)


@pytest.mark.parametrize("format", OTHERS)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_pictures_of_other_types_give_our_errors(format, data):
    broken = data.draw(damaged(format))
    for accept_damaged in (False, True):
        with contextlib.suppress(ImageError):
            decode.decode(broken, format, max_pixels=500_000, accept_damaged=accept_damaged)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=600), st.sampled_from([seed for seeds in SEEDS.values() for seed in seeds]),
                 st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))),
       st.sampled_from(["", "a.wbmp", "a.tga", "a.jpg"]))
def test_anything_at_all_is_named(data, name):
    kind = sniff.identify(data, name)

    assert kind.name
    assert kind.format or kind.hint
    if kind.format in codecs.READ:
        with contextlib.suppress(ImageError):
            codecs.read_header(data, kind.format)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_exif_and_statements_never_raise(data):
    block = bytearray(data.draw(st.sampled_from(BLOCKS)))
    for _ in range(data.draw(st.integers(0, 8))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    block = bytes(block[:data.draw(st.integers(0, len(block)))])

    said = exif_codec.read(block)
    turned = exif_codec.with_orientation(block, 6)

    assert said.orientation in range(1, 9)
    assert exif_codec.read(turned).orientation in (6, 1) if said.orientation == 1 else True
    statements.statement(said, data.draw(st.binary(max_size=300)), data.draw(st.binary(max_size=300)))
    statements.iptc_of(data.draw(st.binary(max_size=100)))
