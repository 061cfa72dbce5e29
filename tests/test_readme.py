"""The README keeps its word: its commands run, its output is real, its Python works."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imagepipe

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def block(mark: str) -> str:
    """Return the code block behind a comment."""
    found = re.search(rf"<!-- {mark} -->\n```\w*\n(.*?)\n```", TEXT, re.DOTALL)
    assert found, mark
    return found[1]


def outcomes(text: str) -> list[str]:
    """Return the lines about pictures, unwrapped, without what differs from run to run."""
    joined = re.sub(r"\n {10}", " ", text)
    lines = [line for line in joined.splitlines() if line.startswith(("uploaded ", "skipped "))]
    numbers = r"(image |quality |)\d[\d.]*( kB| MB|)"  # sizes and qualities differ a little between versions of codecs
    return [line.partition(": ")[0] + re.sub(numbers, r"\1N\2", line.partition(": ")[2]) for line in lines]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "fixtures", folder / "fixtures")
    return folder


def test_the_main_job_runs_as_it_is_written_and_prints_what_is_shown(catalogue: Path) -> None:
    command = block("try").split("&& ")[-1]
    assert command == ".venv/bin/imagepipe upload fixtures/catalog.csv --sandbox"
    run = [sys.executable, "-m", "imagepipe", *command.split()[1:]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("IMAGEPIPE_", "BIGC"))}

    first = subprocess.run(run, cwd=catalogue, env=environment, capture_output=True, text=True, check=False)
    second = subprocess.run(run, cwd=catalogue, env=environment, capture_output=True, text=True, check=False)

    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    shown = outcomes(block("output"))
    assert len(shown) >= 6
    assert set(shown) <= set(outcomes(first.stdout))
    totals = re.compile(r"(\d+ pictures: [^;]*; \d+ with their pixels untouched)")
    unwrapped = " ".join(first.stdout.split())
    assert totals.search(" ".join(block("output").split()))[1] in unwrapped  # type: ignore[index]  # it is there
    assert "34 pictures: 34 skipped" in " ".join(second.stdout.split())


def test_the_commands_are_those_that_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert "readme_command try" in ci
    assert "readme_command test" in ci
    assert block("test").endswith(".venv/bin/python -m pytest -q -n auto")
    for mark in ("try", "test"):
        assert "\n" not in block(mark)  # one command line


def test_the_python_is_python_and_its_names_exist() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 3
    for code in blocks:
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "imagepipe":
                for alias in node.names:
                    assert hasattr(imagepipe, alias.name)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "imagepipe":
                assert hasattr(imagepipe, node.attr)


def test_the_five_lines_work(imagepipe_sandbox: object, imagepipe_picture: object, tmp_path: Path,
                             monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code = re.search(r"## Five lines of Python\n\n```python\n(.*?)```", TEXT, re.DOTALL)
    assert code
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    imagepipe_picture("front.heic")  # type: ignore[operator]  # a fixture of our plugin
    shutil.move(next(tmp_path.rglob("front.heic")), tmp_path / "front.heic")
    sandbox = imagepipe_sandbox
    monkeypatch.setattr(imagepipe, "BigCommerce", lambda store_hash, token: _store(sandbox))

    exec(code[1], {"token": "x"})  # what a reader would type

    assert "uploaded" in capsys.readouterr().out


def _store(sandbox: object) -> object:
    from imagepipe.stores.bigcommerce import BigCommerce

    return BigCommerce(sandbox.store_hash, sandbox.token, base_url=sandbox.base_url)  # type: ignore[attr-defined]


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert "://" in target or (ROOT / target).exists(), target
