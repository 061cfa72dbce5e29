"""Keeps to the store's request quota, which other apps spend as well.

BigCommerce counts requests in windows (150 in 30 s on most plans) and says with each answer what
is left of the window, in requests and in time. One governor listens to all of it and lets requests
through; what is not certain counts against us, so that a 429 is the exception.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imagepipe.http import BaseTransport, Request, Response

log = logging.getLogger("imagepipe")

LONGEST_PAUSE = 120.0  #: Seconds that a 429 can make us wait at a time.
NONSENSE = 3600.0  #: A pause above this was not meant: what a broken clock computes.
WORTH_SAYING = 2.0  #: Seconds of waiting that are logged.
LONG_PAUSE = 20.0  #: Seconds of a pause that a person should know of.
#: Seconds that a window is taken to be longer than the store says, for its rounding to milliseconds.
GUARD = 0.002

#: In a request's `extensions`: it goes before those that have not this mark.
FIRST = "imagepipe.first"


@dataclass
class Window:
    """What is known of the store's present window of time."""

    number: int = 0  #: Goes up each time that a window begins.
    ends: float = math.inf  #: By our monotonic clock; never before it does for the store, once it is told.
    told: bool = False  #: An answer of this window said when it ends.
    quota: int | None = None  #: Requests a window; None until the store has said so.
    left: int = 0  #: The lowest that an answer of this window said, or the quota.
    length: float = 30.0  #: Seconds.
    sent: int = 0  #: By us, in this window.
    carried: int = 0  #: On their way when it began: they may count in it.

    @property
    def others(self) -> int:
        """Requests of other apps in this window, as far as is known; what is on its way of ours counts as ours."""
        return 0 if self.quota is None else max(self.quota - self.left - self.sent - self.carried, 0)


@dataclass(frozen=True)
class Ticket:
    """A request that was let through."""

    window: int
    at: float


