"""The client on a bad network, and against a server that breaks the wire."""

import logging
import socket
import threading

import pytest
from scripted_server import Peer, answering, serving

from imagepipe.deadlines import Pace
from imagepipe.errors import Ambiguous, StoreDown, StoreUnusable
from imagepipe.http import MockTransport, Response
from imagepipe.stores import Upload
from imagepipe.stores.bigcommerce import BigCommerce
from imagepipe.stores.throttle import FIRST

CANARY = "canary0token0never0shown"
UPLOAD = Upload(7, "front.jpg", "image/jpeg", b"\xff\xd8" + b"x" * 50_000)
EMPTY = {"data": [], "meta": {"pagination": {"total": 0, "count": 0, "total_pages": 0, "current_page": 1}}}
IMAGE = {"data": {"id": 5, "product_id": 7, "image_file": "a/front.jpg"}}


class Clock:
    """Time that passes only where someone sleeps."""

    def __init__(self):
        self.now = 0.0
        self.naps = []

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds

    def __call__(self):
        return self.now


def store_at(server, clock=None, **settings):
    clock = clock or Clock()
    return BigCommerce("abc", CANARY, base_url=f"{server.url}/stores/abc/v3", sleep=clock.sleep, clock=clock,
                       pace=settings.pop("pace", None), **settings)


def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# -- no connection ---------------------------------------------------------------------------------


def test_an_outage_is_waited_out_and_said_once(caplog):
    clock, said, port = Clock(), [], unused_port()
    store = BigCommerce("abc", CANARY, base_url=f"http://127.0.0.1:{port}/stores/abc/v3", clock=clock,
                        sleep=lambda seconds: up_after_a_while(seconds), on_wait=said.append)
    servers = []

    def up_after_a_while(seconds):
        clock.sleep(seconds)
        if clock.now > 100 and not servers:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
            servers.append(listener)
            threading.Thread(target=serve_one, args=(listener,), daemon=True).start()

    def serve_one(listener):
        sock, _ = listener.accept()
        with sock:
            received = b""
            while not received.endswith(b"--\r\n"):  # the end of the form
                received += sock.recv(1 << 16)
            sock.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n{"data": {"id": 5, "image_file": "a.jpg"}}')

    try:
        image = store.create(Upload(7, "a.jpg", "image/jpeg", b"x"))  # nothing was sent, so even a POST may wait
    finally:
        servers[0].close()
        store.close()

    assert image.id == 5
    assert 100 < clock.now < 900
    assert len(said) == 1
    assert "waiting for it for up to 15 minutes" in said[0]
    assert [record.levelname for record in caplog.records if "waiting" in record.getMessage()] == ["WARNING"]
    assert max(clock.naps) <= 37.5


def test_an_outage_that_lasts_ends_the_run():
    clock = Clock()
    store = BigCommerce("abc", CANARY, base_url=f"http://127.0.0.1:{unused_port()}/stores/abc/v3", clock=clock,
                        sleep=clock.sleep, wait_for_network=60)

    for call in (lambda: store.images(7), lambda: store.create(UPLOAD)):
        with pytest.raises(StoreDown, match="no connection to 127.0.0.1"):
            call()

    assert clock.now == pytest.approx(60, abs=0.01)


def test_a_name_that_was_never_found_is_said_so_at_once(caplog):
    clock = Clock()
    store = BigCommerce("abc", CANARY, base_url="https://no-such-name.invalid/stores/abc/v3", clock=clock,
                        sleep=clock.sleep, wait_for_network=5)

    with pytest.raises(StoreDown):
        store.images(7)

    first = caplog.records[0].getMessage()
    assert "the name no-such-name.invalid cannot be found" in first
    assert "nslookup no-such-name.invalid" in first


