"""The example catalogue is what its README says."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import pyvips
from PIL import Image

HERE = Path(__file__).resolve().parent.parent / "fixtures"
CATALOG = HERE / "catalog"
_NOT_OURS = {"__pycache__", "imagepipe-sandbox", ".DS_Store"}

MAGIC = {
    ".heic": rb".{4}ftyp(heic|heix|mif1)",
    ".jpg": rb"\xff\xd8\xff",
    ".webp": rb"RIFF.{4}WEBP",
    ".gif": rb"GIF89a",
    ".tif": rb"II\*\0",
    ".psd": rb"8BPS\0\x01",
    ".avif": rb".{4}ftypavif",
    ".jp2": rb"\0\0\0\x0cjP  \r\n\x87\n",
    ".png": rb"\x89PNG\r\n\x1a\n",
    ".bmp": rb"BM",
    ".xbm": rb"#define ",
    ".wbmp": rb"\0\0",
    ".tga": rb"\0\0\x0a",
}


def files() -> Iterator[Path]:
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and not _NOT_OURS & set(path.relative_to(HERE).parts):
            yield path


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def make() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("make_fixtures", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_fixtures"] = module  # dataclasses look their module up
    before = list(sys.path)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    for name in [name for name in sys.modules if name == "make_fixtures" or name.split(".")[0] == "studio"]:
        del sys.modules[name]


def test_readme_lists_each_file_once_and_no_other() -> None:
    listed = re.findall(r"^\| `([^`]+)` \| .+ \|$", (HERE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(listed) == len(set(listed))
    assert set(listed) == {path.relative_to(HERE).as_posix() for path in files()}


def test_all_of_it_stays_small() -> None:
    assert sum(path.stat().st_size for path in files()) < 25_000_000


def test_every_picture_of_the_catalogue_is_in_its_manifest_and_there_is_nothing_else() -> None:
    named = [row["image"] for row in rows("catalog.csv")]

    assert len(named) == len(set(named))
    assert set(named) == {path.relative_to(HERE).as_posix() for path in files() if CATALOG in path.parents}


def test_each_product_has_one_thumbnail_and_a_stated_order() -> None:
    products: dict[str, list[dict[str, str]]] = {}
    for row in rows("catalog.csv"):
        products.setdefault(row["sku"], []).append(row)

    for sku, pictures in products.items():
        assert [row["is_thumbnail"] for row in pictures].count("true") == 1, sku
        assert [int(row["sort_order"]) for row in pictures] == list(range(len(pictures))), sku


@pytest.mark.parametrize("path", [path for path in files() if CATALOG in path.parents], ids=lambda path: path.name)
def test_content_is_what_the_name_says(path: Path) -> None:
    assert re.match(MAGIC[path.suffix.lower()], path.read_bytes()[:32], re.DOTALL)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("mug/mug-red.jpg", {"width": 1280, "height": 960, "bands": 3}),
        ("mug/mug-cream.webp", {"width": 1280, "height": 960, "bands": 3}),
        ("mug/mug-spin.gif", {"n-pages": 18, "loop": 0}),
        ("bowl/DSC_0107.JPG", {"width": 1440, "height": 1080, "orientation": 6}),
        ("bowl/DSC_0107-edited.JPG", {"orientation": 6}),
        ("bowl/DSC_0109.JPG", {"orientation": 8}),
        ("lamp/lamp-switch.webp", {"n-pages": 8, "delay": [900, 90, 90, 90, 1400, 70, 70, 70]}),
        ("vase/vase_print.tif", {"interpretation": "cmyk", "bands": 4}),
        ("vase/Vase catalogue p12.jpg", {"interpretation": "cmyk", "bands": 4}),
        ("shoe/shoe-red.jpg", {"interlaced": 1}),
        ("shoe/shoe-detail.png", {"interpretation": "rgb16", "bands": 3}),
        ("shirt/shirt-navy.png", {"bands": 4}),
        ("shirt/shirt-sand.webp", {"bands": 4}),
        ("print/hills-scan.png", {"interpretation": "grey16", "bands": 1}),
        ("print/hills-grey.jpg", {"interpretation": "b-w", "bands": 1}),
    ],
)
def test_another_decoder_sees_what_is_promised(name: str, facts: dict[str, object]) -> None:
    picture = pyvips.Image.new_from_file(str(CATALOG / name), fail_on="warning")

    assert {field: picture.get(field) for field in facts} == facts


@pytest.mark.parametrize(
    "name",
    [
        "mug/IMG_4021.HEIC",
        "lamp/IMG_4102.HEIC",
        "bowl/DSC_0107.JPG",
        "tea/tea-agency.jpg",
        "tea/PXL_20240511_081533.MP.jpg",
    ],
)
def test_the_place_is_in_the_metadata(name: str) -> None:
    data = (CATALOG / name).read_bytes()
    exif = Image.Exif()
    found = re.search(rb"Exif\0\0(II\*\0|MM\0\*)", data)
    assert found
    exif.load(data[found.start() :])

    assert exif.get_ifd(0x8825)[1] == "N"


def test_turned_heic_is_turned_by_its_container() -> None:
    assert b"irot" in (CATALOG / "lamp/IMG_4102.HEIC").read_bytes()
    assert b"irot" not in (CATALOG / "mug/IMG_4021.HEIC").read_bytes()


def test_profile_is_display_p3_and_matters() -> None:
    with Image.open(CATALOG / "lamp/lamp-evening.jpg", formats=["JPEG"]) as picture:
        profile = picture.info["icc_profile"]
        picture.load()
        beyond = pyvips.Image.new_from_memory(picture.tobytes(), *picture.size, 3, "uchar").copy(interpretation="srgb")
    path = str(CATALOG / "lamp/lamp-evening.jpg")
    shown = pyvips.Image.new_from_file(path).icc_transform("srgb", embedded=True)

    assert "Display P3".encode("utf-16-be") in profile
    assert (shown - beyond).abs().max() > 20  # what shows it as sRGB shows it wrong


def test_every_canary_is_there_to_be_removed() -> None:
    agency = (CATALOG / "tea/tea-agency.jpg").read_bytes()
    motion = (CATALOG / "tea/PXL_20240511_081533.MP.jpg").read_bytes()

    for word in (
        b"EXIF-DESCRIPTION",
        b"EXIF-ARTIST",
        b"EXIF-COPYRIGHT",
        b"XMP",
        b"IPTC-TITLE",
        b"IPTC-CAPTION",
        b"COMMENT",
    ):
        assert b"CANARY-" + word in agency
    assert motion.index(b"CANARY-FILM") > motion.index(b"ftypisom") > motion.index(b"\xff\xd9")


def test_second_picture_of_the_mpo_is_behind_the_first() -> None:
    data = (CATALOG / "vase/DSC00412.JPG").read_bytes()

    assert b"MPF\0" in data
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        assert (picture.format, picture.n_frames) == ("MPO", 2)


def test_big_jpeg_is_over_the_limit_of_the_store() -> None:
    assert (CATALOG / "rug/rug-detail.jpg").stat().st_size > 8_000_000


def test_duplicate_is_exact_and_the_edited_copy_is_the_same_stream() -> None:
    first, second, edited = (
        (CATALOG / f"bowl/{name}.JPG").read_bytes() for name in ("DSC_0107", "DSC_0107 (1)", "DSC_0107-edited")
    )

    def stream(jpeg: bytes) -> bytes:
        return jpeg[jpeg.index(b"\xff\xdb") :]

    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert first != edited
    assert stream(first) == stream(edited)


def test_near_duplicate_looks_the_same_and_is_another_file() -> None:
    big = pyvips.Image.new_from_file(str(CATALOG / "bowl/DSC_0107.JPG")).autorot()
    small = pyvips.Image.new_from_file(str(CATALOG / "bowl/bowl-web.jpg"))

    same = big.thumbnail_image(60, height=80, size="force").colourspace("srgb")
    other = small.thumbnail_image(60, height=80, size="force").colourspace("srgb")

    assert (same - other).abs().avg() < 2


def test_cut_out_shirts_are_transparent_around_and_opaque_inside() -> None:
    for name in ("shirt-navy.png", "shirt-sand.webp"):
        alpha = pyvips.Image.new_from_file(str(CATALOG / "shirt" / name))[3]

        assert alpha(2, 2) == [0]
        assert alpha(alpha.width // 2, alpha.height // 2) == [255]


def test_wireless_bitmap_holds_exactly_its_rows() -> None:
    data = (CATALOG / "vase/vase-outline.wbmp").read_bytes()

    width, height = ((data[at] & 127) << 7 | data[at + 1] for at in (2, 4))

    assert (width, height) == (300, 360)
    assert len(data) == 6 + (width + 7) // 8 * height


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("page.jpg", b"<!DOCTYPE html>"),
        ("pointer.jpg", b"version https://git-lfs"),
        ("drawing.png", b"<?xml"),
        ("leaflet.pdf", b"%PDF-"),
    ],
)
def test_problem_files_are_what_they_pretend_not_to_be(name: str, start: bytes) -> None:
    assert (HERE / "problems" / name).read_bytes().startswith(start)


def test_truncated_jpeg_has_no_end_and_the_bomb_is_small() -> None:
    bomb = (HERE / "problems/bomb.png").read_bytes()

    assert b"\xff\xd9" not in (HERE / "problems/truncated.jpg").read_bytes()[-2:]
    assert len(bomb) < 1000
    assert bomb[16:24] == (60_000).to_bytes(4, "big") * 2


def test_problems_name_every_problem_file_and_two_good_pictures() -> None:
    named = {row["image"] for row in rows("problems.csv")}

    assert {path.relative_to(HERE).as_posix() for path in files() if path.parent.name == "problems"} <= named
    assert {"by-sku/MUG-300/1.jpg", "by-sku/SHOE-RED/1.jpg"} <= named
    assert not (HERE / "problems/gone.jpg").exists()


@pytest.mark.parametrize(
    "path",
    [
        "vase/vase-outline.wbmp",
        "shirt/care-label.xbm",
        "shirt/size-chart.bmp",
    ],
)
def test_script_makes_the_same_drawing_again(make: ModuleType, path: str) -> None:
    entry = next(entry for entry in make.ENTRIES if entry.path == f"catalog/{path}")

    again, there = entry.make(), (CATALOG / path).read_bytes()

    # other versions of the font's renderer may move an edge
    different = sum(a != b for a, b in zip(again, there, strict=True))
    assert different < len(there) * 0.01


def test_script_makes_the_same_photograph_again(make: ModuleType) -> None:
    entry = next(entry for entry in make.ENTRIES if entry.path == "catalog/vase/vase-retouch.psd")

    again, there = entry.make(), (CATALOG / "vase/vase-retouch.psd").read_bytes()

    first, second = (pyvips.Image.new_from_memory(data[40:], 480, 400 * 3, 1, "uchar") for data in (again, there))
    assert len(again) == len(there)
    assert (first - second).abs().avg() < 0.5


@pytest.mark.parametrize("name", ["README.md", "catalog.csv", "problems.csv"])
def test_script_makes_the_same_pages_again(make: ModuleType, name: str) -> None:
    entry = next(entry for entry in make.ENTRIES if entry.path == name)

    assert entry.make() == (HERE / name).read_bytes()


def test_script_runs_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "make.py"), "--out", str(tmp_path), "--only", "problems/*.png", "--jobs", "1"]

    subprocess.run(command, check=True, capture_output=True, timeout=120)

    assert (tmp_path / "problems/bomb.png").read_bytes() == (HERE / "problems/bomb.png").read_bytes()