class Governor:
    """Decides when the next request may go. All times are seconds of a monotonic clock.

    The rules:

    - The first request goes alone, to learn the quota; so does the first after a 429.
    - Within a window the lowest `Left` counts, as answers overtake each other, and requests in
      flight are taken off it, as the answers may not have counted them.
    - Where other apps spend too, the last requests of a window go one by one, beginning where one
      more burst like the largest of late could take what is left: that costs one 429 then, and
      not one for each connection. More go at once only where one by one would leave some unused.
      What the others are likely to take while a request is on its way is left to them.
    - `leave_quota` of the quota is not touched, but one request a window always goes.
    - A window ends when the earliest answer that told its end said so; answers to requests of an
      earlier window count only where they can be told apart from stale ones.
    """

    def __init__(self, *, leave_quota: float = 0.0, max_requests: tuple[int, float] | None = None,
                 clock: Callable[[], float] = time.monotonic, random: Callable[[], float] = random.random) -> None:
        self.leave_quota, self.max_requests, self.clock, self._random = leave_quota, max_requests, clock, random
        self.window = Window()
        self._lock = threading.Lock()
        self._answered = threading.Condition(self._lock)
        self._in_flight = 0  # sent and not answered yet, of whatever window
        self._peak = 1  # the most in flight at once so far
        self._probing = True  # one request alone, until it is answered
        self._paused_until = -math.inf
        self._refusals = 0  # 429 in a row
        self._first_waiting = 0
        self._said_in = -1  # the window in which waiting was last logged
        self._latency = 0.0  # seconds that an answer takes, on average of late
        self._burst, self._burst_before = 0, 0  # the most that others took between two answers, by window
        self._recent: deque[float] = deque()  # when requests were sent, for `max_requests`

    # -- letting through -----------------------------------------------------------------------

    def enter(self, sleep: Callable[[float], object], *, first: bool = False) -> Ticket:
        """Wait until a request may go. Those that are `first` go before the others."""
        with self._lock:
            self._first_waiting += first
        try:
            while True:
                with self._lock:
                    ticket = self._ask(first)
                    if isinstance(ticket, Ticket):
                        return ticket
                    if ticket == 0.0:
                        self._answered.wait(timeout=1.0)
                        continue
                    self._say(ticket)
                sleep(ticket)
        finally:
            with self._lock:
                self._first_waiting -= first
                self._answered.notify_all()

    def ask(self) -> Ticket | float:
        """Return a ticket, or for how many seconds to wait before asking again, 0 being until an answer came."""
        with self._lock:
            return self._ask(first=False)

    def _ask(self, first: bool) -> Ticket | float:
        wait = self._wait(first)
        return self._let_through() if wait is None else wait

    def _say(self, wait: float) -> None:
        """Log that the quota is used up, once a window."""
        if wait >= WORTH_SAYING and self._said_in != self.window.number and self.clock() >= self._paused_until:
            self._said_in = self.window.number
            log.info("the quota of requests is used up; going on in %.0f s", wait)

    def _wait(self, first: bool) -> float | None:
        """Return for how many seconds to wait, 0 for as long as it takes to get an answer, None for not at all."""
        now = self.clock()
        if now < self._paused_until:
            return self._paused_until - now
        if self.max_requests is not None:
            count, seconds = self.max_requests
            while self._recent and self._recent[0] <= now - seconds:
                self._recent.popleft()
            if len(self._recent) >= count:
                return max(self._recent[0] + seconds - now, GUARD)
        if (self._probing and self._in_flight) or (self._first_waiting and not first):
            return 0.0
        window = self._window(now)
        if window.quota is None:
            return None
        free = window.left - self._in_flight - self._left_to_others(window.quota)
        if free <= 0 and window.sent:
            # what is in flight may turn out to have been counted already
            soon = self._in_flight and window.left > self._left_to_others(window.quota)
            return 0.0 if soon else max(window.ends - now, GUARD)
        burst = self._likely_burst(window)
        if not burst:
            return None
        expected = self._expected(window, now)
        if free > max(burst, expected) + self._peak:
            return None
        if self._in_flight >= self._at_once(free, window, now):
            return 0.0
        if window.sent and free <= expected:
            return max(window.ends - now, GUARD)
        return None

    def _likely_burst(self, window: Window) -> int:
        """Return how many requests other apps may send at once; 0 where there seem to be none."""
        assert window.quota is not None  # the caller looked
        seen = max(self._burst, self._burst_before)
        if not seen and not window.others:
            return 0
        return min(seen or window.quota // 10, window.quota // 4)

    def _at_once(self, free: int, window: Window, now: float) -> int:
        """Return how many have to be on their way at once to use nearly all of what is free before the window ends."""
        assert window.quota is not None  # the caller looked
        wanted = free - window.quota // 20
        return max(math.ceil(wanted * self._latency / max(window.ends - now, GUARD)), 1)

    def _expected(self, window: Window, now: float) -> float:
        """Return how many requests other apps will send while one of ours is on its way."""
        assert window.quota is not None  # the caller looked
        began = window.ends - window.length
        rate = window.others / max(now - began, window.length / 20)
        return min(1.5 * rate * self._latency, window.quota / 25)

    def _left_to_others(self, quota: int) -> int:
        return min(int(quota * self.leave_quota), quota - 1)

    def _window(self, now: float) -> Window:
        """Return the present window, a new one where the old is over."""
        window = self.window
        if now >= window.ends and window.quota is not None:
            if now >= window.ends + window.length:
                self._probing = True  # nobody has looked for a whole window
            self._turn(now + window.length, window.quota, told=False)  # until an answer tells
        return window

    def _turn(self, ends: float, left: int, *, told: bool) -> None:
        """Begin the next window."""
        window = self.window
        window.number += 1
        window.ends, window.left, window.told = ends, left, told
        window.sent, window.carried = 0, self._in_flight
        self._burst_before = max(self._burst, self._burst_before * 3 // 4)
        self._burst = 0

    def _let_through(self) -> Ticket:
        now = self.clock()
        window = self._window(now)
        window.sent += 1
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        if self.max_requests is not None:
            self._recent.append(now)
        return Ticket(window.number, now)

    # -- learning ------------------------------------------------------------------------------

    def leave(self, ticket: Ticket, status: int | None, headers: Mapping[str, str]) -> float | None:
        """Learn from an answer, or from there being none; return the pause in seconds that a 429 asks for."""
        with self._lock:
            now = self.clock()
            self._in_flight -= 1
            self._latency += ((now - ticket.at) - self._latency) / (8 if self._latency else 1)
            window = self._window(now)
            if status is None and ticket.window == window.number:
                window.left -= 1  # it may have been counted
            reset = seconds(headers.get("x-rate-limit-time-reset-ms"), 1000)
            self._see(ticket, now, headers, reset)
            pause = None
            if status == 429:
                self._refusals += 1
                self._burst = max(self._burst, (self.window.quota or 0) // 10)  # somebody took what was left
                pause = self._pause(reset, headers)
                self._paused_until = max(self._paused_until, now + pause)
                self._probing = True
            elif status is not None:
                self._probing, self._refusals = False, 0
            self._answered.notify_all()
            return pause

    def _see(self, ticket: Ticket, now: float, headers: Mapping[str, str], reset: float | None) -> None:
        quota, left = (whole(headers.get(f"x-rate-limit-requests-{name}")) for name in ("quota", "left"))
        length = seconds(headers.get("x-rate-limit-time-window-ms"), 1000)
        if quota is None or left is None or reset is None or quota < 1:
            return
        window = self.window
        if length:
            window.length = length
        reset = min(reset, window.length)
        ends = now + reset + GUARD
        if window.quota is None:  # the first answer ever
            window.quota, window.left, window.ends, window.told = quota, left, ends, True
            return
        window.quota = quota
        if ticket.window != window.number and (reset < window.length / 2 or now - ticket.at > window.length / 2):
            return  # of a window that is over
        if window.told and ends > window.ends + window.length / 2:
            # the store's window ended before we thought: this answer is of the next one
            self._turn(ends, left, told=True)
            return
        window.ends, window.told = min(window.ends, ends) if window.told else ends, True
        before = window.others
        window.left = min(window.left, left)
        self._burst = max(self._burst, window.others - before)

    def _pause(self, reset: float | None, headers: Mapping[str, str]) -> float:
        """Return how long a 429 asks us to wait: what it says, or a growing time where it says nothing."""
        after = seconds(headers.get("x-retry-after"), 1)
        if after is None:
            after = seconds(headers.get("retry-after"), 1)
        growing = min(2.0 ** min(self._refusals, 6), 60.0) * (0.75 + self._random() / 2)
        said = [value for value in (reset, after) if value is not None]
        if not said:
            return growing
        pause = min(max(said) + GUARD, LONGEST_PAUSE)
        return pause if self._refusals <= 2 else max(pause, growing)  # it said so before, and it was not so


def seconds(text: str | None, per_second: int) -> float | None:
    """Return a header's number in seconds; None for what is no number, negative, or absurdly large."""
    try:
        value = float(text or "") / per_second
    except ValueError:
        return None
    return value if 0 <= value <= NONSENSE else None


def whole(text: str | None) -> int | None:
    """Return a header's whole number; None where it is none. Less than nothing is nothing."""
    try:
        return max(int(text or ""), 0)
    except ValueError:
        return None


class Throttle(BaseTransport):
    """An httpx transport around another one that keeps the requests of all threads within the quota.

    Every request counts. A 429 proves that nothing was stored, so the request is sent again after
    the pause, which all threads keep; after `refusals` of them in a row for one request, the last
    one is returned as it is.

    >>> import httpx
    >>> client = httpx.Client(transport=Throttle(httpx.HTTPTransport(), leave_quota=0.2))
    """

    def __init__(self, transport: BaseTransport, *, leave_quota: float = 0.2,
                 max_requests: tuple[int, float] | None = None, refusals: int = 10,
                 sleep: Callable[[float], object] = time.sleep, clock: Callable[[], float] = time.monotonic,
                 on_pause: Callable[[float], object] | None = None) -> None:
        if not 0 <= leave_quota < 1:
            raise ValueError("leave_quota is a share: 0 or more, below 1")
        self.transport, self.refusals, self.sleep, self.on_pause = transport, refusals, sleep, on_pause
        self.governor = Governor(leave_quota=leave_quota, max_requests=max_requests, clock=clock)
        self.sent: Counter[str] = Counter()  #: Requests by method, repeated ones too.
        self._count = threading.Lock()

    def handle_request(self, request: Request) -> Response:
        first = bool(request.extensions.get(FIRST))
        for remaining in range(self.refusals - 1, -1, -1):
            ticket = self.governor.enter(self.sleep, first=first)
            with self._count:
                self.sent[request.method] += 1
            try:
                response = self.transport.handle_request(request)
            except BaseException:
                self.governor.leave(ticket, None, {})
                raise
            pause = self.governor.leave(ticket, response.status_code, response.headers)
            if pause is None or not remaining:
                break
            response.close()
            level = logging.WARNING if pause >= LONG_PAUSE else logging.INFO
            log.log(level, "the store asks for a pause of %.0f s (429)", pause)
            if self.on_pause is not None:
                self.on_pause(pause)
        return response

    def close(self) -> None:
        self.transport.close()
