"""What other people's code can rely on: names, types, pickling, quick and quiet imports."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import imagepipe
from imagepipe import errors
from imagepipe.asset import Asset, Delivery, Facts, Received, Target
from imagepipe.outcome import Outcome, Status


def test_public_names_are_sorted_complete_and_there() -> None:
    assert imagepipe.__all__ == sorted(imagepipe.__all__)
    assert len(set(imagepipe.__all__)) == len(imagepipe.__all__)
    for name in imagepipe.__all__:
        assert getattr(imagepipe, name) is not None
    listed = {name for names in imagepipe._HOMES.values() for name in names} | {"sources", "stages"}
    assert listed == set(imagepipe.__all__)


def test_every_error_is_public() -> None:
    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}

    assert tree <= set(imagepipe.__all__)


@pytest.mark.parametrize("error", [
    errors.CannotFit(100, 200), errors.SourceError("no such file", "not_found"), errors.Skip("twice", "duplicate", "a"),
    errors.FetchFailed("no answer"), *(
        kind("said") for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ImagepipeError)
        and kind not in (errors.CannotFit, errors.SourceError, errors.FetchFailed)),
], ids=lambda error: type(error).__name__)
def test_every_error_pickles_with_all_it_says(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


def test_an_asset_and_an_outcome_pickle() -> None:
    target = Target(product_id=7, sku="S", description="A cup")
    asset = Asset("a.jpg", target, data=b"x", received=Received("0" * 64, 1),
                  facts=Facts("jpeg", 3, 4), delivery=Delivery(5, name="a-1.jpg"), notes=("turned upright",))
    outcome = Outcome(asset, Status.UPLOADED)

    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_the_stages_pickle_compare_and_show_their_settings() -> None:
    pipeline = imagepipe.Shaping(max_edge=2000, keep=frozenset({"copyright"})).pipeline()

    assert pickle.loads(pickle.dumps(pipeline)) == pipeline
    assert pipeline == imagepipe.Shaping(max_edge=2000, keep=frozenset({"copyright"})).pipeline()
    assert pipeline != imagepipe.Shaping().pipeline()
    assert "max_edge=2000" in repr(pipeline)
    assert " at 0x" not in repr(pipeline)


JSON_FIELDS = [
    "schema", "run_id", "source", "image", "manifest", "row_number", "row", "status", "action", "reason", "code",
    "retry", "warnings", "stage", "product_id", "sku", "sort_order", "is_thumbnail", "description", "output",
    "format", "width", "height", "frames", "bytes_in", "bytes_out", "source_sha256", "sha256", "lossless", "notes",
    "image_id", "url", "duplicate_of", "similar_to", "attempts", "seconds",
]


def test_a_json_line_has_at_least_the_promised_fields() -> None:
    line = Outcome(Asset("a.jpg"), Status.PLANNED).to_dict("run")

    assert set(JSON_FIELDS) <= set(line)
    assert line["type"] == "image"
    json.dumps(line)


def test_exit_codes_are_never_renumbered() -> None:
    assert {code.name: int(code) for code in errors.ExitCode} == {
        "OK": 0, "SOME_FAILED": 1, "USAGE": 2, "REFUSED": 3, "TRY_AGAIN": 4, "INTERRUPTED": 130}


def _modules_after(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True,
                          text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_help_loads_click_and_nothing_heavy() -> None:
    loaded = _modules_after("from imagepipe.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass")

    assert "click" in loaded
    assert not {"httpx", "PIL", "rich", "numpy", "simplejpeg", "sqlite3", "pillow_heif"} & loaded


def test_importing_imagepipe_loads_nothing_and_configures_nothing() -> None:
    loaded = _modules_after("import logging; before = len(logging.root.handlers); import imagepipe; "
                            "assert len(logging.root.handlers) == before; "
                            "assert not logging.getLogger('imagepipe').handlers")

    assert not {"httpx", "PIL", "click", "sqlite3"} & loaded


def test_only_one_module_imports_httpx() -> None:
    package = Path(imagepipe.__file__).parent
    importing = [path.relative_to(package).as_posix() for path in package.rglob("*.py")
                 if any(line.strip().startswith(("import httpx", "from httpx")) for line in
                        path.read_text(encoding="utf-8").splitlines())]

    assert importing == ["http.py"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(imagepipe.__file__).parent / "py.typed").exists()


#: Module -> the layers below it: imports point one way (DESIGN.md, section 6).
LAYERS = [
    {"errors", "plain", "budget"},
    {"asset", "outcome", "marker"},
    {"pipeline", "color", "codecs", "likeness", "fitting"},
    {"answer"},
    {"sources", "deadlines", "http", "proxies"},
    {"ledger", "ledger_file", "ledger_rows"},
    {"stores"},
    {"stages"},
    {"runner", "lanes", "workers", "report", "verify"},
    {"inputs", "shaping", "recipe"},
    {"api", "undo", "undoable", "at_hand"},
    {"sandbox", "testing", "pytest_plugin"},
    {"cli"},
]


def test_imports_point_one_way() -> None:
    import ast

    package = Path(imagepipe.__file__).parent
    level = {name: number for number, names in enumerate(LAYERS) for name in names}
    wrong = []
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] in ("__init__", "__main__"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top_level = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        for node in top_level:
            words = (node.module or "").split(".")
            if words[0] != "imagepipe":
                continue
            names = [words[1]] if len(words) > 1 else [alias.name for alias in node.names]
            wrong += [f"{'.'.join(parts)} imports {name}" for name in names
                      if name in level and level[name] > level[parts[0]]]

    assert not wrong
    unknown = {path.relative_to(package).with_suffix("").parts[0] for path in package.rglob("*.py")} - set(level)
    assert unknown <= {"__init__", "__main__"}


def test_stages_never_import_each_other() -> None:
    stages = Path(imagepipe.__file__).parent / "stages"
    names = {path.stem for path in stages.glob("*.py")} - {"__init__"}
    for path in stages.glob("*.py"):
        if path.stem != "__init__":
            text = path.read_text(encoding="utf-8")
            imported = {name for name in names if f"from imagepipe.stages.{name} import" in text}
            # the uploader compares a file with its stamp, which is how Read saw it
            assert imported <= ({"read"} if path.stem == "upload" else set()), f"{path.name} imports {imported}"
