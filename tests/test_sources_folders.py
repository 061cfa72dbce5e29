"""Folders: what is taken, what is left out, and how products are read from paths."""

import os
import socket
import sys
from pathlib import Path

import pytest

from imagepipe import sources
from imagepipe.asset import Asset, Target
from imagepipe.errors import ConfigurationError, Retry
from imagepipe.outcome import Outcome, Status
from imagepipe.sources import folders
from imagepipe.sources.folders import natural
from imagepipe.stores.folder import INDEX

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and permissions of POSIX")


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def taken(items) -> list[str]:
    return [item.key for item in items if isinstance(item, Asset)]


def left(items) -> dict[str, Outcome]:
    return {item.asset.key: item for item in items if isinstance(item, Outcome)}


def test_pictures_come_in_the_order_that_people_count_in(tmp_path):
    fill(tmp_path, "img10.jpg", "img2.jpg", "img1.jpg", "IMG3.jpg", "b/1.jpg", "a10/1.jpg", "a9/1.jpg", "img.jpg")

    assert taken(sources.from_folder(tmp_path)) == [
        "a9/1.jpg", "a10/1.jpg", "b/1.jpg", "img.jpg", "img1.jpg", "img2.jpg", "IMG3.jpg", "img10.jpg"]


def test_natural_order_is_total_also_with_leading_zeros_and_other_case():
    names = ["a01", "a1", "A1", "a001", "a2", "b"]

    assert sorted(names, key=natural) == sorted(reversed(names), key=natural)
    assert sorted(names, key=natural)[-2:] == ["a2", "b"]


def test_a_picture_comes_before_its_copies():
    names = ["front (1).jpg", "front-2.jpg", "front.jpg", "front.png", "front_1.jpg", "v1.10", "v1.2"]

    assert sorted(names, key=natural) == [
        "front.jpg", "front.png", "front (1).jpg", "front-2.jpg", "front_1.jpg", "v1.2", "v1.10"]


def test_an_asset_of_a_folder_knows_its_key_its_place_on_disk_and_how_it_was_named(tmp_path, monkeypatch):
    fill(tmp_path, "photos/SHIRT/1.jpg")
    monkeypatch.chdir(tmp_path)

    (asset,) = sources.from_path("photos")

    assert (asset.source, asset.key) == (str(Path("photos/SHIRT/1.jpg")), "SHIRT/1.jpg")
    assert asset.location == str((tmp_path / "photos/SHIRT/1.jpg").resolve())
    assert asset.data is None and asset.target == Target()


def test_the_same_folder_under_another_name_gives_the_same_keys(tmp_path):
    fill(tmp_path, "october/SKU/front.jpg", "photos/SKU/front.jpg")

    assert taken(sources.from_folder(tmp_path / "october")) == taken(sources.from_folder(tmp_path / "photos"))


def test_hidden_folders_our_own_output_and_sandboxes_are_left_out(tmp_path):
    fill(tmp_path, "a.jpg", ".git/b.jpg", "web/c.jpg", f"web/{INDEX}", "web/deep/d.jpg", "imagepipe-sandbox/e.jpg",
         "@eaDir/f.jpg", "keep/g.jpg")

    items = list(sources.from_folder(tmp_path))

    assert [item.key for item in items if isinstance(item, Asset)] == ["a.jpg", "keep/g.jpg"]
    assert len(items) == 2


def test_the_mark_of_our_output_is_the_one_that_save_writes():
    assert folders.MARKER == INDEX


