"""Whatever bytes the sandbox is sent, it takes or refuses them, and stays."""

import contextlib
import random

import pytest
from sandbox_wire import BOUNDARY, form, spoken, wired

from imagepipe import testing
from imagepipe.sandbox.answers import Refusal
from imagepipe.sandbox.forms import parameters, read_multipart
from imagepipe.sandbox.pictures import check
from imagepipe.testing import Sandbox

PICTURES = {
    "jpeg": testing.jpeg(40, 30), "progressive jpeg": testing.jpeg(40, 30, progressive=True),
    "png": testing.png(40, 30), "palette png": testing.png(40, 30, mode="P"),
    "gif": testing.gif(40, 30, frames=3), "bmp": testing.bmp(40, 30), "webp": testing.webp(40, 30),
    "animated webp": testing.webp(40, 30, frames=2), "xbm": testing.xbm(24, 16), "wbmp": testing.wbmp(24, 16)}


def spoiled(data, chance, insertions):
    """Return `data` with a few bytes changed, removed or put in, rather at its beginning."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(min(len(data), chance.choice([40, len(data)])) or 1)
        match chance.randrange(3):
            case 0:
                data[place:place + 1] = chance.randbytes(1)
            case 1:
                del data[place:place + chance.randrange(1, 20)]
            case 2:
                data[place:place] = chance.choice(insertions)
    return bytes(data)


@pytest.mark.parametrize("kind", PICTURES)
def test_a_spoiled_picture_is_taken_or_refused(kind):
    chance = random.Random(kind)
    refused = 0

    for _ in range(150):
        try:
            check(spoiled(PICTURES[kind], chance, [b"\xff\xff", b"\0\0\0\0", b"\xff\xd8", b"\x3b"]))
        except Refusal as refusal:
            assert refusal.status == 422
            refused += 1

    assert refused


def test_a_spoiled_form_is_read_or_refused():
    chance = random.Random(1)
    whole = form([("description", "x"), ("sort_order", "3")], b"abc\r\n--the-bound\r\n")
    line = b"--" + BOUNDARY.encode()
    insertions = [b"\r\n", b"\r\n\r\n", b"--", b'"', b"\\", b"\0", line, b"\r\n" + line]
    outcomes = set()

    for _ in range(4_000):
        data = spoiled(whole, chance, insertions)
        try:
            outcomes.add(len(read_multipart(data, BOUNDARY)))
        except Refusal as refusal:
            assert refusal.status == 400
            outcomes.add("refused")
        try:
            parameters(data.decode("latin-1"))
        except Refusal as refusal:
            assert refusal.status == 400

    assert {"refused", 2, 3} <= outcomes


def test_spoiled_requests_do_not_disturb_others():
    chance = random.Random(2)
    with Sandbox(products=[{"product_id": 77}], token="t", store_hash="h", quota=None) as sandbox:
        body = form([], testing.jpeg(40, 30))
        whole = ("POST /stores/h/v3/catalog/products/77/images HTTP/1.1\r\nHost: x\r\nX-Auth-Token: t\r\n"
                 f"Connection: close\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        for _ in range(60):
            with contextlib.suppress(ConnectionError):
                spoken(sandbox, spoiled(whole, chance, [b"\r\n", b": ", b"\0", b"%00", b"//"]), end=True)
        assert not [request for request in sandbox.requests if request.status == 500]
        with wired(sandbox) as wire:
            assert wire("GET", "/catalog/products").status == 200
