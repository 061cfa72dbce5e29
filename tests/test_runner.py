"""run(): every input once, in order within a product, fair between products, and stopping cleanly."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from quick import prepared

from imagepipe.asset import Asset
from imagepipe.errors import AccessRefused, ConfigurationError, ExitCode, ImageError, Skip
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import Pipeline, failure
from imagepipe.runner import Stop, run
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
