"""Decoders that are not Pillow, for looking at what leaves: libvips, ImageMagick, exiftool, djpeg and their like.

libvips comes with the tests. The others are used where they are installed; `needs` says so.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import pyvips
from pictures import chunk


@dataclass(frozen=True)
class Seen:
    """What a decoder makes of a picture."""

    width: int
    height: int
    frames: int
    has_alpha: bool
    pixels: np.ndarray  #: RGBA of 8 bits; frames below each other.
    fields: frozenset[str] = frozenset()  #: What the file carries besides, in libvips' words.


@cache
def magick() -> str | None:
    """The program that converts: of version 6 by its full name, as `convert` may be something else."""
    return shutil.which("convert-im6.q16") or shutil.which("magick") or shutil.which("convert")


def needs(program: str) -> str:
    """Return where a program is, or skip the test."""
    found = magick() if program == "magick" else shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def run(*command: str | Path, data: bytes = b"") -> bytes:
    """Return what a program writes. Fails where it complains."""
    done = subprocess.run([str(word) for word in command], input=data, capture_output=True)
    complaint = done.stderr.decode(errors="replace")
    assert done.returncode == 0 and not complaint.strip(), f"{command[0]}: {complaint or done.returncode}"
    return done.stdout


@cache
def by_vips(data: bytes, *, upright: bool = False, to_srgb: bool = False, fail_on: str = "warning") -> Seen:
    """Decode by libvips, all frames; a warning of its decoder is an error."""
    if data[:4] == b"\x89PNG" and b"acTL" in data:
        return _animated_png(data, fail_on)
    options: dict[str, Any] = {"n": -1} if data[:4] in (b"GIF8", b"RIFF") or data[4:12] == b"ftypavis" else {}
    image = pyvips.Image.new_from_buffer(data, "", fail_on=fail_on, **options)
    fields = frozenset(image.get_fields())
    height = image.get("page-height") if options and "page-height" in fields else image.height
    frames = image.height // height
    if upright:
        turned = image.autorot()
        height = turned.height if turned.height != image.height else height
        image = turned
    if to_srgb and "icc-profile-data" in fields:
        image = image.icc_transform("srgb", intent="relative", black_point_compensation=True, embedded=True)
    if image.format == "ushort":
        image = (image / 257).rint().cast("uchar")
    if image.interpretation == "cmyk":
        image = image.icc_transform("srgb", input_profile="cmyk", intent="relative", black_point_compensation=True)
    image = image.cast("uchar")
    has_alpha = image.bands in (2, 4)
    array = np.frombuffer(image.write_to_memory(), np.uint8).reshape(image.height, image.width, image.bands)
    return Seen(image.width, height, frames, has_alpha, rgba(array), fields)


def _animated_png(data: bytes, fail_on: str) -> Seen:
    """Decode the frames of an APNG one by one, and lay them on each other as the standard says (PNG, 11.3.5)."""
    header, before, parts, at = b"", b"", [], 8
    while at < len(data) and data[at + 4:at + 8] != b"IEND":
        end = at + 12 + int.from_bytes(data[at:at + 4], "big")
        kind, body = data[at + 4:at + 8], data[at + 8:end - 4]
        if kind == b"IHDR":
            header = body
        elif kind in (b"PLTE", b"tRNS"):
            before += data[at:end]
        elif kind == b"fcTL":
            parts.append((struct.unpack(">4IHHBB", body[4:]), []))
        elif parts and kind in (b"IDAT", b"fdAT"):
            parts[-1][1].append(body[4 if kind == b"fdAT" else 0:])
        at = end
    screen = np.zeros((*struct.unpack(">II", header[:8])[::-1], 4))
    shown = []
    for (width, height, left, top, _, _, disposal, blending), rows in parts:
        file = data[:8] + chunk(b"IHDR", struct.pack(">II", width, height) + header[8:]) + before
        frame = by_vips(file + chunk(b"IDAT", b"".join(rows)) + chunk(b"IEND"), fail_on=fail_on).pixels / 255
        place = screen[top:top + height, left:left + width]
        kept = place.copy()
        share = frame[..., 3:] + place[..., 3:] * (1 - frame[..., 3:])
        mixed = frame[..., :3] * frame[..., 3:] + place[..., :3] * place[..., 3:] * (1 - frame[..., 3:])
        over = np.concatenate([mixed / np.maximum(share, 1e-9), share], axis=2)
        place[:] = over if blending else frame
        shown.append(np.rint(screen * 255).astype(np.uint8))
        if disposal:
            place[:] = kept if disposal == 2 and len(shown) > 1 else 0
    pixels = np.concatenate(shown)
    return Seen(screen.shape[1], screen.shape[0], len(shown), bool((pixels[..., 3] < 255).any()), pixels,
                by_vips(data.replace(b"acTL", b"teSt"), fail_on="none").fields)


def by_magick(data: bytes, kind: str = "", *, more: tuple[str, ...] = ("-auto-orient",)) -> Seen:
    """Decode the first frame by ImageMagick; `kind` is for types that have no magic number."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture")
        path.write_bytes(data)
        source = f"{kind + ':' if kind else ''}{path}[0]"
        out = subprocess.run([needs("magick"), source, *more, "-depth", "8", "pam:-"], capture_output=True, check=True)
    head, _, body = out.stdout.partition(b"ENDHDR\n")
    values = dict(line.split(b" ", 1) for line in head.splitlines() if b" " in line)
    width, height, depth = (int(values[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH"))
    array = np.frombuffer(body, np.uint8).reshape(height, width, depth)
    return Seen(width, height, 1, depth in (2, 4), rgba(array))


def rgba(array: np.ndarray) -> np.ndarray:
    """Grey, grey with alpha, RGB or RGBA as RGBA."""
    if array.shape[2] < 3:
        array = np.concatenate([array[..., :1]] * 3 + [array[..., 1:]], axis=2)
    if array.shape[2] == 3:
        array = np.concatenate([array, np.full_like(array[..., :1], 255)], axis=2)
    return array[..., :4]


@cache
def complaints(data: bytes, format: str) -> list[str]:
    """What the tools for one type say that is wrong with a file; those that are not installed say nothing."""
    found = []
    suffix = {"jpeg": "jpg"}.get(format, format)
    commands = {"jpeg": [["djpeg", "-outfile", "/dev/null"]], "png": [["pngcheck", "-q"]], "gif": [["gifsicle", "-I"]],
                "webp": [["webpinfo", "-quiet"]]}[format]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"picture.{suffix}")
        path.write_bytes(data)
        if shutil.which("identify"):
            commands = [*commands, ["identify", "-regard-warnings"]]
        for command in commands:
            if shutil.which(command[0]) is None:
                continue
            done = subprocess.run([*command, path], capture_output=True)
            said = done.stderr + (done.stdout if command[0] == "pngcheck" else b"")
            if done.returncode or said.strip():
                found.append(f"{command[0]}: {said.decode(errors='replace').strip() or done.returncode}")
    return found


class Exiftool:
    """One exiftool for many files: starting it takes longer than asking."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([needs("exiftool"), "-stay_open", "True", "-@", "-"], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._folder = tempfile.TemporaryDirectory()

    def tags(self, data: bytes) -> dict[str, str]:
        """All that it finds, also in what it does not know and in embedded files, as `group:name`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        path = Path(self._folder.name, "picture")
        path.write_bytes(data)
        self._process.stdin.write(f"-json\n-G1\n-a\n-u\n-U\n-ee\n-b\n{path}\n-execute\n".encode())
        self._process.stdin.flush()
        answer = b""
        while not answer.endswith(b"{ready}\n"):
            line = self._process.stdout.readline()
            assert line, "exiftool ended"
            answer += line
        found: dict[str, str] = json.loads(answer.removesuffix(b"{ready}\n"))[0]
        return {name: str(value) for name, value in found.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._process.communicate(b"-stay_open\nFalse\n")
        self._folder.cleanup()


@pytest.fixture(scope="module")
def exiftool() -> Iterator[Exiftool | None]:
    """One exiftool for the tests of a module, where it is installed."""
    if shutil.which("exiftool") is None:
        yield None
        return
    with Exiftool() as asked:
        yield asked
