"""The command line: what it prints where, what it asks, and the exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagepipe.cli import _COMMANDS, main
from imagepipe.testing import Sandbox, jpeg

README = Path(__file__).parent.parent / "README.md"


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def imagepipe(capsys: pytest.CaptureFixture[str], tmp_path: Path,
              monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("IMAGEPIPE_", "BIGCOMMERCE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(*arguments: str | Path) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Result(int(left.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for sku in ("MUG", "BOWL"):
        (folder / sku).mkdir(parents=True)
        for number in (1, 2, 10):
            (folder / sku / f"img{number}.jpg").write_bytes(jpeg(seed=number + (100 if sku == "MUG" else 0)))
    return folder


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(quota=10_000) as sandbox:
        sandbox.add_product(sku="MUG")
        sandbox.add_product(sku="BOWL")
        monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", sandbox.token)
        yield sandbox


def delete(store: Sandbox, product: int, image: int) -> None:
    """Delete an image as a person does in the store's own pages."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", int(store.url.rsplit(":", 1)[1].strip("/")))
    connection.request("DELETE", f"/stores/{store.store_hash}/v3/catalog/products/{product}/images/{image}",
                       headers={"X-Auth-Token": store.token})
    assert connection.getresponse().status == 204
    connection.close()


def test_every_command_and_option_has_help(imagepipe: Callable[..., Result]) -> None:
    import click

    from imagepipe.cli import _imagepipe

    context = click.Context(_imagepipe)
    for name in _COMMANDS:
        command = _imagepipe.get_command(context, name)
        assert command is not None
        assert command.help
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (name, parameter.name)
        assert imagepipe(name, "--help").code == 0


def test_a_slip_of_the_pen_is_answered_with_a_suggestion(imagepipe: Callable[..., Result]) -> None:
    result = imagepipe("uplaod", "x")

    assert result.code == 2
    assert "Did you mean 'upload'?" in result.err


def test_upload_to_the_sandbox_twice(imagepipe: Callable[..., Result], photos: Path) -> None:
    first = imagepipe("upload", photos, "--match", "{sku}/*", "--sandbox", "--jobs", "0")
    second = imagepipe("upload", photos, "--match", "{sku}/*", "--sandbox", "--jobs", "0")

    assert first.code == second.code == 0
    assert "6 pictures: 6 uploaded" in first.out
    assert "6 pictures: 6 skipped" in second.out
    assert "Ledger: imagepipe-sandbox/ledger.sqlite3" in first.err
    assert Path("imagepipe-sandbox").is_dir()


def test_json_has_a_line_for_each_input_and_nothing_else(imagepipe: Callable[..., Result], photos: Path) -> None:
    (photos / "MUG" / "note.txt").write_text("not a picture")
    (photos / "MUG" / "broken.jpg").write_bytes(jpeg()[:500])

    result = imagepipe("upload", photos, "--match", "{sku}/*", "--sandbox", "--json", "--jobs", "0")

    *images, summary = result.lines
    assert {line["type"] for line in images} == {"image"}
    assert summary["type"] == "summary"
    assert summary["total"] == len(images) == 8
    assert result.code == summary["exit_code"] == 1
    assert {Path(line["source"]).name for line in images if line["status"] == "failed"} == {"broken.jpg"}


def test_order_is_natural(imagepipe: Callable[..., Result], photos: Path) -> None:
    result = imagepipe("plan", photos, "--match", "{sku}/*", "--json", "--jobs", "0")

    names = [Path(line["source"]).name for line in result.lines[:-1] if line["sku"] == "MUG"]
    assert names == ["img1.jpg", "img2.jpg", "img10.jpg"]


def test_a_folder_without_a_mapping_is_refused_with_the_one_that_fits(imagepipe: Callable[..., Result],
                                                                       photos: Path) -> None:
    result = imagepipe("upload", photos, "--sandbox")

    assert result.code == 2
    assert "--match '{sku}/*'" in result.err


def test_no_store_is_an_error_that_names_the_ways(imagepipe: Callable[..., Result], photos: Path) -> None:
    result = imagepipe("upload", photos, "--match", "{sku}/*")

    assert result.code == 2
    assert "BIGCOMMERCE_STORE_HASH" in result.err
    assert "--sandbox" in result.err


