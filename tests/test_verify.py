"""verify, adopt and undo: what is in the store against what the ledger says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from memory_store import MemoryStore
from quick import prepared

from imagepipe.asset import Asset, Likeness
from imagepipe.errors import ConfigurationError, ExitCode, FetchFailed, StoreBusy
from imagepipe.ledger import Ledger
from imagepipe.pipeline import Pipeline
from imagepipe.runner import run
from imagepipe.stages.dedupe import Dedupe
from imagepipe.stages.upload import Upload
from imagepipe.stores import StoreImage
from imagepipe.undo import last_run, undo, undoable
from imagepipe.verify import Finding, Findings, Mark, adopt, adoptable, verify


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for product in (1, 2):
        store.add_product(product)
    return store


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger") as opened:
        yield opened


def send(store: MemoryStore, ledger: Ledger, *assets: Asset) -> str:
    run_id = ledger.begin_run(store.identity, command="imagepipe upload")
    upload = Upload(store, ledger, run_id, sleep=lambda seconds: None, waits=(0,))
    outcomes = list(run([replace(asset, number=number) for number, asset in enumerate(assets, 1)],
                        Pipeline((Dedupe(), upload))))
    assert not [outcome.reason for outcome in outcomes if outcome.failed]
    return run_id


def marks(findings: list[Finding]) -> list[str]:
    return [str(finding.mark) for finding in findings]


def test_what_is_there_as_it_was_sent_is_the_same(store: MemoryStore, ledger: Ledger) -> None:
    send(store, ledger, prepared("a", 1), prepared("b", 1), prepared("a", 2))

    findings = list(verify(store, ledger))

    assert marks(findings) == ["="] * 3
    assert findings[0].keys == ("a",)


def test_missing_changed_and_unknown_images_are_told_apart(store: MemoryStore, ledger: Ledger) -> None:
    stated = prepared("c", "1").evolve(target=replace(prepared("c", "1").target, description="A cup", sort_order=2))
    send(store, ledger, prepared("a", 1), prepared("b", 1), stated)
    first, second, third = store.products[1]
    del store.products[1][first]
    store.update(1, third, description="A mug", sort_order=9)
    store.products[1][7] = StoreImage(7, 1, "a/1/theirs__00007.jpg")

    findings = {finding.image_id: finding for finding in verify(store, ledger)}

    found = {id_: str(finding.mark) for id_, finding in findings.items()}
    assert found == {first: "-", second: "=", third: "*", 7: "+"}
    assert findings[third].reason == ("sort_order is 9, and was sent as 2; "
                                      "description is 'A mug', and was sent as 'A cup'")


def test_a_product_that_has_gone_is_missing_all_its_images(store: MemoryStore, ledger: Ledger) -> None:
    send(store, ledger, prepared("a", 1), prepared("b", 2))
    del store.products[1]

    assert marks(list(verify(store, ledger))) == ["-", "="]


def test_a_product_with_many_images_is_listed_by_itself(store: MemoryStore, ledger: Ledger) -> None:
    send(store, ledger, *(prepared(str(number), 1) for number in range(14)))
    store.side_load_limit = 10

    assert marks(list(verify(store, ledger))) == ["="] * 14


def test_what_cannot_be_listed_cannot_be_told(store: MemoryStore, ledger: Ledger,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    send(store, ledger, *(prepared(str(number), 1) for number in range(12)))

    def busy(product_id: int) -> list[StoreImage]:
        raise StoreBusy("locked")

    store.side_load_limit = 10
    monkeypatch.setattr(store, "images", busy)
    totals = Findings()
    for finding in verify(store, ledger):
        totals.counts[finding.mark] += 1

    assert totals.counts == {Mark.UNTOLD: 12}
    assert totals.exit_code is ExitCode.TRY_AGAIN


def test_the_exit_code_says_whether_there_are_differences() -> None:
    for mark, code in ((Mark.SAME, 0), (Mark.UNKNOWN, 0), (Mark.MISSING, 1), (Mark.CHANGED, 1), (Mark.UNTOLD, 4)):
        totals = Findings()
        totals.counts[mark] += 1
        assert totals.exit_code == code


def test_downloaded_bytes_are_compared(store: MemoryStore, ledger: Ledger) -> None:
    send(store, ledger, prepared("a", 1), prepared("b", 1), prepared("c", 1))
    first, second, third = store.products[1]
    for id_, image in store.products[1].items():
        store.products[1][id_] = replace(image, url=f"https://store.example/{id_}")

    def download(image: StoreImage) -> list[bytes]:
        if image.id == third:
            raise FetchFailed("no answer")
        return [b"a rendition", store.bodies[first]]

    one, other, unknown = verify(store, ledger, download=download)
    assert marks([one, other, unknown]) == ["=", "=", "!"]
    assert one.reason == ""
    assert "another rendition" in other.reason
    assert other.image_id == second


def test_an_image_from_before_us_is_adopted_by_its_bytes(store: MemoryStore, ledger: Ledger) -> None:
    asset, other = prepared("a", 1), prepared("b", 1)
    store.products[1][7] = StoreImage(7, 1, "a/1/theirs__00007.jpg", url="https://store.example/7")
    assert asset.data

    found = list(adoptable(store, ledger, [other, asset], download=lambda image: [asset.data or b""],
                           likeness=lambda data: None))
    assert [(adoption.place.key, adoption.image.image_id, adoption.certain) for adoption in found] == [("a", 7, True)]

    adopt(ledger, found[0])
    assert marks(list(verify(store, ledger))) == ["="]
    send(store, ledger, asset, other)
    assert [image.id for image in store.products[1].values()][0] == 7
    assert len(store.products[1]) == 2
    assert ledger.without_place("memory", 1) == []


def test_an_image_that_merely_looks_the_same_needs_a_yes(store: MemoryStore, ledger: Ledger) -> None:
    looks = Likeness(0x0F0F0F0F0F0F0F0F, 0)
    asset = replace(prepared("a", 1), likeness=looks)
    store.products[1][7] = StoreImage(7, 1, "a/1/theirs__00007.jpg", url="https://store.example/7")

    [adoption] = adoptable(store, ledger, [asset], download=lambda image: [b"other bytes"],
                           likeness=lambda data: looks)

    assert not adoption.certain


def test_an_adopted_image_is_never_deleted(store: MemoryStore, ledger: Ledger) -> None:
    old, new = prepared("a", 1, "old"), prepared("a", 1, "new")
    store.products[1][7] = StoreImage(7, 1, "a/1/theirs__00007.jpg")
    [adoption] = adoptable(store, ledger, [old], download=lambda image: [old.data or b""], likeness=lambda data: None)
    adopt(ledger, adoption)

    send(store, ledger, new)

    assert 7 in store.products[1]
    assert len(store.products[1]) == 2


def test_undo_deletes_exactly_what_a_run_created(store: MemoryStore, ledger: Ledger) -> None:
    send(store, ledger, prepared("a", 1))
    before = dict(store.products[1])
    second = send(store, ledger, prepared("a", 1), prepared("b", 1), prepared("c", 2))

    assert last_run(ledger, "memory") == second
    what = undoable(store, ledger, second)
    assert [image.product for image in what.delete] == [1, 2]
    assert len(list(undo(store, ledger, what))) == 2

    assert store.products[1] == before
    assert store.products[2] == {}
    assert marks(list(verify(store, ledger))) == ["="]
    send(store, ledger, prepared("b", 1))
    assert len(store.products[1]) == 2


def test_undo_leaves_what_was_changed_by_hand_and_names_what_is_lost(store: MemoryStore, ledger: Ledger) -> None:
    send(store, ledger, prepared("a", 1, "old"))
    second = send(store, ledger, prepared("a", 1, "new"), prepared("b", 1))
    last = max(store.products[1])
    store.products[1][last] = replace(store.products[1][last], image_file="a/1/by_hand.jpg")

    what = undoable(store, ledger, second)

    assert [image.image_id for image in what.changed] == [last]
    assert len(what.lost) == 1
    assert len(what.delete) == 1


def test_an_unknown_run_is_a_clear_error(store: MemoryStore, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="knows no run 'x'"):
        undoable(store, ledger, "x")
    with pytest.raises(ConfigurationError, match="no run that put images"):
        last_run(ledger, "memory")


def test_hashes_are_of_what_was_sent(store: MemoryStore, ledger: Ledger) -> None:
    asset = prepared("a", 1)
    send(store, ledger, asset)

    [image] = ledger.images("memory", 1)

    assert image.sha256 == hashlib.sha256(asset.data or b"").hexdigest()


def test_undo_leaves_what_a_run_found_in_the_store_and_did_not_send(store: MemoryStore, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "lost") as lost:
        send(store, lost, prepared("a", 1), prepared("b", 1))
    with Ledger.open(tmp_path / "new") as new:
        run_id = send(store, new, prepared("a", 1), prepared("b", 1), prepared("c", 1))
        assert len(store.products[1]) == 3

        what = undoable(store, new, run_id)

        assert [image.image_id for image in what.delete] == [103]
        assert last_run(new, store.identity) == run_id


def test_a_run_that_only_found_what_was_there_cannot_be_undone(store: MemoryStore, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "lost") as lost:
        send(store, lost, prepared("a", 1))
    with Ledger.open(tmp_path / "new") as new:
        run_id = send(store, new, prepared("a", 1))

        assert undoable(store, new, run_id).delete == ()
        with pytest.raises(ConfigurationError, match="knows no run"):
            last_run(new, store.identity)
