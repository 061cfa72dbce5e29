"""What a sandbox keeps in its folder, and who may use it."""

import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_wire import wired

from imagepipe import sources, testing
from imagepipe.errors import ConfigurationError
from imagepipe.testing import Sandbox

SMALL = testing.jpeg(60, 45)


def test_a_store_is_the_same_when_it_is_opened_again(tmp_path):
    with Sandbox(tmp_path / "shop", products=["A"]) as before, wired(before) as wire:
        kept = wire.post(101, SMALL, "one.jpg", description="first").data
        gone = wire.post(101, SMALL).data["id"]
        wire("DELETE", f"/catalog/products/101/images/{gone}")
        access = before.token, before.store_hash

    with Sandbox(tmp_path / "shop", products=["A"]) as after, wired(after) as wire:
        assert (after.token, after.store_hash) == access
        image, = after.images(101)
        assert (image.id, image.description, image.image_file) == (kept["id"], "first", kept["image_file"])
        assert after.received(image.id) == SMALL
        assert [product.sku for product in after.products()] == ["A"]
        assert wire.post(101, SMALL).data["id"] > gone


def test_each_folder_has_a_token_and_hash_of_its_own(tmp_path):
    with Sandbox(tmp_path / "a") as a, Sandbox(tmp_path / "b") as b, Sandbox() as c:
        assert len({a.token, b.token, c.token}) == len({a.store_hash, b.store_hash, c.store_hash}) == 3
        assert re.fullmatch("[a-z0-9]{10}", a.store_hash)
        assert len(a.token) >= 32


def test_a_token_and_hash_can_be_given(tmp_path):
    with Sandbox(tmp_path, token="canary", store_hash="shop1") as sandbox, wired(sandbox) as wire:
        assert sandbox.base_url.endswith("/stores/shop1/v3")
        assert wire("GET", "/catalog/products").status == 200


@pytest.mark.parametrize("wrong", ["a/b", "../x", "a b", "ü"])
def test_a_hash_that_is_no_path_segment_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Sandbox(store_hash=wrong)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_only_the_owner_can_read_the_token(tmp_path):
    with Sandbox(tmp_path) as sandbox:
        file = tmp_path / "store" / "access.json"
        assert json.loads(file.read_text())["token"] == sandbox.token
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        others = [path for path in tmp_path.rglob("*") if path.is_file() and path != file]
        assert not [path for path in others if sandbox.token.encode() in path.read_bytes()]


def test_a_folder_is_never_a_source_nor_committed(tmp_path):
    (tmp_path / "mine.jpg").write_bytes(SMALL)
    with Sandbox(tmp_path / "shop", products=["A"]) as sandbox, wired(sandbox) as wire:
        wire.post(101, SMALL)

    found = [item.source for item in sources.from_path(tmp_path) if hasattr(item, "source")]
    assert [Path(source).name for source in found] == ["mine.jpg"]
    assert (tmp_path / "shop" / ".gitignore").read_text() == "*\n"


def test_a_second_sandbox_on_the_folder_is_refused_and_told_why(tmp_path):
    with Sandbox(tmp_path) as first:
        with pytest.raises(ConfigurationError) as refused:
            Sandbox(tmp_path)
        assert first.url in str(refused.value)
        assert str(os.getpid()) in str(refused.value)
        with wired(first) as wire:
            assert wire("GET", "/catalog/products").status == 200
    with Sandbox(tmp_path):
        pass


HOLDER = """
import sys, time
from imagepipe.sandbox import Sandbox
with Sandbox(sys.argv[1], products=["A"]) as sandbox:
    print(sandbox.url, flush=True)
    time.sleep(60)
"""


def test_the_lock_ends_with_its_process(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        url = holder.stdout.readline().strip()
        with pytest.raises(ConfigurationError, match=f"process {holder.pid} .*{re.escape(url)}"):
            Sandbox(tmp_path)
        holder.kill()

    with Sandbox(tmp_path) as sandbox:
        assert [product.sku for product in sandbox.products()] == ["A"]


POSTER = """
import os, sys
sys.path.insert(0, sys.argv[2])
from sandbox_wire import wired
from imagepipe.testing import Sandbox, jpeg
with Sandbox(sys.argv[1], products=["A"]) as sandbox, wired(sandbox) as wire:
    answer = wire.post(101, jpeg(60, 45))
    print(answer.data["id"], flush=True)
    os._exit(9)
"""


def test_what_was_answered_outlives_a_process_that_dies_at_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", POSTER, str(tmp_path), str(Path(__file__).parent)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr

    with Sandbox(tmp_path) as sandbox:
        assert [image.id for image in sandbox.images(101)] == [int(done.stdout)]
        assert sandbox.received(int(done.stdout)) == SMALL


def test_files_that_were_being_written_are_cleaned_up(tmp_path):
    with Sandbox(tmp_path):
        pass
    left = tmp_path / "store" / "originals" / "new-abc"
    left.write_bytes(b"half")

    with Sandbox(tmp_path):
        assert not left.exists()


@pytest.mark.parametrize("damage", [
    pytest.param(lambda store: (store / "store.sqlite3").write_bytes(b"no database" * 100), id="database"),
    pytest.param(lambda store: (store / "access.json").write_text("{"), id="access"),
    pytest.param(lambda store: (store / "access.json").write_text("[]"), id="access of another shape"),
    pytest.param(lambda store: _layout(store, 99), id="newer layout"),
])
def test_a_damaged_or_newer_store_is_refused_and_left_alone(tmp_path, damage):
    with Sandbox(tmp_path):
        pass
    damage(tmp_path / "store")

    for _ in range(2):  # and the lock was let go
        with pytest.raises(ConfigurationError):
            Sandbox(tmp_path)


def _layout(store, number):
    database = sqlite3.connect(store / "store.sqlite3")
    database.execute(f"PRAGMA user_version = {number}")
    database.close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="file"):
        Sandbox(tmp_path / "file")


def test_without_a_folder_nothing_is_left():
    with Sandbox(products=["A"]) as sandbox, wired(sandbox) as wire:
        wire.post(101, SMALL)
        folder = sandbox._folder.path
        assert (folder / "originals").is_dir()

    assert not folder.parent.exists()
