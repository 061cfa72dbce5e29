"""How many requests a store takes in a window of time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable


class Quota:
    """A window of time that opens with the first request, and the requests that are left in it.

    `quota` None: no limit, and no headers that tell of one.
    """

    def __init__(self, quota: int | None, window_seconds: float, clock: Callable[[], float]) -> None:
        self.quota = quota
        self.window_seconds = window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._opened = -math.inf
        self._spent = 0

    def take(self) -> bool:
        """Count one request; False where none was left."""
        with self._lock:
            self._turn()
            if self.quota is not None and self._spent >= self.quota:
                return False
            self._spent += 1
            return True

    def spend(self, requests: int) -> None:
        """Count the requests of another app on the store."""
        with self._lock:
            self._turn()
            self._spent = min(self._spent + requests, self.quota if self.quota is not None else 0)

    def headers(self, *, refused: bool = False) -> list[tuple[str, str]]:
        """Return the headers that tell where the quota stands."""
        with self._lock:
            if self.quota is None:
                return []
            left = max(0.0, self._opened + self.window_seconds - self._clock())
            spent = self._spent if left else 0
            told = [("X-Rate-Limit-Time-Window-Ms", str(round(self.window_seconds * 1000))),
                    ("X-Rate-Limit-Time-Reset-Ms", str(math.ceil(left * 1000))),
                    ("X-Rate-Limit-Requests-Quota", str(self.quota)),
                    ("X-Rate-Limit-Requests-Left", str(self.quota - spent))]
            return [*told, ("X-Retry-After", str(max(1, math.ceil(left))))] if refused else told

    def _turn(self) -> None:
        now = self._clock()
        if now >= self._opened + self.window_seconds:
            self._opened, self._spent = now, 0
