"""The sandbox over the wire: access, framing, limits, quota, faults, many at once."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sandbox_wire import BOUNDARY, FORM, form, spoken, wired

from imagepipe import testing
from imagepipe.errors import ConfigurationError
from imagepipe.sandbox import server
from imagepipe.testing import Sandbox

SMALL = testing.jpeg(60, 45)
IMAGES = "/catalog/products/77/images"


@pytest.fixture
def sandbox():
    with Sandbox(products=[{"product_id": 77}], token="the-token", store_hash="abc123", quota=None) as sandbox:
        yield sandbox


@pytest.fixture
def wire(sandbox):
    with wired(sandbox) as wire:
        yield wire


def _request(sandbox, method="POST", path=IMAGES, *lines, body=b""):
    root = f"/stores/{sandbox.store_hash}/v3"
    return "\r\n".join([f"{method} {root}{path} HTTP/1.1", "Host: x", f"X-Auth-Token: {sandbox.token}",
                        "Connection: close", *lines, "", ""]).encode() + body


@pytest.mark.parametrize("token", [None, "", "wrong", "the-token ", "THE-TOKEN"])
def test_without_the_token_it_is_401_in_plain_text(wire, sandbox, token):
    headers = {} if token is None else {"X_Auth_Token": token}

    answer = wire("GET", IMAGES, token=False, **headers)

    if token == "the-token ":  # blanks around a header's value are no part of it
        assert answer.status == 204
        return
    assert answer.status == 401
    assert answer.headers["content-type"].startswith("text/plain")


def test_another_store_is_403(wire):
    answer = wire.raw("GET", "/stores/other/v3" + IMAGES, headers={"X-Auth-Token": "the-token"})

    assert (answer.status, answer.json["status"]) == (403, 403)


def test_the_token_is_checked_before_the_store(wire):
    assert wire.raw("GET", "/stores/other/v3" + IMAGES).status == 401


def test_the_wrong_version_is_not_simulated(wire):
    assert wire.raw("GET", "/stores/abc123/v2/products", headers={"X-Auth-Token": "the-token"}).status == 501


@pytest.mark.parametrize("content_type", [None, "image/jpeg", "application/x-www-form-urlencoded", "text/plain"])
def test_another_content_type_is_415_in_html(wire, content_type):
    headers = {} if content_type is None else {"Content_Type": content_type}

    answer = wire("POST", IMAGES, b"x", **headers)

    assert answer.status == 415
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b'{"a": NaN}', b"\xff\xfe{}", b"[" * 100_000,
                                  b'{"a": ' + b"9" * 5_000 + b"}"])
def test_malformed_json_is_400(wire, body):
    answer = wire("POST", IMAGES, body, Content_Type="application/json")

    assert (answer.status, answer.json["status"]) == (400, 400)


def test_json_that_is_no_object_is_422(wire):
    assert wire("POST", IMAGES, b"[]", Content_Type="application/json").status == 422


END = f"--{BOUNDARY}--\r\n".encode()
WHOLE = form([("description", "x")], SMALL)


@pytest.mark.parametrize(("body", "content_type"), [
    pytest.param(b"", FORM, id="empty"),
    pytest.param(WHOLE, "multipart/form-data", id="no boundary"),
    pytest.param(WHOLE, "multipart/form-data; boundary=other", id="another boundary"),
    pytest.param(WHOLE, "multipart/form-data; boundary=" + "x" * 71, id="long boundary"),
    pytest.param(WHOLE, 'multipart/form-data; boundary="' + BOUNDARY, id="open quotation mark"),
    pytest.param(WHOLE.removesuffix(END), FORM, id="no end"),
    pytest.param(WHOLE[:-4] + b"\r\n", FORM, id="end without its hyphens"),
    pytest.param(WHOLE[:len(WHOLE) // 2], FORM, id="half"),
    pytest.param(WHOLE + WHOLE, FORM, id="goes on"),
    pytest.param(b"hello" + WHOLE, FORM, id="preamble"),
    pytest.param(WHOLE.replace(b"\r\n", b"\n"), FORM, id="bare line feeds"),
    pytest.param(WHOLE.replace(b"Content-Disposition: form-data", b"Content-Disposition: attachment"), FORM,
                 id="attachment"),
    pytest.param(WHOLE.replace(b'name="description"', b"x=1"), FORM, id="no name"),
    pytest.param(WHOLE.replace(b'name="description"', b'name="a"; name="b"'), FORM, id="two names"),
    pytest.param(WHOLE.replace(b"Content-Type: ", b"Content-Transfer-Encoding: base64\r\nContent-Type: "), FORM,
                 id="base64"),
    pytest.param(form([("description", "x")]).replace(b"x\r\n", b"\xff\r\n"), FORM, id="text that is no UTF-8"),
    pytest.param(form([(f"f{number}", "x") for number in range(33)], SMALL), FORM, id="too many fields"),
])
def test_a_malformed_form_is_400(wire, sandbox, body, content_type):
    answer = wire("POST", IMAGES, body, Content_Type=content_type)

    assert answer.status == 400, answer.body
    assert sandbox.images(77) == []


def test_a_form_with_all_that_is_allowed_is_taken(wire, sandbox):
    # a picture that has the boundary within, without a line end before it; parameters without quotes; blanks
    data = SMALL[:-2] + b"\xff\xfe" + (2 + 40).to_bytes(2) + f"--{BOUNDARY}--".encode().ljust(40) + SMALL[-2:]
    head = 'content-disposition: form-data; filename="a \\"b\\" %22c%22.jpg"; name=image_file\r\nX-Other: 1\r\n\r\n'
    body = f"--{BOUNDARY} \r\n{head}".encode() + data + f"\r\n--{BOUNDARY}-- \r\n".encode()

    answer = wire("POST", IMAGES, body, Content_Type=f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"')

    assert answer.status == 200, answer.body
    assert "a__b___c_" in answer.data["image_file"]
    assert sandbox.received(answer.data["id"]) == data


def test_a_body_in_chunks_is_taken(wire, sandbox):
    body = form([], SMALL)

    def pieces():
        for start in range(0, len(body), 700):
            yield body[start:start + 700]

    answer = wire("POST", IMAGES, pieces(), Content_Type=FORM)

    assert answer.status == 200
    assert sandbox.received(answer.data["id"]) == SMALL


@pytest.mark.parametrize(("lines", "body", "status"), [
    pytest.param((), b"", 411, id="no length"),
    pytest.param(("Content-Length: x",), b"", 400, id="length that is no number"),
    pytest.param(("Content-Length: -1",), b"", 400, id="negative length"),
    pytest.param(("Content-Length: 1", "Content-Length: 2"), b"xx", 400, id="two lengths"),
    pytest.param(("Content-Length: 3", "Transfer-Encoding: chunked"), b"0\r\n\r\n", 400, id="length and chunks"),
    pytest.param(("Transfer-Encoding: gzip",), b"", 501, id="gzip"),
    pytest.param(("Transfer-Encoding: gzip, chunked",), b"0\r\n\r\n", 501, id="gzip in chunks"),
    pytest.param(("Transfer-Encoding: chunked",), b"zz\r\n", 400, id="chunk without size"),
    pytest.param(("Transfer-Encoding: chunked",), b"2\r\nabc\r\n0\r\n\r\n", 400, id="chunk too long"),
    pytest.param(("Transfer-Encoding: chunked",), b"999999\r\n", 413, id="chunk too large"),
    pytest.param(("Content-Length: 10000001",), b"", 413, id="too large"),
    pytest.param(("Content-Length: 10000001", "Expect: 100-continue"), b"", 413, id="too large, asked first"),
])
def test_a_body_that_is_framed_wrongly_is_refused_and_the_connection_closed(sandbox, lines, body, status):
    answer = spoken(sandbox, _request(sandbox, "POST", IMAGES, *lines, body=body))

    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in head
    assert json.loads(rest)["status"] == status


def test_a_client_that_still_sends_sees_why_it_is_refused(wire, sandbox):
    answer = wire("POST", IMAGES, form([], bytes(30_000_000)), Content_Type=FORM)

    assert answer.status == 413
    assert wire("GET", IMAGES).status == 204


def test_who_asks_before_sending_is_told_to_go_on_or_not(sandbox):
    body = form([], SMALL)
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(body)}", "Expect: 100-continue")

    good = spoken(sandbox, _request(sandbox, "POST", IMAGES, *lines, body=body))
    bad = spoken(sandbox, _request(sandbox, "POST", IMAGES, *lines).replace(b"the-token", b"a-wrong-one"))

    assert good.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert bad.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(("request_bytes", "status"), [
    (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414), (b"nonsense\r\n\r\n", 400),
    (b"GET / HTTP/3.0\r\n\r\n", 505), (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431)])
def test_what_is_no_proper_http_is_refused(sandbox, request_bytes, status):
    assert f" {status} ".encode() in spoken(sandbox, request_bytes).split(b"\r\n", 1)[0]


def test_requests_share_a_connection(wire, sandbox):
    for _ in range(3):
        wire("GET", IMAGES)
        wire.post(77, b"no picture")
        wire("GET", IMAGES, token=False)

    assert len({request.connection for request in sandbox.requests}) == 1


def test_an_answer_does_not_wait_for_the_next_packet(wire, monkeypatch):
    flags = []
    handle = server._Handler.do_GET

    def noting(handler):
        flags.append(handler.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        handle(handler)

    monkeypatch.setattr(server._Handler, "do_GET", noting)

    assert wire("GET", IMAGES).status == 204
    assert flags[0]


def test_requests_are_logged(wire, sandbox):
    wire.post(77, SMALL)
    wire("GET", IMAGES + "?limit=5", User_Agent="shop/1")
    wire("GET", IMAGES, token=False)
    wire.page("/")

    post, get, refused = sandbox.requests
    assert (post.method, post.path, post.status, post.content_type) == ("POST", IMAGES, 200, "multipart/form-data")
    assert post.received > len(SMALL)
    assert (get.path, get.query, get.status, get.user_agent) == (IMAGES, "limit=5", 200, "shop/1")
    assert refused.status == 401


def test_a_slow_client_is_given_up(sandbox, monkeypatch):
    monkeypatch.setattr(server, "_HEADERS", 0.0)

    assert spoken(sandbox, b"GET / HTTP/1.1\r\n") == b""


def test_a_silent_client_is_given_up(sandbox, monkeypatch):
    monkeypatch.setattr(server, "_SILENCE", 0.01)

    assert spoken(sandbox, _request(sandbox, "POST", IMAGES, "Content-Length: 100", body=b"abc")) == b""


def test_too_many_connections_are_closed(sandbox, monkeypatch):
    monkeypatch.setattr(server, "_CONNECTIONS", 0)

    with pytest.raises(OSError), wired(sandbox) as wire:
        wire("GET", IMAGES)
    monkeypatch.undo()
    with wired(sandbox) as wire:
        assert wire("GET", IMAGES).status == 204


def test_a_fault_of_its_own_is_500_and_not_the_end(wire, sandbox, monkeypatch, caplog):
    monkeypatch.setattr(type(sandbox._images), "list", lambda *_: 1 / 0)

    assert wire("GET", IMAGES).status == 500
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert wire("GET", IMAGES).status == 204


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


def _told(answer):
    names = {"window": "time-window-ms", "reset": "time-reset-ms", "quota": "requests-quota", "left": "requests-left"}
    return {short: int(answer.headers[f"x-rate-limit-{name}"]) for short, name in names.items()}


def test_the_quota_is_told_with_every_answer_and_refills_after_its_window():
    clock = Clock()
    with Sandbox(products=[{"product_id": 77}], quota=4, window_seconds=10, clock=clock) as sandbox, \
            wired(sandbox) as wire:
        assert _told(wire("GET", IMAGES)) == {"window": 10_000, "reset": 10_000, "quota": 4, "left": 3}
        clock.now += 2.5
        assert _told(wire("GET", "/catalog/nothing")) == {"window": 10_000, "reset": 7_500, "quota": 4, "left": 2}
        assert _told(wire("GET", IMAGES, token=False))["left"] == 2
        sandbox.spend(1)
        assert _told(wire.post(77, SMALL))["left"] == 0

        refused = wire.post(77, SMALL)
        assert refused.status == 429
        assert refused.headers["x-retry-after"] == "8"
        assert _told(refused) == {"window": 10_000, "reset": 7_500, "quota": 4, "left": 0}
        assert len(sandbox.images(77)) == 1

        clock.now += 7.5
        again = wire.post(77, SMALL)
        assert (again.status, _told(again)["left"]) == (200, 3)


def test_without_a_quota_there_are_no_headers_of_one(wire, sandbox):
    sandbox.spend(10)
    answer = wire("GET", IMAGES)

    assert not [name for name in answer.headers if name.startswith("x-rate")]


def test_a_failure_on_request_concerns_what_it_names(wire, sandbox):
    sandbox.fail(503, method="POST", after=1, times=2)

    statuses = [wire.post(77, SMALL).status for _ in range(4)]

    assert statuses == [200, 503, 503, 200]
    assert len(sandbox.images(77)) == 2


def test_a_failure_may_come_after_the_deed(wire, sandbox):
    sandbox.fail(504, carried_out=True, body="<h1>Gateway Time-out</h1>", headers={"X-From": "proxy"})

    answer = wire.post(77, SMALL)

    assert (answer.status, answer.headers["x-from"]) == (504, "proxy")
    assert answer.headers["content-type"].startswith("text/html")
    assert len(sandbox.images(77)) == 1


def test_a_429_on_request_tells_nothing_of_the_quota():
    with Sandbox(products=[{"product_id": 77}]) as sandbox, wired(sandbox) as wire:
        sandbox.fail(429, headers={"X-Retry-After": "3"})

        first, second = wire("GET", IMAGES), wire("GET", IMAGES)

        assert [name for name in first.headers if name.startswith("x-r")] == ["x-retry-after"]
        assert "x-rate-limit-requests-left" in second.headers


def test_one_failure_may_follow_another(wire, sandbox):
    sandbox.fail(500)
    sandbox.fail(500, after=1)
    sandbox.fail(204, path="/variants")

    assert [wire("GET", "/catalog/products").status for _ in range(4)] == [500, 200, 500, 200]
    assert wire("GET", "/catalog/variants").status == 204


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_connection_is_cut_on_request(wire, sandbox, carried_out):
    sandbox.fail("cut", times=None, carried_out=carried_out)

    with pytest.raises(OSError):
        wire.post(77, SMALL)
    sandbox.heal()
    assert len(sandbox.images(77)) == int(carried_out)
    assert sandbox.requests[-1].status == 0
    assert wire("GET", IMAGES).status == (200 if carried_out else 204)


def test_many_clients_at_once_lose_nothing():
    with Sandbox(create_missing=True, quota=None) as sandbox:
        local = threading.local()
        wires = []

        def post(number):
            if not hasattr(local, "wire"):
                local.wire = wired(sandbox)
                wires.append(local.wire)
                local.connection = local.wire.__enter__()
            return local.connection.post(1 + number % 20, SMALL, f"{number}.jpg", is_thumbnail="true")

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(post, range(300)))
        for wire in wires:
            wire.__exit__(None, None, None)

        assert {answer.status for answer in answers} == {200}
        assert len({answer.data["id"] for answer in answers}) == 300
        for product in range(1, 21):
            images = sandbox.images(product)
            assert len(images) == 15
            assert sum(image.is_thumbnail for image in images) == 1
            assert {int(image.image_file.split("/")[2].split("__")[0]) % 20 for image in images} == {product - 1}
        assert len(sandbox.requests) == 300


def test_a_port_in_use_is_a_wrong_setting(sandbox):
    port = int(sandbox.url.rstrip("/").rpartition(":")[2])

    with pytest.raises(ConfigurationError, match=f"port {port}"):
        Sandbox(port=port).start()


def test_it_listens_on_this_machine_only(sandbox):
    port = int(sandbox.url.rstrip("/").rpartition(":")[2])
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}

    for address in addresses - {"127.0.0.1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=2)


def test_after_its_end_nobody_answers(sandbox):
    with wired(sandbox) as wire:
        wire("GET", IMAGES)
        sandbox.close()
        with pytest.raises(OSError):
            wire("GET", IMAGES)
    sandbox.close()