def test_prepared_pictures_can_be_given_as_the_source_themselves(tmp_path):
    fill(tmp_path, INDEX, "a.jpg")

    assert [item.key for item in sources.from_folder(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize("name", [
    ".DS_Store", "Thumbs.db", "desktop.ini", "._a.jpg", "IMG_1.MOV", "film.mp4", "IMG_1.aae", "a.xmp", ".hidden.jpg",
    "a.jpg.json", "catalog.csv", "notes.txt", "README.md", "sheet.xlsx", "all.zip", "data.pdf",
])
def test_what_is_plainly_no_picture_is_skipped_with_a_reason(tmp_path, name):
    fill(tmp_path, "IMG_1.HEIC", name)

    items = list(sources.from_folder(tmp_path))

    assert taken(items) == ["IMG_1.HEIC"]
    outcome = left(items)[name]
    assert (outcome.status, outcome.code, outcome.stage) == (Status.SKIPPED, "not_a_picture", "source")
    assert outcome.reason
    assert len(items) == 2


def test_a_live_photo_film_is_told_from_any_film(tmp_path):
    fill(tmp_path, "IMG_1.HEIC", "img_1.mov", "other.mov")

    reasons = {key: outcome.reason for key, outcome in left(sources.from_folder(tmp_path)).items()}

    assert "Live Photo" in reasons["img_1.mov"]
    assert "Live Photo" not in reasons["other.mov"]


def test_a_picture_without_an_extension_or_with_an_odd_one_is_taken_its_content_decides(tmp_path):
    fill(tmp_path, "front", "back.xyz", "drawing.svg", "layers.psd")

    assert sorted(taken(sources.from_folder(tmp_path))) == ["back.xyz", "drawing.svg", "front", "layers.psd"]


@posix_only
def test_links_are_followed_to_files_inside_and_named_otherwise(tmp_path):
    outside = fill(tmp_path / "outside", "secret.jpg")
    root = fill(tmp_path / "root", "real.jpg", "sub/x.jpg")
    (root / "inside.jpg").symlink_to(root / "real.jpg")
    (root / "out.jpg").symlink_to(outside / "secret.jpg")
    (root / "dangling.jpg").symlink_to("nowhere.jpg")
    (root / "self.jpg").symlink_to("self.jpg")
    (root / "up").symlink_to("..")
    (root / "folder").symlink_to("sub")
    (root / "zero.jpg").symlink_to("/dev/zero")
    (root / "passwd.jpg").symlink_to("/etc/passwd")

    items = list(sources.from_folder(root))

    assert sorted(taken(items)) == ["inside.jpg", "real.jpg", "sub/x.jpg"]
    inside = next(item for item in items if isinstance(item, Asset) and item.key == "inside.jpg")
    assert inside.location == str((root / "real.jpg").resolve())
    refused = left(items)
    assert set(refused) == {"out.jpg", "dangling.jpg", "self.jpg", "up", "folder", "zero.jpg", "passwd.jpg"}
    assert {outcome.status for outcome in refused.values()} == {Status.SKIPPED}
    assert {outcome.code for outcome in refused.values()} == {"link"}
    assert "out of the folder" in refused["out.jpg"].reason
    assert "nowhere" in refused["dangling.jpg"].reason


@posix_only
def test_a_folder_given_as_a_link_is_read(tmp_path):
    fill(tmp_path / "real", "a.jpg")
    (tmp_path / "link").symlink_to("real")

    assert taken(sources.from_path(tmp_path / "link")) == ["a.jpg"]


@posix_only
def test_pipes_and_sockets_are_skipped_and_never_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")

        refused = left(sources.from_folder(tmp_path))

    assert set(refused) == {"pipe.jpg", "socket.jpg"}
    assert "named pipe" in refused["pipe.jpg"].reason


def test_a_folder_that_cannot_be_read_fails_and_the_rest_goes_on(tmp_path, monkeypatch):
    fill(tmp_path, "a/1.jpg", "locked/2.jpg", "z/3.jpg")
    really = os.scandir

    def scandir(path):  # the superuser may read everything, so the refusal is played
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return really(path)

    monkeypatch.setattr(folders.os, "scandir", scandir)

    items = list(sources.from_folder(tmp_path))

    assert taken(items) == ["a/1.jpg", "z/3.jpg"]
    failed = left(items)["locked"]
    assert (failed.status, failed.code, failed.retry) == (Status.FAILED, "unreadable", Retry.PERSON)
    assert "permission" in failed.reason


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_without_permission_fails_for_real(tmp_path):
    fill(tmp_path, "locked/1.jpg", "open/2.jpg").joinpath("locked").chmod(0)
    try:
        items = list(sources.from_folder(tmp_path))
    finally:
        (tmp_path / "locked").chmod(0o700)

    assert taken(items) == ["open/2.jpg"]
    assert left(items)["locked"].code == "unreadable"


@posix_only
def test_names_that_are_no_utf8_are_taken_and_their_keys_stay_apart(tmp_path):
    folder = os.fsencode(tmp_path)
    for name in (b"caf\xe9.jpg", b"caf\\xe9.jpg"):
        with open(os.path.join(folder, name), "wb"):  # noqa: PTH118, PTH123 - names as bytes
            pass

    items = list(sources.from_folder(tmp_path))

    assert len({item.key for item in items}) == 2
    for item in items:
        item.key.encode("utf-8")
        assert os.path.lexists(item.location)


@posix_only
@pytest.mark.parametrize("name", [
    "-rf.jpg", "--help.jpg", "$(reboot).jpg", "`id`.jpg", "%s%n.jpg", "{0.__class__}.jpg", "a;b&c|d.jpg", "CON.jpg",
    "dot.", "space .jpg ", "x" * 251 + ".jpg", "two\nlines.jpg", "\x1b[2J.jpg", "a\u202egpj.png", "'quoted'.jpg",
    '"double".jpg', "back\\slash.jpg", "*.jpg", "**",
])
def test_an_odd_name_is_a_name_like_any_other(tmp_path, name):
    fill(tmp_path, f"{{sku}}/{name}")

    (free,) = sources.from_folder(tmp_path)
    (matched,) = sources.from_folder(tmp_path, match="{sku}/*")
    (refused,) = sources.from_folder(tmp_path, match="{sku}_{sort_order}_front")

    assert (free.key, free.location) == (f"{{sku}}/{name}", os.path.realpath(tmp_path / "{sku}" / name))
    assert matched.target == Target(sku="{sku}")
    assert refused.reason.isprintable()


@posix_only
def test_composed_and_decomposed_names_are_two_pictures(tmp_path):
    fill(tmp_path, "caf\u00e9.jpg", "cafe\u0301.jpg")
    if len(os.listdir(tmp_path)) == 1:  # noqa: PTH208 - a count
        pytest.skip("this file system takes them for one")

    assert len(set(taken(sources.from_folder(tmp_path)))) == 2


def test_folders_below_are_left_alone_on_request(tmp_path):
    fill(tmp_path, "a.jpg", "sub/b.jpg")

    assert taken(sources.from_folder(tmp_path, recursive=False)) == ["a.jpg"]


def test_nothing_is_read_before_it_is_wanted_and_a_closed_source_stops(tmp_path):
    fill(tmp_path, *(f"{number}.jpg" for number in range(10)))
    items = sources.from_folder(tmp_path)

    next(items)
    items.close()

    assert list(items) == []


def test_a_product_is_read_from_the_path(tmp_path):
    fill(tmp_path, "SHIRT-1/2.jpg", "MUG/1.jpg", "loose.jpg")

    items = list(sources.from_folder(tmp_path, match="{sku}/{sort_order}"))

    assert {item.target for item in items if isinstance(item, Asset)} == {
        Target(sku="SHIRT-1", sort_order=2), Target(sku="MUG", sort_order=1)}
    failed = left(items)["loose.jpg"]
    assert (failed.status, failed.code) == (Status.FAILED, "no_target")
    assert "{sku}/{sort_order}" in failed.reason


def test_folders_named_by_digits_are_never_taken_for_product_ids_unasked(tmp_path):
    fill(tmp_path, "77/1.jpg", "78/1.jpg")

    assert {item.target for item in sources.from_folder(tmp_path)} == {Target()}
    assert "product_id" not in str(sources.suggest_for(tmp_path))
    assert {item.target.product_id for item in sources.from_folder(tmp_path, match="{product_id}/*")} == {77, 78}


def test_a_suggestion_for_a_folder_leaves_out_what_is_no_picture(tmp_path):
    fill(tmp_path, "A-1/front.jpg", "A-2/front.jpg", "catalog.csv", "notes.txt")

    assert sources.suggest_for(tmp_path) == "{sku}/*"


@pytest.mark.parametrize("given", ["missing", "file.jpg"])
def test_what_is_no_folder_is_said_at_once(tmp_path, given):
    fill(tmp_path, "file.jpg")

    with pytest.raises(ConfigurationError, match="not a folder"):
        sources.from_folder(tmp_path / given)


def test_one_file_is_one_picture_known_by_its_name(tmp_path):
    fill(tmp_path, "SHIRT-1/front.jpg")

    (plain,) = sources.from_path(tmp_path / "SHIRT-1/front.jpg")
    (matched,) = sources.from_path(tmp_path / "SHIRT-1/front.jpg", match="{sku}/*")
    (refused,) = sources.from_path(tmp_path / "SHIRT-1/front.jpg", match="{sku}_{sort_order}")

    assert plain.key == "front.jpg" and Path(plain.location).is_absolute()
    assert matched.target == Target(sku="SHIRT-1")
    assert refused.status is Status.FAILED


@pytest.mark.parametrize(("given", "said"), [
    ("phtos", "did you mean .*photos"),
    ("nowhere/at/all", "does not exist"),
    ("nul\0.jpg", "no file or folder"),
    ("ftp://a.example/1.jpg", "only https"),
    ("s3://bucket/1.jpg", "only https"),
])
def test_a_source_that_is_not_there_is_a_configuration_error_that_helps(tmp_path, monkeypatch, given, said):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match=said):
        sources.from_path(given)


def test_a_spreadsheet_is_refused_with_the_way_out(tmp_path):
    fill(tmp_path, "catalog.xlsx")

    with pytest.raises(ConfigurationError, match="save it as CSV"):
        sources.from_path(tmp_path / "catalog.xlsx")
