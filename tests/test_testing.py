"""Pictures and fixtures for other people's tests."""

import subprocess
import sys

import pytest
import pyvips

from imagepipe import testing
from imagepipe.errors import ConfigurationError

pytest_plugins = ["pytester"]


def _decoded(data):
    image = pyvips.Image.new_from_buffer(data, "", fail_on="warning")
    image.avg()
    return image


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "tiff"])
def test_a_picture_is_decoded_by_another_decoder(kind):
    image = _decoded(getattr(testing, kind)(160, 120))

    assert (image.width, image.height) == (160, 120)


def test_a_heic_is_one(tmp_path):
    heif = pytest.importorskip("pillow_heif")  # the other decoder's wheels have no HEVC
    image = heif.open_heif(testing.heic(160, 120, gps=(1.5, 2.5)))

    assert image.size == (160, 120)
    assert b"Phonemaker" in image.info["exif"]


def test_the_same_arguments_give_the_same_pixels():
    assert testing.photo(80, 60, 5).tobytes() == testing.photo(80, 60, 5).tobytes()
    assert testing.photo(80, 60, 5).tobytes() != testing.photo(80, 60, 6).tobytes()


def test_a_photo_compresses_as_photographs_do():
    bits = len(testing.jpeg(1200, 900, quality=85)) * 8 / (1200 * 900)

    assert 0.5 < bits < 6


def test_a_phone_photo_says_where_and_how_it_was_taken():
    image = _decoded(testing.jpeg(160, 120, orientation=6, gps=(52.5201, -13.4051)))

    assert image.get("orientation") == 6
    assert image.get("exif-ifd3-GPSLatitude").startswith("52/1 31/1 309/25 (52, 31, 12.36,")
    assert image.get("exif-ifd3-GPSLongitudeRef").startswith("W")
    assert "Phonemaker" in image.get("exif-ifd0-Make")
    assert "exif-data" not in _decoded(testing.jpeg(160, 120)).get_fields()


def test_pictures_have_what_is_asked_for():
    assert _decoded(testing.png(64, 48, alpha=True)).hasalpha()
    assert _decoded(testing.png(64, 48, mode="I;16")).format == "ushort"
    assert _decoded(testing.jpeg(64, 48, mode="CMYK")).interpretation == "cmyk"
    assert _decoded(testing.gif(64, 48, frames=4)).get("n-pages") == 4
    assert _decoded(testing.webp(64, 48, frames=3)).get("n-pages") == 3
    assert _decoded(testing.webp(64, 48, alpha=True)).hasalpha()
    assert testing.wbmp(300, 2)[:6] == b"\0\0\x82\x2c\x02" + testing.wbmp(300, 2)[5:6]


def test_a_picture_is_written_by_its_name(tmp_path):
    path = testing.picture(tmp_path / "a" / "b.PNG", width=32, height=24)

    assert _decoded(path.read_bytes()).width == 32
    with pytest.raises(ConfigurationError, match=r"b\.txt"):
        testing.picture(tmp_path / "b.txt")


def test_the_fixtures_serve_any_test(pytester):
    pytester.makepyfile("""
        import http.client
        from urllib.parse import urlsplit

        def test_store(imagepipe_sandbox, imagepipe_picture):
            parts = urlsplit(imagepipe_sandbox.base_url)
            connection = http.client.HTTPConnection(parts.hostname, parts.port)
            path = parts.path + "/catalog/products/5/images"
            connection.request("GET", path, headers={"X-Auth-Token": imagepipe_sandbox.token})
            assert connection.getresponse().status == 204
            connection.close()
            assert imagepipe_picture("x/1.jpg", orientation=3).read_bytes()[:2] == bytes([255, 216])
        """)

    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(("module", "heavy"), [
    ("imagepipe.pytest_plugin", ["PIL", "http.server", "sqlite3", "httpx", "imagepipe.sandbox"]),
    ("imagepipe.testing", ["PIL", "httpx", "pillow_heif", "numpy"])])
def test_importing_loads_nothing_heavy(module, heavy):
    code = f"import {module}, sys; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
