"""Thousands of small pictures through random faults: `python tests/benchmarks/soak.py [IMAGES] [PRODUCTS] [SEED]`.

Against the store of tests/faulty_store.py, of whose requests one in fifty goes wrong in a random
way, one in four hundred for a while; run again and again until a run is clean. Then the totals have
to be exact: every picture is there, none twice. Prints the memory in use after so many outcomes.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from faulty_runs import VirtualTime, hurried
from faulty_store import HTML, Fault, FaultyStore, Request, raw, status

from imagepipe import api
from imagepipe.deadlines import Pace
from imagepipe.stores.connection import Patience

FAULTS = [(act, commits) for commits in (False, True) for act in (
    raw(b"", then="reset"), raw(b""), raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), status(500), status(502), status(503),
    status(504), status(200, content=b"{"), status(200, content=b""), raw(b"\x16\x03\x01" * 40),
    status(502, "Content-Type: text/html", content=HTML))]
REPORTED = (100, 500, 1_000, 2_000, 5_000, 10_000, 15_000)  # outcomes
FAULTS += [(status(429, "X-Rate-Limit-Time-Reset-Ms: 900", "X-Retry-After: 1"), False)]


class Unreliable(FaultyStore):
    """A store that fails now and then, by a seed, and keeps no record of requests."""

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.chance = random.Random(seed)
        self.faults, self.burst = 0, 0

    def _fault_for(self, request: Request) -> Any:
        super()._fault_for(request)
        with self.lock:
            self.requests.clear()
            if self.chance.random() < 1 / 400:
                self.burst = 12
            self.burst -= self.burst > 0
            if not self.burst and self.chance.random() > 1 / 50:
                return None
            self.faults += 1
            act, commits = self.chance.choice(FAULTS)
        return Fault("random", act, commits=commits).do


def serve(pipe: Any, seed: int, products: int) -> None:
    """Be the store, in a process of its own so that its memory is not counted; tell at the end what it holds."""
    with Unreliable(seed, products={number: f"P{number}" for number in range(1, products + 1)}) as store:
        pipe.send(store.base_url)
        pipe.recv()
        held = Counter((product, image["name"].rpartition(".")[0][-25:-9])
                       for product, shown in store.images.items() for image in shown.values())
        pipe.send((len(store.sent), store.faults, held, len(store.wrong)))


def small_jpegs(folder: Path, count: int) -> None:
    """Write JPEGs of a few hundred bytes, each with other pixels: its number, in squares of sixteen greys."""
    from PIL import Image

    for number in range(count):
        image = Image.new("L", (64, 8), 128)
        for digit in range(8):
            image.paste(16 * (number >> 4 * digit & 15) + 8, (8 * digit, 0, 8 * digit + 8, 8))
        image.save(folder / f"{number}.jpg", quality=90)


def resident() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    """Run until clean, and count."""
    images, products, seed = (*map(int, sys.argv[1:]), *(20_000, 2_000, 1)[len(sys.argv) - 1:])
    virtual = VirtualTime()

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(there, seed, products), daemon=True)
    server.start()
    base_url = here.recv()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_jpegs(folder, images)
        rows = [{"image": f"{number}.jpg", "product_id": 1 + number * products // images} for number in range(images)]
        say(f"{images:,} pictures, {products:,} products, seed {seed}; {resident():.0f} MB before the first run")
        for attempt in range(1, 100):
            began, cpu = time.monotonic(), time.process_time()
            with hurried(base_url, virtual, connections=4, pace=Pace(progress=20, total=60),
                         patience=Patience(budget=1e9)) as client:
                run = api.upload(rows, client, ledger=folder / "ledger", jobs=0, roots=[folder],
                                 upload_options={"sleep": virtual.sleep})
                for number, _ in enumerate(run, 1):
                    if number in REPORTED or number % 20_000 == 0 or number == images:
                        say(f"  run {attempt}: {number:,} outcomes after {time.monotonic() - began:.0f} s "
                            f"({time.process_time() - cpu:.0f} s of processor), {resident():.0f} MB")
            counts = {str(status): count for status, count in run.summary.counts.items() if count}
            say(f"run {attempt}: exit code {int(run.summary.exit_code)}, {counts}; {run.summary.stopped or '-'}")
            if run.summary.exit_code == 0:
                break
    here.send("the end")
    made, faults, held, wrong = here.recv()
    say(f"{faults:,} faults, {made:,} images made, {held.total():,} held, {sum(n > 1 for n in held.values())} twice, "
        f"{images - len(held)} missing, {wrong} wrong requests; {resident():.0f} MB")
    sys.exit(not (held.total() == len(held) == images and not wrong))


if __name__ == "__main__":
    main()
