import shutil
import subprocess

import pytest
from pictures import (
    CANARY,
    encoded,
    exif,
    icc_segments,
    in_jpeg,
    other_eyes,
    photo,
    segment,
    wide_profile,
    xmp,
)

from imagepipe.asset import Asset
from imagepipe.codecs import jpeg, jpeg_walk
from imagepipe.codecs.decode import decode, verify
from imagepipe.codecs.jpeg_tables import quality_of, subsampling_of
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage, TooSlow
from imagepipe.stages.decode import Decode

JPEG = encoded("JPEG")
PROGRESSIVE = encoded("JPEG", progressive=True)
SCAN = JPEG.index(b"\xff\xda")
FRAME = JPEG.index(b"\xff\xc0")


@pytest.mark.parametrize("quality", [1, 2, 10, 25, 49, 50, 51, 75, 80, 85, 90, 95, 98, 99, 100])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_quality_is_read_from_the_tables(quality, mode):
    assert jpeg.read_header(encoded("JPEG", photo(mode=mode), quality=quality)).quality == quality


def test_quality_of_rgb_without_chroma_is_read_too():
    data = encoded("JPEG", quality=83, keep_rgb=True)

    assert jpeg.read_header(data).quality == 83
    assert jpeg.rebuild(data) is data


@pytest.mark.parametrize("factor, lowest, highest", [(0.5, 76, 95), (1.0, 74, 76), (2.0, 45, 75)])
def test_quality_of_other_tables_is_near_and_rather_too_high(factor, lowest, highest):
    standard = next(iter(_tables(encoded("JPEG", quality=75))))
    slanted = tuple(max(1, round(value * (1 if index < 6 else factor))) for index, value in enumerate(standard))

    assert lowest <= quality_of(slanted) <= highest


def _tables(data):
    at = data.index(b"\xff\xdb")
    return [tuple(data[at + 5:at + 69])]


@pytest.mark.parametrize("factors, name", [
    ([(1, 1)] * 3, "4:4:4"), ([(2, 2)] * 3, "4:4:4"), ([(2, 1), (1, 1), (1, 1)], "4:2:2"),
    ([(2, 2), (1, 1), (1, 1)], "4:2:0"), ([(1, 2), (1, 1), (1, 1)], "4:4:0"), ([(4, 1), (1, 1), (1, 1)], "4:1:1"),
    ([(2, 2), (2, 1), (2, 1)], "4:4:0"), ([(2, 2), (1, 1), (2, 1)], None), ([(3, 1), (2, 1), (2, 1)], None),
    ([(1, 1)], None), ([(2, 2), (1, 1), (1, 1), (2, 2)], "4:2:0"),
])
def test_subsampling_has_its_usual_name(factors, name):
    assert subsampling_of(factors) == name


