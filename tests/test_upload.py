"""Upload: each picture in its product exactly once, whatever is changed, renamed, swapped or lost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from memory_store import Killed, MemoryStore
from quick import ReadAsIs, prepared

from imagepipe import marker
from imagepipe.asset import Asset, Target
from imagepipe.errors import (
    Ambiguous,
    ExitCode,
    ProductFull,
    Rejected,
    Retry,
    Skip,
    SourceError,
    StoreBusy,
    StoreUnusable,
    Uncertain,
)
from imagepipe.ledger import Image, Ledger
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import Pipeline
from imagepipe.runner import Stop, run
from imagepipe.stages.dedupe import Dedupe
from imagepipe.stages.upload import Upload
from imagepipe.stores import StoreImage


def no_sleep(seconds: float) -> None:
    """Time passes."""


class World:
    """A store, a ledger and a folder; `send` is a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.store.add_product(1, "SHIRT")
        self.store.add_product(2, "MUG")
        self.ledger = Ledger.open(folder / "ledger.sqlite3")
        self.last: Upload | None = None

    def write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.write_text(content)
        status = path.stat()
        # a clock of its own: two writes within one tick of the file system are still two
        os.utime(path, ns=(status.st_atime_ns, hash((name, content)) % 10**18))

    def asset(self, name: str, product: int | str = 1, **stated: Any) -> Asset:
        return Asset(name, replace(Target.of(product), **stated), location=str(self.folder / name))

    def send(self, *assets: Asset | str, settings: str = "", stop: Stop | None = None, **options: Any) -> list[Outcome]:
        rows = [replace(self.asset(asset) if isinstance(asset, str) else asset, number=number)
                for number, asset in enumerate(assets, 1)]
        run_id = self.ledger.begin_run(self.store.identity)
        self.last = Upload(self.store, self.ledger, run_id, settings=settings, **{"sleep": no_sleep, **options})
        outcomes = list(run(rows, Pipeline((ReadAsIs(settings), Dedupe(), self.last)), stop=stop))
        return sorted(outcomes, key=lambda outcome: outcome.asset.number)

    def lose_the_ledger(self) -> None:
        self.ledger.close()
        (self.folder / "ledger.sqlite3").unlink()
        self.ledger = Ledger.open(self.folder / "ledger.sqlite3")

    def contents(self, product: int = 1) -> list[str]:
        """Return what the product's images show, in order."""
        images = sorted(self.store.products[product].values(), key=lambda image: (image.sort_order, image.id))
        return [self.store.bodies[image.id].decode() for image in images]


@pytest.fixture
def world(tmp_path: Path) -> Iterable[World]:
    world = World(tmp_path)
    yield world
    world.ledger.close()


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [str(outcome.status) for outcome in outcomes]


def codes(outcomes: list[Outcome]) -> list[str | None]:
    return [outcome.code for outcome in outcomes]


def test_pictures_arrive_in_order_under_names_that_say_what_they_are(world: World) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        world.write(name, name)

    outcomes = world.send("a.jpg", "b.jpg", "c.jpg")

    assert statuses(outcomes) == ["uploaded"] * 3
    assert world.contents() == ["a.jpg", "b.jpg", "c.jpg"]
    for outcome in outcomes:
        assert outcome.asset.received and outcome.asset.delivery and outcome.asset.delivery.sha256
        expected = marker.Marker.of(outcome.asset.received.sha256, outcome.asset.delivery.sha256)
        assert marker.find(world.store.products[1][outcome.asset.delivery.image_id or 0].image_file) == expected
    assert [image.is_thumbnail for image in world.store.products[1].values()] == [True, False, False]


def test_the_second_run_reads_and_sends_nothing(world: World) -> None:
    world.write("a.jpg", "a")
    world.send("a.jpg")
    world.store.requests.clear()
    (world.folder / "a.jpg").chmod(0)

    outcomes = world.send("a.jpg")

    assert codes(outcomes) == ["already_uploaded"]
    assert world.store.requests == []


def test_a_sku_and_an_id_of_the_same_product_are_one_product(world: World) -> None:
    world.write("a.jpg", "a")
    world.write("same.jpg", "a")

    outcomes = world.send(world.asset("a.jpg", "SHIRT"), world.asset("same.jpg", 1))

    assert statuses(outcomes) == ["uploaded", "skipped"]
    assert codes(outcomes)[1] == "duplicate"
    assert world.contents() == ["a"]


def test_an_unknown_sku_fails_its_rows_and_names_the_nearest(world: World) -> None:
    world.write("a.jpg", "a")

    outcomes = world.send(world.asset("a.jpg", "SHRT"), world.asset("a.jpg", "MUG"))

    assert statuses(outcomes) == ["failed", "uploaded"]
    assert codes(outcomes)[0] == "unknown_sku"
    assert "'SHIRT'" in outcomes[0].reason


