import io
import tarfile
import zipfile

import numpy as np
import pytest
from pictures import encoded, photo
from tiff_files import page, together

from imagepipe.codecs import sniff

ISO = b"\0\0\0\x18ftyp"


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return out.getvalue()


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.jpg"))
    return out.getvalue()


def tiff(*tags: tuple[int, int, int, bytes], tail: bytes = b"") -> bytes:
    entries = b"".join(tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + count.to_bytes(4, "little") + value
                       for tag, kind, count, value in tags)
    return b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4) + tail


@pytest.mark.parametrize("format, word", [
    ("jpeg", "JPEG"), ("png", "PNG"), ("gif", "GIF"), ("webp", "WEBP"), ("bmp", "BMP"), ("tiff", "TIFF"),
    ("jpeg2000", "JPEG2000"), ("ico", "ICO"), ("ppm", "PPM"), ("xbm", "XBM"), ("avif", "AVIF"),
])
def test_pictures_are_recognised_whatever_they_are_called(format, word):
    data = encoded(word, photo(mode="1") if word == "XBM" else photo((64, 64)))

    assert sniff.identify(data, "a.pdf").format == format


@pytest.mark.parametrize("brand, compatible, format", [
    (b"heic", b"mif1heic", "heic"), (b"heix", b"", "heic"), (b"hevc", b"", "heic"), (b"mif1", b"heic", "heic"),
    (b"msf1", b"", "heic"), (b"mif1", b"avif", "avif"), (b"avif", b"", "avif"), (b"avis", b"", "avif"),
    (b"mif1", b"", "heic"), (b"crx ", b"crx isom", "raw"),
])
def test_brands_of_heif(brand, compatible, format):
    head = (16 + len(compatible)).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + compatible

    assert sniff.identify(head + bytes(100)).format == format


