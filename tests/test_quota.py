"""The quota, used to its end and not beyond: many lines at once, and another app, on a clock that runs by events.

tests/benchmarks/quota.py measures the same against the sandbox, in real time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from imagepipe.stores.throttle import Governor

QUOTA, WINDOW, WINDOWS = 150, 30.0, 8


class World:
    """Four lines that send as fast as the governor lets them, a store that counts, and another app."""

    def __init__(self, seconds: float, at_once: int) -> None:
        self.now, self.number = 1000.0, 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.dice = random.Random(7)
        self.seconds, self.at_once = seconds, at_once
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
        wait = self.governor._wait(False)
        if wait is not None:
            self.at(wait or 0.05, self.line)
            return
        ticket = self.governor._let_through()

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
        self.at(self.at_once * WINDOW / (QUOTA / 2), self.other)

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


@pytest.mark.parametrize("at_once", [1, 15], ids=["steadily", "in bursts"])
@pytest.mark.parametrize("seconds", [0.3, 0.6, 0.8])
def test_beside_an_app_that_takes_half_the_rest_is_used_and_little_refused(seconds: float, at_once: int) -> None:
    world = World(seconds, at_once)
    world.run()

    assert max(world.refused) <= 1
    assert world.passed >= 0.9 * (QUOTA * WINDOWS - world.others)
    assert world.others > QUOTA * WINDOWS / 8  # it did get its share
