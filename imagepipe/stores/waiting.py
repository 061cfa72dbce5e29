"""Sleeping that can be ended: what waits for the quota or the network lets go when the run is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from imagepipe.errors import StoreDown


class Waiting:
    """Sleeps as `sleep` does, in any thread, until `interrupt` is called."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._interrupted = threading.Event()

    def __call__(self, seconds: float) -> None:
        """Wait; raise `StoreDown` where there is to be no more waiting."""
        if self._sleep is time.sleep:
            self._interrupted.wait(seconds)
        elif not self._interrupted.is_set():
            self._sleep(seconds)
        if self._interrupted.is_set():
            raise StoreDown("the run was stopped while it waited for the store; run the same command again to go on")

    def interrupt(self, on: bool = True) -> None:
        """End all waiting, now and from now on; with False, allow it again."""
        if on:
            self._interrupted.set()
        else:
            self._interrupted.clear()