@pytest.mark.parametrize("data, words", [
    (b"", "an empty file"),
    (bytes(5000), "a file of nothing but zeros"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    (b"<?xml version='1.0'?><!-- x --><svg/>", "an SVG drawing"),
    (b"\xef\xbb\xbf<!DOCTYPE html><html>", "an HTML page"),
    (b"\n\n <HTML><BODY>404", "an HTML page"),
    ("<!doctype html>".encode("utf-16"), "an HTML page"),
    (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "an error message in XML"),
    (b"<?xml version='1.0'?><thing/>", "XML"),
    (b'{"error": "not found"}', "JSON"),
    (b"[1, 2]", "JSON"),
    (b"push graphic-context\nviewbox 0 0 1 1", "an ImageMagick drawing (MVG)"),
    (b"<?xml version='1.0'?><image><read filename='x'/></image>", "an ImageMagick script (MSL)"),
    (b"%PDF-1.7", "a PDF document"),
    (b"\0\0junk%PDF-1.4", "a PDF document"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", "an EPS drawing"),
    (b"%!PS-Adobe-3.0\n", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6" + bytes(30), "an EPS drawing"),
    (b"\xd7\xcd\xc6\x9a" + bytes(30), "a Windows drawing (WMF)"),
    (b"\1\0\0\0" + bytes(36) + b" EMF", "a Windows drawing (EMF)"),
    (ISO + b"isom" + bytes(100), "a film (MP4)"),
    (ISO + b"qt  " + bytes(100), "a film (QuickTime)"),
    (b"\0\0\0\x08wide\0\0\0\0mdat", "a film (QuickTime)"),
    (b"\x1aE\xdf\xa3" + bytes(30), "a film (WebM or Matroska)"),
    (b"RIFF\0\0\0\0AVI LIST", "a film (AVI)"),
    (b"RIFF\0\0\0\0WAVEfmt ", "sound (WAV)"),
    (archive("a.jpg"), "a ZIP archive"),
    (archive("[Content_Types].xml", "word/document.xml"), "a Word document"),
    (archive("[Content_Types].xml", "xl/workbook.xml"), "an Excel document"),
    (archive("[Content_Types].xml", "ppt/presentation.xml"), "a PowerPoint document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an Office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "Catalog".encode("utf-16-le"), "thumbnails of Windows"),
    (b"Rar!\x1a\x07\0", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b\x08\0", "a gzip archive"),
    (tar(), "a tar archive"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
    (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "a side file of macOS (AppleDouble)"),
    (b"CMMM\x20" + bytes(30), "thumbnails of Windows"),
    (b"\0\1\0\0\0\x0f\0\x80", "a font"),
    (b"wOF2" + bytes(20), "a font"),
    (b"Just a few words.", "text"),
    ("Ein paar Wörter in Latin-1, mit Umlauten.".encode("latin-1"), "text"),
    (b"https://example.com/a.jpg\n", "a web address"),
    (b"data:image/png;base64,iVBORw0KGgo=", "a picture written as a data address"),
    (b"/9j/4AAQSkZJRgABAQ", "a picture written as base64"),
    (b"MZ\x90\0" + bytes(60), "a Windows program"),
    (bytes(range(128, 256)) * 4, "data that is no known kind of picture"),
    (b"gimp xcf v011\0", "a GIMP picture (XCF)"),
    (b"\0\0\2\0\1\0\x20\x20\0\0" + bytes(40), "a mouse pointer"),
    (encoded("PNG").replace(b"\r\n", b"\n", 1), "a damaged PNG"),
    (encoded("PNG").replace(b"\n\x1a\n", b"\r\n\x1a\r\n", 1), "a damaged PNG"),
    (b"\t" + encoded("PNG")[1:], "a damaged PNG"),
    (encoded("BMP")[14:], "a bitmap of Windows without its file header (DIB)"),
])
def test_what_is_no_picture_is_named_and_has_a_hint(data, words):
    kind = sniff.identify(data, "IMG_1.jpg")

    assert kind.name == words
    assert kind.format is None
    assert kind.hint


@pytest.mark.parametrize("data, words", [
    (b"FUJIFILMCCD-RAW 0201", "Fujifilm"), (b"IIRO\x08\0", "Olympus"), (b"IIU\0\x08\0", "Panasonic"),
    (b"II*\0\x10\0\0\0CR\2\0" + bytes(30), "CR2"), (b"II\x1a\0\0\0HEAPCCDR" + bytes(30), "CRW"),
    (b"FOVb" + bytes(9), "Sigma"),
    (tiff((0xC612, 1, 4, b"\1\4\0\0")), "DNG"),
    (tiff((0xFE, 4, 1, b"\1\0\0\0"), (0x014A, 4, 1, bytes(4)), tail=b"NIKON CORPORATION"), "Nikon"),
    (tiff((0xFE, 4, 1, b"\1\0\0\0"), (0x014A, 4, 1, bytes(4)), tail=b"SONY"), "Sony"),
    (ISO + b"crx " + bytes(30), "CR3"),
])
def test_raw_pictures_of_cameras_are_named(data, words):
    kind = sniff.identify(data)

    assert kind.format == "raw"
    assert words in kind.name


def test_a_tiff_that_a_camera_maker_exported_with_small_versions_is_a_tiff():
    picture, other = np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4, 1), np.uint16)
    made_by = {271: ("B", b"NIKON CORPORATION\0")}
    whole = page(picture, 2, more=made_by)
    for child, format in ((page(picture, 2, more={254: ("I", [1])}), "tiff"), (page(other, 32803), "raw"),
                          (page(picture, 2), "raw")):
        assert sniff.identify(together([whole, child], children={0: [1]})).format == format


def test_a_tiff_that_a_camera_maker_wrote_is_a_tiff():
    assert sniff.identify(tiff((0x0100, 3, 1, b"\1\0\0\0"), tail=b"NIKON")).format == "tiff"


@pytest.mark.parametrize("data", [b"\xff\x0a\x80", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_jpeg_xl(data):
    assert sniff.identify(data).format == "jxl"


def test_wbmp_has_to_fit_to_the_byte_unless_its_name_says_so():
    data = b"\0\0\x10\x08" + bytes(range(16))

    assert sniff.identify(data).format == "wbmp"
    assert sniff.identify(data + b"x").format is None
    assert sniff.identify(data[:-1]).format is None
    assert sniff.identify(data[:-1], "a.WBMP").format == "wbmp"
    assert sniff.identify(b"\0\0\1\1\x80", "a.wbmp").format == "wbmp"


def test_tga_needs_its_footer_or_its_name():
    data = encoded("TGA")
    old = data[:-26]

    assert sniff.identify(data).format == "tga"
    assert sniff.identify(old, "a.tga").format == "tga"
    assert sniff.identify(old, "a.jpg").format is None
    assert sniff.identify(bytes(18) + b"x", "a.tga").format is None


def test_bm_at_the_start_of_a_text_is_no_bmp():
    assert sniff.identify(b"BMW makes motorcycles and cars.").name == "text"


def test_only_the_start_is_looked_at():
    class Watched(bytes):
        def __getitem__(self, key):
            if isinstance(key, slice):
                start, stop, _ = key.indices(len(self))
                assert stop - start <= 5_000
            return super().__getitem__(key)

    assert sniff.identify(Watched(b"%PDF-1.7" + bytes(10_000_000))).name == "a PDF document"
    assert sniff.identify(Watched(b"\x81\x9f" * 5_000_000)).format is None
