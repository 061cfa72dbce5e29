"""What a file is, by its content: a type that is taken, or something else with a name and a hint.

Looks at the first kilobytes only, and starts nothing.
"""

from __future__ import annotations

from imagepipe.codecs import wbmp, xbm
from imagepipe.codecs.sniff_magic import BROKEN, CONVERT, FILM, JXL, MAGIC, RAW
from imagepipe.codecs.sniff_text import Kind, name_text
from imagepipe.errors import ImageError

__all__ = ["Kind", "identify"]

_HEAD = 4_096

_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF = frozenset({b"avif", b"avis"})
_DEPTHS = frozenset(bytes((depth, 0)) for depth in (1, 4, 8, 16, 24, 32))
_ISO_FILMS = {b"qt  ": "a film (QuickTime)", b"3gp": "a film (3GP)", b"M4A ": "sound (M4A)", b"M4V ": "a film (MP4)"}
_OFFICE = ((b"word/", "a Word document"), (b"xl/", "an Excel document"), (b"ppt/", "a PowerPoint document"),
           (b"mimetypeapplication/vnd.oasis", "an OpenDocument file"), (b"mimetypeapplication/epub", "an e-book"),
           (b"maindoc.kra", "a Krita picture"), (b"mimetypeimage/openraster", "an OpenRaster picture"),
           (b"Index/Document.iwa", "a Pages, Numbers or Keynote document"))


def identify(data: bytes, name: str = "") -> Kind:
    """Return what `data` is.

    `name` is a file name; it counts only for WBMP and TGA, which do not say what they are.

    >>> identify(b"%PDF-1.7").name
    'a PDF document'
    """
    head = bytes(data[:_HEAD])
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if not head:
        return Kind(None, "an empty file", BROKEN)
    for offset, magic, format, words, hint in MAGIC:
        if head.startswith(magic, offset):
            return _archive(head, Kind(format, words, hint), name)
    if (tiff := _tiff(head, data)) is not None:
        return tiff
    for look in (_riff, _iso, _plain, name_text):
        kind = look(head)
        if kind is not None:
            return kind
    return _without_magic(data, head, extension)


def _archive(head: bytes, kind: Kind, name: str) -> Kind:
    """Say more about a kind that many files share: ZIP archives, and Microsoft's compound files."""
    if kind.name == "a ZIP archive":
        for mark, words in _OFFICE:
            if mark in head:
                return Kind(None, words, "export the pictures in it as JPEG or PNG")
    is_catalog = name.lower().endswith("thumbs.db") or "Catalog".encode("utf-16-le") in head
    if kind.name == "an Office document" and is_catalog:
        return Kind(None, "thumbnails of Windows", "the pictures are elsewhere in the folder")
    return kind


def _riff(head: bytes) -> Kind | None:
    if head[:4] == b"RIFF" and len(head) >= 12:
        if head[8:12] == b"WEBP":
            return Kind("webp", "a WebP picture", "")
        words = {b"AVI ": "a film (AVI)", b"WAVE": "sound (WAV)", b"CDR": "a CorelDRAW drawing",
                 b"ACON": "an animated cursor"}
        return Kind(None, words.get(head[8:12], words.get(head[8:11], "a RIFF file that is no picture")), FILM
                    if head[8:12] == b"AVI " else CONVERT)
    return None


def _iso(head: bytes) -> Kind | None:
    """Tell HEIC, AVIF, Canon's CR3 and films apart, which share a container (ISO/IEC 14496-12, 4.3)."""
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return Kind(None, "a film (QuickTime)", FILM)
    if head[4:8] != b"ftyp" or len(head) < 16:
        return None
    size = min(max(int.from_bytes(head[:4], "big"), 16), len(head), 512)
    major = head[8:12]
    brands = {major, *(head[at:at + 4] for at in range(16, size - 3, 4))}
    if major == b"crx ":
        return Kind("raw", "a RAW picture of a Canon camera (CR3)", RAW)
    if brands & _AVIF:
        return Kind("avif", "an AVIF picture", "")
    if brands & _HEIC or major in (b"mif1", b"msf1", b"mif2", b"miaf", b"heif"):
        return Kind("heic", "a HEIC picture", "")
    if b"jxl " in brands:
        return Kind("jxl", "a JPEG XL picture", JXL)
    for brand, words in _ISO_FILMS.items():
        if major.startswith(brand):
            return Kind(None, words, FILM)
    return Kind(None, "a film (MP4)", FILM)


