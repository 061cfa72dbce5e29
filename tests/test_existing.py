"""Products that hold images which are not ours: told before anything is sent, and counted in the end."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from command_line import CommandLine
from faulty_store import TOKEN, Fault, FaultyStore, status
from memory_store import MemoryStore
from quick import prepared

from imagepipe.ledger import Image, Ledger
from imagepipe.pipeline import Pipeline
from imagepipe.runner import run
from imagepipe.stages.upload import Upload
from imagepipe.stores import Upload as Sending
from imagepipe.stores.survey import FRESH, Survey
from imagepipe.testing import jpeg

PRODUCTS = {number: f"SKU-{number}" for number in range(1, 41)}


@pytest.fixture
def store() -> Iterator[FaultyStore]:
    with FaultyStore(products=dict(PRODUCTS)) as store:
        for product in (3, 7, 31):
            theirs(store, product)
        yield store


def theirs(store: FaultyStore, product: int, *, id_: int = 1) -> None:
    store.images[product][id_] = {
        "id": id_, "product_id": product, "name": "theirs.jpg", "image_file": f"a/{product}/theirs__{id_:05}.jpg",
        "is_thumbnail": True, "sort_order": 0, "description": "", "url_zoom": "", "date_modified": ""}


@pytest.fixture
def imagepipe(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    command = CommandLine(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", TOKEN)
    for number in PRODUCTS:
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(16, 12, seed=number))
    rows = "".join(f"{number}.jpg,{sku}\n" for number, sku in PRODUCTS.items())
    (tmp_path / "catalog.csv").write_text(f"image,sku\n{rows}")
    return command


def access(store: FaultyStore) -> tuple[str, ...]:
    return ("--base-url", store.base_url, "--ledger", "ledger", "--jobs", "0", "--leave-quota", "0")


def gets(store: FaultyStore) -> Counter[tuple[str, str]]:
    """Return the listings that were asked for, however often."""
    return Counter((request.path.rpartition("/")[2], str(sorted(request.query.items())))
                   for request in store.requests if request.method == "GET")


def test_the_count_is_told_before_anything_is_sent_and_costs_no_request(imagepipe: CommandLine, store: FaultyStore,
                                                                        tmp_path: Path) -> None:
    result = imagepipe("upload", "catalog.csv", *access(store))

    assert result.code == 0, result.said
    told = "Of 40 products with new pictures, 3 hold other images already: they stay, ours are added"
    assert told in result.said
    assert "--existing skip leaves such products alone" in result.said
    methods = [request.method for request in store.requests]
    assert methods.count("POST") == 40
    told_by = gets(store)
    assert max(told_by.values()) == 1, "something was asked for twice"
    with FaultyStore(products=dict(PRODUCTS)) as other:
        quiet = imagepipe("upload", "catalog.csv", "--base-url", other.base_url, "--ledger", "other", "--jobs", "0",
                          "--leave-quota", "0", "--quiet")
        assert quiet.code == 0
        assert sum(gets(other).values()) == sum(told_by.values())


def test_a_person_is_told_before_the_question_and_a_no_sends_nothing(imagepipe: CommandLine, store: FaultyStore,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> None:
        asked.append(question)
        raise click.Abort

    monkeypatch.setattr(click, "confirm", confirm)
    result = imagepipe("upload", "catalog.csv", *access(store))

    assert asked == ["Go on?"]
    assert "3 hold other images already" in result.said
    assert result.code == 130
    assert {request.method for request in store.requests} == {"GET"}
    assert not Path("ledger").exists()


def test_products_to_be_skipped_are_counted_as_well(imagepipe: CommandLine, store: FaultyStore) -> None:
    result = imagepipe("upload", "catalog.csv", *access(store), "--existing", "skip", "--json")

    *images, summary = result.lines
    assert "3 hold other images already: such products are left alone (--existing skip)" in result.said
    assert Counter(line["code"] for line in images) == {None: 37, "has_images": 3}
    assert (summary["products_with_other_images"], summary["existing"]) == (3, "skip")


def test_json_says_it_in_the_summary_and_on_standard_error(imagepipe: CommandLine, store: FaultyStore) -> None:
    result = imagepipe("upload", "catalog.csv", *access(store), "--json")

    assert "Of 40 products with new pictures, 3 hold other images already" in " ".join(result.err.split())
    assert (result.lines[-1]["products_with_other_images"], result.lines[-1]["existing"]) == (3, "add")


def test_what_is_unchanged_is_not_looked_at(imagepipe: CommandLine, store: FaultyStore, tmp_path: Path) -> None:
    imagepipe("upload", "catalog.csv", *access(store))
    store.requests.clear()

    again = imagepipe("upload", "catalog.csv", *access(store))
    assert "products with new pictures" not in again.said
    listings = [request for request in store.requests if "id:in" in request.query or "images" in request.path]
    assert listings == []

    (tmp_path / "7.jpg").write_bytes(jpeg(16, 12, seed=1007))
    changed = imagepipe("upload", "catalog.csv", *access(store))
    assert "The product with new pictures holds other images already" in changed.said


def test_images_behind_those_that_a_side_load_shows_count_where_they_decide(imagepipe: CommandLine,
                                                                            store: FaultyStore) -> None:
    for number in range(100, 111):  # ten of ours come first, of which the side-load shows no more
        theirs(store, 5, id_=number)
        store.images[5][number]["image_file"] = f"a/5/ours-{number:016x}-{number:08x}__{number}.jpg"
    theirs(store, 5, id_=200)

    result = imagepipe("upload", "5.jpg", "--sku", "SKU-5", *access(store), "--existing", "skip", "--json")

    assert [line["code"] for line in result.lines[:-1]] == ["has_images"]


def test_standard_input_is_told_of_what_came_first(imagepipe: CommandLine, store: FaultyStore, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    rows = "".join(f'{{"image": "{number}.jpg", "sku": "{sku}"}}\n' for number, sku in PRODUCTS.items())
    result = subprocess.run([sys.executable, "-m", "imagepipe", "upload", "-", *access(store)], input=rows, text=True,
                            capture_output=True, cwd=tmp_path, check=False)

    said = " ".join(result.stderr.split())
    assert result.returncode == 0, said
    assert "Of the first 40 products with new pictures, 3 hold other images already" in said
    assert said.index("Of the first") < said.index("images that are not ours; they stay")


def test_a_store_that_refuses_is_asked_once_and_everything_is_planned(imagepipe: CommandLine,
                                                                      store: FaultyStore) -> None:
    with store.failing(Fault("401", status(401)), 1, onwards=True):
        result = imagepipe("upload", "catalog.csv", *access(store), "--json")

    assert result.code == 3
    assert {line["status"] for line in result.lines[:-1]} == {"planned"}
    assert len(result.lines) == 41
    assert len(store.requests) == 1


def test_a_ledger_that_was_cut_off_while_it_was_made_is_a_new_one(imagepipe: CommandLine, store: FaultyStore,
                                                                  tmp_path: Path) -> None:
    for content in (b"", blank_database(tmp_path / "blank")):
        for beside in tmp_path.glob("ledger*"):
            beside.unlink()
        (tmp_path / "ledger").write_bytes(content)

        result = imagepipe("upload", "catalog.csv", "--limit-products", "1", *access(store))

        assert result.code == 0, result.err
    assert len(store.sent) == 1


def blank_database(path: Path) -> bytes:
    """Return a database in which nothing was ever written but how its journal is kept."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return path.read_bytes()


