"""Lattices of colours, and what they are in sRGB by engines that are not ours: libvips, transicc, plain arithmetic."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image
from profiles import SRGB, Points, adapted

STEPS = (0, 1, 8, 31, 64, 97, 128, 160, 200, 233, 254, 255)


def lattice(mode: str, steps: tuple[int, ...] = STEPS) -> Image.Image:
    """All combinations of the steps; of grey, all 256."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    colors = [bytes(color) for color in product(steps, repeat=len(mode))]
    return Image.frombytes(mode, (len(colors), 1), b"".join(colors))


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def furthest(ours: Image.Image, theirs: np.ndarray) -> int:
    return int(np.abs(array(ours) - theirs).max())


def encoded(linear: np.ndarray) -> np.ndarray:
    """Linear light as sRGB, 0 to 255."""
    linear = np.clip(linear, 0, 1)
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(values * 255).astype(int)


def from_xyz(xyz: np.ndarray) -> np.ndarray:
    """XYZ under D50 as sRGB, 0 to 255."""
    return encoded(xyz @ np.linalg.inv(adapted(SRGB)).T)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """CIELAB under D50 as XYZ."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    return np.where(roots > 6 / 29, roots ** 3, (roots - 4 / 29) * 3 * (6 / 29) ** 2) * np.array([0.9642, 1, 0.8249])


def by_arithmetic(image: Image.Image, points: Points, curve: object) -> np.ndarray:
    """RGB of these primaries and this curve (a function or an exponent) as sRGB."""
    values = array(image) / 255
    linear = np.vectorize(curve)(values) if callable(curve) else values ** curve
    return encoded(linear @ (np.linalg.inv(adapted(SRGB)) @ adapted(points)).T)


def by_vips(image: Image.Image, icc: bytes, folder: Path) -> np.ndarray:
    path = folder / "profile.icc"
    path.write_bytes(icc)
    meaning = {"L": "b-w", "RGB": "srgb", "CMYK": "cmyk"}[image.mode]
    raw = pyvips.Image.new_from_memory(image.tobytes(), *image.size, len(image.getbands()), "uchar")
    done = raw.copy(interpretation=meaning).icc_transform(
        "srgb", input_profile=str(path), intent="relative", black_point_compensation=True, depth=8)
    return done.numpy().astype(int).reshape(image.height, image.width, -1)


def by_transicc(image: Image.Image, icc: bytes, folder: Path) -> np.ndarray:
    """What littleCMS's own tool says, not rounded, 0 to 255; it must be installed."""
    (folder / "profile.icc").write_bytes(icc)
    full = 100 / 255 if image.mode == "CMYK" else 1  # it takes inks in per cent
    rows = array(image).reshape(-1, len(image.getbands())) * full
    lines = "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in rows)
    run = subprocess.run(["transicc", "-n", "-t1", "-b", "-c0", "-i", str(folder / "profile.icc"), "-o", "*sRGB"],
                         input=lines, capture_output=True, text=True, check=True, timeout=60)
    values = [[float(value) for value in line.split()] for line in run.stdout.splitlines() if line.strip()]
    result = np.clip(np.array(values), 0, 255)[None]
    assert result.shape == (1, len(rows), 3)
    return result
