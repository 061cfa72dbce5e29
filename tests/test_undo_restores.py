"""undo over real sockets: what a run replaced is put back, where it is still to be had, and else it is named."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from faulty_store import TOKEN, Fault, FaultyStore, raw, status

from imagepipe import api
from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError, Retry, StopRun
from imagepipe.ledger import Ledger, Place
from imagepipe.outcome import Summary
from imagepipe.recipe import pipeline_of
from imagepipe.shaping import Shaping
from imagepipe.stores.bigcommerce import BigCommerce
from imagepipe.stores.connection import Patience
from imagepipe.testing import jpeg
from imagepipe.undo import Done, Undoable, undo, undoable


def no_sleep(seconds: float) -> None: ...


@dataclass
class Shop:
    """Pictures in a folder, rows that name them, a store on a socket, and a ledger."""

    store: FaultyStore
    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, product: int = 1, *, seed: int, **stated: Any) -> None:
        self.picture(name, seed)
        self.rows.append({"image": name, "product_id": product, **stated})

    def picture(self, name: str, seed: int) -> None:
        (self.folder / name).write_bytes(jpeg(48, 36, seed=seed))

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite3"

    def client(self) -> BigCommerce:
        return BigCommerce("faulty", TOKEN, base_url=self.store.base_url, leave_quota=0, sleep=no_sleep,
                           patience=Patience(attempts=3))

    def upload(self, **options: Any) -> tuple[str, Summary]:
        with self.client() as client:
            run = api.upload(self.rows, client, ledger=self.ledger, jobs=0, roots=[self.folder],
                             upload_options={"sleep": no_sleep, "waits": (0.5, 1.0)}, **options)
            summary = run.wait()
            run.close()
        assert run.run_id
        return run.run_id, summary

    def look(self, run: str = "", **options: Any) -> Undoable:
        with self.client() as client, Ledger.open(self.ledger) as ledger:
            return undoable(client, ledger, run, sleep=no_sleep, waits=(0.5, 1.0), **options)

    def undo(self, run: str = "", *, what: Undoable | None = None, **options: Any) -> list[Done]:
        with self.client() as client, Ledger.open(self.ledger) as ledger:
            what = what or undoable(client, ledger, run, sleep=no_sleep, waits=(0.5, 1.0), **options)
            return list(undo(client, ledger, what, sleep=no_sleep, waits=(0.5, 1.0)))

    def source(self, name: str) -> str:
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()[:16]

    def shown(self, product: int = 1) -> dict[str, dict[str, Any]]:
        """Return what a product holds, by the hash of the source that the names tell."""
        held = {image["name"].rpartition(".")[0][-25:-9]: image for image in self.store.images[product].values()}
        assert len(held) == len(self.store.images[product]), "a picture is there twice"
        assert not self.store.wrong
        return held

    def place(self, name: str, product: int = 1) -> Place:
        with Ledger.open(self.ledger, writing=False) as ledger:
            place = ledger.place(ledger.runs()[0]["store"], product, name)
        assert place is not None
        return place

    def writes(self) -> list[str]:
        return [request.method for request in self.store.requests if request.method != "GET"]


def actions(done: list[Done]) -> list[str]:
    return [one.action for one in done]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with FaultyStore() as store:
        yield Shop(store, tmp_path)


def replaced(shop: Shop) -> tuple[str, str, dict[str, Any]]:
    """Upload two pictures and replace the first; return the run, the first's source, and how it was shown."""
    shop.add("a.jpg", seed=1, description="front", sort_order=4, is_thumbnail=True)
    shop.add("b.jpg", seed=2)
    shop.upload()
    old = shop.source("a.jpg")
    was = dict(shop.shown()[old])
    shop.picture("a.jpg", 3)
    run, _ = shop.upload()
    assert old not in shop.shown()
    return run, old, was


def same_but_for_id(image: dict[str, Any], was: dict[str, Any]) -> bool:
    return all(image[name] == was[name] for name in ("description", "sort_order", "is_thumbnail", "name"))