def test_a_missing_product_fails_its_rows_only(world: World) -> None:
    world.write("a.jpg", "a")

    outcomes = world.send(world.asset("a.jpg", 99), world.asset("a.jpg", 2))

    assert codes(outcomes) == ["no_product", None]


def test_one_picture_for_two_products_is_sent_twice(world: World) -> None:
    world.write("a.jpg", "a")

    world.send(world.asset("a.jpg", 1), world.asset("a.jpg", 2))

    assert world.contents(1) == world.contents(2) == ["a"]


def test_a_lost_ledger_and_other_settings_send_nothing_twice(world: World) -> None:
    world.write("a.jpg", "a")
    world.write("b.jpg", "b")
    world.send("a.jpg", "b.jpg")
    world.lose_the_ledger()

    outcomes = world.send("a.jpg", "b.jpg", settings=" at quality 70")

    assert codes(outcomes) == ["already_uploaded"] * 2
    assert world.contents() == ["a", "b"]


def test_changed_settings_alone_send_nothing_unless_asked(world: World) -> None:
    world.write("a.jpg", "a")
    world.send("a.jpg")

    world.send("a.jpg", settings=" small")
    assert world.last and world.last.report()["other_settings"] == 1
    assert world.contents() == ["a"]

    outcomes = world.send("a.jpg", settings=" small", redo=True)
    assert statuses(outcomes) == ["uploaded"]
    assert world.contents() == ["a small"]


def test_a_changed_picture_replaces_the_old_one_and_keeps_what_the_store_shows(world: World) -> None:
    for name in ("a.jpg", "b.jpg"):
        world.write(name, name)
    world.send("a.jpg", "b.jpg")
    [first, second] = world.store.products[1]
    world.store.update(1, second, sort_order=7, is_thumbnail=True, description="by the shop")
    world.write("b.jpg", "new")

    outcomes = world.send("a.jpg", "b.jpg")

    assert [str(outcome.action) for outcome in outcomes] == ["none", "replace"]
    assert world.contents() == ["a.jpg", "new"]
    [image] = [image for image in world.store.products[1].values() if image.id not in (first, second)]
    assert (image.sort_order, image.description, image.is_thumbnail) == (7, "by the shop", True)


def test_deletion_comes_after_the_new_picture_is_there(world: World) -> None:
    world.write("a.jpg", "old")
    world.send("a.jpg")
    world.write("a.jpg", "new")
    world.store.requests.clear()

    world.send("a.jpg")

    writes = [request for request in world.store.requests if request in ("create", "delete")]
    assert writes == ["create", "delete"]


@pytest.mark.parametrize(("on_change", "left", "code"), [
    ("add", ["old", "new"], None), ("skip", ["old"], "changed")])
def test_a_changed_picture_can_be_added_or_left(world: World, on_change: str, left: list[str], code: str) -> None:
    world.write("a.jpg", "old")
    world.send("a.jpg")
    world.write("a.jpg", "new")

    outcomes = world.send("a.jpg", on_change=on_change)
    again = world.send("a.jpg", on_change=on_change)

    assert codes(outcomes) == [code]
    assert world.contents() == left
    assert statuses(again) == ["skipped"]


@pytest.mark.parametrize("new", [["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"]])
def test_pictures_that_change_places_are_neither_lost_nor_doubled(world: World, new: list[str]) -> None:
    names = ["1.jpg", "2.jpg", "3.jpg"]
    for name, content in zip(names, "abc", strict=True):
        world.write(name, content)
    world.send(*names)
    for name, content in zip(names, new, strict=True):
        world.write(name, content)
    world.store.posted.clear()

    world.send(*names)

    assert sorted(world.contents()) == ["a", "b", "c"]
    assert world.store.posted == []
    assert "delete" not in world.store.requests


def test_a_renamed_picture_is_not_sent_again(world: World) -> None:
    world.write("a.jpg", "a")
    world.send("a.jpg")
    (world.folder / "a.jpg").rename(world.folder / "z.jpg")

    assert codes(world.send("z.jpg")) == ["already_uploaded"]
    assert world.contents() == ["a"]


def test_a_picture_that_a_place_still_shows_is_not_deleted(world: World) -> None:
    world.write("a.jpg", "same")
    world.write("b.jpg", "same")
    world.send("a.jpg", "b.jpg")
    world.write("a.jpg", "new")

    world.send("a.jpg", "b.jpg")

    assert sorted(world.contents()) == ["new", "same"]


def test_no_more_is_deleted_than_allowed_and_the_rest_next_time(world: World) -> None:
    names = [f"{number}.jpg" for number in range(4)]
    for name in names:
        world.write(name, f"old {name}")
    world.send(*names)
    for name in names:
        world.write(name, f"new {name}")

    world.send(*names, max_delete=3)
    assert world.last and world.last.report()["not_deleted"] == 1
    assert len(world.contents()) == 5

    world.send(*names)
    assert world.contents() == [f"new {name}" for name in names]


