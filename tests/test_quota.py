"""The quota, used to its end and not beyond: many lines at once, and another app, on a clock that runs by events.

tests/benchmarks/quota.py measures the same against the sandbox, in real time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from imagepipe.stores.throttle import Governor, Ticket

QUOTA, WINDOW, WINDOWS = 150, 30.0, 8


class World:
    """Four lines that send as fast as the governor lets them, a store that counts, and another app."""

    def __init__(self, seconds: float, at_once: int, *, seed: int = 7, unevenly: bool = False) -> None:
        self.now, self.number = 1000.0, 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.dice = random.Random(seed)
        self.seconds, self.at_once, self.unevenly = seconds, at_once, unevenly
        self.governor = Governor(clock=lambda: self.now)
        self.window, self.used = -1, 0
        self.passed, self.others = 0, 0
        self.refused = [0] * (WINDOWS + 1)

    def at(self, seconds: float, then: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (self.now + seconds, self.number, then))

    def take(self) -> bool:
        window = int((self.now - 1000) // WINDOW)
        if window != self.window:
            self.window, self.used = window, 0
        passed = self.used < QUOTA
        self.used += passed
        return passed

    def headers(self) -> dict[str, str]:
        reset = 1000 + (self.window + 1) * WINDOW - self.now
        return {"x-rate-limit-requests-quota": str(QUOTA), "x-rate-limit-requests-left": str(QUOTA - self.used),
                "x-rate-limit-time-reset-ms": str(int(reset * 1000) + 1), "x-rate-limit-time-window-ms": "30000"}

    def line(self) -> None:
        """Ask the governor; send, come back when it says so, or when an answer may have changed its mind."""
        ticket = self.governor.ask()
        if not isinstance(ticket, Ticket):
            self.at(ticket or 0.05, self.line)
            return

        def arrive() -> None:
            passed = self.take()
            said = self.headers()
            self.passed += passed
            self.refused[self.window] += not passed

            def answered() -> None:
                self.governor.leave(ticket, 200 if passed else 429, said)
                self.line()

            self.at(self.seconds * self.dice.uniform(0.1, 0.5), answered)

        self.at(self.seconds * self.dice.uniform(0.1, 1.0), arrive)

    def other(self) -> None:
        self.others += sum(self.take() for _ in range(self.at_once))
        pause = self.at_once * WINDOW / (QUOTA / 2)
        self.at(pause * self.dice.uniform(0.3, 1.7) if self.unevenly else pause, self.other)

    def run(self) -> None:
        for _ in range(4):
            self.line()
        if self.at_once:
            self.at(0.2, self.other)
        while self.now < 1000 + WINDOWS * WINDOW:
            self.now, _, then = heapq.heappop(self.events)
            then()


@pytest.mark.parametrize("seconds", [0.02, 0.3, 0.8])
def test_alone_all_is_used_and_nothing_refused(seconds: float) -> None:
    world = World(seconds, 0)
    world.run()

    possible = min(QUOTA * WINDOWS, 4 / (0.85 * seconds) * WINDOW * WINDOWS)
    assert sum(world.refused) == 0
    assert world.passed >= 0.95 * possible


@pytest.mark.parametrize("unevenly", [False, True], ids=["regularly", "at any time"])
@pytest.mark.parametrize("at_once", [1, 5, 15], ids=["one by one", "in small bursts", "in bursts"])
@pytest.mark.parametrize("seconds", [0.3, 0.6, 0.8])
def test_beside_an_app_that_takes_half_the_rest_is_used_and_little_refused(seconds: float, at_once: int,
                                                                           unevenly: bool) -> None:
    for seed in range(5):
        world = World(seconds, at_once, seed=seed, unevenly=unevenly)
        world.run()

        # four lines, should the first burst that is ever seen take all that is left
        assert world.refused[0] <= (1 if at_once == 1 else 4), seed
        assert max(world.refused[1:]) <= 1, seed
        assert world.passed >= 0.95 * (QUOTA * WINDOWS - world.others), seed
        assert world.others > QUOTA * WINDOWS / 8, seed  # it did get its share


def test_bursts_of_a_fifth_of_the_quota_are_met_with_two_refusals_at_most() -> None:
    for seed in range(5):
        world = World(0.8, 30, seed=seed, unevenly=True)
        world.run()

        assert max(world.refused[1:]) <= 2, seed
        assert world.passed >= 0.95 * (QUOTA * WINDOWS - world.others), seed


class Told:
    """A governor to which answers are told by hand, within one window of a hundred requests."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.governor = Governor(clock=lambda: self.now)
        self.tickets = [self.go()]
        self.told(left=99)

    def go(self) -> Ticket:
        ticket = self.governor.ask()
        assert isinstance(ticket, Ticket), ticket
        return ticket

    def told(self, left: int, status: int = 200, after: float = 0.5) -> None:
        """Let the oldest request have its answer, so many seconds from now."""
        self.now += after
        self.governor.leave(self.tickets.pop(0), status, {
            "x-rate-limit-requests-quota": "100", "x-rate-limit-requests-left": str(left),
            "x-rate-limit-time-reset-ms": str(int((1030 - self.now) * 1000)), "x-rate-limit-time-window-ms": "30000"})

    def at_once(self) -> int:
        """Send as many as may go, and tell how many those were."""
        before = len(self.tickets)
        while len(self.tickets) < 8 and isinstance(ticket := self.governor.ask(), Ticket):
            self.tickets.append(ticket)
        return len(self.tickets) - before


def test_alone_the_last_requests_go_side_by_side() -> None:
    told = Told()
    for left in range(98, 9, -1):
        told.tickets.append(told.go())
        told.told(left, after=0.1)

    assert told.at_once() == 8


def test_after_a_burst_what_one_more_could_take_goes_one_by_one() -> None:
    told = Told()
    told.tickets.append(told.go())
    told.told(left=98 - 20)
    assert told.at_once() == 8  # far from the end
    told.told(left=77)
    for left in (76, 75, 74, 73, 72, 71, 24):
        told.told(left, after=0.0)

    assert told.at_once() == 1
    told.told(left=23)
    assert told.at_once() == 1
    told.told(left=5)  # it came
    assert told.at_once() == 1
    told.told(left=0, status=429)
    assert told.at_once() == 0
    assert told.governor.ask() == pytest.approx(1030 - told.now, abs=0.1)


def test_more_go_at_once_where_one_by_one_would_leave_some_unused() -> None:
    told = Told()
    told.tickets.append(told.go())
    told.told(left=98 - 20)
    assert told.at_once() == 8
    told.told(left=77)
    for left in (76, 75, 74, 73, 72, 71, 24):
        told.told(left, after=0.0)
    told.now = 1030 - 3.5  # in which one line could send seven

    assert told.at_once() == 3
