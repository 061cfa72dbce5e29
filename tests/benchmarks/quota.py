"""How much of a store's quota is used, and how often too much: `python tests/benchmarks/quota.py [WINDOW_SECONDS]`.

Against the sandbox, with 150 requests a window as on most plans; a shorter window than 30 seconds
makes it quicker and harder, as the same time on the way is a larger part of it. `leave_quota` is 0.
The aims: alone no 429 and 95 % used; beside an app that takes half of the quota, at most one 429 a
window and 90 % of the rest used. Prints a Markdown table.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time

from imagepipe.errors import StopRun
from imagepipe.http import BaseTransport, Request, Response, Transport
from imagepipe.sandbox import Sandbox
from imagepipe.stores.bigcommerce import BigCommerce

QUOTA, THREADS = 150, 4


class Other:
    """Another app on the store, which asks for half of the quota and takes what it gets."""

    def __init__(self, sandbox: Sandbox, window: float, at_once: int) -> None:
        self._sandbox, self._window, self._at_once = sandbox, window, at_once
        self.got = 0

    def run(self, stop: threading.Event) -> None:
        """Spend `at_once` requests at a time, at the pace of half a quota a window."""
        began, asked = time.monotonic(), 0
        while not stop.wait(self._window / QUOTA):
            while asked + self._at_once <= (time.monotonic() - began) / self._window * QUOTA / 2:
                asked += self._at_once
                for _ in range(self._at_once):
                    self.got += self._sandbox._quota.take()  # as `spend(1)` does, and tells whether there was one


class Slow(BaseTransport):
    """Requests that take as long as uploads do: four lines could spend a third more than the whole quota."""

    def __init__(self, transport: BaseTransport, seconds: float) -> None:
        self._transport, self._seconds = transport, seconds

    def handle_request(self, request: Request) -> Response:
        time.sleep(self._seconds * random.uniform(0.2, 1.0))
        response = self._transport.handle_request(request)
        time.sleep(self._seconds * random.uniform(0.2, 0.6))
        return response

    def close(self) -> None:
        self._transport.close()


def measure(name: str, at_once: int, slow: bool, window: float, windows: int) -> str:
    """Return a row of the table."""
    took = THREADS * window / (1.33 * QUOTA) if slow else 0.0
    with Sandbox(products=["A"], quota=QUOTA, window_seconds=window) as sandbox:
        store = BigCommerce(sandbox.store_hash, sandbox.token, base_url=sandbox.base_url, leave_quota=0.0,
                            transport=Slow(Transport(connections=THREADS), took))
        product = store.product_ids(["A"])["A"]
        stop = threading.Event()

        def we() -> None:
            with contextlib.suppress(StopRun):
                while not stop.is_set():
                    store.images(product)

        other = Other(sandbox, window, at_once)
        threads = [threading.Thread(target=we) for _ in range(THREADS)]
        if at_once:
            threads.append(threading.Thread(target=other.run, args=(stop,)))
        before = store.usage()["GET"]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        time.sleep(window * windows)
        sent, seconds, got = store.usage()["GET"] - before, time.monotonic() - began, other.got
        refused = sum(request.status == 429 for request in sandbox.requests)
        stop.set()
        store.interrupt()
        for thread in threads:
            thread.join()
        store.close()
    passed, rest = sent - refused, QUOTA * seconds / window - got
    return (f"| {name} | {window:g} s | {seconds / window:.1f} | {got} | {passed} | {passed / rest:.1%} | "
            f"{refused} | {refused * window / seconds:.2f} |")


def main() -> None:
    """Print the table."""
    window = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    windows = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    sys.stdout.write("| another app asks for | window | windows | it got | we got | of the rest | 429 | "
                     "429 a window |\n|---|---|---|---|---|---|---|---|\n")
    for name, at_once, slow in (("none, and a quick line", 0, False), ("none", 0, True), ("half, steadily", 1, True),
                                ("half, 15 at once", 15, True)):
        sys.stdout.write(measure(name, at_once, slow, window, windows) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