def test_no_token_is_an_error(imagepipe: Callable[..., Result], photos: Path) -> None:
    result = imagepipe("upload", photos, "--match", "{sku}/*", "--store", "abc")

    assert result.code == 2
    assert "BIGCOMMERCE_ACCESS_TOKEN" in result.err


def test_a_wrong_token_ends_with_3_and_everything_planned(imagepipe: Callable[..., Result], photos: Path,
                                                          store: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", "CANARY-token")

    result = imagepipe("upload", photos, "--match", "{sku}/*", "--base-url", store.base_url, "--json", "--jobs", "0")

    assert result.code == 3
    assert {line["status"] for line in result.lines[:-1]} == {"planned"}
    assert "CANARY" not in result.out + result.err


def test_an_unknown_sku_is_named_with_the_nearest(imagepipe: Callable[..., Result], photos: Path,
                                                  store: Sandbox) -> None:
    (photos / "BOWL").rename(photos / "BOWLS")

    result = imagepipe("upload", photos, "--match", "{sku}/*", "--base-url", store.base_url, "--json", "--jobs", "0")

    failed = [line for line in result.lines[:-1] if line["status"] == "failed"]
    assert len(failed) == 3
    assert {line["code"] for line in failed} == {"unknown_sku"}
    assert "'BOWL'" in failed[0]["reason"]
    assert result.code == 1


def test_any_server_of_the_api_will_do(imagepipe: Callable[..., Result], photos: Path, store: Sandbox) -> None:
    result = imagepipe("upload", photos, "--match", "{sku}/*", "--base-url", store.base_url, "--jobs", "0")

    assert result.code == 0
    assert [request.status for request in store.requests if request.method == "POST"] == [200] * 6


def test_only_and_limit_products_make_a_trial(imagepipe: Callable[..., Result], photos: Path) -> None:
    only = imagepipe("plan", photos, "--match", "{sku}/*", "--only", "MUG", "--json", "--jobs", "0")
    limited = imagepipe("plan", photos, "--match", "{sku}/*", "--limit-products", "1", "--json", "--jobs", "0")

    for result in (only, limited):
        statuses = [line["status"] for line in result.lines[:-1]]
        assert statuses.count("planned") == 3
        assert statuses.count("skipped") == 3


def test_prepare_writes_into_a_folder_and_again_changes_nothing(imagepipe: Callable[..., Result], photos: Path,
                                                                tmp_path: Path) -> None:
    first = imagepipe("prepare", photos, "--out", tmp_path / "ready", "--jobs", "0")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "ready").rglob("*.jpg")}
    second = imagepipe("prepare", photos, "--out", tmp_path / "ready", "--jobs", "0")

    assert first.code == second.code == 0
    assert len(written) == 6
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "ready").rglob("*.jpg")} == written