def test_what_was_seen_long_ago_is_not_gone_by(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    seen = Survey("add", 1, 0)
    assert seen.is_fresh
    later = time.monotonic() + FRESH + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not seen.is_fresh


def test_a_product_that_goes_while_it_is_looked_at_fails_alone() -> None:
    store = MemoryStore(side_load_limit=10)
    for product in (1, 2):
        store.add_product(product)
    for number in range(12):
        store.create(Sending(1, f"{number}.jpg", "image/jpeg", b"ours to be"))
    first = Upload(store, sleep=lambda seconds: None, waits=(0,))
    for image in store.products[1].values():
        first.ledger.learn(Image(store.identity, 1, image.id, "", name=image.image_file))
    store.before = lambda what, number: store.products.pop(1, None) if what == "images" else None
    upload = Upload(store, first.ledger, existing="skip", sleep=lambda seconds: None, waits=(0,))
    assets = [replace(prepared(f"{product}.jpg", product), number=product) for product in (1, 2)]

    outcomes = {outcome.asset.source: outcome for outcome in run(assets, Pipeline((upload,)))}

    assert outcomes["1.jpg"].code == "no_product"
    assert outcomes["2.jpg"].status == "uploaded"


def test_what_was_seen_of_a_product_is_gone_by_once(tmp_path: Path) -> None:
    store = MemoryStore()
    store.add_product(1)
    store.add_product(2)
    rows = [prepared("front.jpg", 1), *(prepared(f"{number}.jpg", 2) for number in range(9)),
            prepared("back.jpg", 1), prepared("front again.jpg", 1, content="front.jpg")]
    assets = [replace(row, number=number) for number, row in enumerate(rows, 1)]
    with Ledger.open(tmp_path / "ledger") as ledger:
        seen = Upload(store, ledger, planning=True).survey(assets)
        upload = Upload(store, ledger, ledger.begin_run(store.identity), seen=seen, sleep=lambda seconds: None,
                        waits=(0,))

        outcomes = list(run(assets, Pipeline((upload,)), rows=1))  # a product is through where another follows

    assert [str(outcome.status) for outcome in outcomes].count("uploaded") == len(rows) - 1
    held = store.products[1].values()
    assert [store.bodies[image.id] for image in held] == [b"picture front.jpg", b"picture back.jpg"]
    assert [image.is_thumbnail for image in held] == [True, False]


@pytest.mark.parametrize(("survey", "sentence"), [
    (Survey("add", 0, 0), ""),
    (Survey("add", 1, 0), "The product with new pictures holds no other images."),
    (Survey("add", 2, 0), "Of 2 products with new pictures, none holds other images."),
    (Survey("skip", 1, 1), "The product with new pictures holds other images already: such products are left alone "
                           "(--existing skip)."),
    (Survey("add", 2000, 0, whole=False), "Of the first 2,000 products with new pictures, none holds other images."),
    (Survey("add", 40, 12), "Of 40 products with new pictures, 12 hold other images already: they stay, ours are added "
                            "(--existing skip leaves such products alone)."),
    (Survey("skip", 40, 1), "Of 40 products with new pictures, 1 holds other images already: such products are left "
                            "alone (--existing skip)."),
])
def test_it_is_said_in_a_sentence(survey: Survey, sentence: str) -> None:
    assert str(survey) == sentence