def test_without_a_ledger_nothing_is_deleted(world: World) -> None:
    world.write("a.jpg", "old")
    world.ledger.close()
    world.ledger = Ledger.in_memory()
    world.send("a.jpg")
    world.write("a.jpg", "new")

    world.send("a.jpg")

    assert sorted(world.contents()) == ["new", "old"]


def test_an_image_that_was_replaced_by_hand_is_not_deleted(world: World) -> None:
    world.write("a.jpg", "old")
    world.send("a.jpg")
    [id_] = world.store.products[1]
    world.store.products[1][id_] = replace(world.store.products[1][id_], image_file="a/1/something_else.jpg")
    world.write("a.jpg", "new")

    world.send("a.jpg")

    assert id_ in world.store.products[1]


def test_only_what_is_stated_and_has_changed_is_put(world: World) -> None:
    world.write("a.jpg", "a")
    world.send(world.asset("a.jpg", description="A shirt", sort_order=3))
    [id_] = world.store.products[1]
    world.store.update(1, id_, sort_order=9)  # by the shop: stated as before, so left alone

    world.store.requests.clear()
    assert statuses(world.send(world.asset("a.jpg", description="A shirt", sort_order=3))) == ["skipped"]
    assert world.store.products[1][id_].sort_order == 9
    assert "update" not in world.store.requests

    outcomes = world.send(world.asset("a.jpg", description="A blue shirt", sort_order=3))
    assert statuses(outcomes) == ["updated"]
    assert world.store.products[1][id_].description == "A blue shirt"
    assert world.store.products[1][id_].sort_order == 9
    assert statuses(world.send(world.asset("a.jpg", description="A blue shirt", sort_order=3))) == ["skipped"]


def test_the_thumbnail_is_set_once_and_last(world: World) -> None:
    for name in "abc":
        world.write(name, name)

    world.send("a", world.asset("b", is_thumbnail=True), "c")

    thumbnails = {world.store.bodies[image.id]: image.is_thumbnail for image in world.store.products[1].values()}
    assert thumbnails == {b"a": False, b"b": True, b"c": False}
    world.store.requests.clear()
    assert set(codes(world.send("a", world.asset("b", is_thumbnail=True), "c"))) == {"already_uploaded"}
    assert world.store.requests == []


def test_a_second_thumbnail_row_is_a_warning(world: World) -> None:
    for name in "ab":
        world.write(name, name)

    outcomes = world.send(world.asset("a", is_thumbnail=True), world.asset("b", is_thumbnail=True))

    assert outcomes[1].asset.warnings == ("second_thumbnail",)
    assert [image.is_thumbnail for image in world.store.products[1].values()] == [True, False]


