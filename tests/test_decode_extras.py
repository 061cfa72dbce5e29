"""Packages that may be missing, or be there under another name."""

import io
import sys
import types

import numpy as np
import pytest
from pictures import photo
from PIL import Image

from imagepipe.asset import Asset
from imagepipe.codecs.decode import decode, read_any_header
from imagepipe.errors import Corrupt, FormatNotAllowed
from imagepipe.stages.decode import Decode

PIXELS = np.asarray(photo())


class FakeRaw:
    """What of rawpy is used."""

    sizes = types.SimpleNamespace(iwidth=48, iheight=32)
    asked: dict = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def postprocess(self, **options):
        FakeRaw.asked = options
        return PIXELS


def test_a_raw_file_is_decoded_with_the_balance_of_the_camera(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", types.SimpleNamespace(imread=lambda file: FakeRaw()))

    image = decode(b"raw", "raw").frames[0].image

    assert (np.asarray(image) == PIXELS).all()
    assert FakeRaw.asked == {"use_camera_wb": True, "output_bps": 8}


def test_whatever_rawpy_raises_is_corrupt(monkeypatch):
    class LibRawError(Exception):
        """Of another package."""

    def imread(file):
        raise LibRawError(b"Unsupported file format or not RAW file")

    monkeypatch.setitem(sys.modules, "rawpy", types.SimpleNamespace(imread=imread))

    with pytest.raises(Corrupt, match="not RAW file"):
        decode(b"raw", "raw")


@pytest.mark.parametrize("alpha", [False, True])
def test_jpeg_xl_is_decoded(alpha):
    pylibjxl = pytest.importorskip("pylibjxl")
    pixels = np.asarray(photo(mode="RGBA" if alpha else "RGB"))
    data = pylibjxl.encode(pixels, lossless=True)

    image = decode(data, "jxl").frames[0].image

    assert (np.asarray(image) == pixels).all()
    assert read_any_header(data, "jxl").has_alpha is alpha
    with pytest.raises(Corrupt):
        decode(data[:len(data) // 2], "jxl")


def test_a_jpeg_xl_whose_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pylibjxl", None)

    with pytest.raises(FormatNotAllowed, match=r"pip install 'imagepipe-upload\[jxl\]'"):
        Decode()(Asset("a.jxl", "1", data=b"\xff\x0a" + bytes(100)))


def heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(photo((64, 48))).save(file, quality=90)
    return file.getvalue()


def test_pi_heif_serves_where_pillow_heif_is_missing(monkeypatch):
    data, library = heic(), pytest.importorskip("pillow_heif")
    monkeypatch.setitem(sys.modules, "pi_heif", library)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    assert decode(data, "heic").size == (64, 48)


def test_heic_without_either_says_what_to_install(monkeypatch):
    data = heic()
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    with pytest.raises(FormatNotAllowed, match="pip install pillow-heif"):
        decode(data, "heic")


def test_nothing_is_registered_with_pillow():
    before = set(Image.OPEN)

    decode(heic(), "heic")

    assert set(Image.OPEN) - before == set()
