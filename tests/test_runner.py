"""run(): every input once, in order within a product, fair between products, and stopping cleanly."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from quick import prepared

from imagepipe.asset import Asset, Target
from imagepipe.errors import AccessRefused, ConfigurationError, ExitCode, ImageError, Skip
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import Pipeline, failure
from imagepipe.runner import Stop, run
from imagepipe.stages.read import Read
from imagepipe.workers import Workers


def pure(asset: Asset) -> Asset:
    if "skip" in asset.source:
        raise Skip("asked to")
    if "fail" in asset.source:
        raise ImageError("broken")
    if "odd" in asset.source:
        raise KeyError("what codecs raise")
    return asset.evolve(note="prepared")


@dataclass(frozen=True)
class Record:
    """Remembers what it was shown, in order."""

    delivered: list[tuple[object, str]] = field(default_factory=list)
    finished: list[object] = field(default_factory=list)
    admitted: list[str] = field(default_factory=list)
    at_once: Counter[str] = field(default_factory=Counter)
    lock: Any = field(default_factory=threading.Lock)
    barrier: threading.Barrier | None = None

    def __call__(self, asset: Asset, /) -> Asset:
        product = asset.target.product_id
        with self.lock:
            self.at_once[f"in {product}"] += 1
            self.at_once["now"] += 1
            self.at_once["most"] = max(self.at_once["most"], self.at_once["now"])
            self.at_once["most in one product"] = max(self.at_once["most in one product"],
                                                      self.at_once[f"in {product}"])
        if self.barrier is not None:
            self.barrier.wait(timeout=30)
        with self.lock:
            self.delivered.append((product, asset.source))
            self.at_once[f"in {product}"] -= 1
            self.at_once["now"] -= 1
        return asset

    def admit(self, assets: Sequence[Asset], /) -> Sequence[Asset]:
        self.admitted.extend(asset.source for asset in assets)
        return assets

    def finish(self, product: object, /) -> None:
        self.finished.append(product)


@pytest.fixture(params=["inline", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "inline":
        yield None
    elif request.param == "threads":
        with ThreadPoolExecutor(3) as pool:
            yield pool
    else:
        with Workers(2) as workers:
            yield workers


def some(count: int, products: int = 4) -> list[Asset]:
    return [prepared(f"{number}.jpg", number % products + 1, number=number + 1) for number in range(count)]


def test_every_input_comes_out_once_and_products_keep_their_order(executor: Executor | None) -> None:
    record = Record()
    assets = some(40)

    outcomes = list(run(assets, Pipeline((pure, record)), executor=executor))

    assert sorted(outcome.asset.number for outcome in outcomes) == list(range(1, 41))
    assert all(outcome.status is Status.READY for outcome in outcomes)
    for product in range(1, 5):
        in_product = [source for its, source in record.delivered if its == product]
        assert in_product == [asset.source for asset in assets if asset.target.product_id == product]
    assert record.admitted == [asset.source for asset in assets]
    assert sorted(record.finished, key=str) == [1, 2, 3, 4]
    assert record.at_once["most in one product"] == 1


def test_one_bad_picture_does_not_stop_the_rest(executor: Executor | None) -> None:
    assets = [prepared(name, 1) for name in ("a", "fail", "skip", "odd", "b")]

    outcomes = {outcome.asset.source: outcome for outcome in run(assets, Pipeline((pure,)), executor=executor)}

    assert [outcomes[name].status for name in ("a", "fail", "skip", "odd", "b")] == [
        Status.READY, Status.FAILED, Status.SKIPPED, Status.FAILED, Status.READY]
    assert outcomes["fail"].reason == "broken"
    assert "KeyError" in outcomes["odd"].reason


def test_an_outcome_holds_no_picture_after_delivery() -> None:
    outcomes = list(run(some(3), Pipeline((pure, Record()))))

    assert all(outcome.asset.data is None and outcome.asset.pixels is None for outcome in outcomes)


def test_outcomes_among_the_inputs_pass_through() -> None:
    bad = failure(Asset("row 3"), ConfigurationError("no column"), "source")

    outcomes = list(run([*some(2), bad], Pipeline((pure, Record()))))

    assert [outcome.status for outcome in outcomes].count(Status.FAILED) == 1
    assert len(outcomes) == 3


def test_two_hundred_pictures_of_one_product_leave_the_other_lanes_busy() -> None:
    # 4 lanes must be inside the stage at the same moment, or the barrier breaks and the test fails
    record = Record(barrier=threading.Barrier(4))
    big = [prepared(f"big-{number}", 1) for number in range(200)]
    small = [prepared(f"small-{number}", 2 + number) for number in range(50)]
    assets = [*big, *small]
    done: list[Outcome] = []

    with ThreadPoolExecutor(2) as pool:
        outcomes = run(assets, Pipeline((pure, record)), executor=pool, connections=4)
        for outcome in outcomes:
            done.append(outcome)
            if len(done) == 48:  # 12 rounds of four; then the small ones run out, and one lane is left
                record.barrier.abort()  # type: ignore[union-attr]  # it was given above
                object.__setattr__(record, "barrier", None)
    broken = [outcome for outcome in done[:40] if outcome.failed]

    assert not broken
    assert len(done) == 250
    assert record.at_once["most"] == 4
    assert len({product for product, _ in record.delivered[:40]}) > 10


def test_bytes_in_the_window_are_bounded() -> None:
    gate = threading.Event()
    prepared_so_far: list[str] = []

    def heavy(asset: Asset) -> Asset:
        prepared_so_far.append(asset.source)
        return asset.evolve(data=b"x" * 1_000_000)

    @dataclass(frozen=True)
    class Slow(Record):
        def __call__(self, asset: Asset, /) -> Asset:
            assert gate.wait(30)
            return asset

    assets = [Asset(str(number), str(number + 1), data=b"x") for number in range(60)]
    with ThreadPoolExecutor(2) as pool:
        outcomes = run(assets, Pipeline((heavy, Slow())), executor=pool, connections=2, window_bytes=12_000_000)
        seen: list[Outcome] = []
        consumer = threading.Thread(target=lambda: seen.extend(outcomes))
        consumer.start()
        threading.Event().wait(0.5)  # long enough for a run without bounds to prepare all sixty
        at_most = len(prepared_so_far)
        gate.set()
        consumer.join(30)

    assert at_most <= 14
    assert len(seen) == 60


def test_a_generator_closed_early_stops_cleanly(executor: Executor | None) -> None:
    record = Record()
    source_closed: list[bool] = []

    def endless() -> Iterator[Asset]:
        try:
            number = 0
            while True:
                number += 1
                yield prepared(f"{number}.jpg", number % 7 + 1, number=number)
        finally:
            source_closed.append(True)

    outcomes = run(endless(), Pipeline((pure, record)), executor=executor, rows=500)
    first = [next(outcomes) for _ in range(5)]
    outcomes.close()

    assert len(first) == 5
    assert source_closed == [True]
    delivered = len(record.delivered)
    assert delivered >= 5
    assert threading.active_count() < 50
    assert len(record.delivered) == delivered  # nothing goes on behind


def test_an_error_about_the_store_leaves_the_rest_planned_and_drains_the_source() -> None:
    @dataclass(frozen=True)
    class Refusing(Record):
        def __call__(self, asset: Asset, /) -> Asset:
            if len(self.delivered) >= 3:
                raise AccessRefused("the store refuses the token")
            return super().__call__(asset)

    read: list[int] = []

    def source() -> Iterator[Asset]:
        for number in range(600):
            read.append(number)
            yield prepared(f"{number}.jpg", 1, number=number + 1)

    stop = Stop()
    outcomes = list(run(source(), Pipeline((pure, Refusing())), stop=stop))

    planned = [outcome for outcome in outcomes if outcome.status is Status.PLANNED]
    assert len(outcomes) == 600 == len(read)
    assert len(planned) == 597
    assert {outcome.exit_code for outcome in planned} == {ExitCode.REFUSED}
    assert {outcome.reason for outcome in planned} == {"the store refuses the token"}
    assert bool(stop)


def test_stopping_finishes_what_is_in_flight() -> None:
    stop = Stop()

    @dataclass(frozen=True)
    class Stopping(Record):
        def __call__(self, asset: Asset, /) -> Asset:
            stop("interrupted", code="interrupted", exit_code=ExitCode.INTERRUPTED)
            return super().__call__(asset)

    record = Stopping()
    outcomes = list(run(some(20, products=1), Pipeline((pure, record)), stop=stop))

    assert [outcome.status for outcome in outcomes].count(Status.READY) == len(record.delivered) == 1
    assert [outcome.status for outcome in outcomes].count(Status.PLANNED) == 19


def test_a_pure_stage_behind_one_that_remembers_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="pure stands behind Record"):
        run(some(1), Pipeline((Record(), pure)))
        list(run(some(1), Pipeline((Record(), pure))))


def test_a_stage_that_does_not_pickle_is_refused_at_the_start() -> None:
    with Workers(1) as workers, pytest.raises(ConfigurationError, match="cannot be sent to a worker process"):
        list(run(some(1), Pipeline((lambda asset: asset,)), executor=workers))


def test_a_plain_function_is_a_stage_inline() -> None:
    [outcome] = run(some(1), Pipeline((lambda asset: asset.evolve(note="mine"),)))

    assert outcome.asset.notes == ("mine",)


def test_the_source_is_not_read_further_ahead_than_the_window_of_rows() -> None:
    read: list[int] = []
    gate = threading.Event()

    def source() -> Iterator[Asset]:
        for number in range(5000):
            read.append(number)
            yield prepared(f"{number}.jpg", number + 1)

    @dataclass(frozen=True)
    class Slow(Record):
        def __call__(self, asset: Asset, /) -> Asset:
            assert gate.wait(30)
            return asset

    outcomes = run(source(), Pipeline((pure, Slow())), rows=300)
    consumer = threading.Thread(target=lambda: list(outcomes))
    consumer.start()
    threading.Event().wait(0.3)
    ahead = len(read)
    gate.set()
    consumer.join(60)

    assert ahead <= 600
    assert len(read) == 5000


def test_a_picture_asked_for_again_while_it_waits_for_another_product_does_not_hang_the_run(tmp_path: Path) -> None:
    # the first row of a shared preparation has left, the second still waits, and a third comes
    (tmp_path / "shared.jpg").write_bytes(b"shared")
    second_is_prepared, first_has_left, third_is_prepared = threading.Event(), threading.Event(), threading.Event()
    waits_for = {"shared": second_is_prepared, "6": first_has_left, "waits": third_is_prepared}
    told = {"5": second_is_prepared, "shared": first_has_left, "9": third_is_prepared}

    @dataclass(frozen=True)
    class Gated(Record):
        def __call__(self, asset: Asset, /) -> Asset:
            if asset.source in waits_for:
                assert waits_for[asset.source].wait(30)
            return asset

        def note(self, outcome: Outcome, /) -> None:
            if outcome.asset.source in told:
                told[outcome.asset.source].set()

    def shared(product: str) -> Asset:
        return Asset("shared", product, location=str(tmp_path / "shared.jpg"))

    assets = [Asset("waits", "2", data=b"1"), shared("1"), shared("2"),
              *(Asset(str(number), "3", data=b"2") for number in range(9)), shared("3"), Asset("9", "4", data=b"3")]
    outcomes: list[Outcome] = []
    consumer = threading.Thread(target=lambda: outcomes.extend(run(assets, Pipeline((Read(), Gated())), rows=4)),
                                daemon=True)
    consumer.start()
    consumer.join(20)

    assert len(outcomes) == len(assets)
    assert {outcome.status for outcome in outcomes} == {Status.READY}


def test_rows_that_share_a_picture_keep_their_own_number_turn_and_history(tmp_path: Path) -> None:
    (tmp_path / "shared.jpg").write_bytes(b"shared")
    asset = Asset("shared.jpg", "1", location=str(tmp_path / "shared.jpg"))
    seen: list[Asset] = []

    @dataclass(frozen=True)
    class Ordering(Record):
        def __call__(self, asset: Asset, /) -> Asset:
            seen.append(asset)
            return asset

        def admit(self, assets: Sequence[Asset], /) -> Sequence[Asset]:
            return [one.evolve(order=10 * one.number, note=f"row {one.number}", warning=f"w{one.number}")
                    for one in assets]

    with ThreadPoolExecutor(1) as pool:
        outcomes = list(run([replace(asset, number=1), replace(asset, number=2),
                             replace(asset, number=3, target=Target.of(2))], Pipeline((Read(), Ordering())),
                            executor=pool))

    assert sorted(outcome.asset.number for outcome in outcomes) == [1, 2, 3]
    assert sorted((one.number, one.order, one.notes, one.warnings) for one in seen) == [
        (1, 10, ("row 1",), ("w1",)), (2, 20, ("row 2",), ("w2",)), (3, 30, ("row 3",), ("w3",))]


def test_a_source_that_breaks_in_the_middle_loses_nothing_that_it_gave_before() -> None:
    def breaking() -> Iterator[Asset]:
        yield from some(5)
        raise ValueError("the disk was pulled out")

    record = Record()
    outcomes: list[Outcome] = []

    with pytest.raises(ValueError, match="pulled out"):
        outcomes.extend(collect(run(breaking(), Pipeline((pure, record))), outcomes))

    assert sorted(outcome.asset.number for outcome in outcomes) == [1, 2, 3, 4, 5]
    assert {outcome.status for outcome in outcomes} == {Status.READY}
    assert record.finished == []  # what came after is not known, so nothing is through


def test_a_listener_that_fails_stops_the_run_and_every_input_is_reported() -> None:
    @dataclass(frozen=True)
    class Faulty(Record):
        def note(self, outcome: Outcome, /) -> None:
            raise KeyError("of a stage of somebody's own")

    stop = Stop()
    outcomes = list(run(some(20), Pipeline((pure, Faulty())), stop=stop))

    assert len(outcomes) == 20
    assert "KeyError" in stop.reason


def test_an_executor_that_takes_no_more_work_leaves_the_rest_planned() -> None:
    class Broken(Executor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            raise OSError("the scheduler has gone")

    outcomes = list(run(some(20), Pipeline((pure, Record())), executor=Broken()))

    assert [outcome.status for outcome in outcomes] == [Status.PLANNED] * 20


def test_a_window_of_no_rows_still_lets_one_through() -> None:
    outcomes: list[Outcome] = []
    consumer = threading.Thread(target=lambda: outcomes.extend(run(some(3), Pipeline((pure, Record())), rows=0)),
                                daemon=True)
    consumer.start()
    consumer.join(10)

    assert [outcome.status for outcome in outcomes] == [Status.READY] * 3


def collect(outcomes: Iterator[Outcome], into: list[Outcome]) -> list[Outcome]:
    """Take outcomes one by one, so that those before an error are kept."""
    for outcome in outcomes:
        into.append(outcome)
    return []


def test_closing_a_run_early_tells_those_who_wait() -> None:
    told: list[str] = []
    stop = Stop()
    stop.listeners.append(lambda: told.append("the end"))

    outcomes = run(some(20), Pipeline((pure, Record())), stop=stop)
    next(outcomes)
    outcomes.close()

    assert told == ["the end"]


def test_a_run_that_ends_by_itself_interrupts_nobody() -> None:
    told: list[str] = []
    stop = Stop()
    stop.listeners.append(lambda: told.append("the end"))

    assert len(list(run(some(5), Pipeline((pure, Record())), stop=stop))) == 5
    assert told == []


# -- when a product is through -------------------------------------------------------------------


@dataclass(frozen=True)
class Remembers(Record):
    """Keeps something of each product, until that is through."""

    known: set[object] = field(default_factory=set)
    finishing: set[object] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)

    def admit(self, assets: Sequence[Asset], /) -> Sequence[Any]:
        products = {asset.target.product_id for asset in assets}
        assert not self.finishing & products, "admitted while it is being forgotten"
        self.known.update(products)
        self.sizes.append(len(self.known))
        return [Outcome(asset, Status.SKIPPED, "", "known", "known") if "known" in asset.source else asset
                for asset in assets]

    def finish(self, product: object, /) -> None:
        self.finishing.add(product)
        threading.Event().wait(0.001)  # so that the next batch could come meanwhile, if it were let
        self.known.discard(product)
        self.finished.append(product)
        self.finishing.discard(product)


@pytest.mark.parametrize("name", ["", "known"], ids=["delivered", "decided on admission"])
def test_what_is_remembered_of_products_does_not_grow_with_the_rows(name: str) -> None:
    record = Remembers()
    # product 0 has a picture now and then, which keeps none of the others from being through
    assets = (Asset(f"{name}{number}", str(number // 20 if number % 50 else 0)) for number in range(6_000))

    outcomes = list(run(assets, Pipeline((pure, record)), rows=500))

    assert len(outcomes) == 6_000
    assert sorted(record.finished) == list(range(300))  # each of them, once
    assert max(record.sizes) <= 1 + (500 + 3 * 250) / 20
    assert not record.known


def test_a_product_that_comes_back_is_admitted_when_it_has_been_forgotten() -> None:
    record = Remembers()
    assets = [Asset(str(number), str(1 + number % 7 if number % 300 < 14 else 8)) for number in range(3_000)]

    outcomes = list(run(assets, Pipeline((pure, record)), rows=250))

    assert len(outcomes) == 3_000
    assert len(record.finished) > 8
    assert [source for product, source in record.delivered if product == 1] == [
        asset.source for asset in assets if asset.target.product_id == 1]


def test_a_product_is_through_after_two_thousand_rows_whatever_the_window() -> None:
    record = Remembers()
    list(run((Asset(str(number), str(number // 10)) for number in range(5_000)), Pipeline((pure, record))))

    assert max(record.sizes) <= (2_000 + 256 / 0.2 + 3 * 250) / 10  # what is prepared ahead counts as 0.2 MB at least
