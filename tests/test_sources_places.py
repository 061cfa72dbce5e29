"""Paths of a manifest: what they lead to, and that they stay inside."""

import os
import sys
from pathlib import Path

import pytest

from imagepipe.errors import SourceError
from imagepipe.sources.places import Places

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links and names of POSIX")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("shop/a.jpg", "shop/sub/b.jpg", "shop/%2e%2e/e.jpg", "shop/~/t.jpg", "secret.jpg", "other/o.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "shop"


def refusal(places: Places, path: str) -> str:
    with pytest.raises(SourceError) as caught:
        places.find(path)
    return caught.value.word


@pytest.mark.parametrize(("path", "key"), [
    ("a.jpg", "a.jpg"),
    ("./a.jpg", "a.jpg"),
    ("sub//b.jpg", "sub/b.jpg"),
    ("sub/../a.jpg", "a.jpg"),
    (" a.jpg ", "a.jpg"),
    ("sub\\b.jpg", "sub/b.jpg"),
    ("%2e%2e/e.jpg", "%2e%2e/e.jpg"),
    ("~/t.jpg", "~/t.jpg"),
])
def test_a_path_inside_leads_to_its_file_by_one_key(shop, path, key):
    found = Places((str(shop),)).find(path)

    assert found.key == key
    assert found.location == os.path.realpath(shop / key)


def test_an_absolute_path_inside_is_the_same_place(shop):
    assert Places((str(shop),)).find(str(shop / "sub/b.jpg")).key == "sub/b.jpg"


@posix_only
@pytest.mark.parametrize("path", [
    "../secret.jpg", "sub/../../secret.jpg", "..\\secret.jpg", "/etc/passwd", "//etc/passwd", "/dev/zero",
    "/proc/self/mem", "../shop2/x.jpg",
])
def test_a_path_that_leads_out_is_refused_whether_or_not_something_is_there(shop, path):
    assert refusal(Places((str(shop),)), path) == "outside_root"


@posix_only
@pytest.mark.parametrize("path", ["C:\\Users\\me\\a.jpg", "C:/a.jpg", "\\\\server\\share\\a.jpg", "%2e%2e/secret.jpg",
                                  "~root/a.jpg", "$HOME/a.jpg", "missing.jpg", "a.jpg/more.jpg", "x" * 300])
def test_a_path_that_leads_nowhere_is_refused_and_nothing_in_it_is_expanded(shop, path):
    assert refusal(Places((str(shop),)), path) in ("not_found", "unreadable", "outside_root")


@pytest.mark.parametrize(("path", "word"), [
    ("a\0.jpg", "bad_row"), ("a.jpg\0", "bad_row"), ("\ud800.jpg", "bad_row"), (".", "not_a_file"),
    ("sub", "not_a_file"), ("sub/", "not_a_file"),
])
def test_what_no_file_can_be_is_refused(shop, path, word):
    assert refusal(Places((str(shop),)), path) == word


@posix_only
def test_links_are_resolved_before_anything_is_compared(shop):
    (shop / "in.jpg").symlink_to("sub/b.jpg")
    (shop / "out.jpg").symlink_to("../secret.jpg")
    (shop / "passwd.jpg").symlink_to("/etc/passwd")
    (shop / "parent").symlink_to("..")
    (shop / "loop.jpg").symlink_to("loop.jpg")
    (shop / "dangling.jpg").symlink_to("nothing.jpg")
    places = Places((str(shop),))

    found = places.find("in.jpg")

    assert (found.key, found.location) == ("in.jpg", os.path.realpath(shop / "sub/b.jpg"))
    assert refusal(places, "out.jpg") == "outside_root"
    assert refusal(places, "passwd.jpg") == "outside_root"
    assert refusal(places, "parent/secret.jpg") == "outside_root"
    assert refusal(places, "loop.jpg") == "unreadable"
    assert refusal(places, "dangling.jpg") == "not_found"


