"""Pictures of more than 8 bits a channel whose colours are converted: all their bits count."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from colors import encoded, from_xyz
from pictures import chunk
from PIL import Image
from profiles import (
    ADOBE,
    BT2020,
    P3,
    PROPHOTO,
    SRGB,
    Points,
    adapted,
    assembled,
    colorants,
    gray_profile,
    parametric,
    rgb_profile,
    srgb_curve,
    to_xyz,
)

from imagepipe.asset import Asset, Color
from imagepipe.codecs import tiff
from imagepipe.color import to_srgb
from imagepipe.pipeline import Pipeline
from imagepipe.stages import Convert, Decode

SIZE = (90, 70)
#: The colours of a picture, as sRGB from 0 to 1: all that it has, evenly.
MEANT = np.random.default_rng(8).random((SIZE[1], SIZE[0], 3))


def in_space(points: Points, gamma: float | None) -> np.ndarray:
    """What is meant, in 16 bits of another space, with an exponent or the curve of sRGB."""
    light = np.clip(np.vectorize(srgb_curve)(MEANT) @ (np.linalg.inv(adapted(points)) @ adapted(SRGB)).T, 0, 1)
    return np.rint((light ** (1 / gamma) if gamma else encoded_exactly(light)) * 65535).astype(np.uint16)


def encoded_exactly(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def png(values: np.ndarray, *chunks: bytes) -> bytes:
    high, wide = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, 16, kind, 0, 0, 0))
            + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND"))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def in_tiff(values: np.ndarray, profile: bytes, orientation: int = 1) -> bytes:
    high, wide = values.shape[:2]
    samples = 1 if values.ndim == 2 else values.shape[2]
    tags = {256: ("I", (wide,)), 257: ("I", (high,)), 258: ("H", (16,) * samples), 259: ("H", (1,)),
            262: ("H", (1 if samples == 1 else 2,)), 274: ("H", (orientation,)), 277: ("H", (samples,)),
            278: ("I", (high,)), 34675: ("B", tuple(profile))}
    return tiff.build("<", tags, [values.astype("<u2").tobytes()])


def in_psd(values: np.ndarray, profile: bytes) -> bytes:
    high, wide, channels = values.shape
    block = b"8BIM" + struct.pack(">HHI", 1039, 0, len(profile)) + profile + bytes(len(profile) % 2)
    return (b"8BPS" + struct.pack(">H6xHIIHHI", 1, channels, high, wide, 16, 3, 0) + struct.pack(">I", len(block))
            + block + struct.pack(">IH", 0, 0) + values.transpose(2, 0, 1).astype(">u2").tobytes())


def converted(data: bytes, name: str = "x") -> np.ndarray:
    asset = Pipeline((Decode(), Convert("png")))(Asset(name, "1", data=data))
    assert asset.pixels is not None and asset.pixels.frames[0].fine is None
    assert asset.facts is not None and asset.facts.is_srgb
    return np.asarray(asset.pixels.frames[0].image).astype(int)


def of_eight_bits(values: np.ndarray, profile: bytes) -> np.ndarray:
    """What would come of it if it had been rounded to 8 bits before."""
    shallow = Image.fromarray(np.rint(values / 257).astype(np.uint8))
    return np.asarray(to_srgb(shallow, Color(icc=profile))[0]).astype(int)


SPACES = [
    pytest.param(PROPHOTO, 1.80078125, id="ProPhoto"),
    pytest.param(ADOBE, 563 / 256, id="Adobe RGB"),
    pytest.param(P3, None, id="Display P3"),
    pytest.param(BT2020, None, id="BT.2020"),
    pytest.param(ADOBE, 1.0, id="light"),
]


@pytest.mark.parametrize(("points", "gamma"), SPACES)
@pytest.mark.parametrize("container", ["png", "tiff", "psd"])
def test_wide_spaces_of_sixteen_bits_are_exact(points, gamma, container):
    profile = rgb_profile(points, gamma or srgb_curve)
    values = in_space(points, gamma)
    theirs = np.rint(MEANT * 255)

    ours = converted({"png": lambda: png(values, iccp(profile)), "tiff": lambda: in_tiff(values, profile),
                      "psd": lambda: in_psd(values, profile)}[container]())

    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1
    assert np.abs(of_eight_bits(values, profile) - theirs).max() > 6  # so 8 bits would not do


@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_greys_of_sixteen_bits_are_exact(gamma):
    profile = gray_profile(gamma)
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    theirs = encoded((values / 65535) ** (round(gamma * 256) / 256))

    assert np.abs(converted(png(values, iccp(profile))) - theirs).max() <= 1
    assert np.abs(converted(png(values, chunk(b"gAMA", struct.pack(">I", round(100000 / gamma))))) - theirs).max() <= 1
    with_alpha = np.stack([values, np.full_like(values, 30_000)], axis=2)
    shown = converted(png(with_alpha, iccp(profile)))
    assert np.abs(shown[..., 0] - theirs).max() <= 1 and (shown[..., 1] == 117).all()


def test_alpha_of_sixteen_bits_stays_beside_colours_that_are_converted():
    alpha = np.random.default_rng(2).integers(0, 65536, (SIZE[1], SIZE[0], 1), dtype=np.uint16)
    values = np.concatenate([in_space(P3, None), alpha], axis=2)

    shown = converted(png(values, iccp(rgb_profile(P3, srgb_curve))))

    assert np.abs(shown[..., :3] - np.rint(MEANT * 255)).max() <= 1
    assert (shown[..., 3] == np.rint(alpha[..., 0] / 257)).all()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_what_rounding_left_over_is_turned_with_the_picture(orientation):
    profile = rgb_profile(PROPHOTO, 1.80078125)
    values = in_space(PROPHOTO, 1.80078125)
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HHI", orientation, 0, 0)
    turned = {2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
              6: lambda a: a[::-1].swapaxes(0, 1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
              8: lambda a: a.swapaxes(0, 1)[::-1]}[orientation]
    theirs = turned(np.rint(MEANT * 255))

    for data in (png(values, iccp(profile), chunk(b"eXIf", exif)), in_tiff(values, profile, orientation)):
        assert np.abs(converted(data) - theirs).max() <= 1


def heic(values: np.ndarray, primaries: int, transfer: int) -> bytes:
    """A HEIC of 10 bits without loss, of RGB itself."""
    picture = pillow_heif.from_bytes("RGB;16", (values.shape[1], values.shape[0]), values.tobytes())
    out = io.BytesIO()
    picture.save(out, quality=-1, chroma=444, matrix_coefficients=0, save_nclx_profile=True,
                 color_primaries=primaries, transfer_characteristics=transfer, full_range_flag=1)
    return out.getvalue()


def seen_by_heif(data: bytes) -> np.ndarray:
    """The values of 10 bits that libheif reads, 0 to 1."""
    picture = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)[0]
    return (np.asarray(picture) >> 6) / 1023


@pytest.mark.parametrize(("primaries", "points"), [(12, P3), (9, BT2020), (1, SRGB), (5, None), (6, None)])
def test_ten_bits_of_a_heic_are_exact(primaries, points):
    points = points or {5: (SRGB[0], (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),  # BT.601 of 625 and 525 lines
                        6: (SRGB[0], (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))}[primaries]
    data = heic(in_space(points, None), primaries, 1)
    values = seen_by_heif(data)
    theirs = from_xyz(np.vectorize(srgb_curve)(values) @ adapted(points).T)

    assert np.abs(converted(data) - theirs).max() <= 1


def test_ten_bits_of_high_dynamic_range_are_smooth():
    codes = np.repeat(np.linspace(0, 0.58, 600)[None, :, None], 3, axis=2).repeat(16, axis=0)  # up to diffuse white
    data = heic(np.rint(codes * 65535).astype(np.uint16), 9, 16)
    values = seen_by_heif(data)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = values ** (1 / m2)
    light = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)

    shown = converted(data)

    wide = light @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(BT2020)).T / 203
    assert np.abs(shown - encoded(wide)).max() <= 1
    assert len(np.unique(shown[..., 1])) > 220  # of 8 bits there would be 148 steps


def test_what_is_left_over_of_another_picture_is_not_used():
    image = Image.new("RGB", (20, 20), (100, 150, 200))
    icc = rgb_profile(P3, srgb_curve)
    plain, _ = to_srgb(image, Color(icc=icc))

    for other in (Image.new("RGB", (10, 20), (100, 100, 100)), Image.new("L", (20, 20), 100)):
        assert to_srgb(image, Color(icc=icc), fine=other)[0].tobytes() == plain.tobytes()


def test_no_mutation_of_a_profile_raises():
    chance = random.Random(5)
    lifted = assembled(b"RGB ", b"XYZ ", colorants(P3) | {name: parametric(4, 2.2, 0.85, 0.1, 0.2, 0.15, 0.02, 0.01)
                                                          for name in (b"rTRC", b"gTRC", b"bTRC")}, "lifted")
    for whole, mode in ((rgb_profile(P3, srgb_curve), "RGB"), (rgb_profile(P3, 2.2), "RGBA"), (lifted, "RGB"),
                        (gray_profile(2.2), "L"), (gray_profile(srgb_curve), "LA")):
        before = Image.new(mode, (7, 5), 100)
        fine = Image.new("RGB" if mode.startswith("RGB") else "L", (7, 5), 200)
        for _ in range(150):
            icc = bytearray(whole)
            for _ in range(chance.randrange(1, 6)):
                icc[chance.randrange(128, len(icc))] = chance.randrange(256)
            after, note = to_srgb(before, Color(icc=bytes(icc)), fine=fine)
            assert after.size == (7, 5) and after.mode == mode and note.isprintable()


def test_colours_that_are_kept_keep_nothing_beside_them():
    data = png(in_space(P3, None), iccp(rgb_profile(P3, srgb_curve)))

    asset = Pipeline((Decode(), Convert(color="keep")))(Asset("x", "1", data=data))

    assert asset.pixels.frames[0].fine is None
    assert (np.asarray(asset.pixels.frames[0].image) == np.rint(in_space(P3, None) / 257)).all()
