"""One request, one answer, over real sockets: deadlines, caps, and what breaks."""

import gzip
import logging
import socket
import time
import traceback
import zlib

import pytest
from scripted_server import Peer, answering, serving

from imagepipe.answer import BrokenOff, NoConnection, Nonsense, Secret, TooMuch
from imagepipe.deadlines import Deadline, Pace
from imagepipe.errors import ConfigurationError
from imagepipe.http import MockTransport, Response, Transport, exchange
from imagepipe.proxies import proxy_for

CANARY = "canary0token0never0shown"


def ask(server, *, pace=None, method="GET", cap=1_000_000, **more):
    transport = Transport(pace=pace)
    try:
        return exchange(transport.handle_request, method, f"{server.url}/x", headers={}, cap=cap, **more)
    finally:
        transport.close()


def test_an_answer_is_read_to_its_end():
    with serving(answering(201, {"a": 1})) as server:
        answer = ask(server)

    assert (answer.status, answer.json()) == (201, {"a": 1})
    assert server.requests[0].headers["accept-encoding"] == "gzip"


# -- deadlines -------------------------------------------------------------------------------------


def test_an_answer_that_drips_is_cut_off_in_total_although_each_byte_is_progress():
    def drip(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not peer.server.stopped.wait(0.05):
            peer.send(b"x")

    with serving(drip) as server, pytest.raises(BrokenOff, match="no answer in time") as caught:
        ask(server, pace=Pace(progress=5, total=0.6, rate=10_000))

    assert caught.value.slow


def test_headers_that_drip_are_cut_off_as_well():
    def drip(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\nx: ")
        while not peer.server.stopped.wait(0.05):
            peer.send(b"y")

    with serving(drip) as server, pytest.raises(BrokenOff, match="no answer in time"):
        ask(server, pace=Pace(progress=5, total=0.6, rate=10_000))


def test_silence_is_cut_off_by_progress():
    def silent(peer: Peer) -> None:
        peer.read()
        peer.server.stopped.wait()

    with serving(silent) as server, pytest.raises(BrokenOff, match="no answer in time") as caught:
        ask(server, pace=Pace(progress=0.2))

    assert caught.value.slow


def test_endless_interim_answers_are_cut_off():
    def interim(peer: Peer) -> None:
        peer.read()
        while not peer.server.stopped.wait(0.01):
            peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")

    with serving(interim) as server, pytest.raises(BrokenOff):
        ask(server, pace=Pace(progress=5, total=0.5, rate=1e6))


def test_an_upload_that_crawls_and_never_stands_still_is_not_cut_off():
    def crawl(peer: Peer) -> None:
        while b"\r\n\r\n" not in peer.rest:
            peer.rest += peer.sock.recv(4096)
        taken = len(peer.rest.partition(b"\r\n\r\n")[2])
        while taken < 600_000:
            time.sleep(0.02)
            taken += len(peer.sock.recv(16_384))
        peer.answer(200, {"taken": taken})
        peer.hang_up()

    # slower than its progress limit in all, and most of it is in the system's buffers after a moment
    with serving(crawl, receive_buffer=8192) as server:
        answer = ask(server, method="POST", pace=Pace(progress=0.4, total=0.5, rate=300_000),
                     files={"f": ("a", b"x" * 600_000, "image/png")})

    assert answer.json()["taken"] >= 600_000


def test_an_upload_that_nobody_takes_is_cut_off():
    def deaf(peer: Peer) -> None:
        peer.server.stopped.wait()

    with serving(deaf, receive_buffer=4096) as server, pytest.raises(BrokenOff):
        ask(server, method="POST", pace=Pace(progress=0.3), files={"f": ("a", b"x" * 20_000_000, "image/png")})


def test_an_early_answer_to_an_upload_that_is_taken_no_further_is_read():
    def early(peer: Peer) -> None:
        while b"\r\n\r\n" not in peer.rest:
            peer.rest += peer.sock.recv(4096)
        peer.answer(413, b"too large")
        peer.server.stopped.wait()

    with serving(early, receive_buffer=4096) as server:
        answer = ask(server, method="POST", pace=Pace(progress=0.3), files={"f": ("a", b"x" * 20_000_000, "image/png")})

    assert answer.status == 413


def test_a_deadline_grows_with_what_has_moved():
    now = [0.0]
    deadline = Deadline(Pace(progress=10, total=20, rate=100), lambda: now[0])
    assert deadline.left() == 10

    now[0] = 15
    assert deadline.left() == 5
    deadline.moved(1000)
    assert deadline.left() == 10
    now[0] = 30

    with pytest.raises(TimeoutError):
        deadline.left()


# -- what breaks -----------------------------------------------------------------------------------


def reset_before_reading(peer: Peer) -> None:
    peer.reset()


def reset_after_reading(peer: Peer) -> None:
    peer.read()
    peer.reset()


def clean_close(peer: Peer) -> None:
    peer.read()
    peer.hang_up()


def half_a_head(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-le")
    peer.hang_up()


def half_a_body(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
    peer.hang_up()


def half_a_chunk(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123")
    peer.hang_up()


def garbage(peer: Peer) -> None:
    peer.read()
    peer.send(b"\x00\x01SSH-2.0-no\r\n\r\n")
    peer.hang_up()


def damaged_gzip(peer: Peer) -> None:
    peer.read()
    peer.answer(200, b"\x1f\x8b\x08" + b"\xff" * 40, content_encoding="gzip")


def half_a_gzip(peer: Peer) -> None:
    peer.read()
    peer.answer(200, gzip.compress(b"x" * 1000)[:-10], content_encoding="gzip")


def unknown_packing(peer: Peer) -> None:
    peer.read()
    peer.answer(200, b"x", content_encoding="br")


@pytest.mark.parametrize("script", [reset_before_reading, reset_after_reading, clean_close, half_a_head, half_a_body,
                                    half_a_chunk, garbage, damaged_gzip, half_a_gzip, unknown_packing])
def test_a_broken_exchange_may_have_been_carried_out(script):
    with serving(script) as server, pytest.raises(BrokenOff):
        ask(server)


def test_a_refused_connection_proves_that_nothing_was_sent():
    with serving(answering()) as server:
        pass

    with pytest.raises(NoConnection) as caught:
        transport = Transport()
        exchange(transport.handle_request, "GET", f"http://127.0.0.1:{unused_port()}/", headers={}, cap=1)

    assert caught.value.kind == "refused"
    assert not server.requests


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_a_name_that_is_not_known_is_told_apart():
    with pytest.raises(NoConnection) as caught:
        exchange(Transport().handle_request, "GET", "http://no-such-name.invalid/", headers={}, cap=1)

    assert caught.value.kind == "name"


def test_a_server_without_tls_is_a_tls_error():
    def plain_text(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 this is plain http\r\n\r\n")
        peer.hang_up()

    with serving(plain_text) as server, pytest.raises(NoConnection) as caught:
        exchange(Transport().handle_request, "GET", f"https://127.0.0.1:{server.port}/", headers={}, cap=1)

    assert caught.value.kind == "tls"


def test_a_connection_that_ends_during_the_handshake_is_the_networks_fault():
    with serving(clean_close_at_once) as server, pytest.raises(NoConnection) as caught:
        exchange(Transport().handle_request, "GET", f"https://127.0.0.1:{server.port}/", headers={}, cap=1)

    assert caught.value.kind == "network"


def clean_close_at_once(peer: Peer) -> None:
    peer.reset()


def test_a_connection_that_was_closed_meanwhile_is_replaced():
    def once(peer: Peer) -> None:
        peer.read()
        peer.answer(200, b"1")
        peer.hang_up()

    with serving(once) as server:
        transport = Transport()
        for _ in range(3):
            assert exchange(transport.handle_request, "GET", server.url, headers={}, cap=10).body == b"1"
            time.sleep(0.01)
        transport.close()

    assert server.connections == 3


def test_a_connection_is_used_again():
    with serving(answering(200, b"1")) as server:
        transport = Transport()
        for _ in range(3):
            exchange(transport.handle_request, "GET", server.url, headers={}, cap=10)
        transport.close()

    assert (server.connections, len(server.requests)) == (1, 3)


# -- size ------------------------------------------------------------------------------------------


def endless(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while not peer.server.stopped.is_set():
        peer.send(b"x" * 10_000)


def announced(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 60000000\r\n\r\n" + b"x" * 100_000)
    peer.hang_up()


def bomb(peer: Peer) -> None:
    peer.read()
    peer.answer(200, gzip.compress(b"\0" * 50_000_000), content_encoding="gzip")


def bomb_of_zlib(peer: Peer) -> None:
    peer.read()
    peer.answer(200, zlib.compress(b"\0" * 50_000_000), content_encoding="deflate")


@pytest.mark.parametrize("script", [endless, announced, bomb, bomb_of_zlib])
def test_an_answer_has_a_size_cap(script):
    with serving(script) as server, pytest.raises(TooMuch):
        ask(server, cap=50_000)


def test_a_gzipped_answer_within_the_cap_is_unpacked():
    def packed(peer: Peer) -> None:
        peer.read()
        peer.answer(200, gzip.compress(b'{"a": "' + b"x" * 90_000 + b'"}'), content_encoding="gzip")

    with serving(packed) as server:
        assert len(ask(server, cap=100_000).json()["a"]) == 90_000


@pytest.mark.parametrize("body", [b"", b"not json", b"[" * 100_000, b"9" * 10_000, b"\xff\xfe"])
def test_a_body_that_is_no_json_is_nonsense(body):
    with serving(answering(200, body)) as server, pytest.raises(Nonsense):
        ask(server).json()


# -- where it goes ---------------------------------------------------------------------------------


def test_a_redirect_is_not_followed():
    with serving(answering(200, b"stolen")) as other, \
            serving(answering(302, b"", location=f"{other.url}/take")) as server:
        answer = ask(server, secret=("X-Auth-Token", Secret(CANARY)))

    assert answer.status == 302
    assert server.requests[0].headers["x-auth-token"] == CANARY
    assert other.connections == 0


def test_a_secret_is_in_no_error_and_no_variable_of_its_traceback(caplog):
    caplog.set_level(logging.DEBUG)
    caught = []
    for script in (reset_after_reading, garbage, half_a_body, damaged_gzip):
        with serving(script) as server:
            try:
                ask(server, method="POST", secret=("X-Auth-Token", Secret(CANARY)),
                    files={"f": ("a", b"x" * 100_000, "image/png")})
            except BrokenOff as error:
                caught.append(error)
        assert server.requests[0].headers["x-auth-token"] == CANARY  # it was there to be shown

    assert len(caught) == 4
    for error in caught:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        frames = [frame for frame in shown.stack if frame.filename != __file__]  # this test holds it, of course
        assert [frame.name for frame in frames] == ["exchange"]
        assert CANARY not in str(frames[0].locals)
        assert CANARY not in str(error)
        assert error.__cause__ is None
        assert error.__context__ is None
    assert CANARY not in caplog.text


def test_a_secret_does_not_show_itself():
    secret = Secret(CANARY)

    assert CANARY not in f"{secret} {secret!r} {vars(type(secret))}"
    assert secret.hide(f"token {CANARY}!") == "token ***!"


def test_an_error_of_the_library_that_quotes_the_header_does_not_get_through():
    def handler(request):
        raise AssertionError("not reached")

    with serving(answering()) as server, pytest.raises(BrokenOff) as caught:
        ask(server, secret=("X-Auth-Token", Secret(CANARY + "\n")))

    assert CANARY not in str(caught.value)


# -- proxies ---------------------------------------------------------------------------------------


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_the_proxy_of_the_environment_is_named_without_its_password(no_proxies, caplog):
    no_proxies.setenv("HTTPS_PROXY", "http://me:hidden@proxy.example:3128")

    assert proxy_for("https://api.bigcommerce.com/x") == "http://me:hidden@proxy.example:3128"
    assert "http://proxy.example:3128" in caplog.text
    assert "hidden" not in caplog.text


def test_no_proxy_is_used_for_this_machine_or_for_what_no_proxy_names(no_proxies):
    no_proxies.setenv("HTTP_PROXY", "http://proxy.example:3128")
    no_proxies.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    no_proxies.setenv("NO_PROXY", "api.bigcommerce.com")

    assert proxy_for("http://127.0.0.1:80/") is None
    assert proxy_for("http://localhost:80/") is None
    assert proxy_for("http://[::1]:80/") is None
    assert proxy_for("https://api.bigcommerce.com/") is None


def test_a_proxy_that_cannot_be_used_is_said_and_not_passed_by(no_proxies):
    no_proxies.setenv("HTTPS_PROXY", "socks5://me:hidden@proxy.example:1080")

    with pytest.raises(ConfigurationError, match="socks5://proxy.example:1080") as caught:
        proxy_for("https://api.bigcommerce.com/")

    assert "hidden" not in str(caught.value)


def test_a_proxy_that_wants_a_password_is_no_connection():
    with serving(answering(407, b"")) as proxy, pytest.raises(NoConnection) as caught:
        exchange(Transport(proxy=proxy.url).handle_request, "GET", "https://api.example.com/x", headers={}, cap=1,
                 secret=("X-Auth-Token", Secret(CANARY)))

    assert caught.value.kind == "proxy"
    assert proxy.requests[0].method == "CONNECT"
    assert CANARY not in str(proxy.requests)


def test_a_mock_of_the_library_can_stand_in():
    answer = exchange(MockTransport(lambda request: Response(200, json={"m": request.method})).handle_request, "PUT",
                      "https://a.example/", headers={}, cap=100, json={})

    assert answer.json() == {"m": "PUT"}