@posix_only
def test_pipes_and_devices_are_no_pictures(shop):
    os.mkfifo(shop / "pipe.jpg")

    assert refusal(Places((str(shop),)), "pipe.jpg") == "not_a_file"
    assert refusal(Places(("/dev",)), "null") == "not_a_file"


def test_a_further_root_gives_leave_and_comes_first(shop):
    places = Places((str(shop.parent / "other"), str(shop)))

    assert places.find("o.jpg").key == "o.jpg"
    assert places.find("a.jpg").key == "a.jpg"
    assert places.find("../other/o.jpg").key == "o.jpg"


def test_a_path_out_of_one_root_may_lead_into_another(shop):
    deep = shop / "sub"

    assert Places((str(shop.parent), str(deep))).find("../a.jpg").key == "shop/a.jpg"
    assert refusal(Places((str(shop), str(deep))), "../../secret.jpg") == "outside_root"


@posix_only
def test_a_folder_whose_name_only_begins_like_the_root_is_outside(shop):
    (shop.parent / "shop-private").mkdir()
    (shop.parent / "shop-private/p.jpg").write_bytes(b"x")

    assert refusal(Places((str(shop),)), "../shop-private/p.jpg") == "outside_root"


def test_the_refusal_says_which_root_to_give(shop):
    with pytest.raises(SourceError, match=f"--root {shop.parent}"):
        Places((str(shop),)).find("../secret.jpg")


def test_a_name_that_differs_only_in_case_or_accents_is_taken_with_a_note(shop):
    (shop / "cafe\u0301.jpg").write_bytes(b"x")
    places = Places((str(shop),))

    found = places.find("SUB/B.JPG")

    assert found.key == "sub/b.jpg"
    assert "case" in found.note
    assert places.find("caf\u00e9.jpg").key == "cafe\u0301.jpg"


def test_of_two_names_that_differ_in_case_none_is_guessed(shop):
    (shop / "A.jpg").write_bytes(b"x")
    if (shop / "A.jpg").samefile(shop / "a.jpg"):
        pytest.skip("this file system does not tell case")

    assert Places((str(shop),)).find("A.jpg").key == "A.jpg"
    assert refusal(Places((str(shop),)), "a.JPG") == "not_found"


def test_a_missing_file_is_named_with_one_like_it(shop):
    (shop / "front-view.jpg").write_bytes(b"x")
    places = Places((str(shop),))

    with pytest.raises(SourceError, match=r"there is front-view\.jpg"):
        places.find("front-veiw.jpg")
    with pytest.raises(SourceError, match="does not exist"):
        places.find("nosuch/a.jpg")


def test_a_message_holds_no_control_characters_and_stays_short(shop):
    with pytest.raises(SourceError) as caught:
        Places((str(shop),)).find("\x1b]8;;http://evil\x07" + "y" * 3_000)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_thousands_of_missing_files_do_not_make_the_search_slow(shop, monkeypatch):
    from imagepipe.sources import places as module

    listed = []
    really = module._names_in
    monkeypatch.setattr(module, "_names_in", lambda folder: listed.append(folder) or really(folder))
    places = Places((str(shop),))

    for number in range(2_000):
        assert refusal(places, f"missing-{number}.jpg") == "not_found"

    assert len(listed) <= 2


def test_a_callers_own_paths_may_lead_anywhere_and_are_known_as_they_were_given(shop, monkeypatch):
    monkeypatch.chdir(shop)
    places = Places((os.curdir,), confined=False)

    assert places.find("../secret.jpg").key == "../secret.jpg"
    assert places.find("./a.jpg").key == "a.jpg"
    assert places.find(str(shop / "a.jpg")).key == str(shop / "a.jpg").replace(os.sep, "/")


@posix_only
def test_a_name_that_is_no_utf8_is_found_as_our_reports_write_it(shop):
    name = b"caf\xe9.jpg"
    with open(os.path.join(os.fsencode(shop), name), "wb"):  # noqa: PTH118, PTH123 - a name as bytes
        pass

    found = Places((str(shop),)).find("caf\\xe9.jpg")

    assert os.fsencode(found.location).endswith(name)
    found.key.encode("utf-8")