def test_settings_come_from_flag_then_environment_then_file(imagepipe: Callable[..., Result], photos: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    def width(*flags: str) -> int:
        result = imagepipe("plan", photos / "MUG" / "img1.jpg", "--json", "--jobs", "0", *flags)
        return int(result.lines[0]["width"])

    Path("imagepipe.toml").write_text("max-edge = 300\n")
    assert width() == 300
    monkeypatch.setenv("IMAGEPIPE_MAX_EDGE", "200")
    assert width() == 200
    assert width("--max-edge", "100") == 100


def test_an_unknown_setting_in_the_file_is_an_error(imagepipe: Callable[..., Result], photos: Path) -> None:
    Path("imagepipe.toml").write_text("max_egde = 300\n")

    result = imagepipe("plan", photos)

    assert result.code == 2
    assert "max_egde" in result.err


@pytest.mark.parametrize("size", ["8", "8XB", "-8MB", "MB"])
def test_a_size_needs_its_unit(imagepipe: Callable[..., Result], photos: Path, size: str) -> None:
    result = imagepipe("plan", photos, "--max-bytes", size)

    assert result.code == 2


def test_a_runs_own_json_lines_are_a_source_of_what_failed(imagepipe: Callable[..., Result], photos: Path) -> None:
    (photos / "MUG" / "img2.jpg").write_bytes(jpeg()[:500])
    first = imagepipe("upload", photos, "--match", "{sku}/*", "--sandbox", "--json", "--jobs", "0")
    Path("first.jsonl").write_text(first.out)
    (photos / "MUG" / "img2.jpg").write_bytes(jpeg(seed=77))

    again = imagepipe("upload", "first.jsonl", "--sandbox", "--json", "--jobs", "0", "--root", photos)

    assert [line["status"] for line in again.lines[:-1]].count("uploaded") == 1
    assert {line["status"] for line in again.lines[:-1]} <= {"uploaded", "skipped"}


@pytest.mark.parametrize("ending", ["html", "csv", "jsonl"])
def test_reports_are_written(imagepipe: Callable[..., Result], photos: Path, ending: str) -> None:
    result = imagepipe("plan", photos, "--match", "{sku}/*", "--report", f"out.{ending}", "--jobs", "0")

    assert result.code == 0
    assert "img10.jpg" in Path(f"out.{ending}").read_text(encoding="utf-8-sig")


def test_a_wrong_value_is_said_with_where_it_comes_from(imagepipe: Callable[..., Result], photos: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    Path("imagepipe.toml").write_text('max-bytes = "12"\n')
    assert "(from imagepipe.toml)" in imagepipe("prepare", photos, "--out", "out").err
    assert "(from" not in imagepipe("prepare", photos, "--out", "out", "--max-bytes", "12").err
    monkeypatch.setenv("IMAGEPIPE_MAX_BYTES", "13")
    run = imagepipe("prepare", photos, "--out", "out")
    assert run.code == 2
    assert "'13' is not a size" in run.err
    assert "(from the environment variable IMAGEPIPE_MAX_BYTES)" in run.err


def test_a_folder_that_cannot_be_written_to_is_one_sentence(imagepipe: Callable[..., Result], photos: Path) -> None:
    Path("file").write_text("in the way")
    run = imagepipe("prepare", photos, "--out", "file/out")
    assert run.code == 2
    assert run.out == ""
    assert run.err.count("cannot be written to") == 1


def test_verify_refuses_a_report_that_it_would_not_write(imagepipe: Callable[..., Result], photos: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    assert imagepipe("upload", photos, "--match", "{sku}/*", "--sandbox", "--jobs", "0").code == 0
    run = imagepipe("verify", "--sandbox", "--report", "report.html")
    assert run.code == 2
    assert "--report is of the pictures that --repair sends" in run.err
    monkeypatch.setenv("IMAGEPIPE_REPORT", "report.html")  # meant for other commands
    assert imagepipe("verify", "--sandbox").code == 0


def test_verify_undo_and_report_after_an_upload(imagepipe: Callable[..., Result], photos: Path,
                                                store: Sandbox) -> None:
    access = ("--base-url", store.base_url, "--ledger", "ledger.sqlite3")
    imagepipe("upload", photos, "--match", "{sku}/*", *access, "--jobs", "0")

    same = imagepipe("verify", *access)
    assert (same.code, same.out) == (0, "6 images: 6 there\n")

    product = next(product for product in store.products() if product.sku == "MUG").id
    delete(store, product, store.images(product)[0].id)
    missing = imagepipe("verify", *access)
    assert missing.code == 1
    assert missing.out.startswith("- product ")
    assert "1 missing" in missing.out

    repaired = imagepipe("verify", photos, "--match", "{sku}/*", "--repair", *access, "--jobs", "0")
    assert repaired.code == 0
    assert imagepipe("verify", *access).code == 0

    report = imagepipe("report", "--ledger", "ledger.sqlite3")
    assert report.code == 0
    assert "1 uploaded" in report.out

    undone = imagepipe("undo", *access, "--yes")
    assert "1 image deleted" in undone.out
    assert len(store.images(product)) == 2


def test_prune_shows_what_has_gone_and_deletes_it_when_told(imagepipe: Callable[..., Result], photos: Path,
                                                             store: Sandbox) -> None:
    access = ("--base-url", store.base_url, "--ledger", "ledger.sqlite3")
    upload = ("upload", photos, "--match", "{sku}/*", *access, "--jobs", "0")
    imagepipe(*upload)
    (photos / "MUG" / "img2.jpg").unlink()

    shown = imagepipe(*upload, "--prune")
    assert "gone      MUG/img2.jpg" in shown.err
    assert imagepipe("verify", *access).out == "6 images: 6 there\n"

    pruned = imagepipe(*upload, "--prune", "--yes")
    assert pruned.code == 0
    assert imagepipe("verify", *access).out == "5 images: 5 there\n"


def test_undo_deletes_nothing_where_nobody_can_be_asked(imagepipe: Callable[..., Result], photos: Path,
                                                        store: Sandbox) -> None:
    access = ("--base-url", store.base_url, "--ledger", "ledger.sqlite3")
    imagepipe("upload", photos, "--match", "{sku}/*", *access, "--jobs", "0")

    assert imagepipe("undo", *access).code == 2
    assert imagepipe("verify", *access).code == 0


def test_a_damaged_ledger_is_refused_and_recovered(imagepipe: Callable[..., Result], photos: Path,
                                                   store: Sandbox) -> None:
    access = ("--base-url", store.base_url, "--ledger", "ledger.sqlite3")
    imagepipe("upload", photos, "--match", "{sku}/*", *access, "--jobs", "0")
    Path("ledger.sqlite3").write_bytes(b"coffee" * 1000)
    for beside in Path().glob("ledger.sqlite3-*"):
        beside.unlink()

    refused = imagepipe("upload", photos, "--match", "{sku}/*", *access, "--jobs", "0")
    assert refused.code == 2
    assert "ledger recover" in refused.err

    recovered = imagepipe("ledger", "recover", photos, "--match", "{sku}/*", *access, "--jobs", "0")
    assert recovered.code == 0
    assert Path("ledger.sqlite3.damaged-1").read_bytes() == b"coffee" * 1000
    assert imagepipe("verify", *access).out == "6 images: 6 there\n"
    again = imagepipe("upload", photos, "--match", "{sku}/*", *access, "--jobs", "0")
    assert "6 skipped" in again.out


def test_inspect_says_what_stands_in_the_way(imagepipe: Callable[..., Result], photos: Path) -> None:
    Path("page.jpg").write_text("<!doctype html><title>Not found</title>")

    good = imagepipe("inspect", photos / "MUG" / "img1.jpg")
    bad = imagepipe("inspect", "page.jpg")

    assert good.code == 0
    assert "becomes  jpeg" in good.out
    assert bad.code == 1
    assert "HTML" in bad.out


def test_names_with_control_characters_cannot_write_to_the_terminal(imagepipe: Callable[..., Result],
                                                                    tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "a\x1b[2J\u202egpj.exe\n.jpg").write_bytes(jpeg()[:300])

    result = imagepipe("plan", folder, "--jobs", "0")

    assert "\x1b" not in result.out + result.err
    assert "\u202e" not in result.out + result.err
    assert "\\x1b[2J" in result.out


def test_lines_fit_a_terminal_of_80_columns(imagepipe: Callable[..., Result], photos: Path) -> None:
    result = imagepipe("upload", photos, "--match", "{sku}/*", "--sandbox", "--jobs", "0")

    for line in result.out.splitlines():
        assert len(line) <= 80 or " " not in line.strip()


def test_interrupting_ends_with_130_and_says_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    with Sandbox(quota=3, window_seconds=30) as sandbox:  # so slow that there is time to interrupt it
        sandbox.add_product(sku="MUG")
        sandbox.add_product(sku="BOWL")
        environment = {**os.environ, "BIGCOMMERCE_ACCESS_TOKEN": sandbox.token}
        command = [sys.executable, "-m", "imagepipe", "upload", str(photos), "--match", "{sku}/*", "--base-url",
                   sandbox.base_url, "--ledger", str(tmp_path / "ledger"), "--jobs", "0"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(sandbox.requests) < 3 and process.poll() is None:
            pass
        process.send_signal(2)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert re.search(r"6 pictures: .*planned", out)
    assert "the same command goes on" in " ".join(err.split())
    assert "Traceback" not in err


def test_every_command_is_named_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")

    assert not [name for name in _COMMANDS if f"imagepipe {name}" not in text]


def test_a_plan_without_a_store_knows_how_many_bytes_it_would_send(imagepipe: Callable[..., Result],
                                                                   photos: Path) -> None:
    *images, _ = imagepipe("plan", photos, "--json", "--jobs", "0").lines

    assert all(line["bytes_out"] > 1000 for line in images)
    inspected = imagepipe("inspect", photos / "MUG" / "img1.jpg", "--json")
    assert inspected.lines[0]["bytes_out"] == len((photos / "MUG" / "img1.jpg").read_bytes())


@pytest.mark.parametrize("command", [("report",), ("verify", "--sandbox"), ("undo", "--sandbox")])
def test_where_nothing_was_uploaded_there_is_no_ledger_and_that_is_wrong_use(imagepipe: Callable[..., Result],
                                                                             command: tuple[str, ...]) -> None:
    result = imagepipe(*command)

    assert result.code == 2
    assert "there is no ledger at imagepipe-sandbox/ledger.sqlite3" in result.err.replace("\n  ", " ")


def test_the_way_to_take_a_run_back_names_its_store_and_works(imagepipe: Callable[..., Result], photos: Path,
                                                              store: Sandbox) -> None:
    imagepipe("upload", photos, "--match", "{sku}/*", "--base-url", store.base_url, "--ledger=a ledger", "--jobs", "0")

    said = imagepipe("report", "--ledger", "a ledger").out
    typed = next(line for line in said.splitlines() if line.startswith("To take it back: imagepipe "))
    undone = imagepipe(*shlex.split(typed.removeprefix("To take it back: imagepipe ")), "--yes")

    assert undone.code == 0, undone.err
    assert "6 images deleted" in undone.out
    said = imagepipe("report", "--ledger", "a ledger").out
    assert "It was taken back" in said
    assert "To take it back" not in said
    imagepipe("upload", photos / "MUG", "--sku", "NEW", "--sandbox", "--jobs", "0", "--only", "OTHER")
    assert "take it back" not in imagepipe("report").out


def test_settings_of_the_file_hold_for_the_commands_of_a_group(imagepipe: Callable[..., Result],
                                                               photos: Path) -> None:
    Path("imagepipe.toml").write_text("match = '{sku}/*'\njobs = 0\n")

    result = imagepipe("ledger", "recover", photos, "--sandbox")

    assert "6 planned" in result.out
    assert result.code == 0


def test_help_has_its_options_under_headings(imagepipe: Callable[..., Result]) -> None:
    text = imagepipe("upload", "--help").out

    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options:", "Which store:", "Which pictures, of which products:",
                        "What the store holds already:", "What pictures become:", "How to run, and what to show:"]
    assert "..." not in imagepipe("--help").out.partition("Commands:")[2]  # no summary is cut


def test_every_line_for_people_fits_80_columns(imagepipe: Callable[..., Result], photos: Path) -> None:
    (photos / "MUG" / "page.jpg").write_text("<!doctype html><title>Not found</title>")
    results = [imagepipe("plan", photos, "--match", "{sku}/*", "--jobs", "0"),
               imagepipe("inspect", photos / "MUG" / "page.jpg", photos / "MUG" / "img1.jpg"),
               imagepipe("upload", photos, "--sandbox"),
               imagepipe("upload", photos, "--match", "{sku}/*", "--sandbox", "--jobs", "0"),
               imagepipe("report"), imagepipe("--help"), imagepipe("upload", "--help")]

    long = [line for result in results for line in (result.out + result.err).splitlines() if len(line) > 80]
    assert not [line for line in long if str(photos) not in line and not line.startswith("When that is put right: ")]


def test_products_that_are_not_asked_for_are_counted_and_not_listed(imagepipe: Callable[..., Result],
                                                                    photos: Path) -> None:
    upload = ("upload", photos, "--match", "{sku}/*", "--sandbox", "--jobs", "0")

    trial = imagepipe(*upload, "--limit-products", "1")
    typo = imagepipe(*upload, "--only", "MUGG")

    assert "6 pictures: 3 uploaded, 3 skipped" in trial.out
    assert "MUG/img1.jpg" not in trial.out
    assert "Upload 3 pictures of 1 product to" in trial.err
    assert (typo.code, typo.out) == (2, "")
    assert "--only MUGG" in typo.err


def test_a_size_without_its_unit_is_no_size_in_the_file_either(imagepipe: Callable[..., Result], photos: Path) -> None:
    Path("imagepipe.toml").write_text("max-bytes = 8\n")

    result = imagepipe("plan", photos)

    assert result.code == 2
    assert "8MB" in result.err


def test_of_a_run_that_is_stopped_the_reason_is_said_once(imagepipe: Callable[..., Result], photos: Path,
                                                          store: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", "wrong")

    result = imagepipe("upload", photos, "--match", "{sku}/*", "--base-url", store.base_url, "--jobs", "0")

    assert result.code == 3
    assert result.out.splitlines()[-1].startswith("6 pictures: 6 planned")
    assert "planned   " not in result.out
    assert (result.out + result.err).count("Stopped early: ") == 1
