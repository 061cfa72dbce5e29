"""Reading a picture's bytes, once, from what is a regular file and stays what it is."""

import hashlib
import os
import pickle
import socket
import sys
from pathlib import Path

import pytest

from imagepipe.asset import Asset, Received
from imagepipe.errors import SourceError, TooLarge
from imagepipe.stages import read as read_module
from imagepipe.stages.read import Read, stamp

unix = pytest.mark.skipif(sys.platform == "win32", reason="no such files there")


def asset_of(path):
    return Asset("front.jpg", "7", location=os.fspath(path))


def test_a_file_is_read_and_what_was_read_is_noted(tmp_path):
    path = tmp_path / "front.jpg"
    path.write_bytes(b"picture")

    asset = Read()(asset_of(path))

    found = path.stat()
    assert asset.data == b"picture"
    assert asset.received == Received(hashlib.sha256(b"picture").hexdigest(), 7, found.st_mtime_ns, found.st_ino)
    assert stamp(str(path)) == (7, found.st_mtime_ns, found.st_ino)


def test_data_that_was_handed_over_is_measured_and_not_read():
    asset = Read()(Asset("no/such/file.jpg", "7", data=b"picture"))

    assert asset.data == b"picture"
    assert asset.received == Received(hashlib.sha256(b"picture").hexdigest(), 7)


def test_a_stage_travels_to_a_worker():
    assert pickle.loads(pickle.dumps(Read(5))) == Read(5)


@unix
def test_a_name_that_is_no_utf8_is_read(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9\n.jpg"
    try:
        Path(os.fsdecode(name)).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")

    assert Read()(asset_of(os.fsdecode(name))).data == b"x"


def test_an_error_shows_a_name_as_one_plain_line(tmp_path):
    with pytest.raises(SourceError, match=r"caf\\xe9\\n\\x1b\[2J\.jpg is not there") as caught:
        Read()(asset_of(f"{tmp_path}/caf\udce9\n\x1b[2J.jpg"))

    assert caught.value.word == "not_found"


# -- what is no file -------------------------------------------------------------------------------


def link_to_file(folder):
    (folder / "real").write_bytes(b"x")
    (folder / "it").symlink_to("real")


def link_in_a_circle(folder):
    (folder / "it").symlink_to("it")


def link_to_zeros(folder):
    (folder / "it").symlink_to("/dev/zero")


def fifo(folder):
    os.mkfifo(folder / "it")


def unix_socket(folder):
    where = os.open(folder, os.O_RDONLY)  # the path itself may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"/proc/self/fd/{where}/it" if sys.platform == "linux" else str(folder / "it"))
    finally:
        os.close(where)


def a_folder(folder):
    (folder / "it").mkdir()


@unix
@pytest.mark.parametrize(("make", "name"), [(link_to_file, "a link"), (link_in_a_circle, "a link"),
                                            (link_to_zeros, "a link"), (fifo, "a named pipe"),
                                            (unix_socket, "a socket"), (a_folder, "a folder")])
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path, make, name):
    make(tmp_path)

    with pytest.raises(SourceError, match=f"it is {name}, not a file") as caught:
        Read()(asset_of(tmp_path / "it"))

    assert caught.value.word == "not_a_file"
    with pytest.raises(OSError, match="not a regular file"):
        stamp(str(tmp_path / "it"))


@unix
def test_a_device_is_not_read():
    with pytest.raises(SourceError, match="a device"):
        Read()(asset_of("/dev/zero"))


@unix
@pytest.mark.parametrize("make", [link_to_file, fifo, a_folder])
def test_what_takes_a_files_place_after_it_was_looked_at_is_not_read_either(tmp_path, monkeypatch, make):
    make(tmp_path)
    seen = []
    check = read_module._check_regular
    monkeypatch.setattr(read_module, "_check_regular",  # the first look saw a file
                        lambda mode, shown: check(mode, shown) if seen else seen.append(mode))

    with pytest.raises(SourceError):
        Read()(asset_of(tmp_path / "it"))

    assert seen


@pytest.mark.parametrize("path", ["nothing", "file/below", "a\0b"])
def test_what_is_not_there_is_said_so(tmp_path, path):
    (tmp_path / "file").write_bytes(b"x")

    with pytest.raises(SourceError) as caught:
        Read()(asset_of(f"{tmp_path}/{path}"))

    assert caught.value.word == "not_found"


@unix
def test_what_may_not_be_read_is_said_so(tmp_path, monkeypatch):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.geteuid() == 0:  # the superuser may read everything: have the system say what it says to others

        def forbidden(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(read_module.os, "open", forbidden)

    with pytest.raises(SourceError, match="may not be read") as caught:
        Read()(asset_of(path))

    assert caught.value.word == "unreadable"


# -- size and change -------------------------------------------------------------------------------


def test_the_size_is_looked_at_before_anything_is_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.psd"
    with path.open("wb") as file:
        file.truncate(10 << 30)  # sparse: takes no room
    monkeypatch.setattr(read_module.os, "read", None)

    with pytest.raises(TooLarge, match="10,737,418,240 bytes.*--max-source-bytes"):
        Read()(asset_of(path))


def test_the_limit_itself_is_within(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")

    assert Read(5)(asset_of(path)).data == b"12345"
    assert Read(5)(Asset("a", "7", data=b"12345")).data == b"12345"
    with pytest.raises(TooLarge):
        Read(4)(asset_of(path))
    with pytest.raises(TooLarge):
        Read(4)(Asset("a", "7", data=b"12345"))


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path):
    with path.open("r+b") as file:
        file.truncate(3)


def rewrite(path):
    found = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, change):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"0123456789")
    really_read, changed = os.read, []

    def read_and_change(handle, size):
        if not changed:
            changed.append(True)
            change(path)
        return really_read(handle, size)

    monkeypatch.setattr(read_module.os, "read", read_and_change)

    with pytest.raises(SourceError, match="changed while it was read") as caught:
        Read()(asset_of(path))

    assert caught.value.word == "changed_while_read"


@unix
def test_no_descriptor_is_left_open(tmp_path):
    fifo(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"x")
    lowest = os.dup(0)
    os.close(lowest)

    for path in ("it", "a.jpg", "none"):
        try:
            Read()(asset_of(tmp_path / path))
        except SourceError:
            continue

    again = os.dup(0)
    os.close(again)
    assert again == lowest