def test_the_old_file_back_in_its_place_is_sent_again_as_it_was_shown(shop: Shop) -> None:
    (old_bytes := shop.folder / "kept").mkdir()
    shop.add("a.jpg", seed=1, description="front", sort_order=4)
    shop.add("b.jpg", seed=2, is_thumbnail=True)
    shop.upload()
    shutil.copy(shop.folder / "a.jpg", old_bytes)
    shop.rows[0].update(description="new text", sort_order=9, is_thumbnail=True)
    del shop.rows[1]["is_thumbnail"]
    was = dict(shop.shown()[shop.source("a.jpg")])
    body = shop.store.bodies[was["id"]]
    shop.picture("a.jpg", 3)
    run, _ = shop.upload()
    assert shop.shown()[shop.source("a.jpg")]["description"] == "new text"
    shutil.copy(old_bytes / "a.jpg", shop.folder)
    shop.store.requests.clear()

    done = shop.undo(run)

    assert actions(done) == ["restore", "delete"]
    assert shop.writes() == ["POST", "DELETE"]  # in this order
    image = shop.shown()[shop.source("a.jpg")]
    assert (image["description"], image["sort_order"]) == ("front", 4)
    assert shop.store.bodies[image["id"]] == body
    assert len(shop.shown()) == 2
    shop.rows[0].update(description="front", sort_order=4, is_thumbnail=None)
    _, summary = shop.upload()  # and all is as before: nothing is left to do, not even to read
    assert summary.codes["already_uploaded"] == 2


def test_the_thumbnail_comes_back_with_its_picture(shop: Shop) -> None:
    run, old, was = replaced(shop)
    assert shop.shown()[shop.source("a.jpg")]["is_thumbnail"]
    shop.picture("a.jpg", 1)

    shop.undo(run)

    assert same_but_for_id(shop.shown()[old], was)
    assert was["is_thumbnail"]


def test_a_thumbnail_that_somebody_chose_since_is_left_alone(shop: Shop) -> None:
    run, old, _ = replaced(shop)
    shop.picture("a.jpg", 1)
    for image in shop.store.images[1].values():
        image["is_thumbnail"] = image["name"].startswith("b")

    shop.undo(run)

    assert not shop.shown()[old]["is_thumbnail"]
    assert [image["is_thumbnail"] for image in shop.shown().values()].count(True) == 1


def test_a_text_that_was_changed_in_the_store_before_it_was_replaced_comes_back(shop: Shop) -> None:
    shop.add("a.jpg", seed=1, description="ours")
    shop.upload()
    next(iter(shop.store.images[1].values()))["description"] = "by hand"
    shop.picture("a.jpg", 2)
    run, _ = shop.upload()
    shop.picture("a.jpg", 1)

    shop.undo(run)

    assert shop.shown()[shop.source("a.jpg")]["description"] == "by hand"


