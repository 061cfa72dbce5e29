"""Hostile files, folders, names and manifests at the command line: one line of the report each, and the run goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine

from imagepipe.testing import Sandbox, jpeg

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names and files that Windows does not have")

#: Names that a file may have, and that something could choke on.
NAMES = [
    b"-rf.jpg", b"--help.jpg", b"$(touch x).jpg", b"%s{0.__class__}.jpg", b"caf\xe9.jpg", "\u00e9.jpg".encode(),
    "e\u0301.jpg".encode(), b"a\x1b]8;;http:x\x07b.jpg", "r\u202egpj.exe.jpg".encode(), "n\u2028l.jpg".encode(),
    "c1\u009b2J.jpg".encode(), b"nl\nfailed  x.jpg", b"cr\rx.jpg", b"CON.jpg", b"dot..jpg", b"trail .jpg", b"a.jpg",
    b"A.JPG", b"x" * 251 + b".jpg", b"=1+2.jpg", b"@x.jpg", b"<img src=x onerror=alert(1)>.jpg", b"\"q'.jpg",
    "\u200bzw.jpg".encode(), b"back\\slash.jpg", b"a%2fb.jpg", b":x.jpg", b"~.jpg",
]


@pytest.fixture
def imagepipe(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, capsys, monkeypatch)


def separately(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "imagepipe", *arguments], check=False, stdin=subprocess.DEVNULL,
                          **{"capture_output": True, **settings})


# -- names -----------------------------------------------------------------------------------------


@pytest.fixture
def odd_names() -> Path:
    folder = Path("odd/MUG")
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (folder / name.decode("utf-8", "surrogateescape")).write_bytes(jpeg(seed=number))
    return folder.parent


def test_every_name_goes_through_to_the_store_and_into_every_report(imagepipe: CommandLine, tmp_path: Path,
                                                                     odd_names: Path) -> None:
    if len(list((odd_names / "MUG").iterdir())) != len(NAMES):
        pytest.skip("a file system that folds names")
    upload = ("upload", odd_names, "--match", "{sku}/*", "--sandbox", "--jobs", "0")
    reports = [word for ending in ("html", "csv", "jsonl") for word in ("--report", f"r.{ending}")]

    first = imagepipe(*upload, "--json", *reports)
    again = imagepipe(*upload)

    *images, summary = first.lines
    assert {line["status"] for line in images} == {"uploaded"}
    assert first.code == summary["exit_code"] == 0
    assert len({line["key"] for line in images}) == len({line["image_id"] for line in images}) == len(NAMES)
    assert all(line["output"].isascii() and len(line["output"]) <= 100 for line in images)
    assert f"{len(NAMES)} pictures: {len(NAMES)} skipped" in again.said
    assert imagepipe("verify", "--sandbox").out == f"{len(NAMES)} images: {len(NAMES)} there\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "imagepipe-sandbox", "odd", "r.csv", "r.html", "r.jsonl"]

    assert [json.loads(line) for line in Path("r.jsonl").read_text("utf-8").split("\n")[:-1]] == first.lines
    rows = list(csv.DictReader(io.StringIO(Path("r.csv").read_bytes().decode("utf-8-sig"), newline="")))
    assert len(rows) == len(NAMES)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    page = Path("r.html").read_text("utf-8")
    assert "<img src=x" not in page
    assert not set("\x1b\x07\x9b\u202e\u200b") & set(page)


@pytest.mark.parametrize("command", [("upload", "--sandbox", "-v"), ("plan",), ("prepare", "--out", "out")])
def test_no_name_writes_to_the_terminal_or_looks_like_another_line(imagepipe: CommandLine, odd_names: Path,
                                                                   command: tuple[str, ...]) -> None:
    result = imagepipe(*command, odd_names, "--match", "{sku}/*", "--jobs", "0")

    printed = result.out + result.err
    assert result.code == 0
    assert not [character for character in printed if not character.isprintable() and character != "\n"]
    assert not [line for line in result.out.split("\n") if line.startswith("failed")]


def test_a_single_file_of_any_name_can_be_given(imagepipe: CommandLine, odd_names: Path) -> None:
    for path in sorted((odd_names / "MUG").iterdir()):
        result = imagepipe("inspect", str(path), "--json")
        assert (result.code, result.lines[0]["status"]) == (0, "planned"), result.said
    os.chdir(odd_names / "MUG")
    assert imagepipe("upload", "caf\udce9.jpg", "--sku", "A", "--sandbox", "--jobs", "0").code == 0
    assert imagepipe("report").code == 0
    assert imagepipe("inspect", "--", "-rf.jpg", "--help.jpg").code == 0


# -- files that are none ---------------------------------------------------------------------------


def test_what_is_no_picture_in_a_folder_is_a_line_each_and_never_opened(imagepipe: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "odd" / "MUG"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(jpeg())
    os.mkfifo(folder / "fifo.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "up").symlink_to("..")
    (folder / "root").symlink_to("/")
    (folder / "passwd.jpg").symlink_to("/etc/passwd")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "memory.jpg").symlink_to("/proc/self/mem")
    (folder / "a.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    (folder / "picture.jpg").mkdir()
    with (folder / "huge.jpg").open("wb") as file:
        file.truncate(10 << 30)
    monster = socket.socket(socket.AF_UNIX)
    os.chdir(folder)  # the path of a socket has at most 107 bytes
    monster.bind("socket.jpg")
    os.chdir(tmp_path)
    devices = []
    if os.geteuid() == 0:
        try:
            os.mknod(folder / "device.jpg", 0o020666, os.makedev(1, 5))
            devices = ["device.jpg"]
        except OSError:
            pass  # in some containers not even root may

    result = imagepipe("upload", "odd", "--match", "{sku}/*", "--sandbox", "--json", "--jobs", "0")
    monster.close()

    *images, summary = result.lines
    found = {Path(line["source"]).name: line["status"] for line in images}
    skipped = ["fifo.jpg", "self.jpg", "up", "root", "passwd.jpg", "zero.jpg", "memory.jpg", "a.zip", "socket.jpg",
               *devices]
    assert found == {"a.jpg": "uploaded", "huge.jpg": "failed", **dict.fromkeys(skipped, "skipped")}
    assert next(line["code"] for line in images if line["source"].endswith("huge.jpg")) == "too_large"
    assert all(line["reason"] for line in images if line["status"] != "uploaded")
    assert result.code == summary["exit_code"] == 1


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).symlink_to("/dev/zero"), os.mkdir])
def test_a_manifest_that_names_what_is_no_file_waits_for_nothing(imagepipe: CommandLine, make: Any) -> None:
    make("odd.jpg")
    Path("m.csv").write_text("image,sku\nodd.jpg,A\n")

    (line, _) = imagepipe("upload", "m.csv", "--sandbox", "--json", "--jobs", "0").lines

    assert line["status"] == "failed"
    assert line["code"] in ("not_a_file", "outside_root")


def without_the_power_of_root(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command so that permissions hold, also where these tests run as root."""
    command = [sys.executable, "-m", "imagepipe", *arguments]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads everything")
        dropped = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "--", *command]
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)