def _tiff(head: bytes, data: bytes) -> Kind | None:
    """Tell TIFF from the RAW pictures of cameras, which are TIFF outside."""
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    order = "little" if head[:1] == b"I" else "big"
    makers = {b"NIKON": "a Nikon camera (NEF)", b"SONY": "a Sony camera (ARW)", b"PENTAX": "a Pentax camera (PEF)",
              b"SAMSUNG": "a Samsung camera (SRW)", b"Hasselblad": "a Hasselblad camera (3FR)",
              b"Phase One": "a Phase One camera (IIQ)", b"LEICA": "a Leica camera", b"KODAK": "a Kodak camera (DCR)",
              b"EASTMAN": "a Kodak camera (DCR)", b"Mamiya": "a Mamiya camera (MEF)", b"SEIKO EPSON": "an Epson camera"}
    start = int.from_bytes(head[4:8], "little" if order == "little" else "big")
    tags = {}
    if head[2:4] in (b"*\0", b"\0*") and start + 2 <= len(head):
        count = min(int.from_bytes(head[start:start + 2], "little" if order == "little" else "big"), 100)
        for at in range(start + 2, min(start + 2 + 12 * count, len(head) - 11), 12):
            tags[int.from_bytes(head[at:at + 2], "little" if order == "little" else "big")] = at
    if 0xC612 in tags:  # DNGVersion
        return Kind("raw", "a RAW picture (DNG)", RAW)
    is_reduced = 0xFE in tags and bool(head[tags[0xFE] + 8] & 1 or head[tags[0xFE] + 11] & 1)
    if 0x014A in tags and (is_reduced or 0x0103 in tags):  # sub-pictures, behind a thumbnail: cameras write so
        maker = next((words for mark, words in makers.items() if mark in head), "")
        if maker and not _is_developed(data):
            return Kind("raw", f"a RAW picture of {maker}", RAW)
    return Kind("tiff", "a TIFF picture", "")


def _is_developed(data: bytes) -> bool:
    from imagepipe.codecs.tiff import is_developed  # loads Pillow

    return is_developed(data)


def _plain(head: bytes) -> Kind | None:
    """Recognise types whose marks are short, with more than the mark."""
    if head[:2] == b"BM" and head[15:18] == b"\0\0\0" and head[14] in (12, 16, 40, 52, 56, 64, 108, 124):
        return Kind("bmp", "a BMP picture", "")
    if head[:2] == b"P7" and head[2:3] in (b"\n", b" "):
        return Kind("ppm", "a PAM picture", "")
    if head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6", b"F", b"f") and head[2:3].isspace():
        return Kind("ppm", "a PPM picture", "")
    if head[:3] == b"\0\0\1" and head[3:4] == b"\0" and len(head) >= 22 and 0 < head[4] < 100 and not head[5]:
        at = int.from_bytes(head[18:22], "little")
        if 6 + 16 * head[4] <= at and head[9] == 0:
            return Kind("ico", "an icon", "")
    if head[:4] == b"\0\0\2\0" and len(head) >= 22 and 0 < head[4] < 100 and not head[5] and not head[9]:
        return Kind(None, "a mouse pointer", CONVERT)
    if head[1:4] == b"PNG" or b"IHDR" in head[8:24]:
        return Kind(None, "a damaged PNG", "its first bytes were changed, as a transfer does that takes it for text; "
                    + BROKEN)
    if head[:4] == b"\x28\0\0\0" and head[12:14] == b"\1\0" and head[14:16] in _DEPTHS and head[17:20] == bytes(3):
        return Kind(None, "a bitmap of Windows without its file header (DIB)", CONVERT)
    if head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"):
        return Kind(None, "sound (MP3)", "give a picture instead")
    if head[:1] == b"G" and len(head) > 188 and head[188] == 0x47:
        return Kind(None, "a film (MPEG transport stream)", FILM)
    if len(head) > 4 and head[0] == 10 and head[1] in (0, 2, 3, 4, 5) and head[2] == 1 and head[3] in (1, 2, 4, 8):
        return Kind(None, "a PCX picture", CONVERT)
    return None


def _without_magic(data: bytes, head: bytes, extension: str) -> Kind:
    """Recognise types that carry no mark, by a header that makes sense; else name what is left."""
    if _is_xbm(data):
        return Kind("xbm", "an XBM picture", "")
    if not head.strip(b"\0") and not bytes(data[-_HEAD:]).strip(b"\0"):
        return Kind(None, "a file of nothing but zeros", f"it was never written in full; {BROKEN}")
    if _is_wbmp(data, extension):
        return Kind("wbmp", "a WBMP picture", "")
    if _is_tga(data, head, extension):
        return Kind("tga", "a TGA picture", "")
    return Kind(None, "data that is no known kind of picture", f"see whether it opens elsewhere, or {BROKEN}")


def _is_xbm(data: bytes) -> bool:
    try:
        xbm.read_header(data, accept_damaged=True)
    except ImageError:
        return False
    return True


def _is_wbmp(data: bytes, extension: str) -> bool:
    """Return whether the header makes sense; without the extension, the length must be right to the byte too."""
    try:
        header = wbmp.read_header(data, accept_damaged=extension == "wbmp")
    except ImageError:
        return False
    return extension == "wbmp" or (not header.notes and header.width * header.height >= 64)


def _is_tga(data: bytes, head: bytes, extension: str) -> bool:
    """Return whether this is a TGA: by its footer (version 2), or by its header and the extension."""
    if len(head) < 18 or head[1] > 1 or head[2] not in (1, 2, 3, 9, 10, 11):
        return False
    depths = {1: (8, 16), 2: (15, 16, 24, 32), 3: (8, 16)}[head[2] & 7]
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    if not width or not height or head[16] not in depths or head[17] & 0xC0 or (head[2] & 7 == 1) != bool(head[1]):
        return False
    return extension in ("tga", "icb", "vda", "vst", "targa") or bytes(data[-18:-2]) == b"TRUEVISION-XFILE"
