"""Time and memory of a folder of photographs that already comply, beside libvips encoding them again.

Run by hand; writes Markdown to standard output:

    python tests/benchmarks/speed.py [COUNT] > report.md
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagepipe.api import Shaping
from imagepipe.asset import Asset

SIZE = (4000, 3000)
VARIANTS = 4  # different pictures; the others are copies


def photograph(seed: int) -> Image.Image:
    """A picture of 12 MP with the spectrum of a photograph, and the noise of a sensor."""
    random = np.random.default_rng(seed)
    width, height = SIZE
    total = np.zeros((height, width, 3), np.float32)
    for level in range(1, 9):
        small = random.normal(0, 1, (max(2, height >> level), max(2, width >> level), 3)).astype(np.float32)
        planes = [Image.fromarray(small[..., band]).resize(SIZE, Image.Resampling.BICUBIC) for band in range(3)]
        total += np.stack([np.asarray(plane) for plane in planes], -1) * 1.7 ** level
    total = total / total.std() * 45 + 125 + random.normal(0, 3, (height, width, 1))
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def by_imagepipe(path: str) -> int:
    """Put one file through the stages that prepare; return the bytes that would leave."""
    asset = Shaping().pipeline()(Asset(path, location=path))
    assert asset.data is not None and asset.lossless
    return len(asset.data)


def by_vips(path: str) -> int:
    """Encode one file again, without its metadata."""
    import pyvips

    image = pyvips.Image.new_from_file(path, access="sequential", fail_on="warning")
    return len(image.jpegsave_buffer(Q=85, keep="none"))


def two_processes(paths: list[str], results: Any) -> None:
    """Run imagepipe in two worker processes."""
    started = time.monotonic()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as workers:
        list(workers.map(by_imagepipe, paths))
    results.put((time.monotonic() - started, *_used(resource.RUSAGE_CHILDREN)))


def two_threads(paths: list[str], results: Any) -> None:
    """Run libvips in two threads, each image in one."""
    started = time.monotonic()
    with ThreadPoolExecutor(2) as workers:
        list(workers.map(by_vips, paths))
    results.put((time.monotonic() - started, *_used(resource.RUSAGE_SELF)))


def _used(who: int) -> tuple[float, float]:
    """Return processor time in seconds, and the peak memory of the largest process in MB (Linux)."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a script that prints


def main() -> None:
    """Print the report."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(count):
            path = Path(folder, f"photo-{number:04}.jpg")
            if number < VARIANTS:
                photograph(number).save(path, quality=88, optimize=True)
            else:
                shutil.copy(paths[number % VARIANTS], path)
            paths.append(str(path))
        size = sum(Path(path).stat().st_size for path in paths) / count / 1e6
        say(f"{count} JPEGs of {SIZE[0]} x {SIZE[1]} pixels and {size:.1f} MB each; "
            f"{multiprocessing.cpu_count()} processors\n")
        say("| | wall clock | processor time | peak memory of a process |")
        say("|---|---|---|---|")
        seconds, processors = [], []
        for name, target in (("imagepipe, 2 worker processes", two_processes), ("libvips, 2 threads", two_threads)):
            results = context.Queue()
            process = context.Process(target=target, args=(paths, results))
            process.start()
            wall, processor, memory = results.get()
            process.join()
            seconds.append(wall)
            processors.append(processor)
            say(f"| {name} | {wall:.1f} s | {processor:.1f} s | {memory:.0f} MB |")
        say(f"\nimagepipe takes {seconds[0] / seconds[1]:.0%} of the time on the wall, and "
            f"{processors[0] / processors[1]:.0%} of the processor time.")


if __name__ == "__main__":
    main()
