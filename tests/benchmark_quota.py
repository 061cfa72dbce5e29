"""How much of a store's quota is used, and how often too much: `python tests/benchmark_quota.py [WINDOW_SECONDS]`.

The sandbox, with 150 requests a window as on most plans, and a window that is shorter so that it
is done in a moment. Alone, the aim is no 429 and 95 % used; beside another app that takes half of
it in an even stream, at most one 429 a window and 90 % of the rest used.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time

from imagepipe.errors import StopRun
from imagepipe.http import Request, Transport
from imagepipe.sandbox import Sandbox
from imagepipe.stores.bigcommerce import BigCommerce

QUOTA, WINDOWS, THREADS = 150, 8, 4


def measure(window: float, *, shared: bool) -> str:
    """Return one line of figures."""
    with Sandbox(products=["A"], quota=QUOTA, window_seconds=window) as sandbox:
        store = BigCommerce(sandbox.store_hash, sandbox.token, base_url=sandbox.base_url, leave_quota=0.0)
        product = store.product_ids(["A"])["A"]
        stop, passed, refused = threading.Event(), [0], [0]

        def we() -> None:
            with contextlib.suppress(StopRun):
                while not stop.is_set():
                    store.images(product)

        def they() -> None:
            transport = Transport(connections=1)
            while not stop.wait(window / (QUOTA / 2)):
                request = Request("GET", f"{sandbox.base_url}/catalog/products?limit=1",
                                  headers={"X-Auth-Token": sandbox.token})
                response = transport.handle_request(request)
                response.read()
                response.close()
                (passed if response.status_code == 200 else refused)[0] += 1
            transport.close()

        threads = [threading.Thread(target=we) for _ in range(THREADS)]
        if shared:
            threads.append(threading.Thread(target=they))
        began, before = time.monotonic(), store.usage()["GET"]
        for thread in threads:
            thread.start()
        time.sleep(window * WINDOWS)
        sent = store.usage()["GET"] - before
        seconds = time.monotonic() - began
        stop.set()
        store.interrupt()
        for thread in threads:
            thread.join()
        ours = sum(request.status == 429 for request in sandbox.requests) - refused[0]
        store.close()
    rest = QUOTA * seconds / window - passed[0]
    return (f"{'beside another app' if shared else 'alone':18}  {seconds / window:.1f} windows of {window:g} s: "
            f"{(sent - ours) / rest:.1%} of {rest:,.0f} used, {ours} times 429")


def main() -> None:
    """Print the figures."""
    window = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    for shared in (False, True):
        sys.stdout.write(measure(window, shared=shared) + "\n")


if __name__ == "__main__":
    main()
