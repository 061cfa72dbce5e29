import struct

import pytest
from pictures import CANARY, exif, iptc, xmp

from imagepipe.codecs import exif as exif_codec
from imagepipe.codecs import statements


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_both_byte_orders(order, orientation):
    assert exif_codec.read(exif(orientation, order=order)).orientation == orientation
    assert exif_codec.read(exif_codec.PREFIX + exif(orientation, order=order)).orientation == orientation


@pytest.mark.parametrize("block", [
    exif(0), exif(9), exif(255), exif(65_535),
    exif(6, kind=2), exif(6, kind=1), exif(6, kind=7), exif(b"6\0\0\0", kind=2, count=2), exif(6, kind=5),
    exif(6, kind=9), exif(6, kind=99), exif(6, count=0), exif(6, count=2), exif(6, count=2**32 - 1),
    exif(b"\0\6\0\3", count=2), exif(None), b"", b"MM", b"MM\0*", b"MM\0*\0\0\0\0", b"MM\0*\xff\xff\xff\xff",
    b"MM\0+" + exif(6)[4:], b"XX" + exif(6)[2:], bytes(100), b"\xff" * 100,
    b"MM\0*\0\0\0\x08" + b"\xff\xff", CANARY * 20,
], ids=range(27))
def test_anything_but_one_integer_from_1_to_8_is_upright(block):
    assert exif_codec.read(block).orientation == 1


def test_a_long_is_an_integer_too():
    assert exif_codec.read(exif(struct.pack(">I", 8), kind=4)).orientation == 8
    assert exif_codec.read(exif(struct.pack(">I", 0x60000), kind=4)).orientation == 1


def entry(tag: int, value: int) -> bytes:
    return struct.pack(">HHIHH", tag, 3, 1, value, 0)


def block(*entries: bytes, following: int = 0) -> bytes:
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + struct.pack(">I", following)


def test_stated_twice_it_counts_only_where_both_agree():
    assert exif_codec.read(block(entry(0x0112, 6), entry(0x0112, 6))).orientation == 6
    assert exif_codec.read(block(entry(0x0112, 6), entry(0x0112, 3))).orientation == 1


def test_directories_that_lead_in_circles_end():
    loop = block(entry(0x0112, 6), struct.pack(">HHII", 0x8769, 4, 1, 8), struct.pack(">HHII", 0x8825, 4, 1, 8),
                 following=8)

    assert exif_codec.read(loop).orientation == 6


def test_what_the_smallest_block_says_is_read_again():
    written = exif_codec.write(6, copyright="© Ann", artist="Bob")

    assert exif_codec.read(written) == exif_codec.Exif(6, "© Ann", "Bob")
    assert len(exif_codec.write(3)) == 26
    assert exif_codec.read(exif_codec.write(1, copyright="x")) == exif_codec.Exif(copyright="x")
    assert exif_codec.write(1) == exif_codec.write(9) == b""


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("stated", [None, 1, 6, 9])
@pytest.mark.parametrize("wanted", [1, 6])
def test_orientation_is_rewritten_and_nothing_else(order, stated, wanted):
    before = exif(stated, order=order, copyright=b"Ann")

    after = exif_codec.with_orientation(before, wanted)

    said = exif_codec.read(after)
    assert (said.orientation, said.copyright, said.has_gps, said.has_thumbnail) == (wanted, "Ann", True, True)
    assert len(after) >= len(before)
    assert exif_codec.with_orientation(after, wanted) == after


def test_a_block_that_cannot_be_read_is_replaced():
    assert exif_codec.with_orientation(b"nonsense", 1) == b""
    assert exif_codec.read(exif_codec.with_orientation(b"nonsense", 6)).orientation == 6


def test_copyright_of_photographer_and_editor():
    assert exif_codec.read(exif(copyright=b"Ann\0Bob")).copyright == "Ann; Bob"


def test_statements_of_xmp_and_iptc():
    nothing = exif_codec.Exif()

    assert statements.statement(nothing, xmp("R&amp;D &lt;Ann&gt;")).copyright == "R&D <Ann>"
    assert statements.statement(nothing, b'<x dc:rights="Ann" dc:creator="Bob">') == statements.Statement("Ann", "Bob")
    assert statements.statement(nothing, b"<dc:rights><rdf:li>Ann").copyright == ""
    records = statements.iptc_of(iptc("© Ann".encode())[14:])
    assert statements.statement(nothing, b"", records).copyright == "© Ann"
    assert statements.statement(nothing, b"", statements.iptc_of(iptc(b"\xa9 Ann")[14:])).copyright == "© Ann"
    assert statements.iptc_of(b"8BIM\x04\x04") == b""


def test_entities_in_xmp_are_not_expanded():
    bomb = (b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
            b"<dc:rights><rdf:li>&b;&b;</rdf:li></dc:rights>")

    assert statements.statement(exif_codec.Exif(), bomb).copyright == "&b;&b;"