def test_a_file_and_a_folder_that_may_not_be_read_cost_nothing_else(imagepipe: CommandLine) -> None:
    for name in ("locked/1.jpg", "open/1.jpg", "open/2.jpg"):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).write_bytes(jpeg(seed=len(name)))
    Path("open/2.jpg").write_bytes(jpeg(seed=2))
    Path("open/1.jpg").chmod(0)
    Path("locked").chmod(0)
    try:
        ended = without_the_power_of_root("upload", ".", "--match", "{sku}/*", "--sandbox", "--json", "--jobs", "0")
    finally:
        Path("locked").chmod(0o755)

    *images, summary = [json.loads(line) for line in ended.stdout.splitlines()]
    statuses = {line["source"].removeprefix("./"): (line["status"], line["code"]) for line in images}
    assert statuses == {"open/2.jpg": ("uploaded", None), "open/1.jpg": ("failed", "unreadable"),
                        "locked": ("failed", "unreadable")}, ended.stderr
    assert ended.returncode == summary["exit_code"] == 1
    assert b"Traceback" not in ended.stderr


# -- manifests -------------------------------------------------------------------------------------

ROWS = {
    "parent": {"image": "../secret.jpg"},
    "parents": {"image": "a/../../secret.jpg"},
    "absolute": {"image": "/etc/passwd"},
    "two slashes": {"image": "//etc/passwd"},
    "a drive": {"image": "C:\\secret.jpg"},
    "a share": {"image": "\\\\host\\secret.jpg"},
    "a home": {"image": "~/secret.jpg"},
    "percent": {"image": "%2e%2e/secret.jpg"},
    "a linked folder": {"image": "link/secret.jpg"},
    "NUL": {"image": "a\x00.jpg"},
    "a file address": {"image": "file:///etc/passwd"},
    "another scheme": {"image": "ftp://example.com/a.jpg"},
    "loopback": {"image": "https://127.0.0.1/a.jpg"},
    "metadata": {"image": "https://169.254.169.254/a.jpg"},
    "a number": {"image": "https://2130706433/a.jpg"},
    "hexadecimal": {"image": "https://0x7f.1/a.jpg"},
    "octal": {"image": "https://0177.0.0.1/a.jpg"},
    "short": {"image": "https://127.1/a.jpg"},
    "mapped": {"image": "https://[::ffff:169.254.169.254]/a.jpg"},
    "NAT64": {"image": "https://[64:ff9b::7f00:1]/a.jpg"},
    "CGNAT": {"image": "https://100.64.0.1/a.jpg"},
    "full-width": {"image": "https://\uff11\uff12\uff17.0.0.1/a.jpg"},
    "a password": {"image": "https://user:CANARY@example.com/a.jpg"},
    "a line end": {"image": "https://exam\r\nple.com/a.jpg"},
    "minus": {"product_id": -1},
    "zero": {"product_id": 0},
    "a fraction": {"product_id": 1.5},
    "an exponent": {"product_id": "1e3"},
    "too large": {"product_id": 2**63},
    "full-width digits": {"product_id": "\uff11\uff12"},
    "spaces": {"product_id": " 7 "},
    "true": {"product_id": True},
    "half a character": {"description": "half \ud83d"},
    "half a SKU": {"sku": "\ud83d"},
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_leads_astray_fails_alone(imagepipe: CommandLine, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(jpeg(seed=1))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(jpeg(seed=2))
    (tmp_path / "in" / "link").symlink_to("..")
    bad = {"image": "a.jpg", **({} if "product_id" in ROWS[name] else {"sku": "BAD"}), **ROWS[name]}
    (tmp_path / "in" / "m.jsonl").write_text(json.dumps(bad) + "\n" + json.dumps({"image": "a.jpg", "sku": "GOOD"}))

    result = imagepipe("upload", "in/m.jsonl", "--sandbox", "--json", "--jobs", "0", "--verbose")

    by_row = {line["row_number"]: line for line in result.lines[:-1]}
    assert (by_row[1]["status"], by_row[2]["status"]) == ("failed", "uploaded")
    assert "row 1" in by_row[1]["reason"] or by_row[1]["row_number"] == 1
    assert result.code == 1
    assert "CANARY" not in result.out + result.err


@pytest.mark.parametrize("line", [
    '{"image":' + "[" * 100_000 + "]" * 100_000 + "}", '{"image": "a.jpg", "product_id": ' + "9" * 5_000 + "}",
    '{"image": "a.jpg", "product_id": NaN}', '{"image": "a.jpg", "sku": "A", "sku": "B"}', "[1, 2]", '"a.jpg"', "noise",
    "{", "\x00", "null"], ids=["deep", "digits", "NaN", "twice", "list", "text", "noise", "cut", "NUL", "null"])
def test_a_line_of_json_that_cannot_be_used_fails_alone(imagepipe: CommandLine, line: str) -> None:
    Path("a.jpg").write_bytes(jpeg())
    Path("m.jsonl").write_text(line + '\n{"image": "a.jpg", "sku": "GOOD"}\n')

    result = imagepipe("upload", "m.jsonl", "--sandbox", "--json", "--jobs", "0")

    assert [each["status"] for each in result.lines[:-1]].count("uploaded") == 1
    (failed,) = [each for each in result.lines[:-1] if each["status"] == "failed"]
    assert "row 1" in failed["reason"]
    assert len(failed["reason"]) < 300


@pytest.mark.parametrize(("raw", "uploaded", "failed"), [
    (b"\xef\xbb\xbfimage,sku\na.jpg,A\n", 1, 0), ("image;sku\r\na.jpg;A\r\n".encode("utf-16"), 1, 0),
    (b"image\tsku\ra.jpg\tA\r", 1, 0), (b'image,sku\n"a.jpg","A"\n\n', 1, 0), (b"image,sku\na.jpg,\xfc\n", 0, 1),
    (b"image,sku\na.jpg,A,x\na.jpg,B\n", 1, 1), (b"image,sku\na.jpg," + b"x" * 200_000 + b"\na.jpg,B\n", 1, 1),
    (b'image,sku\na.jpg,B\n"a.jpg,A\n', 1, 1)],
    ids=["BOM", "UTF-16", "old line ends", "quotes", "Latin-1", "ragged", "field", "open quote"])
def test_what_can_be_read_of_a_table_is(imagepipe: CommandLine, raw: bytes, uploaded: int, failed: int) -> None:
    Path("a.jpg").write_bytes(jpeg())
    Path("m.csv").write_bytes(raw)

    *lines, _ = imagepipe("upload", "m.csv", "--sandbox", "--json", "--jobs", "0").lines

    statuses = [line["status"] for line in lines]
    assert sorted(statuses) == ["failed"] * failed + ["uploaded"] * uploaded


# -- secrets ---------------------------------------------------------------------------------------


def test_the_token_is_in_nothing_that_is_printed_or_kept(imagepipe: CommandLine, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "MUG").mkdir()
    (tmp_path / "MUG" / "a.jpg").write_bytes(jpeg())
    with Sandbox(token="CANARY") as store:
        store.add_product(sku="MUG")
        monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", store.token)
        access = ("--base-url", store.base_url, "--ledger", "ledger", "-v")
        upload = ("upload", "MUG", "--sku", "MUG", *access, "--jobs", "0", "--report", "r.html", "--report", "r.jsonl")
        results = [imagepipe(*upload), imagepipe("verify", *access)]
        monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", "CANARY-wrong")
        (tmp_path / "MUG" / "b.jpg").write_bytes(jpeg(seed=2))
        results += [imagepipe(*upload), imagepipe("verify", *access), imagepipe("undo", "--yes", *access)]
        assert [result.code for result in results] == [0, 0, 3, 3, 3], [result.said for result in results]

    assert not [result for result in results if "CANARY" in result.out + result.err]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"CANARY" in path.read_bytes()]


# -- where the output goes -------------------------------------------------------------------------


def test_whoever_reads_only_the_first_line_ends_the_run_as_a_signal_would(imagepipe: CommandLine,
                                                                          odd_names: Path) -> None:
    command = [sys.executable, "-m", "imagepipe", "plan", str(odd_names), "--jobs", "0", "-v"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()

    assert running.returncode == 141
    assert said == b""


@pytest.mark.parametrize("command", ["plan", "upload"])
def test_a_terminal_without_the_characters_gets_others(imagepipe: CommandLine, odd_names: Path, command: str) -> None:
    more = ("--sandbox",) if command == "upload" else ()
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1", "NO_COLOR": "1"}
    people = separately(command, str(odd_names), "--match", "{sku}/*", "--jobs", "0", *more, env=latin)
    program = separately(command, str(odd_names), "--match", "{sku}/*", "--jobs", "0", "--json", *more, env=latin)

    assert people.returncode == program.returncode == 0, people.stderr
    assert b"e\\u0301.jpg" in people.stdout
    assert b"\xe9.jpg" in people.stdout
    lines = [json.loads(line) for line in program.stdout.splitlines()]
    assert len(lines) == len(NAMES) + 1
    assert any("\u00e9.jpg" in line.get("source", "") for line in lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_output_that_cannot_be_written_ends_the_run_with_a_sentence(imagepipe: CommandLine, odd_names: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        ended = separately("plan", str(odd_names), "--jobs", "0", capture_output=False, stdout=full,
                           stderr=subprocess.PIPE)

    assert ended.returncode == 4
    assert b"No space left" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_without_an_output_the_run_goes_on(imagepipe: CommandLine) -> None:
    Path("a.jpg").write_bytes(jpeg())
    ended = subprocess.run(f'"{sys.executable}" -m imagepipe plan a.jpg --jobs 0 >&-', shell=True, check=False,
                           capture_output=True)

    assert (ended.returncode, ended.stderr) == (0, b"")