@pytest.mark.parametrize("number, name", [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_subsampling_is_read_from_the_frame(number, name):
    assert jpeg.read_header(encoded("JPEG", subsampling=number)).subsampling == name


@pytest.mark.parametrize("mode, channels", [("L", "gray"), ("RGB", "rgb"), ("CMYK", "cmyk")])
def test_channels(mode, channels):
    assert jpeg.read_header(encoded("JPEG", photo(mode=mode))).channels == channels


def test_adobe_transform_makes_four_channels_ycck_and_stays():
    data = encoded("JPEG", photo(mode="CMYK"))
    ycck = data.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2")
    assert ycck != data

    assert jpeg.read_header(ycck).channels == "ycck"
    assert jpeg.rebuild(ycck) is ycck


def test_entropy_coded_data_is_copied_byte_for_byte():
    private = in_jpeg(JPEG, segment(0xFE, CANARY), at=SCAN) + b"more"

    rebuilt = jpeg.rebuild(private)

    assert rebuilt[rebuilt.index(b"\xff\xda"):] == JPEG[SCAN:]


def channels_apart():
    """A JPEG with a scan for each channel."""
    one_scan = encoded("JPEG", subsampling=0, restart_marker_blocks=1)
    at = one_scan.index(b"\xff\xda")
    gray = encoded("JPEG", photo().convert("L"))
    scan = gray[gray.index(b"\xff\xda") + 10:-2]
    tables = gray[gray.index(b"\xff\xc4"):gray.index(b"\xff\xda")]
    head = one_scan[:at].replace(segment(0xDD, b"\0\1"), b"") + tables
    return head + b"".join(segment(0xDA, bytes((1, number, 0, 0, 63, 0))) + scan for number in (1, 2, 3)) + b"\xff\xd9"


ALL_KINDS = pytest.mark.parametrize("data", [
    JPEG, PROGRESSIVE, channels_apart(), encoded("JPEG", restart_marker_blocks=1), encoded("JPEG", photo(mode="CMYK")),
], ids=["baseline", "progressive", "channels apart", "restarts", "four inks"])


@ALL_KINDS
def test_every_truncation_that_costs_a_pixel_is_corrupt(data):
    whole = decode(data, "jpeg").frames[0].image
    taken = []

    for end in range(3, len(data)):
        try:
            image = decode(data[:end], "jpeg").frames[0].image
        except Corrupt:
            continue
        taken.append(len(data) - end)
        assert image.tobytes() == whole.tobytes()

    assert set(taken) >= {1, 2}
    assert max(taken) <= 4  # the end marker, and at most what fills the last byte


@ALL_KINDS
@pytest.mark.parametrize("after", [b"", b"\xff", b"\xff\xfe\x15", b"\xff\x30", b"\xff\xd8\xff\xe0"], ids=repr)
def test_a_lost_end_marker_is_no_damage(data, after):
    whole = other_eyes(data)

    cut = data[:-2] + after

    assert jpeg.rebuild(cut).removesuffix(b"\xff\xd9").rstrip(b"\xff") == data[:-2]
    assert other_eyes(jpeg.rebuild(cut)) == whole
    assert "its end marker is missing" in jpeg.read_header(cut).notes
    assert verify(cut, "jpeg").damaged is False


def test_a_channel_that_never_comes_is_corrupt():
    data = channels_apart()
    third = data[:data.rindex(b"\xff\xda")]
    assert jpeg.read_header(data).notes == ()

    for cut in (third, third + b"\xff\xd9"):
        with pytest.raises(Corrupt, match=r"channels is missing|breaks off"):
            jpeg.read_header(cut)
        assert jpeg.read_header(cut, accept_damaged=True).width == photo().width


def test_a_scan_out_of_order_is_encoded_again_as_decoders_remark_on_it():
    last = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda"):-2]  # its bits are there already
    odd = PROGRESSIVE[:-2] + last + b"\xff\xd9"

    asset = Decode()(Asset("x.jpg", data=odd))

    assert "the JPEG decoder remarks" in asset.notes[-1]
    assert asset.data is None
    assert asset.pixels.frames[0].image.size == photo().size


def sampled(factors, *options):
    """A JPEG of unusual sampling factors, by libjpeg-turbo's own program."""
    if shutil.which("cjpeg") is None:
        pytest.skip("cjpeg is not installed")
    picture = b"P6 160 120 255\n" + photo((160, 120)).tobytes()
    return subprocess.run(["cjpeg", *options, "-sample", factors], input=picture, capture_output=True,
                          check=True).stdout


@pytest.mark.parametrize("options", ["-baseline", "-progressive"])
@pytest.mark.parametrize("factors", ["2x2,2x1,1x2", "3x1,1x1,1x1", "1x1,2x2,2x2", "4x2,1x1,1x1", "2x1,1x1,2x1"])
def test_sampling_that_has_no_name_is_decoded_all_the_same(factors, options):
    data = sampled(factors, options)

    asset = Decode()(Asset("x.jpg", data=data))

    assert asset.pixels.frames[0].image.tobytes() == other_eyes(data)[-1]
    assert asset.data is None  # encoded again, as some programs cannot read it
    assert asset.notes[-1] == "its channels are sampled in an unusual way, which some programs cannot read"


@pytest.mark.parametrize("missing", [30, 400])
def test_of_sampling_that_has_no_name_missing_data_are_seen(missing):
    cut = sampled("3x1,1x1,1x1")[:-missing]

    with pytest.raises(Corrupt, match="damaged or incomplete"):
        decode(cut, "jpeg")
    assert Decode(accept_damaged=True)(Asset("x.jpg", data=cut)).warnings == ("damaged",)


def test_scans_of_fine_detail_that_never_come_are_noted_before_an_end_and_corrupt_without_one():
    cut = PROGRESSIVE[:PROGRESSIVE.rindex(b"\xff\xda")]

    assert jpeg.read_header(cut + b"\xff\xd9").notes == ("its last scans are missing, which hold the fine detail",)
    assert jpeg.read_header(PROGRESSIVE).notes == ()
    with pytest.raises(Corrupt, match="part of the picture is missing"):
        jpeg.read_header(cut)


def test_what_is_no_jpeg_is_none():
    for data in (b"", b"\xff", b"\xff\xd8", b"\x89PNG", bytes(100)):
        with pytest.raises(NotAnImage):
            jpeg.read_header(data)


def test_a_missing_end_is_accepted_on_request():
    broken = JPEG[:-40]

    header = jpeg.read_header(broken, accept_damaged=True)

    assert (header.width, header.height) == photo().size
    assert "its end marker is missing" in header.notes
    assert jpeg.rebuild(broken, accept_damaged=True) == broken + b"\xff\xd9"


def test_padding_before_markers_goes_with_a_note():
    padded = JPEG[:20] + b"\xff" * 7 + JPEG[20:FRAME] + b"\0\0\0" + JPEG[FRAME:-2] + b"\xff\xff" + JPEG[-2:]

    assert jpeg.rebuild(padded) == JPEG
    assert "12 bytes of padding between its parts" in jpeg.read_header(padded).notes


def test_filling_within_a_scan_stays():
    # a stuffed zero after filling bytes is still data
    data = encoded("JPEG", photo().convert("L"), restart_marker_blocks=1)
    at = data.index(b"\xff\xd0", data.index(b"\xff\xda"))
    filled = data[:at] + b"\xff\xff" + data[at:]

    assert jpeg.rebuild(filled) is filled
    assert other_eyes(filled) == other_eyes(data)


@pytest.mark.parametrize("filling", [1, 2, 10_000])
def test_filling_before_a_stuffed_byte_goes_as_decoders_differ_on_it(filling):
    data = encoded("JPEG", photo((160, 120)), quality=95)
    at = data.index(b"\xff\0", data.index(b"\xff\xda"))
    last = data.rindex(b"\xff\0")
    assert at < last

    filled = data[:at] + b"\xff" * filling + data[at:last] + b"\xff" * filling + data[last:]

    assert jpeg.rebuild(filled) == data


def test_very_long_filling_is_no_trap():
    data = JPEG[:20] + b"\xff" * 3_000_000 + JPEG[20:-2] + b"\xff" * 3_000_000 + b"\xd9"

    assert jpeg.rebuild(data) == JPEG


@pytest.mark.parametrize("name, patch, words", [
    ("12 bits", b"\xff\xc1\0\x11\x0c", "12 bits a channel"),
    ("lossless", b"\xff\xc3\0\x11\x08", "lossless"),
    ("hierarchical", b"\xff\xc5\0\x11\x08", "hierarchical"),
    ("lossless arithmetic", b"\xff\xcb\0\x11\x08", "lossless"),
])
def test_what_no_browser_shows_is_refused_in_a_sentence(name, patch, words):
    data = JPEG[:FRAME] + patch + JPEG[FRAME + 5:]

    with pytest.raises(FormatNotAllowed, match=words):
        jpeg.read_header(data)


@pytest.mark.skipif(shutil.which("cjpeg") is None, reason="cjpeg is not installed")
def test_arithmetic_coding_is_noted(tmp_path):
    photo().save(tmp_path / "a.ppm")
    data = subprocess.run(["cjpeg", "-arithmetic", tmp_path / "a.ppm"], capture_output=True, check=True).stdout

    assert "arithmetic coding, which few programs read" in jpeg.read_header(data).notes
    assert jpeg.rebuild(data) is data


def test_scans_are_counted_and_too_many_refused():
    assert jpeg.read_header(PROGRESSIVE).progressive_scans == 10
    last = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda"):-2]

    with pytest.raises(TooSlow, match="100 scans"):
        jpeg.read_header(PROGRESSIVE[:-2] + last * 95 + b"\xff\xd9")


def test_too_many_segments_are_refused(monkeypatch):
    monkeypatch.setattr(jpeg_walk, "MAX_PARTS", 1_000)
    with pytest.raises(TooSlow, match="parts"):
        jpeg.read_header(in_jpeg(JPEG, segment(0xFE, b"") * 1_001))


def test_many_comments_are_no_trouble():
    assert jpeg.rebuild(in_jpeg(JPEG, segment(0xFE, b"x" * 65_533) * 200)) == JPEG


def test_a_height_stated_late_is_put_where_it_belongs():
    height = JPEG[FRAME + 5:FRAME + 7]
    late = JPEG[:FRAME + 5] + b"\0\0" + JPEG[FRAME + 7:-2] + segment(0xDC, height) + JPEG[-2:]

    assert jpeg.read_header(late).height == photo().size[1]
    assert jpeg.rebuild(late) == JPEG


def test_no_height_at_all_is_corrupt():
    with pytest.raises(Corrupt, match="how large"):
        jpeg.read_header(JPEG[:FRAME + 5] + b"\0\0" + JPEG[FRAME + 7:])


@pytest.mark.parametrize("data", [
    JPEG[:SCAN] + b"\xff\xd9",  # no scan
    in_jpeg(JPEG, JPEG[FRAME:FRAME + 19], at=SCAN),  # two frames
    in_jpeg(JPEG, b"\xff\xd8", at=SCAN),  # a second start
    in_jpeg(JPEG, b"\xff\x05\0\2", at=SCAN),  # a reserved marker
    JPEG[:FRAME] + JPEG[FRAME + 19:],  # no frame
    JPEG[:FRAME + 11] + b"\0" + JPEG[FRAME + 12:],  # sampling factor 0
    JPEG[:20] + JPEG[FRAME:],  # no quantisation tables
], ids=["no scan", "two frames", "two starts", "reserved", "no frame", "factor", "no tables"])
def test_contradictions_are_corrupt(data):
    with pytest.raises(Corrupt):
        jpeg.rebuild(data)


def test_a_profile_in_pieces_is_put_together_whatever_their_order():
    icc = wide_profile()
    pieces = icc_segments(icc, 100)
    size = 2 + 2 + 14 + 100
    shuffled = pieces[size * 2:size * 3] + pieces[:size] + pieces[size:size * 2] + pieces[size * 3:]

    header = jpeg.read_header(in_jpeg(JPEG, shuffled, at=20))

    assert header.color.icc == icc
    assert jpeg.rebuild(in_jpeg(JPEG, shuffled, at=20)) == in_jpeg(JPEG, icc_segments(icc), at=20)


@pytest.mark.parametrize("spoil", [
    lambda pieces: pieces[118:],  # the first is missing
    lambda pieces: pieces[:118] + pieces,  # the first is there twice
    lambda pieces: pieces.replace(b"ICC_PROFILE\0\1\5", b"ICC_PROFILE\0\1\6"),  # they disagree on how many
], ids=["missing", "twice", "count"])
def test_a_profile_with_wrong_pieces_is_broken(spoil):
    pieces = icc_segments(wide_profile(), 100)
    data = in_jpeg(JPEG, spoil(pieces), at=20)
    assert spoil(pieces) != pieces

    assert jpeg.read_header(data).color.icc is None
    assert jpeg.rebuild(data) == JPEG


def test_jfif_of_an_odd_version_is_put_right():
    odd = JPEG.replace(b"JFIF\0\1\1", b"JFIF\0\7\7")

    assert jpeg.rebuild(odd) == JPEG
    assert "JFIF version 7" in jpeg.read_header(odd).notes


@pytest.mark.parametrize("parameters", [b"\0\0\0", b"\0\x3f\x01", b"\x01\x05\x10"], ids=repr)
def test_parameters_that_mean_nothing_in_a_scan_are_put_right(parameters):
    odd = JPEG[:SCAN + 11] + parameters + JPEG[SCAN + 14:]
    assert odd != JPEG

    assert jpeg.rebuild(odd) == JPEG
    assert verify(odd, "jpeg").notes == ()


@pytest.mark.parametrize("mode, odd, usual, channels", [
    ("RGB", 2, 1, "rgb"), ("CMYK", 1, 2, "ycck"), ("CMYK", 9, 2, "ycck"),
])
def test_a_transform_that_does_not_exist_is_put_right(mode, odd, usual, channels):
    marker = segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")[:-1]  # but for the transform
    data = encoded("JPEG", photo(mode=mode))
    data = data[:2] + data[data.index(b"\xff\xdb"):]

    rebuilt = jpeg.rebuild(data[:2] + marker + bytes((odd,)) + data[2:])

    assert rebuilt == data[:2] + marker + bytes((usual,)) + data[2:]
    assert jpeg.read_header(rebuilt).channels == channels
    assert verify(rebuilt, "jpeg").notes == ()


def test_density_stays():
    data = encoded("JPEG", dpi=(300, 300))

    assert jpeg.rebuild(data) is data


def test_what_is_hidden_is_named():
    data = in_jpeg(
        JPEG,
        segment(0xE1, b"Exif\0\0" + exif(gps=True, thumbnail=False)),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp().replace(b"dc:subject", b"hdrgm:Version")),
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40),
        segment(0xE2, b"MPF\0" + CANARY),
        segment(0xEB, b"JP\0\1" + b"\0" * 8 + b"c2pa"),
        segment(0xEC, b"Ducky"),
    ) + JPEG

    assert jpeg.read_header(data).hidden == (
        "EXIF (with GPS position and maker notes)", "XMP with a gain map (Ultra HDR)", "extended XMP",
        "an index of further pictures (MPO)", "content credentials (C2PA)", "APP12 data",
        "a second picture after the end")


def test_zeros_after_the_end_are_but_padding():
    header = jpeg.read_header(JPEG + bytes(1000))

    assert header.hidden == ()
    assert header.notes == ("1,000 bytes of padding after the end",)
    assert jpeg.rebuild(JPEG + bytes(1000)) == JPEG


def test_filling_where_the_end_is_missing_goes_in_one_pass():
    once = jpeg.rebuild(JPEG[:-2] + b"\xff\xff\xff", accept_damaged=True)

    assert once == JPEG
