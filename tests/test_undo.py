"""undo, where the run that is undone was cut off: what its last requests did is found, and taken back as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from memory_store import Killed, MemoryStore
from quick import prepared

from imagepipe.errors import ConfigurationError, StoreBusy
from imagepipe.ledger import Ledger
from imagepipe.pipeline import Pipeline
from imagepipe.runner import run
from imagepipe.stages.upload import Upload
from imagepipe.undo import Undoable, last_run, undo, undoable


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.add_product(1)
    return store


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger") as opened:
        yield opened


def send(store: MemoryStore, ledger: Ledger, *names: str) -> str:
    run_id = ledger.begin_run(store.identity, command="imagepipe upload")
    upload = Upload(store, ledger, run_id, sleep=lambda seconds: None, waits=(0,))
    assets = [replace(prepared(name, 1), number=number) for number, name in enumerate(names, 1)]
    list(run(assets, Pipeline((upload,))))
    return run_id


def killed(store: MemoryStore, ledger: Ledger, name: str, *, carried_out: bool) -> str:
    """Send a picture, and die at the POST; return the run."""

    def die(what: str, number: int) -> None:
        if what == "create":
            raise Killed

    if carried_out:
        store.after = die
    else:
        store.before = die
    with pytest.raises(Killed):
        send(store, ledger, name)
    store.before = store.after = lambda what, number: None
    return str(ledger.runs(store.identity)[0]["id"])


def look(store: MemoryStore, ledger: Ledger, run_id: str = "") -> Undoable:
    return undoable(store, ledger, run_id, sleep=lambda seconds: None, waits=(0, 0))


def test_an_upload_that_was_cut_off_is_found_and_undone(store: MemoryStore, ledger: Ledger) -> None:
    run_id = killed(store, ledger, "a", carried_out=True)
    [image] = store.products[1]
    with pytest.raises(ConfigurationError):
        last_run(ledger, store.identity)  # the ledger alone knows of nothing

    what = look(store, ledger)

    assert what.run == run_id
    assert [one.image_id for one in what.delete] == [image]
    assert [one.image_id for one in undo(store, ledger, what)] == [image]
    assert store.products[1] == {}
    assert ledger.open_operations(store.identity) == []
    assert ledger.places(store.identity, 1) == []


def test_an_upload_that_never_arrived_is_nothing_to_undo(store: MemoryStore, ledger: Ledger) -> None:
    run_id = killed(store, ledger, "a", carried_out=False)

    assert look(store, ledger, run_id).delete == ()
    assert ledger.open_operations(store.identity) == []


def test_what_is_not_of_the_run_stays(store: MemoryStore, ledger: Ledger) -> None:
    send(store, ledger, "a")
    [before] = store.products[1]
    run_id = killed(store, ledger, "b", carried_out=True)

    assert len(list(undo(store, ledger, look(store, ledger, run_id)))) == 1
    assert list(store.products[1]) == [before]


def test_an_upload_of_which_nothing_can_be_told_is_named(store: MemoryStore, ledger: Ledger,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    run_id = killed(store, ledger, "a", carried_out=True)
    images = store.images

    def busy(product_id: int) -> object:
        raise StoreBusy("locked")

    store.images = busy  # type: ignore[method-assign,assignment]  # for as long as it is looked for
    assert look(store, ledger, run_id).delete == ()
    store.images = images  # type: ignore[method-assign]

    assert "undo again later" in caplog.text
    assert len(look(store, ledger, run_id).delete) == 1