def test_a_server_without_tls_is_not_asked_twice():
    def plain_text(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 plain\r\n\r\n")
        peer.hang_up()

    clock = Clock()
    with serving(plain_text) as server:
        store = BigCommerce("abc", CANARY, base_url=f"https://127.0.0.1:{server.port}/stores/abc/v3", clock=clock,
                            sleep=clock.sleep)
        with pytest.raises(StoreUnusable, match="can be trusted"):
            store.images(7)

    assert server.connections == 1
    assert clock.naps == []


def test_waiting_for_the_network_ends_when_the_run_is_stopped():
    said = threading.Event()
    store = BigCommerce("abc", CANARY, base_url=f"http://127.0.0.1:{unused_port()}/stores/abc/v3",
                        on_wait=lambda message: said.set())
    caught = []

    def wait():
        try:
            store.create(UPLOAD)
        except StoreDown as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert said.wait(10)
    store.interrupt()
    thread.join(10)

    assert "stopped while it waited" in str(caught[0])
    with pytest.raises(StoreDown):
        store.images(7)


def test_waiting_for_the_quota_ends_when_the_run_is_stopped():
    pauses = threading.Event()
    store = BigCommerce("abc", CANARY, on_wait=lambda message: pauses.set(), transport=MockTransport(
        lambda request: Response(429, headers={"X-Retry-After": "100"})))
    caught = []

    def wait():
        try:
            store.images(7)
        except StoreDown as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert pauses.wait(10)
    store.interrupt()
    thread.join(10)

    assert "stopped while it waited" in str(caught[0])


def test_waiting_is_allowed_again_where_the_store_is_used_again():
    answers = [Response(503), Response(200, json=EMPTY)]
    store = BigCommerce("abc", CANARY, transport=MockTransport(lambda request: answers.pop(0)),
                        sleep=lambda seconds: None)
    store.interrupt()
    store.interrupt(False)

    assert store.images(7) == []


# -- an answer that does not come ------------------------------------------------------------------


def reset_before_reading(peer: Peer) -> None:
    peer.reset()


def reset_while_sending(peer: Peer) -> None:
    peer.sock.recv(1000)
    peer.reset()


def reset_after_reading(peer: Peer) -> None:
    peer.read()
    peer.reset()


def clean_close(peer: Peer) -> None:
    peer.read()
    peer.hang_up()


def half_an_answer(peer: Peer) -> None:
    peer.read()
    peer.send(b'HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"data"')
    peer.hang_up()


def silence(peer: Peer) -> None:
    peer.read()
    peer.server.stopped.wait()


def drip(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not peer.server.stopped.wait(0.05):
        peer.send(b" ")


def endless(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while not peer.server.stopped.is_set():
        peer.send(b" " * 10_000)


def damaged_gzip(peer: Peer) -> None:
    peer.read()
    peer.answer(200, b"\x1f\x8b\x08" + b"\xff" * 40, content_encoding="gzip")


FAULTS = [reset_before_reading, reset_while_sending, reset_after_reading, clean_close, half_an_answer, silence, drip,
          endless, damaged_gzip]


def pace_for(fault):
    """Return short deadlines for what only a deadline ends, and long ones for what ends by itself."""
    return Pace(progress=1.0, total=1.0, rate=1e6) if fault in (silence, drip) else Pace()


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upload_whose_answer_is_lost_is_ambiguous_and_not_sent_again(fault):
    with serving(fault, answering(200, IMAGE)) as server, store_at(server, pace=pace_for(fault)) as store:
        with pytest.raises(Ambiguous) as caught:
            store.create(UPLOAD)
        assert store.usage() == {"POST": 1}
        assert store.create(UPLOAD).id == 5

    assert caught.value.wait > 0
    assert CANARY not in repr(caught.value)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not endless])
def test_a_listing_whose_answer_is_lost_is_read_again(fault):
    with serving(fault, fault, answering(200, EMPTY)) as server, store_at(server, pace=pace_for(fault)) as store:
        assert store.images(7) == []
        assert store.usage() == {"GET": 3}


def test_a_slow_answer_gives_the_store_time_before_it_is_looked_up():
    with serving(silence) as server, store_at(server, pace=Pace(progress=0.2)) as store, \
            pytest.raises(Ambiguous) as caught:
        store.create(UPLOAD)

    assert caught.value.wait >= 5


def test_the_token_goes_to_the_store_only():
    with serving(answering(200, IMAGE)) as other, \
            serving(answering(307, b"", location=f"{other.url}/stores/abc/v3/catalog/products/7/images")) as server, \
            store_at(server) as store:
        for call in (lambda: store.create(UPLOAD), lambda: store.images(7), lambda: store.delete(7, 5),
                     lambda: store.update(7, 5, sort_order=1), lambda: store.product_ids(["A"])):
            with pytest.raises(StoreUnusable, match="unexpected redirect"):
                call()

    assert [request.headers["x-auth-token"] for request in server.requests] == [CANARY] * 5
    assert other.connections == 0


def test_nothing_that_is_logged_shows_the_token(caplog):
    caplog.set_level(logging.DEBUG)
    with serving(reset_after_reading, answering(401, {"title": CANARY}), answering(200, IMAGE)) as server, \
            store_at(server) as store:
        with pytest.raises(Ambiguous):
            store.create(UPLOAD)
        with pytest.raises(Exception, match="401"):
            store.create(UPLOAD)
        store.create(UPLOAD)

    assert len(server.requests) == 3
    assert CANARY not in caplog.text


def test_looking_after_a_lost_answer_goes_first():
    seen = []

    def handler(request):
        seen.append((request.method, bool(request.extensions.get(FIRST))))
        return Response(500) if request.method == "POST" else Response(200, json=EMPTY)

    store = BigCommerce("abc", CANARY, transport=MockTransport(handler), sleep=lambda seconds: None)
    store.images(7)
    with pytest.raises(Ambiguous):
        store.create(UPLOAD)
    store.images(7)
    store.images(8)

    assert seen == [("GET", False), ("POST", False), ("GET", True), ("GET", False)]


def test_many_threads_share_one_client():
    with serving(answering(200, IMAGE)) as server, store_at(server, connections=4) as store:
        threads = [threading.Thread(target=lambda: [store.create(UPLOAD) for _ in range(10)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.usage() == {"POST": 80}

    assert len(server.requests) == 80
    assert server.connections <= 5  # one to list with, beside four uploads


def test_another_outage_long_after_one_is_waited_out_anew():
    clock = Clock()
    store = BigCommerce("abc", CANARY, base_url=f"http://127.0.0.1:{unused_port()}/stores/abc/v3", clock=clock,
                        sleep=clock.sleep, wait_for_network=60)
    for start in (0, 10_000):
        clock.now = start
        with pytest.raises(StoreDown):
            store.images(7)
        assert clock.now == pytest.approx(start + 60, abs=0.01)