def test_what_a_duplicate_states_is_merged(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")

    world.send("a", world.asset("b", description="from the second row", is_thumbnail=True))

    [image] = world.store.products[1].values()
    assert image.description == "from the second row"


def test_a_duplicate_takes_the_place_of_one_that_failed(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")

    def refuse_the_first(what: str, number: int) -> None:
        if what == "create" and world.store.requests.count("create") == 1:
            raise Rejected("too ugly")

    world.store.before = refuse_the_first
    outcomes = world.send("a", "b")

    assert statuses(outcomes) == ["failed", "uploaded"]
    assert world.contents() == ["same"]


def stranger(id_: int, name: str = "theirs.jpg") -> StoreImage:
    return StoreImage(id_, 1, f"a/1/{name}", sort_order=4, is_thumbnail=True)


def test_other_peoples_images_come_first_and_keep_the_thumbnail(world: World) -> None:
    world.store.products[1][7] = stranger(7)
    world.store.bodies[7] = b"theirs"
    for name in "ab":
        world.write(name, name)

    world.send("a", "b")

    assert world.contents() == ["theirs", "a", "b"]
    assert [image.is_thumbnail for image in world.store.products[1].values()] == [True, False, False]
    assert world.last and world.last.report()["products_with_other_images"] == 1


def test_products_with_other_peoples_images_can_be_left_alone(world: World) -> None:
    world.store.products[1][7] = stranger(7)
    world.write("a", "a")

    outcomes = world.send("a", world.asset("a", 2), existing="skip")

    assert codes(outcomes) == ["has_images", None]


def test_a_side_load_that_shows_some_images_proves_no_absence(world: World) -> None:
    names = [f"{number}.jpg" for number in range(14)]
    for name in names:
        world.write(name, name)
    world.send(*names)
    world.lose_the_ledger()
    world.store.side_load_limit = 10

    world.send(*names)

    assert world.contents() == names


def test_a_store_that_loses_the_name_stops_the_run_before_a_second_image(world: World) -> None:
    world.store.mangle = lambda name: "image.jpg"
    for name in "abc":
        world.write(name, name)
    stop = Stop()

    outcomes = world.send("a", world.asset("b", 2), "c", stop=stop)

    assert len(world.store.posted) == 1
    assert stop.code == StoreUnusable.code
    assert statuses(outcomes).count("planned") >= 2


def test_a_listing_that_cannot_be_read_after_the_first_image_ends_the_run_and_keeps_the_image(world: World) -> None:
    for name in "ab":
        world.write(name, name)
    images = world.store.images

    def unreadable(product_id: int) -> Any:
        if world.store.posted:
            raise StoreBusy("413")
        return images(product_id)

    world.store.images = unreadable  # type: ignore[method-assign]  # the store is half down
    stop = Stop()
    outcomes = world.send("a", "b", stop=stop)

    assert statuses(outcomes) == ["uploaded", "planned"]
    assert "could be sent twice" in stop.reason


def test_a_single_picture_whose_name_is_lost_ends_the_run_too(world: World) -> None:
    world.store.mangle = lambda name: "image.jpg"
    world.write("a", "a")
    stop = Stop()

    outcomes = world.send("a", stop=stop)

    assert statuses(outcomes) == ["uploaded"]
    assert stop.code == StoreUnusable.code


def test_names_may_be_cut_and_changed_in_case(world: World) -> None:
    world.store.mangle = lambda name: name.upper()[10:].replace("-", "_")
    world.write("a-very-long-name-of-a-picture.jpg", "a")

    outcomes = world.send("a-very-long-name-of-a-picture.jpg")
    world.lose_the_ledger()
    again = world.send("a-very-long-name-of-a-picture.jpg")

    assert statuses(outcomes) == ["uploaded"]
    assert codes(again) == ["already_uploaded"]


def answer_lost(world: World, times: int = 1, *, commits: bool = True) -> None:
    """Let the store save a picture, or not, and lose the answer."""
    lost = [0]

    def lose(what: str, number: int) -> None:
        if what == "create" and lost[0] < times:
            lost[0] += 1
            raise Ambiguous("the connection was reset")

    if commits:
        world.store.after = lose
    else:
        world.store.before = lose


def test_a_lost_answer_is_looked_up_and_not_sent_again(world: World) -> None:
    world.write("a", "a")
    answer_lost(world)

    outcomes = world.send("a")

    assert statuses(outcomes) == ["uploaded"]
    assert world.contents() == ["a"]
    assert len(world.store.posted) == 1


def test_a_lost_request_is_sent_again_once_it_is_proved_absent(world: World) -> None:
    world.write("a", "a")
    answer_lost(world, commits=False)

    outcomes = world.send("a")

    assert statuses(outcomes) == ["uploaded"]
    assert outcomes[0].asset.delivery and outcomes[0].asset.delivery.attempts == 2
    assert world.contents() == ["a"]
    assert world.store.requests.count("images") >= 5  # absent in one listing proves nothing


@pytest.mark.parametrize(("asked", "first"), [(7.0, 7.0), (0.0, 0.5)])
def test_before_each_look_for_a_lost_request_the_store_gets_time(world: World, asked: float, first: float) -> None:
    world.write("a", "a")
    happened: list[object] = []

    def lose(what: str, number: int) -> None:
        happened.append(what)
        if happened.count("create") == 1 and what == "create":
            lost = Ambiguous("the answer was lost")
            lost.wait = asked
            raise lost

    world.store.before = lose
    world.send("a", sleep=happened.append, waits=(0.5, 1.0, 2.0))

    began = happened.index("create")
    assert happened[began:began + 8] == ["create", first, "images", 1.0, "images", 2.0, "images", "create"]


def test_a_listing_that_lags_is_waited_for(world: World) -> None:
    world.write("a", "a")
    answer_lost(world)
    listings = [0]
    images = world.store.images

    def lagging(product_id: int) -> Any:
        listings[0] += 1
        return images(product_id) if listings[0] > 3 else []

    world.store.images = lagging  # type: ignore[method-assign]  # the store lags
    outcomes = world.send("a")

    assert statuses(outcomes) == ["uploaded"]
    assert len(world.store.posted) == 1


def test_what_cannot_be_found_out_is_uncertain_and_looked_up_by_the_next_run(world: World) -> None:
    world.write("a", "a")
    answer_lost(world)
    images = world.store.images

    def unreadable(product_id: int) -> Any:
        raise Uncertain("no listing")

    world.store.images = unreadable  # type: ignore[method-assign]  # the store is half down
    [outcome] = world.send("a")
    assert (outcome.status, outcome.code) == (Status.FAILED, "uncertain")
    assert str(outcome.retry) == "again"

    world.store.images = images  # type: ignore[method-assign]  # and back
    outcomes = world.send("a")
    assert codes(outcomes) == ["already_uploaded"]
    assert world.contents() == ["a"]


def test_two_of_the_same_are_reduced_only_where_this_ledger_meant_both(world: World) -> None:
    world.write("a", "a")
    world.send("a")
    [id_] = world.store.products[1]
    world.store.products[1][id_ + 500] = replace(world.store.products[1][id_], id=id_ + 500)
    world.store.bodies[id_ + 500] = b"a"

    world.send("a", checksum=True)
    assert sorted(world.store.products[1]) == [id_, id_ + 500]
    assert world.last and len(world.last.report()["surplus"]) == 1

    # the same again, with a second intent on record: now both are known to be ours
    [operation] = [one for one in world.ledger.operations("memory") if one.kind == "post"]
    number = world.ledger.intend("run", "memory", 1, "post", name=operation.name,
                                 source_sha256=operation.source_sha256, sha256=operation.sha256)
    world.ledger.settle(number, "failed", detail="absent from the listing")
    world.send("a", checksum=True)
    assert sorted(world.store.products[1]) == [id_]


def test_a_full_product_fails_its_pictures_and_three_stop_the_run(world: World) -> None:
    def full(what: str, number: int) -> None:
        if what == "create":
            raise ProductFull("507")

    world.store.before = full
    for product in range(3, 7):
        world.store.add_product(product)
    world.write("a", "a")
    stop = Stop()

    outcomes = world.send(*(world.asset("a", product) for product in range(1, 7)), stop=stop)

    assert codes(outcomes).count("product_full") == 2
    assert statuses(outcomes).count("planned") == 4
    assert "three products" in stop.reason


def send_nine(world: World, accepted: int = 0) -> tuple[list[Outcome], Stop]:
    """Send nine pictures to a store that refuses each but the one of this number."""
    asked = [0]

    def refuse(what: str, number: int) -> None:
        if what == "create":
            asked[0] += 1
            if asked[0] != accepted:
                raise Rejected("422: image_file is wrong")

    world.store.before = refuse
    names = [f"{number}" for number in range(9)]
    for name in names:
        world.write(name, name)
    stop = Stop()
    return world.send(*names, stop=stop), stop


def test_five_refusals_in_a_row_stop_the_run(world: World) -> None:
    outcomes, stop = send_nine(world)

    assert codes(outcomes).count("rejected") == 4
    assert statuses(outcomes).count("planned") == 5
    assert "five images in a row" in stop.reason
    assert stop.exit_code is ExitCode.TRY_AGAIN


@pytest.mark.parametrize(("times", "status", "posts"), [(1, "uploaded", 2), (3, "uploaded", 4), (9, "failed", 4)])
def test_a_busy_product_is_looked_at_and_asked_again_a_few_times(world: World, times: int, status: str,
                                                                 posts: int) -> None:
    world.write("a", "a")

    def busy(what: str, number: int) -> None:
        if what == "create" and world.store.requests.count("create") <= times:
            raise StoreBusy("product 1 is locked or being changed (423)")

    world.store.before = busy
    [outcome] = world.send("a", waits=(0.5, 1.0))

    assert str(outcome.status) == status
    creates = [index for index, what in enumerate(world.store.requests) if what == "create"]
    assert len(creates) == posts
    for one, next_one in pairwise(creates):
        assert world.store.requests[one + 1:next_one] == ["images", "images"]
    assert outcome.retry is (Retry.AGAIN if outcome.failed else None)


def test_an_order_that_a_duplicate_states_beside_a_text_is_sent_once_it_has_the_picture_to_itself(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")
    stated = world.asset("b", description="of b", sort_order=7)
    world.send("a", stated)
    assert [(image.description, image.sort_order) for image in world.store.products[1].values()] == [("of b", 0)]

    world.write("a", "other")
    world.send("a", stated)
    world.send("a", stated)

    assert sorted((world.store.bodies[image.id], image.sort_order) for image in world.store.products[1].values()
                  ) == [(b"other", 0), (b"same", 7)]


def test_refusals_that_are_not_in_a_row_stop_nothing(world: World) -> None:
    outcomes, stop = send_nine(world, accepted=5)

    assert codes(outcomes).count("rejected") == 8
    assert statuses(outcomes).count("uploaded") == 1
    assert not stop


def test_an_image_deleted_in_the_store_is_not_sent_again_unasked(world: World) -> None:
    world.write("a", "a")
    world.send("a")
    world.store.products[1].clear()

    outcomes = world.send("a", checksum=True)

    assert statuses(outcomes) == ["skipped"]
    assert "verify --repair" in outcomes[0].reason
    assert world.contents() == []


def test_an_image_deleted_in_the_store_is_sent_again_when_repairing(world: World) -> None:
    for name in "ab":
        world.write(name, name)
    world.send("a", "b")
    del world.store.products[1][min(world.store.products[1])]

    outcomes = world.send("a", "b", repair=True)

    assert statuses(outcomes) == ["uploaded", "skipped"]
    assert sorted(world.contents()) == ["a", "b"]
    assert codes(world.send("a", "b", repair=True)) == ["already_uploaded"] * 2


def test_what_has_gone_from_the_source_is_known_and_pruned(world: World) -> None:
    for name in "abc":
        world.write(name, name)
    world.send("a", "b", "c", world.asset("a", 2))

    world.send("a", world.asset("b", 1))
    assert world.last
    gone = world.last.gone()
    assert [(place.product, place.key) for place in gone] == [(1, "c")]  # product 2 is not named by this source

    world.last.prune(gone)
    assert world.contents(1) == ["a", "b"]
    assert world.contents(2) == ["a"]


def test_a_pruned_place_takes_no_picture_from_another_place(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")
    world.send("a", "b")

    world.send("b")
    assert world.last
    world.last.prune(world.last.gone())

    assert world.contents() == ["same"]


def test_recording_sends_nothing_and_learns_what_is_there(world: World) -> None:
    for name in "ab":
        world.write(name, name)
    world.send("a")
    world.lose_the_ledger()
    world.store.requests.clear()

    outcomes = world.send(world.asset("a", description="new"), "b", recording=True)

    assert codes(outcomes) == ["already_uploaded", None]
    assert statuses(outcomes) == ["skipped", "planned"]
    assert not {"create", "update", "delete"} & set(world.store.requests)
    assert [place.key for place in world.ledger.places("memory")] == ["a"]


def test_planning_sends_nothing_and_says_what_would_be_done(world: World) -> None:
    world.write("a", "a")
    world.write("b", "b")
    world.send("a")
    world.write("a", "changed")
    before = dict(world.store.products[1])

    outcomes = world.send("a", "b", world.asset("b", 2), planning=True)

    assert [(str(outcome.status), str(outcome.action)) for outcome in outcomes] == [
        ("planned", "replace"), ("planned", "upload"), ("planned", "upload")]
    assert world.store.products[1] == before


def test_upload_alone_does_one_picture(world: World) -> None:
    upload = Upload(world.store, sleep=no_sleep)

    sent = upload(prepared("front.jpg", "SHIRT"))
    upload.finish(1)

    assert sent.delivery and sent.delivery.image_id in world.store.products[1]
    with pytest.raises(Skip):
        upload(prepared("front.jpg", 1))
    with pytest.raises(SourceError, match="no product or variant with the SKU 'NONE'"):
        upload(prepared("front.jpg", "NONE"))


def test_an_address_is_handed_over_and_a_lost_answer_found_by_its_name(world: World) -> None:
    answer_lost(world)
    asset = prepared("https://cdn.example/front.jpg", 1, location="https://cdn.example/front.jpg")
    upload = Upload(world.store, world.ledger, by_url=True, sleep=no_sleep)

    sent = upload(asset)

    assert sent.delivery and sent.delivery.image_id
    assert world.store.posted == ["https://cdn.example/front.jpg"]
    assert world.ledger.images("memory", 1)[0].image_id == sent.delivery.image_id


def test_an_address_whose_picture_may_be_there_is_uncertain(world: World) -> None:
    world.store.products[1][7] = stranger(7, "front__00007.jpg")
    asset = prepared("https://cdn.example/front.jpg", 1, location="https://cdn.example/front.jpg")

    with pytest.raises(Uncertain, match="nothing proves that it is another picture"):
        Upload(world.store, world.ledger, by_url=True, sleep=no_sleep)(asset)


def test_an_open_intent_is_settled_before_anything_else(world: World) -> None:
    world.write("a", "a")
    world.send("a")
    [operation] = world.ledger.operations("memory")
    world.lose_the_ledger()
    world.ledger.intend("old run", "memory", 1, "post", key=operation.key, name=operation.name,
                        source_sha256=operation.source_sha256, sha256=operation.sha256)
    world.store.requests.clear()

    outcomes = world.send("a")

    assert world.store.requests[0] == "images"
    assert codes(outcomes) == ["already_uploaded"]
    assert world.ledger.open_operations("memory") == []
    assert [image.image_id for image in world.ledger.images("memory", 1)] == list(world.store.products[1])


def test_an_open_deletion_of_a_product_that_has_gone_is_settled(world: World) -> None:
    world.ledger.learn(Image("memory", 99, 5, "s"))
    world.ledger.intend("old run", "memory", 99, "delete", image_id=5)
    world.write("a", "a")

    outcomes = world.send("a")

    assert statuses(outcomes) == ["uploaded"]
    assert world.ledger.open_operations("memory") == []
    assert world.ledger.images("memory", 99) == []


def test_what_a_duplicate_states_counts_once_the_first_has_gone(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")
    world.send("a", world.asset("b", sort_order=7))
    [image] = world.store.products[1].values()
    assert image.sort_order == 0
    assert set(codes(world.send("a", world.asset("b", sort_order=7)))) == {"already_uploaded"}

    world.send(world.asset("b", sort_order=7))

    [image] = world.store.products[1].values()
    assert image.sort_order == 7


def test_an_image_of_this_run_is_not_taken_for_one_of_a_ledger_that_was_lost(
        world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.write("a", "a")
    answer_lost(world)

    assert statuses(world.send("a")) == ["uploaded"]

    assert "already holds images" not in caplog.text


def cut_off_at_the_first(what: str, world: World, *assets: Asset | str) -> None:
    """Run until a request of this kind is about to be sent, and no further."""

    def die(kind: str, number: int) -> None:
        if kind == what:
            raise Killed

    world.store.before = die
    with pytest.raises(Killed):
        world.send(*assets)
    world.store.before = lambda kind, number: None


def test_the_description_of_a_duplicate_is_sent_by_the_run_after_one_that_was_cut_off(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")
    rows = ("a", world.asset("b", description="of the duplicate"))
    cut_off_at_the_first("update", world, *rows)

    assert statuses(world.send(*rows)) == ["skipped", "updated"]

    [image] = world.store.products[1].values()
    assert image.description == "of the duplicate"
    assert statuses(world.send(*rows)) == ["skipped", "skipped"]


def test_the_description_of_a_duplicate_is_not_put_over_another(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")
    world.send("a", "b")
    [id_] = world.store.products[1]
    world.store.update(1, id_, description="by the shop")

    assert statuses(world.send("a", world.asset("b", description="of the duplicate"))) == ["skipped", "skipped"]

    assert world.store.products[1][id_].description == "by the shop"


def test_a_description_that_was_not_sent_is_not_taken_for_sent(world: World) -> None:
    world.write("a", "one")
    world.write("b", "other")
    world.send("a", "b")
    world.write("a", "other")  # which the product has already: only its description is to be sent
    rows = [world.asset("a", description="front")]
    cut_off_at_the_first("update", world, *rows)

    world.send(*rows)

    assert [image.description for image in world.store.products[1].values()] == ["front"]


def test_the_first_in_the_input_has_its_say_although_a_later_one_had_the_picture_before(world: World) -> None:
    world.write("a", "one")
    world.write("b", "other")
    rows = [world.asset("a", description="of the first"), world.asset("b", description="of the second")]
    world.send(*rows)
    world.write("a", "other")

    world.send(*rows)

    assert [image.description for image in world.store.products[1].values()] == ["of the first"]


def test_a_duplicate_of_a_picture_whose_fate_is_unknown_is_not_sent(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")
    answer_lost(world)
    images = world.store.images

    def unreadable(product_id: int) -> Any:
        if world.store.posted:
            raise Uncertain("no listing")
        return images(product_id)

    world.store.images = unreadable  # type: ignore[method-assign]  # the store is half down
    outcomes = world.send("a", "b")
    assert codes(outcomes) == ["uncertain", "uncertain"]
    assert len(world.store.posted) == 1

    world.store.images = images  # type: ignore[method-assign]  # and back
    world.send("a", "b")
    assert world.contents() == ["same"]


def test_what_the_store_says_it_took_and_does_not_list_is_not_sent_twice_in_a_run(world: World) -> None:
    world.write("a", "a")

    def taken(what: str, number: int) -> None:
        if what == "create":
            problem = Ambiguous("the answer (204) is empty")
            problem.accepted = True
            raise problem

    world.write("b", "a")
    world.store.before = taken
    outcomes = world.send("a", "b")

    assert codes(outcomes) == ["uncertain", "uncertain"]
    assert world.store.requests.count("create") == 1
    world.store.before = lambda what, number: None
    assert statuses(world.send("a")) == ["uploaded"]


def test_two_files_of_one_name_for_a_sku_and_an_id_of_one_product_are_two_places(world: World) -> None:
    for folder in ("x", "y"):
        (world.folder / folder).mkdir()
        world.write(f"{folder}/1.jpg", folder)
    rows = [replace(world.asset("x/1.jpg", "SHIRT"), key="1.jpg"), replace(world.asset("y/1.jpg", 1), key="1.jpg")]

    first, second = world.send(*rows), world.send(*rows)

    assert statuses(first) == ["uploaded", "uploaded"]
    assert set(codes(second)) == {"already_uploaded"}
    assert world.contents() == ["x", "y"]


@pytest.mark.parametrize(("etag", "code"), [('"v1"', "already_uploaded"), ('"v2"', None)])
def test_an_address_is_fetched_again_only_where_its_etag_has_changed(
        world: World, monkeypatch: pytest.MonkeyPatch, etag: str, code: str | None) -> None:
    from imagepipe.sources import fetch

    url = "https://cdn.example/front.jpg"
    monkeypatch.setattr(fetch, "etags", lambda urls: dict.fromkeys(urls, etag))

    def send(content: str, etag: str) -> list[Outcome]:
        asset = prepared(url, 1, content, location=url)
        assert asset.received
        asset = replace(asset, received=replace(asset.received, etag=etag))
        upload = Upload(world.store, world.ledger, world.ledger.begin_run("memory"), sleep=no_sleep)
        return list(run([asset], Pipeline((Dedupe(), upload))))

    send("one", '"v1"')
    outcomes = send("two", etag)

    assert codes(outcomes) == [code]
    assert len(world.store.posted) == (1 if code else 2)


def test_an_added_picture_leaves_the_one_before_even_when_the_run_is_killed_right_after(world: World) -> None:
    world.write("a.jpg", "old")
    world.send("a.jpg")
    world.write("a.jpg", "new")

    def kill(what: str, number: int) -> None:
        if what == "create":
            raise Killed

    world.store.after = kill
    with pytest.raises(Killed):
        world.send("a.jpg", on_change="add")
    world.store.after = lambda what, number: None
    world.send("a.jpg", on_change="add")

    assert sorted(world.contents()) == ["new", "old"]


def test_a_duplicate_of_a_picture_that_was_not_taken_is_sent_in_its_stead(world: World) -> None:
    world.write("a.jpg", "old")
    world.send("a.jpg")
    world.write("a.jpg", "new")
    world.write("b.jpg", "new")

    outcomes = world.send("a.jpg", "b.jpg", on_change="skip")

    assert codes(outcomes)[0] == "changed"
    assert statuses(outcomes) == ["skipped", "uploaded"]
    assert sorted(world.contents()) == ["new", "old"]


def test_open_requests_that_could_not_be_settled_are_settled_before_anything_is_sent(world: World) -> None:
    # what an earlier run left: a deletion, whose product cannot be listed just now, and a POST
    run_id = world.ledger.begin_run(world.store.identity)
    world.ledger.intend(run_id, world.store.identity, 2, "delete", image_id=7)
    post = world.ledger.intend(run_id, world.store.identity, 1, "post", name="x-0123456789abcdef-01234567.jpg",
                               source_sha256="0123456789abcdef", sha256="01234567")
    busy = [True]

    def refuse(what: str, number: int) -> None:
        if what == "images" and busy.pop():
            raise StoreBusy("come back later")

    world.store.before = lambda what, number: refuse(what, number) if busy else None
    world.write("a.jpg", "a")
    outcomes = world.send("a.jpg")

    assert statuses(outcomes) == ["uploaded"]
    [operation] = world.ledger.operations(world.store.identity, "number = ?", post)
    assert operation.state == "failed"
    assert [operation.kind for operation in world.ledger.open_operations(world.store.identity)] == ["delete"]


def test_sources_of_one_name_are_not_taken_for_each_other(world: World) -> None:
    # two manifests may both say 1.jpg
    for folder, content in (("one", "x"), ("two", "y")):
        (world.folder / folder).mkdir()
        (world.folder / folder / "1.jpg").write_text(content)
    world.write("copy.jpg", "x")
    first, second = (Asset("1.jpg", "1", location=str(world.folder / folder / "1.jpg")) for folder in ("one", "two"))

    outcomes = world.send(first, second, "copy.jpg")

    assert codes(outcomes)[2] == "duplicate"
    shown = {place.key: world.store.bodies[place.image_id] for place in world.ledger.places("memory", 1)}
    assert shown["copy.jpg"] == b"x"


def test_repair_says_that_a_product_has_gone(world: World) -> None:
    world.write("a.jpg", "a")
    world.send("a.jpg")
    del world.store.products[1]

    outcomes = world.send("a.jpg", repair=True)

    assert statuses(outcomes) == ["failed"]


def test_a_plan_counts_what_it_would_send_against_the_limit_of_a_product(world: World) -> None:
    world.store.side_load_limit = 10
    for number in range(10_000, 10_998):
        world.store.products[1][number] = StoreImage(number, 1, f"{number}.jpg")
    for name in ("a", "b", "c", "d"):
        world.write(name, name)

    planned = world.send("a", "b", "c", "d", planning=True)
    sent = world.send("a", "b", "c", "d")

    assert codes(planned) == codes(sent) == [None, None, "product_full", "product_full"]


def test_the_order_of_a_product_goes_on_when_it_comes_back_after_a_window_of_rows(world: World) -> None:
    # with a window of one row, the product is through, and forgotten, before its second picture comes
    for name in ("a", "b", "x", "y", "z"):
        world.write(name, name)
    rows = [world.asset("a"), *(world.asset(name, 2) for name in ("x", "y", "z")), world.asset("b")]
    upload = Upload(world.store, world.ledger, world.ledger.begin_run("memory"), sleep=no_sleep)

    list(run([replace(row, number=number) for number, row in enumerate(rows, 1)],
             Pipeline((ReadAsIs(), Dedupe(), upload)), rows=1))

    assert world.contents() == ["a", "b"]
    assert [image.sort_order for image in world.store.products[1].values()] == [0, 1]


def test_a_picture_renamed_and_back_shows_what_is_stated_now(world: World) -> None:
    # the text that was sent for the other name is the one in the store
    for name, text in (("c.jpg", "another"), ("a.jpg", "one text"), ("c.jpg", "another")):
        world.write(name, "red")
        world.send(world.asset(name, description=text))

        assert [image.description for image in world.store.products[1].values()] == [text]
