"""What every run against tests/faulty_store.py needs: pictures with rows that name them, a clock, and a client."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from faulty_store import TOKEN

from imagepipe.stores.bigcommerce import BigCommerce
from imagepipe.testing import jpeg

Row = dict[str, Any]
#: Where thousands of ledgers are made without a disk that syncs each of them; None: wherever is usual.
IN_MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


@contextlib.contextmanager
def another_host(answer: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """Yield the port of a host that gives every request this answer, and what it has heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(65536))
                    connection.sendall(answer)

        threading.Thread(target=listen, daemon=True).start()
        yield listener.getsockname()[1], heard


class VirtualTime:
    """A clock that runs ahead while anyone sleeps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def clock(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += max(0.0, seconds)
        time.sleep(0)  # let the others have a turn, as a real pause would


def hurried(base_url: str, virtual: VirtualTime, **options: Any) -> BigCommerce:
    """Return a client of the faulty store that waits by `virtual`, and spends all of the quota."""
    return BigCommerce("faulty", TOKEN, base_url=base_url, **{"leave_quota": 0, "sleep": virtual.sleep,
                                                              "clock": virtual.clock, **options})


def seven_rows(folder: Path, products: Sequence[int] = (1, 1, 1, 2, 2, 2), same_as: str = "a.jpg") -> list[Row]:
    """Write `a.jpg` to `f.jpg` for these products, and `g.jpg`, the `same_as` again, for the product SHIRT (1)."""
    rows: list[Row] = []
    for number, (name, product) in enumerate(zip("abcdef", products, strict=True), 1):
        (folder / f"{name}.jpg").write_bytes(jpeg(48, 36, seed=number))
        rows.append({"image": f"{name}.jpg", "product_id": product})
    shutil.copy(folder / same_as, folder / "g.jpg")
    return [*rows, {"image": "g.jpg", "sku": "SHIRT"}]
