"""Random histories against a model of what the store should hold after a clean run.

People add, change, swap, rename, move and delete pictures, change the manifest and the settings,
lose the ledger, and pull the plug at any request or any write of the ledger. Whatever happened:
after a clean run every row's picture is in its product, none is there twice, what was replaced is
gone, and one more run does nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import IN_MEMORY
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from memory_store import Killed, MemoryStore
from quick import ReadAsIs

from imagepipe.asset import Asset, Target
from imagepipe.errors import Ambiguous, ConfigurationError
from imagepipe.ledger import Ledger
from imagepipe.outcome import Outcome
from imagepipe.pipeline import Pipeline
from imagepipe.runner import run
from imagepipe.stages.dedupe import Dedupe
from imagepipe.stages.upload import Upload
from imagepipe.undo import Done, Undoable, undo, undoable

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
PRODUCTS = [1, 2]
CONTENTS = ["red", "green", "blue", "black"]
names, products, contents = st.sampled_from(NAMES), st.sampled_from(PRODUCTS), st.sampled_from(CONTENTS)


@dataclass
class Row:
    product: int
    description: str | None = None
    sort_order: int | None = None


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="imagepipe-model-", dir=IN_MEMORY))
        self.store = MemoryStore()
        for product in PRODUCTS:
            self.store.add_product(product)
        self.files: dict[str, str] = {}
        self.rows: dict[str, Row] = {}
        self.ever: dict[tuple[int, str], set[str]] = {}  #: What each place has shown in any run, finished or not.
        self.forgotten: set[tuple[int, str]] = set()  #: What no ledger knows any more to be ours.
        self.settings = ""
        self.clock = 0
        self.archive = self.folder / "archive"  #: A copy of every picture that there ever was.
        self.archive.mkdir()
        for content in CONTENTS:
            (self.archive / f"kept {content}").write_text(content)

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- what people do ------------------------------------------------------------------------

    def _save(self, name: str, content: str) -> None:
        self.files[name] = content
        (self.folder / name).write_text(content)
        self.clock += 1
        os.utime(self.folder / name, ns=(self.clock, self.clock))

    @rule(name=names, product=products, content=contents)
    def add_or_change(self, name: str, product: int, content: str) -> None:
        self._save(name, content)
        self.rows.setdefault(name, Row(product))

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data(), content=contents)
    def change(self, data: Any, content: str) -> None:
        self._save(data.draw(st.sampled_from(sorted(self.rows))), content)

    @precondition(lambda self: len(self.rows) > 1)
    @rule(data=st.data())
    def swap(self, data: Any) -> None:
        one, other = data.draw(st.permutations(sorted(self.rows)))[:2]
        first, second = self.files[one], self.files[other]
        self._save(one, second)
        self._save(other, first)

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data(), new=names)
    def rename(self, data: Any, new: str) -> None:
        old = data.draw(st.sampled_from(sorted(self.rows)))
        row, content = self.rows.pop(old), self.files.pop(old)
        (self.folder / old).unlink()
        self.rows[new] = row
        self._save(new, content)

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data(), product=products)
    def move_to_another_product(self, data: Any, product: int) -> None:
        self.rows[data.draw(st.sampled_from(sorted(self.rows)))].product = product

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.rows)))
        del self.rows[name], self.files[name]
        (self.folder / name).unlink()

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data(), description=st.sampled_from([None, "one text", "another"]),
          sort_order=st.sampled_from([None, 0, 7]))
    def state(self, data: Any, description: str | None, sort_order: int | None) -> None:
        row = self.rows[data.draw(st.sampled_from(sorted(self.rows)))]
        row.description, row.sort_order = description, sort_order

    @rule(to=st.sampled_from(["", " small"]))
    def change_settings(self, to: str) -> None:
        self.settings = to

    @rule(really=st.integers(0, 3))
    def lose_the_ledger(self, really: int) -> None:
        if really == 0:
            for file in self.folder.glob("ledger*"):
                file.unlink()
            self.forgotten |= {(product, content) for (product, _), seen in self.ever.items() for content in seen}

    # -- what happens to a run -----------------------------------------------------------------

    @rule(after=st.integers(0, 25), committed=st.booleans())
    def run_and_pull_the_plug(self, after: int, committed: bool) -> None:
        """Kill the run at its n-th request, before or after the store has carried it out."""
        dead = [False]

        def plug(what: str, number: int) -> None:
            if dead[0] or number > after:
                dead[0] = True
                raise Killed

        self.store.requests.clear()
        setattr(self.store, "after" if committed else "before", plug)
        with contextlib.suppress(Killed):
            self._run(dead)
        self._heal()

    @rule(at=st.integers(1, 30))
    def run_and_pull_the_plug_at_a_write_of_the_ledger(self, at: int) -> None:
        dead = [False]
        with contextlib.suppress(Killed):
            self._run(dead, kill_at_transaction=at)

    @rule(every=st.integers(1, 3), committed=st.booleans())
    def run_with_answers_lost(self, every: int, committed: bool) -> None:
        def lose(what: str, number: int) -> None:
            if what == "create" and number % every == 0:
                raise Ambiguous("the answer was lost")

        setattr(self.store, "after" if committed else "before", lose)
        self._run([False])
        self._heal()

    @rule(archive=st.booleans())
    def undo(self, archive: bool) -> None:
        """Take the last run back; what it replaced is back where it is at hand, and a clean run goes by the files."""
        before = {product: set(self.store.products[product]) for product in PRODUCTS}
        with Ledger.open(self.folder / "ledger.sqlite3") as book:
            what = self._undoable(book, archive)
            if what is None:
                return
            done = self._undo(book, what)
        deleted = {(one.product, one.image_id) for one in done if one.action == "delete"}
        assert deleted == {(image.product, image.image_id) for image in what.delete}
        assert not [one for one in done if one.action == "left"]
        for product in PRODUCTS:
            doomed = {image_id for its, image_id in deleted if its == product}
            assert before[product] - doomed <= set(self.store.products[product])
        self._what_was_announced_is_there(what)
        assert not what.lost or not archive or all("undo" in one.reason for one in what.lost)

    @rule(archive=st.booleans(), after=st.integers(0, 12), committed=st.booleans(), again=st.booleans())
    def undo_and_pull_the_plug(self, archive: bool, after: int, committed: bool, again: bool) -> None:
        """Kill the undoing at its n-th request; undo once more, or leave it to the next clean run."""
        dead = [False]

        def plug(what: str, number: int) -> None:
            if dead[0] or number > after:
                dead[0] = True
                raise Killed

        with Ledger.open(self.folder / "ledger.sqlite3") as book:
            what = self._undoable(book, archive)
            if what is None:
                return
            self.store.requests.clear()
            setattr(self.store, "after" if committed else "before", plug)
            _mortal(book, dead, 0)
            with contextlib.suppress(Killed):
                self._undo(book, what)
            self._heal()
        self.nothing_is_there_twice()
        if again:
            with Ledger.open(self.folder / "ledger.sqlite3") as book:
                self._undo(book, undoable(self.store, book, what.run, folders=[self.archive] if archive else [],
                                          sleep=lambda seconds: None, waits=(0, 0)))
            self._what_was_announced_is_there(what)

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def change_and_undo_at_once(self, data: Any) -> None:
        """With an archive at hand, undoing a clean run leaves what was there before it, to the last text and order."""
        self._run([False])
        before = {product: self._shown(product) for product in PRODUCTS}
        for name in data.draw(st.lists(st.sampled_from(sorted(self.rows)), min_size=1, unique=True)):
            self._save(name, data.draw(contents))
        requests = len(self.store.requests)
        self._run([False])
        if "create" not in self.store.requests[requests:]:
            return  # it is an earlier run that would be undone
        with Ledger.open(self.folder / "ledger.sqlite3") as book:
            what = self._undoable(book, archive=True)
            assert what is not None
            assert what.lost == ()
            self._undo(book, what)
        for product in PRODUCTS:
            after = self._shown(product)
            assert set(after) == set(before[product])
            for one in what.restore:
                if one.place.product == product:
                    content = self._content_of(one.place.source_sha256)
                    assert after[content] == before[product][content]

    def _undoable(self, book: Ledger, archive: bool) -> Undoable | None:
        try:
            return undoable(self.store, book, folders=[self.archive] if archive else [],
                            sleep=lambda seconds: None, waits=(0, 0))
        except ConfigurationError:
            return None  # there is no run to take back

    def _undo(self, book: Ledger, what: Undoable) -> list[Done]:
        return list(undo(self.store, book, what, sleep=lambda seconds: None, waits=(0, 0),
                         recipe=lambda settings: (ReadAsIs(settings), settings)))

    def _what_was_announced_is_there(self, what: Undoable) -> None:
        for product, sha256 in [*((one.place.product, one.place.source_sha256) for one in what.restore),
                                *((before.place.product, before.place.source_sha256) for before, _ in what.stay)]:
            assert self._content_of(sha256) in self._held(product)

    @staticmethod
    def _content_of(sha256: str) -> str:
        return next(content for content in CONTENTS if hashlib.sha256(content.encode()).hexdigest() == sha256)

    def _shown(self, product: int) -> dict[str, tuple[str, int]]:
        """Return what a product holds, with its text and order."""
        return {self.store.bodies[image.id].decode().removesuffix(" small"): (image.description, image.sort_order)
                for image in self.store.products[product].values()}

    def _heal(self) -> None:
        self.store.before = self.store.after = lambda what, number: None

    def _run(self, dead: list[bool], kill_at_transaction: int = 0) -> list[Outcome]:
        for name, row in self.rows.items():
            self.ever.setdefault((row.product, name), set()).add(self.files[name])
        with Ledger.open(self.folder / "ledger.sqlite3") as book:
            _mortal(book, dead, kill_at_transaction)
            upload = Upload(self.store, book, book.begin_run("memory") if not kill_at_transaction else "run",
                            settings=self.settings, sleep=lambda seconds: None, waits=(0, 0))
            assets = [Asset(name, Target(row.product, None, row.sort_order, None, row.description),
                            location=str(self.folder / name), number=number)
                      for number, (name, row) in enumerate(sorted(self.rows.items()), 1)]
            return list(run(assets, Pipeline((ReadAsIs(self.settings), Dedupe("ignore"), upload)), connections=1))

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def nothing_is_there_twice(self) -> None:
        for product in PRODUCTS:
            twice = [content for content, count in Counter(self._held(product)).items() if count > 1]
            assert not twice, f"product {product} holds {twice} twice"

    @rule()
    def clean_run(self) -> None:
        outcomes = self._run([False])

        assert len(outcomes) == len(self.rows)
        assert not [outcome.reason for outcome in outcomes if outcome.failed]
        for product in PRODUCTS:
            held, wanted = set(self._held(product)), self._wanted(product)
            assert wanted <= held, f"product {product} lacks {wanted - held}"
            gone = {content for (its, name), seen in self.ever.items() for content in seen
                    if its == product and (name not in self.rows or self.rows[name].product != product)}
            gone |= {content for its, content in self.forgotten if its == product}
            assert held - wanted <= gone, f"product {product} still holds {held - wanted - gone}"
        self._statements_are_shown()
        before = len(self.store.requests)
        again = self._run([False])
        writes = [what for what in self.store.requests[before:] if what in ("create", "update", "delete")]
        assert not writes
        assert {outcome.code for outcome in again} <= {"already_uploaded", "duplicate"}

    def _wanted(self, product: int) -> set[str]:
        return {self.files[name] for name, row in self.rows.items() if row.product == product}

    def _held(self, product: int) -> list[str]:
        bodies = (self.store.bodies[image_id].decode() for image_id in self.store.products[product])
        return [body.removesuffix(" small") for body in bodies]

    def _statements_are_shown(self) -> None:
        for name, row in self.rows.items():
            same = [other for other, its in self.rows.items()
                    if its.product == row.product and self.files[other] == self.files[name]]
            if len(same) > 1:
                continue  # the first of them has its say
            [image] = [image for image in self.store.products[row.product].values()
                       if self.store.bodies[image.id].decode().removesuffix(" small") == self.files[name]]
            assert row.description in (None, image.description)
            assert row.sort_order in (None, image.sort_order)


def _mortal(book: Ledger, dead: list[bool], kill_at: int) -> None:
    """Let no write through once the process is dead, and let it die at one of them if asked."""
    inner = book._transaction
    count = [0]

    @contextlib.contextmanager
    def transaction() -> Iterator[Any]:
        count[0] += 1
        if dead[0] or count[0] == kill_at:
            dead[0] = True
            raise Killed
        with inner() as db:
            yield db

    book._transaction = transaction  # type: ignore[method-assign]  # the plug is in our hand


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_thousand_more_histories(part: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Histories, settings=settings(  # type: ignore[no-untyped-call]
        max_examples=1000, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)))


