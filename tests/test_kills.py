"""A real process, killed with SIGKILL at every step of ledger, store and report, and then run again.

tests/kill_driver.py does the dying, tests/faulty_store.py is the store and counts for itself. After
each kill the same command runs in a fresh process, and then: no picture twice, none missing, each
input once in the report, an exit code that is true, a ledger in order with nothing left open; and
one more run changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import IN_MEMORY, Row, seven_rows
from faulty_store import FaultyStore

from imagepipe.errors import LedgerDamaged
from imagepipe.ledger import Ledger
from imagepipe.testing import jpeg

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PRODUCTS = {1: "SHIRT", 2: "MUG", 3: "BOWL"}


class Driver:
    """The process that forks those that die."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("kill_driver.py"))],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the driver has died"
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer

    def __call__(self, **job: Any) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


@dataclass
class Shop:
    """A folder with pictures, the rows that name them, a store, and a ledger."""

    driver: Driver
    store: FaultyStore
    folder: Path
    ledger: str = ""
    prune: bool = False
    connections: int = 1
    rows: list[Row] = field(default_factory=list)
    seed: int = 10  #: Of the last picture that was made.

    def __post_init__(self) -> None:
        self.ledger = self.ledger or str(self.folder / "state" / "ledger.sqlite3")
        (self.folder / "state").mkdir()
        self.rows = seven_rows(self.folder, (1, 1, 1, 2, 2, 3), same_as="b.jpg")
        self.row("g").update(description="of a duplicate")
        self.row("a").update(description="front", sort_order=4)
        self.row("c").update(is_thumbnail=True)
        self.row("e").update(is_thumbnail=True, description="handle")

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row["image"].startswith(name))

    def picture(self, name: str) -> None:
        """Put a new picture there."""
        self.seed += 1
        (self.folder / name).write_bytes(jpeg(48, 36, seed=self.seed))

    def swap(self, *names: str) -> None:
        """Let each file have the content of the next."""
        contents = [(self.folder / f"{name}.jpg").read_bytes() for name in names]
        for name, content in zip(names, contents[1:] + contents[:1], strict=True):
            (self.folder / f"{name}.jpg").unlink()
            (self.folder / f"{name}.jpg").write_bytes(content)

    # -- running -------------------------------------------------------------------------------

    def run(self, kill_at: int = 0, *, command: str = "upload", run: str = "",
            kill_after: float | None = None) -> dict[str, Any]:
        """Run the command in a fresh process, which perhaps kills itself."""
        answer = self.driver(
            command=command, run=run, kill_at=kill_at, kill_after=kill_after, base_url=self.store.base_url,
            ledger=self.ledger, folder=str(self.folder), rows=self.rows, prune=self.prune,
            connections=self.connections, report=str(self.folder / "state" / "report.jsonl"))
        self.store.wait_until_alone()
        return answer

    def snapshot(self) -> Callable[[], None]:
        """Return a function that makes store, ledger and report what they are now."""
        restore_store, kept = self.store.snapshot(), self.folder / f"kept-{random.randrange(10**9)}"
        shutil.copytree(self.folder / "state", kept)

        def restore() -> None:
            restore_store()
            shutil.rmtree(self.folder / "state")
            shutil.copytree(kept, self.folder / "state")

        return restore

    # -- what must hold ------------------------------------------------------------------------

    def shown(self) -> dict[int, Counter[str]]:
        """Return what each product holds: file names without the stem, which says nothing of the picture."""
        return {product: Counter(image["name"].rpartition(".")[0][-25:-9] for image in images.values())
                for product, images in self.store.images.items()}

    def source(self, row: Row) -> str:
        import hashlib

        return hashlib.sha256((self.folder / row["image"]).read_bytes()).hexdigest()[:16]

    def product(self, row: Row) -> int:
        return row.get("product_id") or next(id_ for id_, sku in PRODUCTS.items() if sku == row["sku"])

    def check_nothing_is_there_twice(self) -> None:
        assert not [(product, source) for product, held in self.shown().items()
                    for source, count in held.items() if count > 1]
        assert not self.store.wrong

    def check_store(self) -> None:
        """Each product holds its pictures, each once and no other, with what is stated."""
        wanted: dict[int, dict[str, Row]] = {product: {} for product in PRODUCTS}
        for row in self.rows:
            first = wanted[self.product(row)].setdefault(self.source(row), dict(row))
            if first.get("description") is None and "description" in row:
                first["description"] = row["description"]
        self.check_nothing_is_there_twice()
        assert self.shown() == {product: Counter(list(sources)) for product, sources in wanted.items()}
        for product, images in self.store.images.items():
            assert [image["is_thumbnail"] for image in images.values()].count(True) == bool(images)
            for image in images.values():
                row = wanted[product][image["name"].rpartition(".")[0][-25:-9]]
                for name in ("description", "sort_order", "is_thumbnail"):
                    assert row.get(name) in (None, image[name]), (row, image)

    def check_ledger(self) -> None:
        """It is in order, nothing is open, and every place points to the image that shows its picture."""
        if self.ledger == "none":
            return
        with contextlib.closing(sqlite3.connect(self.ledger)) as ledger:
            assert ledger.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            assert not ledger.execute("SELECT * FROM operations WHERE state IN ('open', 'uncertain')").fetchall()
            places = {(product, key): (image, source) for product, key, image, source in ledger.execute(
                "SELECT product, key, image_id, source_sha256 FROM places")}
            known = set(ledger.execute("SELECT product, image_id FROM images WHERE deleted_by IS NULL"))
        for row in self.rows:
            image, source = places[self.product(row), row["image"]]
            assert source.startswith(self.source(row))
            assert source[:16] in self.store.images[self.product(row)][image]["name"]
        held = {(product, image) for product, images in self.store.images.items() for image in images}
        assert known == held

    def check_report(self, answer: dict[str, Any]) -> None:
        """Each input is in it once, on screen, in the file and in the ledger, and the exit code is true."""
        names = sorted(row["image"] for row in self.rows)
        assert sorted(line["source"] for line in answer["lines"]) == names
        assert answer["exit_code"] == 0
        assert {line["status"] for line in answer["lines"]} <= {"uploaded", "updated", "skipped"}
        for line in answer["lines"]:
            if line["status"] == "uploaded":
                assert line["image_id"] in self.store.images[line["product_id"]]
        written = [json.loads(line) for line in (self.folder / "state" / "report.jsonl").read_text().splitlines()]
        assert written == [*answer["lines"], answer["summary"]]
        if self.ledger != "none":
            with contextlib.closing(sqlite3.connect(self.ledger)) as ledger:
                inputs = ledger.execute("SELECT outcome FROM inputs WHERE run = ?", (answer["run"],)).fetchall()
                code = ledger.execute("SELECT exit_code FROM runs WHERE id = ?", (answer["run"],)).fetchone()
            assert sorted(json.loads(line)["source"] for line, in inputs) == names
            assert code == (0,)

    def check_that_nothing_is_left_to_do(self) -> None:
        self.store.requests.clear()
        answer = self.run()
        assert {request.method for request in self.store.requests} <= {"GET"}
        assert {line["status"] for line in answer["lines"]} == {"skipped"}

    def check_after_a_clean_run(self) -> None:
        answer = self.run()
        self.check_store()
        self.check_ledger()
        self.check_report(answer)
        self.check_that_nothing_is_left_to_do()

    def check_the_report_file_is_whole(self) -> None:
        """It is that of the run before, or of this one, or there is none yet: never a part of one."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "state" / "report.jsonl").read_text().splitlines()
            assert Counter(json.loads(line)["type"] for line in lines)["summary"] == 1
            assert json.loads(lines[-1])["total"] == len(lines) - 1


@pytest.fixture
def shop(driver: Driver) -> Iterator[Shop]:
    with (FaultyStore(products=dict(PRODUCTS)) as store,
          tempfile.TemporaryDirectory(prefix="imagepipe-kills-", dir=IN_MEMORY) as folder):
        yield Shop(driver, store, Path(folder))


# -- histories: what was done before, and what the run that is killed has to do ------------------


def first_upload(shop: Shop) -> None:
    """Nothing is there yet."""


def changes(shop: Shop) -> None:
    """Replacements, one of the thumbnail, one of a picture that a duplicate shows; texts and orders alone."""
    shop.run()
    for name in ("a.jpg", "b.jpg", "e.jpg"):
        shop.picture(name)
    shop.row("d").update(description="of tin", sort_order=9)
    shop.row("f").update(is_thumbnail=True, description="blue")


def swaps(shop: Shop) -> None:
    """Two pictures change places, and three others go round."""
    shop.picture("h.jpg")
    shop.rows.append({"image": "h.jpg", "product_id": 2})
    shop.run()
    shop.swap("d", "e")
    shop.swap("a", "b", "c")


def departures(shop: Shop) -> None:
    """One moves to another product, one is renamed, one goes; what is left behind is pruned."""
    shop.run()
    shop.prune = True
    shop.row("d").update(product_id=3)
    (shop.folder / "b.jpg").rename(shop.folder / "i.jpg")
    shop.row("b").update(image="i.jpg")
    shop.rows.remove(shop.row("c"))


def without_a_ledger(shop: Shop) -> None:
    """The listing has to be enough."""
    shop.ledger = "none"


def several_connections(shop: Shop) -> None:
    """Products side by side: three requests may be in flight when the process dies."""
    shop.connections = 3


HISTORIES = [first_upload, changes, swaps, departures, without_a_ledger, several_connections]
KILLS: Counter[str] = Counter()  #: Over all tests of this module, by history.
STEPS_SEEN: set[str] = set()


def killed(shop: Shop, answer: dict[str, Any], history: str) -> bool:
    """Tell whether the process was killed, and count it."""
    if answer.get("signal") != signal.SIGKILL:
        return False
    KILLS[history] += 1
    STEPS_SEEN.add(answer["killed"])
    shop.check_the_report_file_is_whole()
    return True


def say(sentence: str) -> None:
    """Print a line, which pytest shows with -s, -rP or a failure."""
    sys.stdout.write(f"\n{sentence}\n")


def spread(count: int, wanted: int | None) -> list[int]:
    """Return steps from 1 to `count`: all of them, or some that lie evenly."""
    if wanted is None or wanted >= count:
        return list(range(1, count + 1))
    return sorted({1 + index * count // wanted for index in range(wanted)} | {count})


def matrix(shop: Shop, history: Callable[[Shop], None], wanted: int | None) -> None:
    """Kill at steps, each time from the same beginning."""
    history(shop)
    restore = shop.snapshot()
    steps = shop.run()["steps"]
    shop.check_after_a_clean_run()
    missed = 0
    chosen = {*spread(len(steps), wanted), *(1 + steps.index(name) for name in set(steps) - STEPS_SEEN)}
    for at in sorted(chosen):
        restore()
        if not killed(shop, shop.run(at), history.__name__):
            missed += 1  # with several connections fewer listings may be needed, and so there may be fewer steps
        shop.check_nothing_is_there_twice()
        shop.check_after_a_clean_run()
    assert missed <= (5 if shop.connections > 1 else 0)


def kill_again(shop: Shop, history: Callable[[Shop], None], first: list[int] | None, wanted: int | None) -> None:
    """Kill the run that settles what an earlier kill left open; then run in peace."""
    history(shop)
    restore = shop.snapshot()
    names = shop.run()["steps"]
    lost = [at for at, name in enumerate(names, 1) if name.endswith("carried out") and not name.startswith("GET")]
    for at in lost if first is None else [lost[index] for index in first]:
        restore()
        assert killed(shop, shop.run(at), "settling")
        restore_killed = shop.snapshot()
        steps = shop.run()["steps"]
        for then in spread(len(steps), wanted):
            restore_killed()
            assert killed(shop, shop.run(then), "settling")
            shop.check_nothing_is_there_twice()
            shop.check_after_a_clean_run()


def undone(shop: Shop, wanted: int | None) -> None:
    """Kill `undo` at steps; undone once more, nothing of the run is left, and all else is."""
    changes(shop)
    run = shop.run()["run"]
    restore = shop.snapshot()
    steps = shop.run(command="undo", run=run)["steps"]
    left = shop.shown()
    created = 3
    for at in spread(len(steps), wanted):
        restore()
        before = sum(shop.shown().values(), Counter()).total()
        assert killed(shop, shop.run(at, command="undo", run=run), "undo")
        answer = shop.run(command="undo", run=run)
        assert answer["changed"] == []
        assert shop.shown() == left
        assert sum(left.values(), Counter()).total() == before - created
        shop.check_after_a_clean_run()


def put_back(shop: Shop, wanted: int | None) -> None:
    """Kill `undo` at steps where old files are back: once undone, each is shown as before, and no picture is twice."""
    shop.run()
    before, kept = shop.shown(), shop.folder / "kept"
    kept.mkdir()
    for name in "abcdefg":
        shutil.copy2(shop.folder / f"{name}.jpg", kept)
    for name in ("a.jpg", "b.jpg", "e.jpg", "f.jpg"):
        shop.picture(name)
    run = shop.run()["run"]
    for name in ("a.jpg", "e.jpg"):  # of b a duplicate has it still, and of f there is none
        shutil.copy2(kept / name, shop.folder)
    restore = shop.snapshot()
    answer = shop.run(command="undo", run=run)
    steps, left = answer["steps"], shop.shown()
    assert [len(answer[action]) for action in ("delete", "restore", "keep", "left")] == [4, 2, 1, 0]
    assert answer["lost"] == ["f.jpg"]
    assert {product: left[product] for product in (1, 2)} == {product: before[product] for product in (1, 2)}
    assert not left[3]
    for at in spread(len(steps), wanted):
        restore()
        assert killed(shop, shop.run(at, command="undo", run=run), "putting back")
        shop.check_nothing_is_there_twice()
        assert all(shop.shown()[product] for product in (1, 2)), "more was deleted than was put back"
        shop.run(command="undo", run=run)
        assert shop.shown() == left
        shop.check_after_a_clean_run()
        restore()
        killed(shop, shop.run(at, command="undo", run=run), "putting back")
        shop.check_after_a_clean_run()  # or nobody undoes again, and the files have their say


def at_random_moments(shop: Shop, history: Callable[[Shop], None], count: int) -> None:
    """Kill from outside, whatever goes on at that moment: in the middle of a COMMIT, of a write to a socket."""
    history(shop)
    restore = shop.snapshot()
    began = time.monotonic()
    shop.run()
    seconds = time.monotonic() - began
    chance = random.Random(count)
    for _ in range(count):
        restore()
        killed(shop, shop.run(kill_after=chance.random() * seconds), "random moments")
        shop.check_nothing_is_there_twice()
        shop.check_after_a_clean_run()


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
def test_a_kill_at_a_step(shop: Shop, history: Callable[[Shop], None]) -> None:
    matrix(shop, history, 28)


def test_a_ledger_that_was_cut_off_before_anything_was_in_it_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size

    with pytest.raises(LedgerDamaged, match="is empty"):
        Ledger.open(path, writing=False)
    with Ledger.open(path) as book:
        assert book.is_new
    with Ledger.open(path) as book:  # nor was anything in it after its tables were made
        assert book.is_new
        book.begin_run("store")
    with Ledger.open(path) as book:
        assert not book.is_new


def test_a_kill_while_an_earlier_kill_is_settled(shop: Shop) -> None:
    kill_again(shop, changes, [0, -2], 14)


def test_a_kill_while_a_run_is_undone(shop: Shop) -> None:
    undone(shop, 20)


def test_a_kill_while_old_pictures_are_put_back(shop: Shop) -> None:
    put_back(shop, 14)


def test_a_kill_at_any_moment(shop: Shop) -> None:
    at_random_moments(shop, changes, 15)


def test_what_was_killed_at_is_every_kind_of_step(record_property: Callable[[str, object], None]) -> None:
    """Runs last: how many were killed, and that none of the kinds of steps was left out."""
    say(f"{KILLS.total()} kills: {dict(KILLS)}")
    record_property("kills", KILLS.total())
    if not {"first_upload", "changes", "undo", "settling"} <= set(KILLS):
        pytest.skip("the tests before this one did not run")
    wanted = {f"{when} {what}" for when in ("before", "after")
              for what in ("PRAGMA", "schema", "BEGIN", "COMMIT", "fsync of the report", "renaming the report")}
    wanted |= {f"{method} {what}" for method in ("POST", "PUT", "DELETE", "GET")
               for what in ("carried out", "answered")}
    wanted |= {"before POST", "in the body of POST", "before PUT", "before DELETE", "row of the report"}
    assert wanted <= STEPS_SEEN
    assert KILLS.total() >= 200


@pytest.mark.slow
@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
def test_a_kill_at_every_step(shop: Shop, history: Callable[[Shop], None],
                              record_property: Callable[[str, object], None]) -> None:
    before = KILLS.total()
    matrix(shop, history, None)
    say(f"{KILLS.total() - before} kills")
    record_property("kills", KILLS.total() - before)


@pytest.mark.slow
@pytest.mark.parametrize("history", [first_upload, changes, departures], ids=lambda history: history.__name__)
def test_kills_at_every_step_of_settling_any_other(shop: Shop, history: Callable[[Shop], None],
                                                   record_property: Callable[[str, object], None]) -> None:
    before = KILLS.total()
    kill_again(shop, history, None, None)
    say(f"{KILLS.total() - before} times two kills")
    record_property("kills", KILLS.total() - before)


@pytest.mark.slow
def test_a_kill_at_every_step_of_undoing(shop: Shop) -> None:
    undone(shop, None)


@pytest.mark.slow
def test_a_kill_at_every_step_of_putting_back(shop: Shop) -> None:
    put_back(shop, None)


@pytest.mark.slow
@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
def test_kills_at_hundreds_of_moments(shop: Shop, history: Callable[[Shop], None],
                                      record_property: Callable[[str, object], None]) -> None:
    before = KILLS.total()
    at_random_moments(shop, history, 300)
    say(f"{KILLS.total() - before} kills")
    record_property("kills", KILLS.total() - before)


@pytest.mark.slow
def test_thousands_were_killed(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs last of all: says how many it were, in this process."""
    with capsys.disabled():
        say(f"{KILLS.total():,} kills: {dict(KILLS)}")
    slow_parts = {"random moments", "settling", *(history.__name__ for history in HISTORIES)}
    if min(KILLS[part] for part in slow_parts) < 60:  # the quick tests have up to 50 of each
        pytest.skip("a part of the tests ran, not all")
    assert KILLS.total() >= 2_000
