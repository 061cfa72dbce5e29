"""Peak memory of preparing one large picture in a fresh process, beside what `budget.reserve` was told.

Run by hand on Linux, with the test requirements installed; writes Markdown to standard output:

    python tests/benchmarks/memory.py [MEGAPIXELS ...] > report.md
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = {12: (4000, 3000), 50: (8160, 6120), 200: (16320, 12240)}
LARGE = {"max_bytes": 500_000_000, "max_source_bytes": 500_000_000}  # so that only what is meant to be is over a limit
HEIC_UP_TO = 50  # megapixels: encoding more takes minutes


def picture(path: Path, size: tuple[int, int], **options: Any) -> None:
    """Write a picture as large as asked for: a photograph of one megapixel, many times."""
    import pyvips

    from imagepipe.testing import photo

    one = photo(1000, 1000)
    tile = pyvips.Image.new_from_memory(one.tobytes(), 1000, 1000, 3, "uchar").copy(interpretation="srgb")
    whole = tile.replicate(-(-size[0] // 1000), -(-size[1] // 1000)).crop(0, 0, *size)
    orientation = options.pop("orientation", 0)
    if orientation:
        whole.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    if path.suffix == ".heic":
        import pillow_heif

        pillow_heif.from_bytes("RGB", size, whole.write_to_memory()).save(path, quality=60)
    else:
        whole.write_to_file(str(path), **options)


#: What is done: the file's type, how it is written, how it is prepared.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "JPEG, untouched": ("jpg", {"Q": 88}, LARGE),
    "JPEG, progressive, untouched": ("jpg", {"Q": 88, "interlace": True}, LARGE),
    "JPEG, sideways": ("jpg", {"Q": 88, "orientation": 6}, LARGE),
    "JPEG, over 8 MB": ("jpg", {"Q": 95}, {}),
    "JPEG, over max_edge": ("jpg", {"Q": 88}, {"max_edge": 2000}),
    "PNG, untouched": ("png", {"compression": 1}, LARGE),
    "PNG, over max_edge": ("png", {"compression": 1}, {"max_edge": 2000}),
    "TIFF": ("tif", {"compression": "lzw"}, LARGE),
    "HEIC": ("heic", {}, LARGE),
}


def measure(path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Prepare a picture in this process; return its peak beyond what a fresh worker has, and what was reserved."""
    import importlib

    from imagepipe import budget
    from imagepipe.api import Shaping
    from imagepipe.asset import Asset
    from imagepipe.pipeline import attempt
    from imagepipe.workers.executor import PRELOAD

    for name in PRELOAD:
        importlib.import_module(name)
    said: list[int] = []
    budget.set_keeper(said.append)
    before = _status("VmRSS")
    started = time.monotonic()
    outcome = attempt(Shaping(**settings).pipeline(), Asset(path, location=path))
    seconds = time.monotonic() - started
    return {"peak": _status("VmHWM") - before, "fresh": before, "reserved": max(said, default=0), "seconds": seconds,
            "result": outcome.code or (outcome.asset.facts.format if outcome.asset.facts else ""),
            "untouched": outcome.asset.lossless, "reason": outcome.reason}


def _status(name: str) -> int:
    """Return a size that Linux says of this process, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a script that prints


def in_process(task: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function of this file in a process of its own, so that its memory is nobody else's."""
    done = subprocess.run([sys.executable, __file__, "--task", task.__name__, json.dumps(arguments)],
                          capture_output=True, text=True)
    if done.returncode:
        return {"died": done.stderr.strip().splitlines()[-1:] or [str(done.returncode)]}
    return json.loads(done.stdout)


def write(path: str, size: list[int], options: dict[str, Any]) -> None:
    """Do what `picture` does, with what fits into JSON."""
    picture(Path(path), (size[0], size[1]), **options)


def main(megapixels: list[int]) -> None:
    """Print the report."""
    say("| picture | MP | file | peak | reserved | reserved / peak | seconds | became |")
    say("|---|---|---|---|---|---|---|---|")
    fresh = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (suffix, options, settings) in CASES.items():
            for size in megapixels:
                if suffix == "heic" and size > HEIC_UP_TO:
                    continue
                path = Path(folder, f"picture.{suffix}")
                in_process(write, str(path), SIZES[size], options)
                result = in_process(measure, str(path), settings)
                if "died" in result:
                    say(f"| {name} | {size} | {path.stat().st_size / 1e6:.1f} MB | died: {result['died']} | | | | |")
                    continue
                fresh = result["fresh"]
                said, peak = result["reserved"], result["peak"]
                file = path.stat().st_size
                say(f"| {name} | {size} | {file / 1e6:.1f} MB | {peak / 1e6:.0f} MB | {said / 1e6:.0f} MB "
                    f"| {said / peak:.1f} | {result['seconds']:.1f} | {result['result']} |")
    say(f"\nPeaks are beyond the {fresh / 1e6:.0f} MB of a fresh worker (resident set, VmHWM of /proc).")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--task"]:
        tasks: dict[str, Callable[..., Any]] = {"write": write, "measure": measure}
        answer = tasks[sys.argv[2]](*json.loads(sys.argv[3]))
        say(json.dumps(answer))
    else:
        main([int(word) for word in sys.argv[1:]] or list(SIZES))
