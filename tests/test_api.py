"""upload(), plan() and Run: what holds however a run ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_store import MemoryStore
from pictures import encoded, photo

from imagepipe.api import Run, plan, upload
from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError, ExitCode
from imagepipe.ledger import Ledger
from imagepipe.outcome import Status


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.add_product(1)
    store.add_product(2)
    return store


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger") as opened:
        yield opened


def pictures(*names: str, product: int = 1) -> list[Asset]:
    return [Asset(name, str(product), data=encoded("JPEG", photo((40 + number, 30))))
            for number, name in enumerate(names)]


def send(source: Any, store: MemoryStore, ledger: Ledger | str, **options: Any) -> Run:
    options.setdefault("upload_options", {"sleep": lambda seconds: None, "waits": (0,)})
    return upload(source, store, ledger=ledger, jobs=0, similar="ignore", **options)


def test_a_run_that_is_closed_early_prunes_nothing(store: MemoryStore, ledger: Ledger) -> None:
    names = [f"{number}.jpg" for number in range(8)]
    send(pictures(*names), store, ledger).wait()
    assert len(store.products[1]) == 8

    def first_only() -> Iterator[Asset]:
        yield pictures(*names)[0]
        yield from (asset for asset in pictures(*names)[1:])

    with send(first_only(), store, ledger, prune=True, rows=1) as outcomes:
        next(outcomes)

    assert len(store.products[1]) == 8
    assert "delete" not in store.requests
    assert outcomes.summary.stopped
    assert outcomes.summary.exit_code is ExitCode.TRY_AGAIN
    assert ledger.runs()[0]["exit_code"] == ExitCode.TRY_AGAIN


@pytest.mark.parametrize("error", [ValueError("the drive was pulled out"), KeyboardInterrupt()])
def test_a_run_whose_source_breaks_prunes_nothing(store: MemoryStore, ledger: Ledger, error: BaseException) -> None:
    names = [f"{number}.jpg" for number in range(8)]
    send(pictures(*names), store, ledger).wait()

    def breaking() -> Iterator[Asset]:
        yield pictures(*names)[0]
        raise error

    outcomes = send(breaking(), store, ledger, prune=True)
    with pytest.raises(type(error)):
        outcomes.wait()

    assert len(store.products[1]) == 8
    interrupted = isinstance(error, KeyboardInterrupt)
    assert outcomes.summary.exit_code is (ExitCode.INTERRUPTED if interrupted else ExitCode.TRY_AGAIN)
    assert ledger.runs()[0]["ended"] is not None


def test_a_run_to_its_end_prunes(store: MemoryStore, ledger: Ledger) -> None:
    send(pictures("a", "b", "c"), store, ledger).wait()

    summary = send(pictures("a", "b"), store, ledger, prune=True).wait()

    assert len(store.products[1]) == 2
    assert summary.exit_code is ExitCode.OK
    assert summary.stopped == ""


def test_a_run_can_be_left_before_it_is_iterated(store: MemoryStore, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with send(pictures("a"), store, str(path)) as outcomes:
        pass

    assert store.requests == []
    assert outcomes.summary.total == 0
    assert list(outcomes) == []
    with Ledger.open(path) as free:  # the lock is given back
        assert free.runs()[0]["ended"] is not None


def test_a_ledger_that_cannot_be_written_at_the_end_is_in_the_summary(
        store: MemoryStore, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = send(pictures("a"), store, ledger)
    taken = [next(outcomes)]

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    real = ledger._connection
    class Full:
        in_transaction = False

        def execute(self, sql: str, *values: Any) -> Any:
            return full() if sql.startswith("BEGIN") else real.execute(sql, *values)

    monkeypatch.setattr(ledger, "_connection", Full())
    taken += list(outcomes)
    monkeypatch.undo()

    assert [outcome.status for outcome in taken] == [Status.UPLOADED]
    assert outcomes.summary.exit_code is ExitCode.TRY_AGAIN
    assert "disk is full" in outcomes.summary.stopped


def test_a_run_of_some_products_prunes_nothing(store: MemoryStore, ledger: Ledger) -> None:
    # two SKUs of one product: what the second names has not gone because only the first was asked for
    store.add_product(1, "SHIRT-RED", "SHIRT-BLUE")
    red, blue = (Asset(f"{sku}.jpg", sku, data=encoded("JPEG", photo((size, 30))))
                 for sku, size in (("SHIRT-RED", 40), ("SHIRT-BLUE", 50)))
    send([red, blue], store, ledger).wait()

    send([red, blue], store, ledger, prune=True, only=["SHIRT-RED"]).wait()

    assert len(store.products[1]) == 2


def test_a_plan_without_a_store_refuses_what_upload_refuses_and_runs_the_same_stages() -> None:
    with pytest.raises(ConfigurationError, match="qualty"):
        plan(pictures("a"), jobs=0, qualty=5)

    [outcome] = plan(pictures("a"), jobs=0, stages=[lambda asset: asset.evolve(note="mine")])

    assert "mine" in outcome.asset.notes