def test_what_sits_at_another_path_now_is_found_there(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    shop.upload()
    old = shop.source("a.jpg")
    (shop.folder / "a.jpg").rename(shop.folder / "old.jpg")
    shop.rows.append({"image": "old.jpg", "product_id": 2})
    shop.picture("a.jpg", 2)
    run, _ = shop.upload()
    assert set(shop.shown(1)) == {shop.source("a.jpg")}

    done = shop.undo(run)

    assert sorted(actions(done)) == ["delete", "delete", "restore"]
    assert set(shop.shown(1)) == {old}
    assert shop.shown(2) == {}
    shop.upload()  # the file in its place is the new one, which goes up again
    assert set(shop.shown(1)) == {shop.source("a.jpg")}
    assert set(shop.shown(2)) == {old}


def test_what_is_only_in_a_folder_that_was_kept_is_found_when_it_is_named(shop: Shop, tmp_path: Path) -> None:
    shop.add("a.jpg", seed=1)
    (tmp_path / "backup" / "deep").mkdir(parents=True)
    (tmp_path / "backup" / "decoy.jpg").write_bytes(jpeg(48, 36, seed=9))
    shutil.copy(tmp_path / "a.jpg", tmp_path / "backup" / "deep" / "other name.jpg")
    shop.upload()
    old = shop.source("a.jpg")
    shop.picture("a.jpg", 2)
    run, _ = shop.upload()
    assert len(shop.look(run).lost) == 1

    done = shop.undo(run, folders=[tmp_path / "backup"])

    assert actions(done) == ["restore", "delete"]
    assert set(shop.shown()) == {old}


def test_a_former_image_that_is_still_there_is_kept_and_nothing_is_sent(shop: Shop) -> None:
    shop.add("a.jpg", seed=1, description="front")
    shop.add("b.jpg", seed=2)
    shop.upload()
    old = shop.source("a.jpg")
    was = dict(shop.shown()[old])
    shop.picture("a.jpg", 3)
    run, summary = shop.upload(max_delete=0)
    assert summary.extra["not_deleted"] == 1
    assert shop.shown()[shop.source("a.jpg")]["is_thumbnail"]
    shop.store.requests.clear()

    done = shop.undo(run)

    assert actions(done) == ["keep", "delete"]
    assert shop.writes() == ["PUT", "DELETE"]  # the thumbnail goes back before what has it is deleted
    assert shop.shown()[old] == was
    assert shop.place("a.jpg").image_id == was["id"]
    assert shop.place("a.jpg").source_sha256.startswith(old)


def test_an_image_that_was_to_stay_beside_the_new_one_is_the_place_s_again(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    shop.upload()
    old = shop.source("a.jpg")
    shop.picture("a.jpg", 2)
    run, _ = shop.upload(on_change="add")
    assert len(shop.shown()) == 2

    assert actions(shop.undo(run)) == ["keep", "delete"]

    assert set(shop.shown()) == {old}
    shop.upload()  # it is a place's image like any other: replaced, and deleted
    assert set(shop.shown()) == {shop.source("a.jpg")}


def test_what_is_nowhere_at_hand_is_named_by_its_place_and_the_rest_is_undone(shop: Shop) -> None:
    run, _, _ = replaced(shop)

    what = shop.look(run)
    assert [(lost.key, lost.product) for lost in what.lost] == [("a.jpg", 1)]
    assert "not at hand any more" in what.lost[0].reason
    assert what.restore == ()

    assert actions(shop.undo(run)) == ["delete"]
    assert set(shop.shown()) == {shop.source("b.jpg")}
    shop.picture("a.jpg", 1)
    shop.upload()
    assert len(shop.shown()) == 2


def test_what_somebody_had_deleted_in_the_store_before_does_not_come_back(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    shop.add("b.jpg", seed=2)
    shop.upload()
    del shop.store.images[1][101]
    shop.picture("a.jpg", 3)
    run, _ = shop.upload()
    assert len(shop.shown()) == 2
    shop.picture("a.jpg", 1)

    what = shop.look(run)

    assert (len(what.delete), what.restore, what.lost) == (1, (), ())


def test_two_runs_are_undone_step_by_step(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    first, _ = shop.upload()
    one = shop.source("a.jpg")
    for seed in (2, 3):
        shutil.copy(shop.folder / "a.jpg", shop.folder / f"kept-{seed}.jpg")
        shop.picture("a.jpg", seed)
        last, _ = shop.upload()
        if seed == 2:
            second, two = last, shop.source("a.jpg")
    (kept := shop.folder / "kept").mkdir()
    for name in ("kept-2.jpg", "kept-3.jpg"):
        (shop.folder / name).rename(kept / name)

    early = shop.look(second, folders=[kept])
    assert early.delete == ()
    assert f"run {last} has changed this place since" in early.lost[0].reason

    assert shop.look(folders=[kept]).run == last
    shop.undo(folders=[kept])
    assert set(shop.shown()) == {two}
    assert shop.look(folders=[kept]).run == second
    shop.undo(folders=[kept])
    assert set(shop.shown()) == {one}
    assert shop.look(folders=[kept]).run == first
    shop.undo(folders=[kept])
    assert shop.shown() == {}
    with pytest.raises(ConfigurationError, match="no run that put images"):
        shop.look()


def test_what_is_sent_again_belongs_to_the_run_that_sent_it_first(shop: Shop) -> None:
    shop.add("a.jpg", seed=1, description="front")
    first, _ = shop.upload()
    shop.rows[0]["description"] = "seen from the front"
    edited, _ = shop.upload()  # the run that wrote the place down last
    shop.picture("a.jpg", 2)
    last, _ = shop.upload()
    shop.picture("a.jpg", 1)
    assert actions(shop.undo(last)) == ["restore", "delete"]

    assert shop.look(edited).delete == ()
    assert shop.look().run == first


def test_what_was_not_at_hand_is_put_back_when_it_is(shop: Shop) -> None:
    shop.add("a.jpg", seed=1, description="front")
    (shop.folder / "kept").mkdir()
    shutil.copy(shop.folder / "a.jpg", shop.folder / "kept")
    shop.upload()
    old = shop.source("a.jpg")
    shop.picture("a.jpg", 2)
    run, _ = shop.upload()
    assert actions(shop.undo(run)) == ["delete"]
    assert shop.shown() == {}

    assert actions(shop.undo(run, folders=[shop.folder / "kept"])) == ["restore"]

    assert shop.shown()[old]["description"] == "front"


def test_what_was_not_at_hand_does_not_keep_an_earlier_run_from_being_undone(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    (shop.folder / "kept").mkdir()
    shutil.copy(shop.folder / "a.jpg", shop.folder / "kept")
    shop.upload()
    old = shop.source("a.jpg")
    runs = []
    for seed in (2, 3):
        shop.picture("a.jpg", seed)
        runs.append(shop.upload()[0])
    assert actions(shop.undo(runs[1])) == ["delete"]

    assert actions(shop.undo(runs[0], folders=[shop.folder / "kept"])) == ["restore"]

    assert set(shop.shown()) == {old}


def test_an_undoing_is_no_run_to_undo(shop: Shop) -> None:
    run, _, _ = replaced(shop)
    shop.undo(run)
    with Ledger.open(shop.ledger, writing=False) as ledger:
        undoing = ledger.runs()[0]["id"]

    with pytest.raises(ConfigurationError, match="took another one back"):
        shop.look(undoing)


def test_what_was_made_with_other_settings_is_made_with_the_old_ones_again(shop: Shop) -> None:
    (shop.folder / "a.jpg").write_bytes(jpeg(400, 300, seed=1))
    shop.rows.append({"image": "a.jpg", "product_id": 1})
    shop.upload(max_edge=300)
    [before] = shop.store.held(1)
    run, _ = shop.upload(max_edge=200, redo=True)
    [small] = shop.store.held(1)
    assert len(small) < len(before)

    assert actions(shop.undo(run)) == ["restore", "delete"]

    assert shop.store.held(1) == [before]
    _, summary = shop.upload(max_edge=300)
    assert summary.codes["already_uploaded"] == 1
    assert not summary.extra["other_settings"]


@dataclass(frozen=True)
class Mine:
    """A stage that the ledger cannot read back."""

    def __call__(self, asset: Asset, /) -> Asset:
        return asset


def test_it_is_said_where_the_settings_of_before_are_not_known(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.add("a.jpg", seed=1)
    shop.upload(stages=(Mine(),))
    shop.picture("a.jpg", 2)
    run, _ = shop.upload(stages=(Mine(),))
    shop.picture("a.jpg", 1)

    assert actions(shop.undo(run)) == ["restore", "delete"]

    assert "product 1, a.jpg: prepared with the default settings" in caplog.text


def test_pruned_pictures_that_are_back_come_back(shop: Shop) -> None:
    shop.add("a.jpg", seed=1, description="front")
    shop.add("b.jpg", seed=2)
    shop.upload()
    old, row = shop.source("a.jpg"), shop.rows.pop(0)
    shop.add("c.jpg", seed=3)
    run, _ = shop.upload(prune=True)
    assert old not in shop.shown()

    assert sorted(actions(shop.undo(run))) == ["delete", "restore"]

    assert shop.shown()[old]["description"] == "front"
    shop.rows[-1] = row
    _, summary = shop.upload()
    assert summary.codes["already_uploaded"] == 2


def test_a_run_that_only_pruned_is_the_last_one(shop: Shop) -> None:
    """Who types undo after a mistake means that one, and not the run that sent what is left."""
    for number in (1, 2):
        shop.add(f"{number}.jpg", seed=number)
    first, _ = shop.upload()
    row = shop.rows.pop()
    pruned, _ = shop.upload(prune=True)
    assert len(shop.shown()) == 1

    assert actions(shop.undo()) == ["restore"]

    assert len(shop.shown()) == 2
    shop.rows.append(row)
    assert shop.look().run == first
    assert len(shop.look().delete) == 2


def test_a_run_that_was_taken_back_as_far_as_was_possible_is_not_the_last_one(shop: Shop) -> None:
    shop.add("1.jpg", seed=1)
    shop.add("2.jpg", seed=2)
    first, _ = shop.upload()
    shop.rows.pop()
    (shop.folder / "2.jpg").unlink()
    pruned, _ = shop.upload(prune=True)
    what = shop.look()
    assert (what.run, len(what.lost)) == (pruned, 1)
    shop.undo(what=what)

    assert shop.look().run == first


def test_two_places_of_one_picture_get_it_back_once(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    shop.add("b.jpg", seed=1)
    shop.upload()
    old = shop.source("a.jpg")
    assert len(shop.shown()) == 1
    shutil.copy(shop.folder / "a.jpg", shop.folder / "kept.jpg")
    shop.picture("a.jpg", 2)
    shop.picture("b.jpg", 3)
    run, _ = shop.upload()
    assert len(shop.shown()) == 2
    shutil.copy(shop.folder / "kept.jpg", shop.folder / "b.jpg")

    done = shop.undo(run)

    assert actions(done) == ["restore", "delete", "delete"]
    assert set(shop.shown()) == {old}
    assert shop.place("a.jpg").image_id == shop.place("b.jpg").image_id == shop.shown()[old]["id"]


def test_a_swap_is_undone_without_a_write(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    shop.add("b.jpg", seed=2)
    shop.upload()
    shop.picture("a.jpg", 2)
    shop.picture("b.jpg", 1)
    run, _ = shop.upload()
    shop.store.requests.clear()

    done = shop.undo(run)

    assert actions(done) == ["keep", "keep"]
    assert shop.writes() == []
    assert shop.place("a.jpg").source_sha256.startswith(shop.source("b.jpg"))


def test_what_is_stated_of_swapped_pictures_is_sent_again_after_their_swap_is_undone(shop: Shop) -> None:
    shop.add("a.jpg", seed=1, description="one text")
    shop.add("b.jpg", seed=2, description="another")
    shop.upload()
    before = {name: shop.shown()[name]["description"] for name in shop.shown()}
    shop.picture("a.jpg", 2)
    shop.picture("b.jpg", 1)
    run, _ = shop.upload()  # the texts go with the places
    shop.undo(run)
    shop.picture("a.jpg", 1)
    shop.picture("b.jpg", 2)

    shop.upload()

    assert {name: shop.shown()[name]["description"] for name in shop.shown()} == before
    shop.store.requests.clear()
    shop.upload()
    assert shop.writes() == []


def test_a_file_that_changes_between_the_look_and_the_yes_leaves_what_is_there(shop: Shop) -> None:
    run, _, _ = replaced(shop)
    new = shop.source("a.jpg")
    shop.picture("a.jpg", 1)
    what = shop.look(run)
    shop.picture("a.jpg", 5)

    done = shop.undo(what=what)

    assert actions(done) == ["left"]
    assert "has changed since it was looked at" in done[0].reason
    assert new in shop.shown()
    shop.picture("a.jpg", 1)
    assert actions(shop.undo(run)) == ["restore", "delete"]  # another time


def test_a_store_that_refuses_the_former_picture_keeps_the_one_that_is_there(shop: Shop) -> None:
    run, _, _ = replaced(shop)
    new = shop.source("a.jpg")
    shop.picture("a.jpg", 1)
    what = shop.look(run)
    inner = shop.store._post
    shop.store._post = lambda *_: (422, {"status": 422, "title": "no", "errors": {}})  # type: ignore[method-assign]

    done = shop.undo(what=what)

    shop.store._post = inner  # type: ignore[method-assign]
    assert actions(done) == ["left"]
    assert done[0].retry is not Retry.AGAIN
    assert new in shop.shown()
    assert shop.place("a.jpg").source_sha256.startswith(new)


def test_a_former_image_that_goes_between_the_look_and_the_yes_leaves_what_is_there(shop: Shop) -> None:
    shop.add("a.jpg", seed=1)
    shop.upload()
    [(former, _)] = shop.store.images[1].items()
    shop.picture("a.jpg", 2)
    run, _ = shop.upload(max_delete=0)
    what = shop.look(run)
    assert [image_id for _, image_id in what.stay] == [former]
    del shop.store.images[1][former]  # by somebody else

    done = shop.undo(what=what)

    assert actions(done) == ["left"]
    assert done[0].retry is Retry.AGAIN
    assert set(shop.shown()) == {shop.source("a.jpg")}


def test_a_deletion_that_is_refused_keeps_nothing_else_from_being_undone(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.add(f"{number}.jpg", number if number < 3 else 1, seed=number)
    run, _ = shop.upload()
    what = shop.look(run)
    inner, refused = shop.store._delete, min(shop.store.images[1])

    def delete(product: int, image: int | None, request: Any) -> tuple[int, object]:
        return (422, {"status": 422, "title": "no"}) if image == refused else inner(product, image, request)

    shop.store._delete = delete  # type: ignore[method-assign]

    done = shop.undo(what=what)

    shop.store._delete = inner  # type: ignore[method-assign]
    assert sorted(actions(done)) == ["delete", "delete", "left"]
    assert list(shop.store.images[1]) == [refused]
    assert actions(shop.undo(run)) == ["delete"]  # another time
    assert not shop.store.images[1]


def test_a_product_that_goes_between_the_look_and_the_yes_keeps_no_other_from_being_undone(shop: Shop) -> None:
    shop.add("b.jpg", 2, seed=7)
    shop.add("a.jpg", 1, seed=1)
    shop.upload()
    shop.picture("a.jpg", 2)
    shop.picture("b.jpg", 8)
    run, _ = shop.upload()
    shop.picture("a.jpg", 1)
    what = shop.look(run)
    del shop.store.products[1]

    done = shop.undo(what=what)

    assert actions(done) == ["left", "delete"]
    assert not shop.store.images[2]


FAULTS = [
    Fault("reset", raw(b"", then="reset")),
    Fault("reset, carried out", raw(b"", then="reset"), commits=True),
    Fault("504, carried out", status(504), commits=True),
    Fault("not JSON, carried out", status(200, content=b"<html>"), commits=True),
    Fault("503", status(503)),
    Fault("401", status(401)),
]


@pytest.mark.parametrize("onwards", [False, True], ids=["once", "onwards"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_whatever_goes_wrong_while_undoing_undoing_again_ends_it(tmp_path: Path, fault: Fault, onwards: bool) -> None:
    """At every request: nothing is twice, no picture is lost, and what is undone is what would have been."""
    positions = 0
    with FaultyStore() as store:
        shop = Shop(store, tmp_path)
        shop.add("c.jpg", 2, seed=7)
        run, old, was = replaced(shop)
        new = shop.source("a.jpg")
        shop.picture("a.jpg", 1)
        restore_store, kept = store.snapshot(), shop.ledger.read_bytes()
        store.requests.clear()
        shop.undo(run)
        requests, wanted = len(store.requests), set(shop.shown())
        assert old in wanted
        for at in range(1, requests + 1):
            restore_store()
            for beside in shop.folder.glob("ledger*"):
                beside.unlink()
            shop.ledger.write_bytes(kept)
            with store.failing(fault, at, onwards=onwards):
                try:
                    shop.undo(run)
                except StopRun:
                    positions += 1
            assert old in shop.shown() or new in shop.shown(), "the place shows nothing"

            shop.undo(run)

            assert set(shop.shown()) == wanted
            assert same_but_for_id(shop.shown()[old], was)
            assert shop.place("a.jpg").image_id == shop.shown()[old]["id"]
            with Ledger.open(shop.ledger, writing=False) as ledger:
                assert ledger.open_operations(ledger.runs()[0]["store"]) == []
            _, summary = shop.upload()
            assert summary.codes["already_uploaded"] == 3
            assert {key for one in (1, 2) for key in shop.shown(one)} == wanted | {shop.source("c.jpg")}
    assert positions or not onwards


def test_an_upload_after_an_undoing_that_was_cut_off_goes_by_the_files(shop: Shop) -> None:
    run, old, _ = replaced(shop)
    new = shop.source("a.jpg")
    (shop.folder / "kept").mkdir()
    (shop.folder / "kept" / "old.jpg").write_bytes(jpeg(48, 36, seed=1))
    what = shop.look(run, folders=[shop.folder / "kept"])
    shop.store.requests.clear()
    fault = Fault("401, carried out", status(401), commits=True)
    with shop.store.failing(fault, 2), pytest.raises(StopRun):
        shop.undo(what=what)  # the POST: refused, so it says, and yet it is there
    assert {old, new} <= set(shop.shown())

    shop.upload()
    shop.upload()

    assert new in shop.shown()


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def imagepipe(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    command = CommandLine(tmp_path, capsys, monkeypatch)
    monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", TOKEN)
    return command


def test_the_command_shows_what_it_deletes_sends_keeps_and_cannot_put_back(shop: Shop, imagepipe: CommandLine) -> None:
    for number, name in enumerate(("back.jpg", "lost.jpg", "there.jpg"), 1):
        shop.add(name, 2 if name == "there.jpg" else 1, seed=number)
    shop.upload()
    for number, name in enumerate(("back.jpg", "lost.jpg", "there.jpg"), 11):
        shop.picture(name, number)
    run, _ = shop.upload(max_delete=0)
    for name in ("back", "lost"):  # of these nothing is left
        shop.store.images[1].pop(next(id_ for id_, image in shop.store.images[1].items() if name in image["name"]))
    shop.picture("back.jpg", 1)
    access = ("--base-url", shop.store.base_url, "--ledger", shop.ledger)

    asked = imagepipe("undo", *access)

    assert asked.code == 2  # nobody can be asked
    assert f"Run {run}, begun " in asked.err
    assert asked.out.count("- product ") == 3
    assert f"+ product 1, back.jpg: from {shop.folder / 'back.jpg'}" in asked.out
    assert "= product 2, there.jpg: image " in asked.out
    assert "! product 1, lost.jpg: the picture that it showed is not at hand any more" in asked.said

    done = imagepipe("undo", *access, "--yes", "--json")

    assert done.code == 0
    *images, summary = done.lines
    assert sorted(line["action"] for line in images) == ["delete", "delete", "delete", "keep", "lost", "restore"]
    assert {line["key"] for line in images if line["action"] != "delete"} == {"back.jpg", "lost.jpg", "there.jpg"}
    assert {name: summary[name] for name in ("run_id", "deleted", "restored", "kept", "left", "lost", "exit_code")} == {
        "run_id": run, "deleted": 3, "restored": 1, "kept": 1, "left": 0, "lost": 1, "exit_code": 0}
    again = imagepipe("undo", run, *access, "--yes")
    assert again.code == 0
    assert "is left to delete" in again.err


def test_the_command_that_could_not_send_again_says_so_and_ends_with_1(shop: Shop, imagepipe: CommandLine) -> None:
    replaced(shop)
    shop.picture("a.jpg", 1)
    inner = shop.store._post
    shop.store._post = lambda *_: (422, {"status": 422, "title": "no", "errors": {}})  # type: ignore[method-assign]

    done = imagepipe("undo", "--base-url", shop.store.base_url, "--ledger", shop.ledger, "--yes")

    shop.store._post = inner  # type: ignore[method-assign]
    assert done.code == 1
    assert "left: product 1, a.jpg:" in done.said
    assert "goes on from here" in done.err


def test_report_says_how_a_run_that_only_pruned_is_taken_back(shop: Shop, imagepipe: CommandLine) -> None:
    for number in (1, 2):
        shop.add(f"{number}.jpg", seed=number)
    shop.upload()
    shop.rows.pop()
    run, _ = shop.upload(prune=True)

    assert f"To take it back: imagepipe undo {run}" in imagepipe("report", "--ledger", shop.ledger).out


def test_a_look_at_what_cannot_be_put_back_now_lets_it_be_the_last_run(shop: Shop, imagepipe: CommandLine) -> None:
    for number in (1, 2):
        shop.add(f"{number}.jpg", seed=number)
    shop.upload()
    shop.rows.pop()
    (shop.folder / "kept").mkdir()
    (shop.folder / "2.jpg").rename(shop.folder / "kept" / "2.jpg")
    run, _ = shop.upload(prune=True)
    access = ("--base-url", shop.store.base_url, "--ledger", shop.ledger)

    looked = imagepipe("undo", *access)
    assert imagepipe("undo", *access, "--json").lines[-1]["lost"] == 1
    undone = imagepipe("undo", *access, "--from", shop.folder / "kept", "--yes")

    assert "Nor can anything be put back now" in looked.err
    assert f"Run {run}, " in undone.err
    assert "1 sent again" in undone.out
    assert len(shop.shown()) == 2


def test_what_was_not_put_back_is_to_be_put_back_by_the_run_s_name(shop: Shop, imagepipe: CommandLine) -> None:
    run, _, _ = replaced(shop)

    undone = imagepipe("undo", "--base-url", shop.store.base_url, "--ledger", shop.ledger, "--yes")

    assert "1 image deleted, 1 not put back" in undone.out
    assert f"'imagepipe undo {run} --from DIR' puts back what is in DIR" in undone.err


# -- recipes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shaping", [
    Shaping(),
    Shaping(max_edge=900, format="webp", quality=71, background="#fff", keep=frozenset({"icc", "exif"})),
    Shaping(color="keep", accept_damaged=True, max_edge=10, max_source_bytes=5),
])
def test_a_recipe_is_read_back_as_the_stages_that_it_names(shaping: Shaping) -> None:
    assert pipeline_of(repr(shaping.pipeline())) == shaping.pipeline()


@pytest.mark.parametrize("recipe", [
    "", " small", "Pipeline(stages=(Read(), Mine()))", "__import__('os').system('touch /tmp/x')", "Fit()",
    "Pipeline(stages=(Fit(unknown=1),))", "Pipeline(stages=(Fit(**{}),))", "(" * 5000, "Pipeline((Read().__call__,))",
    "Pipeline(stages=(Convert(cmyk_profile='/no/such.icc'),))",
])
def test_what_is_no_recipe_of_ours_is_none_and_nothing_is_run(recipe: str) -> None:
    assert pipeline_of(recipe) is None
