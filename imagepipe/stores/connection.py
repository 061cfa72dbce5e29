"""Requests to one store: repeated where that is harmless, given up where it is not."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from imagepipe.answer import Answer, BrokenOff, NoConnection, Nonsense, Secret
from imagepipe.errors import Ambiguous, StoreBusy, StoreDown, StoreError, StoreUnusable
from imagepipe.http import Request, Response, exchange
from imagepipe.stores import answers
from imagepipe.stores.throttle import FIRST, LONGEST_PAUSE, seconds

log = logging.getLogger("imagepipe")

T = TypeVar("T")

WRITE_CAP = 1_000_000  #: Bytes of an answer to a write.
LISTING_CAP = 32_000_000  #: Bytes of a listing.
FORGOTTEN = 120.0  #: Seconds without an attempt to connect, after which an outage does not count any more.


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a store is asked again before it is given up."""

    attempts: int = 6  #: Of one read.
    pause: float = 0.5  #: Seconds before the first repetition; doubles each time.
    longest: float = 30.0  #: Seconds between two.
    lost_writes: int = 10  #: In a row, over all pictures: then the run ends.
    budget: float = 50.0  #: Repetitions that a run has in hand.
    earned: float = 0.2  #: Repetitions that a request which works gives back.


class Connection:
    """Sends requests, and makes of what comes back an answer or an error of ours.

    Nothing sent (no connection): waits for the network, up to `wait_for_network` seconds from when
    it went away. Something sent and no answer: a read is repeated, a write is `Ambiguous`.
    """

    def __init__(self, root: str, send: Callable[[Request], Response], headers: Mapping[str, str], token: Secret, *,
                 wait_for_network: float = 900.0, patience: Patience | None = None,
                 sleep: Callable[[float], object] = time.sleep, clock: Callable[[], float] = time.monotonic,
                 on_wait: Callable[[str], object] | None = None) -> None:
        self.root, self.host = root, urlsplit(root).netloc
        self.token = token
        self._send, self._headers = send, dict(headers)
        self.wait_for_network, self.patience = wait_for_network, patience or Patience()
        self.sleep, self.clock, self.on_wait = sleep, clock, on_wait
        self._lock = threading.Lock()
        self._offline_since: float | None = None
        self._last_failure = 0.0
        self._ever_connected = False
        self._budget = self.patience.budget
        self._failures = 0  # of any request, in a row
        self._lost_writes = 0  # in a row

    # -- reads, and writes that may be repeated ----------------------------------------------------

    def read(self, path: str, query: str, parse: Callable[[Answer], T], *, first: bool = False) -> T:
        """GET until there is an answer that `parse` takes; it raises `BrokenOff` for one that makes no sense.

        Raises `StopRun` where the store is down or is none, `StoreBusy` where only this cannot be had.
        """
        url = f"{path}?{query}" if query else path
        return self._repeated("GET", url, parse, cap=LISTING_CAP, extensions={FIRST: True} if first else {})

    def repeat(self, method: str, path: str, parse: Callable[[Answer], T], json: object = None) -> T:
        """Carry out a write that may be carried out twice, as `read` does."""
        return self._repeated(method, path, parse, cap=WRITE_CAP, json=json)

    def _repeated(self, method: str, path: str, parse: Callable[[Answer], T], **request: Any) -> T:
        problem: StoreError = StoreBusy("")
        for attempt in range(self.patience.attempts):
            wait = 0.0
            try:
                answer = self._exchange(method, path, **request)
                if answer.status in answers.TEMPORARY or answer.status in answers.BUSY:
                    said = answers.explained(answer, self.token)
                    problem = StoreBusy(f"the store answers with an error ({said}), also after waiting")
                    wait = min(seconds(answer.headers.get("retry-after"), 1) or 0.0, LONGEST_PAUSE)
                else:
                    return self._understood(answer, parse)
            except Nonsense as nonsense:
                problem = StoreUnusable(f"{self.host} does not answer as BigCommerce's API does: {nonsense}; check "
                                        "--base-url, and that nothing between changes the answers")
            except BrokenOff as broken:
                problem = StoreBusy(f"{broken}, also after {attempt + 1} attempts")
            log.info("%s %s: %s", method, path.partition("?")[0], problem)
            if attempt + 1 == self.patience.attempts or not self._may_repeat():
                break
            self.sleep(max(self._growing(attempt), wait))
        if isinstance(problem, StoreBusy) and self._is_down():
            raise StoreDown(f"the store does not work at the moment: {problem}; try again later")
        raise problem

    def _understood(self, answer: Answer, parse: Callable[[Answer], T]) -> T:
        """Return what an answer says; the store works, be it a refusal."""
        try:
            result = parse(answer)
        except StoreError:
            self._worked()
            raise
        self._worked()
        return result

    def _growing(self, attempt: int) -> float:
        """Return the pause before a repetition: doubling, and not the same for all threads."""
        pause = min(self.patience.pause * 2.0 ** attempt, self.patience.longest)
        return pause * (0.75 + random.random() / 2)

    def _may_repeat(self) -> bool:
        """Take a repetition from the run's budget, so that a broken store is not hammered."""
        with self._lock:
            self._failures += 1
            if self._budget < 1:
                return False
            self._budget -= 1
            return True

    def _worked(self) -> None:
        with self._lock:
            self._failures = 0
            self._budget = min(self._budget + self.patience.earned, self.patience.budget)

    def _is_down(self) -> bool:
        """Tell whether the store fails at everything: nothing else has worked meanwhile, nor does the simplest read."""
        with self._lock:
            if self._failures < self.patience.attempts - 1 and self._budget >= 1:
                return False
        with contextlib.suppress(BrokenOff):
            answer = self._exchange("GET", "/catalog/products?include_fields=sku&limit=1", cap=LISTING_CAP)
            if answer.status == 200:
                self._worked()
                return False
        return True

    # -- writes that are sent once -----------------------------------------------------------------

    def write(self, method: str, path: str, parse: Callable[[Answer], T], *, product_id: int, **body: Any) -> T:
        """Send a write, once; raise `Ambiguous` where it may have been carried out all the same."""
        try:
            answer = self._exchange(method, path, cap=WRITE_CAP, **body)
            if 200 <= answer.status < 300:
                return self._success(answer, parse)
            problem = answers.refusal(answer, product_id, self.token)
        except Ambiguous as lost_word:
            problem = lost_word
        except BrokenOff as broken:
            problem = Ambiguous(f"the answer to the upload was lost: {broken}")
            if broken.slow:
                problem.wait = 5.0  # the store may still be at work
        if not isinstance(problem, (Ambiguous, StoreBusy)):
            self._settled()
            raise problem
        with self._lock:
            self._lost_writes += isinstance(problem, Ambiguous)
            lost = self._lost_writes
        problem.wait = max(problem.wait, min(2.0 ** max(lost, 1), 60.0))
        if lost >= self.patience.lost_writes:
            raise StoreDown(f"the last {lost} uploads failed, the last one so: {problem}; try again later")
        raise problem

    def _success(self, answer: Answer, parse: Callable[[Answer], T]) -> T:
        """Return what a 2xx says; raise `Ambiguous` where it does not say what came of the request."""
        try:
            result = parse(answer)
        except BrokenOff as broken:
            problem = Ambiguous(f"the answer to the upload was lost: {broken}")
            problem.accepted = not answer.is_web_page  # which comes from something in between
            raise problem from None
        self._settled()
        return result

    def _settled(self) -> None:
        self._worked()
        with self._lock:
            self._lost_writes = 0

    # -- one exchange ------------------------------------------------------------------------------

    def _exchange(self, method: str, path: str, **request: Any) -> Answer:
        """Send one request as soon as there is a connection; raise `StopRun`, or `BrokenOff`."""
        attempt = 0
        while True:
            try:
                answer = exchange(self._send, method, self.root + path, headers=self._headers,
                                  secret=("X-Auth-Token", self.token), **request)
            except NoConnection as problem:
                self._wait_for_network(problem, attempt)
                attempt += 1
            except BrokenOff:
                self._connected()
                raise
            else:
                break
        self._connected()
        stop = answers.stopping(answer, self.host, self.token)
        if stop is not None:
            raise stop
        return answer

    def _wait_for_network(self, problem: NoConnection, attempt: int) -> None:
        """Sleep a while, saying once that we wait; raise `StopRun` where waiting is no use, or was long enough."""
        if problem.kind == "tls":
            raise StoreUnusable(f"no connection to {self.host} that can be trusted: {problem}; check this computer's "
                                "date, and whether a proxy or virus scanner stands between (its certificate can be "
                                "named in SSL_CERT_FILE)")
        if problem.kind == "proxy":
            raise StoreUnusable(f"no connection to {self.host}: {problem}; check HTTPS_PROXY")
        now = self.clock()
        with self._lock:
            if self._offline_since is not None and now - self._last_failure > FORGOTTEN:
                self._offline_since = None  # that was another outage; nobody has asked since
            news = self._offline_since is None
            since = self._offline_since = now if self._offline_since is None else self._offline_since
            self._last_failure = now
            known = self._ever_connected or problem.kind != "name"
        left = since + self.wait_for_network - now
        if left <= 0:
            raise StoreDown(f"no connection to {self.host} for {duration(now - since)} ({problem}); check the network, "
                            "then run the same command again")
        if news:
            cause = f"no connection to {self.host} ({problem})" if known else \
                f"the name {self.host} cannot be found ({problem}); check --base-url, and the network with " \
                f"'nslookup {self.host.partition(':')[0]}'"
            message = f"{cause}; waiting for it for up to {duration(self.wait_for_network)}"
            log.warning("%s", message)
            if self.on_wait is not None:
                self.on_wait(message)
        self.sleep(min(self._growing(min(attempt + 1, 10)), left))

    def _connected(self) -> None:
        with self._lock:
            was_offline, self._offline_since = self._offline_since is not None, None
            self._ever_connected = True
        if was_offline:
            log.warning("connected to %s again", self.host)


def duration(value: float) -> str:
    """Return seconds in words.

    >>> duration(900), duration(1.5)
    ('15 minutes', '2 seconds')
    """
    if value >= 120:
        return f"{value / 60:.0f} minutes"
    return f"{value:.0f} second{'' if round(value) == 1 else 's'}"
