"""How well a budget is met: encodes, share of the budget used, and how the picture looks, beside two others.

Run by hand, with `ssimulacra2` (and `scikit-image`, for real photographs) from the package index
and ImageMagick installed; writes Markdown to standard output:

    python tests/benchmarks/fit.py > report.md
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from imagepipe.asset import Asset, Facts, Frame, Pixels
from imagepipe.fitting import within
from imagepipe.stages import Fit

QUALITIES = (80, 91)  # of a plain Pillow encode; its size, and a little more, is the budget
REAL = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "ihc.png",
        "motorcycle_left.png", "retina.jpg")


@dataclass
class Score:
    """What one way did over all pictures."""

    encodes: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    seconds: float = 0.0
    over: int = 0


def spectrum(width: int, height: int, slope: float, seed: int, amplitude: float = 50) -> Image.Image:
    """Noise whose power falls with the frequency to the power of `slope`: 0 is white, photographs are near 2."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    channels = []
    for _ in range(3):
        noise = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width))) * frequency ** (-slope / 2),
                              s=(height, width))
        noise /= noise.std()
        channels.append(0.8 * (channels[0] if channels else noise) + 0.4 * noise)
    return Image.fromarray(np.clip(np.stack(channels, -1) * amplitude + 128, 0, 255).astype(np.uint8))


def scene(width: int, height: int, seed: int) -> Image.Image:
    """A sky of gradients, patches of texture, lines, text, and the noise of a sensor."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    sky = np.stack([90 + 100 * down / height, 120 + 60 * across / width, 180 - 90 * down / height], -1)
    image = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))
    for number in range(6):
        size = (int(width * random.uniform(0.15, 0.5)), int(height * random.uniform(0.15, 0.5)))
        patch = spectrum(*size, random.uniform(0.8, 3), seed * 10 + number, random.uniform(15, 60))
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).ellipse((0, 0, *size), fill=255)
        image.paste(patch, (int(random.integers(0, width - size[0])), int(random.integers(0, height - size[1]))), mask)
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        color = tuple(int(value) for value in random.integers(0, 256, 3))
        end = (x + int(random.integers(-width // 5, width // 5)), y + int(random.integers(-height // 5, height // 5)))
        draw.line((x, y, *end), fill=color, width=int(random.integers(1, 8)))
        draw.text((x, y), "Merino shirt, size M", fill=color, font_size=int(random.integers(10, max(11, height // 20))))
    noise = random.normal(0, random.uniform(1, 5), (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def pictures() -> dict[str, Image.Image]:
    """The pictures, by name: made here, and the photographs of scikit-image where that is installed."""
    found = {f"scene {seed}": scene(1400, 1050, seed) for seed in range(3)}
    found |= {f"noise 1/f^{slope}": spectrum(1000, 750, slope, slope) for slope in (0, 1, 2)}
    try:
        import skimage
    except ImportError:
        say("scikit-image is not installed: no real photographs", file=sys.stderr)
        return found
    folder = Path(skimage.__file__).parent / "data"
    return found | {name: Image.open(folder / name).convert("RGB") for name in REAL if (folder / name).exists()}


def by_imagepipe(image: Image.Image, budget: int) -> tuple[bytes, int]:
    """Fit, counting what it says of its encodes."""
    counted = []
    search = within.search

    def counting(*args: object) -> object:
        found = search(*args)  # type: ignore[arg-type]  # passed through
        counted.append(found.encodes)
        return found

    within.search = counting  # type: ignore[assignment]  # to count
    try:
        asset = Asset("x", pixels=Pixels((Frame(image),)), facts=Facts("jpeg", *image.size))
        fitted = Fit(budget, quality=100, min_quality=20)(asset)
    finally:
        within.search = search
    assert fitted.data is not None and fitted.facts is not None
    assert (fitted.facts.format, fitted.facts.width) == ("jpeg", image.width)
    return fitted.data, sum(counted)


def by_bisecting(image: Image.Image, budget: int) -> tuple[bytes, int]:
    """What one would write: bisect Pillow's quality, with optimised tables."""
    low, high, encodes = 1, 100, 0
    best = b""
    while low <= high:
        quality = (low + high) // 2
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality, optimize=True)
        encodes += 1
        if out.tell() <= budget:
            best, low = out.getvalue(), quality + 1
        else:
            high = quality - 1
    return best, encodes


def by_imagemagick(image: Image.Image, budget: int) -> tuple[bytes, int]:
    """`convert -define jpeg:extent`, which bisects its qualities from 1 to 100: 7 encodes, by arithmetic."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.ppm"), Path(folder, "out.jpg")
        image.save(source)
        subprocess.run(["convert", source, "-define", f"jpeg:extent={budget}B", target], check=True)
        return target.read_bytes(), 7


def looks(image: Image.Image, data: bytes) -> float:
    """ssimulacra2 of an encoded picture against the original: 100 is the same, 90 hard to tell, 70 high quality."""
    import ssimulacra2

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = Path(folder, "a.png"), Path(folder, "b.png")
        image.save(first, compress_level=0)
        Image.open(io.BytesIO(data)).convert("RGB").save(second, compress_level=0)
        return float(ssimulacra2.compute_ssimulacra2(str(first), str(second)))


def say(line: str, **settings: Any) -> None:
    print(line, **settings, flush=True)  # noqa: T201 - a script that prints


def main() -> None:
    """Print the report."""
    ways: dict[str, Callable[[Image.Image, int], tuple[bytes, int]]] = {
        "imagepipe": by_imagepipe, "ImageMagick": by_imagemagick, "Pillow, bisecting": by_bisecting}
    scores = {name: Score() for name in ways}
    say("| picture | budget | " + " | ".join(f"{name}: encodes, share, ssimulacra2" for name in ways) + " |")
    say("|---|---|" + "---|" * len(ways))
    for name, image in pictures().items():
        for quality in QUALITIES:
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            budget = out.tell() + 177
            cells = []
            for way, encode in ways.items():
                started = time.process_time()
                data, encodes = encode(image, budget)
                score = scores[way]
                score.seconds += time.process_time() - started
                score.encodes.append(encodes)
                score.shares.append(len(data) / budget)
                score.over += len(data) > budget
                score.looks.append(looks(image, data))
                cells.append(f"{encodes}, {len(data) / budget:.1%}, {score.looks[-1]:.1f}")
            say(f"| {name} | {budget:,} | " + " | ".join(cells) + " |")
    say("\n| | encodes, mean | most | share of the budget, mean | over the budget | ssimulacra2, mean |")
    say("|---|---|---|---|---|---|")
    for way, score in scores.items():
        say(f"| {way} | {statistics.mean(score.encodes):.2f} | {max(score.encodes)} | "
            f"{statistics.mean(score.shares):.2%} | {score.over} | {statistics.mean(score.looks):.2f} |")
    say(f"\nProcessor time of imagepipe, samples included: {scores['imagepipe'].seconds:.1f} s; "
        f"of the bisecting loop: {scores['Pillow, bisecting'].seconds:.1f} s.")


if __name__ == "__main__":
    main()
