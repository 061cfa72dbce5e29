"""Every fault of a network and a store, at every request: nothing twice, nothing lost, nothing told wrong.

For each fault and each request number, once and from then on: a run, then a clean run. The store
counts for itself (tests/faulty_store.py).
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import VirtualTime, another_host, hurried, seven_rows
from faulty_store import (
    BOMB,
    GZIPPED,
    HTML,
    TOKEN,
    Fault,
    FaultyStore,
    dripping,
    endless,
    raw,
    refuse,
    status,
)

from imagepipe import api
from imagepipe.deadlines import Pace
from imagepipe.errors import ExitCode
from imagepipe.ledger import Ledger
from imagepipe.outcome import Outcome, Status, Summary
from imagepipe.stores.connection import Patience
from imagepipe.testing import jpeg

HURRIED = Pace(progress=0.1, total=0.25)  #: While there is a fault, which may be that nothing comes.
AT_EASE = Pace(progress=20, total=60)
TRIED: Counter[str] = Counter()  #: Runs in which a fault came true, of each kind.


def twice(name: str, act: Any, **more: Any) -> list[Fault]:
    """Return a fault that happens before the store carries the request out, and one that happens after."""
    return [Fault(name, act, **more), Fault(f"{name}, carried out", act, commits=True, **more)]


FAULTS = [
    Fault("connection refused", refuse),
    *twice("reset", raw(b"", then="reset")),
    Fault("reset while we send", raw(b"", then="reset"), early=True),
    Fault("413 while we send", raw(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), early=True),
    *twice("closed without an answer", raw(b"")),
    *twice("silence", raw(b"", then="silence")),
    *twice("half a header", raw(b"HTTP/1.1 200 OK\r\nContent-Ty")),
    *twice("half a body", raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"da")),
    *twice("half a chunk", raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               b"Transfer-Encoding: chunked\r\n\r\n40\r\n{\"da")),
    *twice("JSON that is none", status(200, content=b'{"data": {"id": 1')),
    *twice("an empty 200", status(200, content=b"")),
    *twice("a 204 for everything", raw(b"HTTP/1.1 204 No Content\r\n\r\n")),
    *twice("no id", status(200, body={"data": {"product_id": 1}, "meta": {}})),
    *twice("an id of another product", status(200, body={"data": {"id": 7, "product_id": 999}, "meta": {}})),
    *twice("an id that is no number", status(200, body={"data": {"id": "7", "product_id": 1}, "meta": {}})),
    *twice("corrupt gzip", status(200, *GZIPPED, content=b"\x1f\x8bnonsense")),
    *twice("garbage", raw(b"\x16\x03\x01\x02\x00\x01\x00" * 40)),
    *twice("a header that never ends", dripping),
    *twice("a body that never ends", endless),
    *twice("a gzip bomb", status(200, *GZIPPED, content=BOMB)),
    *twice("a web page", status(200, "Content-Type: text/html", content=HTML)),
    *twice("a web page with 502", status(502, "Content-Type: text/html", content=HTML)),
    Fault("429 with a reset", status(429, "X-Rate-Limit-Time-Reset-Ms: 3000", "X-Rate-Limit-Requests-Left: 0",
                                     "X-Rate-Limit-Requests-Quota: 150", "X-Rate-Limit-Time-Window-Ms: 30000",
                                     "X-Retry-After: 3")),
    Fault("429 with nonsense", status(429, "X-Rate-Limit-Time-Reset-Ms: -5", "X-Retry-After: 1e99")),
    Fault("429 without a word", status(429)),
    *[fault for code in (500, 502, 503, 504, 408, 499, 409, 423) for fault in twice(str(code), status(code))],
    *[Fault(str(code), status(code), permanent=True) for code in (501, 505, 507, 413, 422, 400, 415, 404)],
    *[Fault(str(code), status(code, "Content-Type: text/plain", content=b"no"), permanent=True) for code in (401, 403)],
]


@dataclass
class Shop:
    """Seven rows, six pictures, two products."""

    folder: Path

    def __post_init__(self) -> None:
        self.rows = seven_rows(self.folder)
        self.rows[4]["is_thumbnail"] = True

    def change(self) -> None:
        """Change three pictures, of which a duplicate still shows one; a text and an order alone; and the thumbnail."""
        for number, name in enumerate("abf", 20):
            (self.folder / f"{name}.jpg").write_bytes(jpeg(48, 36, seed=number))
        self.rows[2]["description"] = "front"
        self.rows[3]["sort_order"] = 9
        self.rows[4].pop("is_thumbnail")
        self.rows[3]["is_thumbnail"] = True

    def run(self, store: FaultyStore, ledger: Path | str, **options: Any) -> tuple[list[Outcome], Summary]:
        virtual = VirtualTime()
        pace = HURRIED if store.fault else AT_EASE
        with hurried(store.base_url, virtual, connections=2, pace=pace, patience=Patience(attempts=4)) as client:
            run = api.upload(self.rows, client, ledger=ledger, jobs=0, roots=[self.folder], connections=2,
                             upload_options={"sleep": virtual.sleep, "waits": (0.5, 1.0, 2.0)}, **options)
            return list(run), run.summary


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def check_report(shop: Shop, store: FaultyStore, outcomes: list[Outcome], summary: Summary) -> None:
    """Each input once, nothing claimed that is not there, and an exit code that tells the truth."""
    assert Counter(outcome.asset.source for outcome in outcomes) == Counter(row["image"] for row in shop.rows)
    assert summary.total == len(shop.rows)
    statuses = Counter(outcome.status for outcome in outcomes)
    for outcome in outcomes:
        if outcome.status is Status.UPLOADED:
            delivery = outcome.asset.delivery
            assert delivery and delivery.image_id in store.images[outcome.asset.target.product_id or 0]
        elif outcome.status is not Status.UPDATED:
            assert outcome.reason
    if summary.exit_code is ExitCode.OK:
        assert set(statuses) <= {Status.UPLOADED, Status.UPDATED, Status.SKIPPED}
    elif summary.exit_code is ExitCode.SOME_FAILED:
        assert statuses[Status.FAILED] and not statuses[Status.PLANNED] or summary.extra["unfinished"]
    elif summary.exit_code is ExitCode.TRY_AGAIN:
        again = [outcome for outcome in outcomes if str(outcome.retry) == "again" or outcome.status is Status.PLANNED]
        assert again or summary.extra["unfinished"] or summary.stopped
    else:
        assert summary.exit_code is ExitCode.REFUSED
        assert summary.stopped


def check_store(shop: Shop, store: FaultyStore) -> None:
    """All pictures are there, each once; nothing was asked that a correct client does not ask."""
    for product in (1, 2):
        rows = {row["image"]: row for row in shop.rows if row.get("product_id", 1) == product}
        # by what the names say of the source: where the first of two failed, the picture bears the other's name
        wanted = {hashlib.sha256((shop.folder / name).read_bytes()).hexdigest()[:16]: row for name, row in rows.items()}
        held = [image["name"].split("-")[1] for image in store.images[product].values()]
        assert sorted(held) == sorted(wanted)
        for image in store.images[product].values():
            row = wanted[image["name"].split("-")[1]]
            assert all(row.get(name) in (None, image[name]) for name in ("description", "sort_order", "is_thumbnail"))
        assert [image["is_thumbnail"] for image in store.images[product].values()].count(True) == 1
    assert not store.wrong


def at_each(positions: Sequence[int], shop: Shop, fault: Fault, onwards: bool, folder: Path,
            begin: Callable[[FaultyStore, Path], object]) -> int:
    """Run with a fault at each of these requests, and again without; return how often it came true."""
    tried = 0
    for at in positions:
        with FaultyStore() as store:
            ledger = folder / f"ledger-{at}"
            begin(store, ledger)
            with store.failing(fault, at, onwards=onwards):
                outcomes, summary = shop.run(store, ledger)
                reached = len(store.requests) >= at
            check_report(shop, store, outcomes, summary)
            if onwards and fault.permanent and reached:
                assert summary.exit_code is not ExitCode.OK, at

            outcomes, summary = shop.run(store, ledger)
            check_report(shop, store, outcomes, summary)
            assert summary.exit_code is ExitCode.OK, (at, [outcome.reason for outcome in outcomes if outcome.failed])
            check_store(shop, store)
            with Ledger.open(ledger, writing=False) as book:
                assert not book.open_operations("faulty@localhost")
            for file in folder.iterdir():
                assert TOKEN.encode() not in file.read_bytes()
            tried += reached
    TRIED["from then on" if onwards else "once"] += tried
    return tried


@pytest.mark.parametrize("onwards", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_at_any_request(shop: Shop, fault: Fault, onwards: bool, tmp_path: Path,
                                caplog: pytest.LogCaptureFixture, pytestconfig: pytest.Config) -> None:
    caplog.set_level(logging.DEBUG, logger="imagepipe")
    if pytestconfig.getoption("--slow"):
        positions: Sequence[int] = range(1, 17)
    else:  # every kind of request: SKUs, listing, first POST, reading it back, later POSTs, what comes of the fault
        positions = (1, 3, 5, 8) if onwards else (1, 2, 3, 4, 5, 7, 9, 11, 12)

    assert at_each(positions, shop, fault, onwards, tmp_path, lambda store, ledger: None) >= 4
    assert TOKEN not in caplog.text


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Callable[[FaultyStore, Path], object]]:
    """A shop that has changed since it was uploaded, and what brings a store and a ledger to that state."""
    shop, ledger = Shop(tmp_path_factory.mktemp("changed")), tmp_path_factory.mktemp("state") / "ledger"
    with FaultyStore() as store:
        shop.run(store, ledger)
        kept = store.kept()
    shop.change()

    def begin(store: FaultyStore, copy: Path) -> None:
        store.become(kept)
        shutil.copy(ledger, copy)

    return shop, begin


@pytest.mark.parametrize("onwards", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_at_any_request_that_changes_what_is_there(
        changed: tuple[Shop, Callable[[FaultyStore, Path], object]], fault: Fault, onwards: bool, tmp_path: Path,
        pytestconfig: pytest.Config) -> None:
    """Replacing, changing what is stated, deleting last."""
    if fault.name == "a 204 for everything":
        pytest.skip("it is how a deletion is answered: that nothing was deleted nobody can tell")
    slow: bool = pytestconfig.getoption("--slow")
    shop, begin = changed
    positions: Sequence[int] = range(1, 21) if slow else (4, 11) if onwards else (3, 5, 8, 10, 12)

    assert at_each(positions, shop, fault, onwards, tmp_path, begin) >= 2


@pytest.fixture
def elsewhere() -> Iterator[tuple[int, list[bytes]]]:
    """Another host, which must hear nothing."""
    with another_host() as (port, heard):
        yield port, heard


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(shop: Shop, code: int, tmp_path: Path,
                                      elsewhere: tuple[int, list[bytes]]) -> None:
    port, heard = elsewhere
    fault = Fault(str(code), status(code, f"Location: http://127.0.0.1:{port}/stolen?secret=1"))
    for at in range(1, 9):
        with FaultyStore() as store:
            with store.failing(fault, at, onwards=True):
                outcomes, summary = shop.run(store, tmp_path / f"ledger-{at}")
            assert summary.exit_code is ExitCode.TRY_AGAIN
            assert "redirect" in summary.stopped
            assert "secret" not in summary.stopped
            shop.run(store, tmp_path / f"ledger-{at}")
            check_store(shop, store)
    assert heard == []


@pytest.mark.parametrize("lag", [1, 2])
def test_a_listing_that_lags_behind_a_lost_answer(shop: Shop, lag: int, tmp_path: Path) -> None:
    fault = Fault("reset, carried out", raw(b"", then="reset"), commits=True)
    for at in range(3, 12):
        with FaultyStore(lag=lag) as store:
            with store.failing(fault, at):
                shop.run(store, tmp_path / f"ledger-{at}")
            shop.run(store, tmp_path / f"ledger-{at}")
            check_store(shop, store)


@pytest.mark.parametrize("mangle", [
    pytest.param(lambda name: name.upper(), id="upper case"),
    pytest.param(lambda name: name[-40:], id="stem cut"),
    pytest.param(lambda name: name.replace("-", "_"), id="underscores"),
])
def test_names_that_the_store_changes_are_found_again(shop: Shop, mangle: Any, tmp_path: Path) -> None:
    fault = Fault("reset, carried out", raw(b"", then="reset"), commits=True)
    for at in (4, 6):
        with FaultyStore(mangle=mangle) as store:
            with store.failing(fault, at):
                shop.run(store, tmp_path / f"ledger-{at}")
            shop.run(store, tmp_path / f"new-ledger-{at}")
            check_store(shop, store)


def test_a_store_that_loses_names_gets_one_image(shop: Shop, tmp_path: Path) -> None:
    with FaultyStore(mangle=lambda name: "image.jpg") as store:
        outcomes, summary = shop.run(store, tmp_path / "ledger")

        assert len(store.sent) == 1
        assert summary.exit_code is ExitCode.TRY_AGAIN
        assert "could be sent twice" in summary.stopped
        assert Counter(outcome.status for outcome in outcomes)[Status.PLANNED] >= 5


def test_a_fault_while_settling_another(shop: Shop, tmp_path: Path) -> None:
    """The answer is lost, and so are the answers to the listings that look for it."""
    lost = Fault("reset, carried out", raw(b"", then="reset"), commits=True)
    for at in (3, 4, 5, 6, 7):
        with FaultyStore() as store:
            with store.failing(lost, at, onwards=True):
                outcomes, summary = shop.run(store, tmp_path / f"ledger-{at}")
            check_report(shop, store, outcomes, summary)
            shop.run(store, tmp_path / f"ledger-{at}")
            check_store(shop, store)


def test_without_a_ledger_the_listing_is_enough(shop: Shop) -> None:
    lost = Fault("reset, carried out", raw(b"", then="reset"), commits=True)
    for at in range(3, 10):
        with FaultyStore() as store:
            with store.failing(lost, at):
                shop.run(store, "none")
            shop.run(store, "none")
            check_store(shop, store)


@pytest.mark.slow
def test_how_many_faults_came_true(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{TRIED.total():,} runs with a fault: {dict(TRIED)}")  # noqa: T201 - the figure is what it is for
