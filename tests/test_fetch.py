"""Downloading what a stranger's address leads to, and nothing of ours."""

import logging
import pickle

import pytest
from scripted_server import Peer, answering, serving

from imagepipe.asset import Asset, Received
from imagepipe.deadlines import Pace
from imagepipe.errors import FetchFailed, SourceError, TooLarge
from imagepipe.http import MockTransport, Response, Transport
from imagepipe.sources import fetch as fetch_module
from imagepipe.sources.fetch import Fetcher, checking, fetcher
from imagepipe.stages.read import Read

HERE = frozenset({"127.0.0.1"})
PICTURE = b"\xff\xd8\xff picture"
SECRET = "signature=canary0signature"


@pytest.fixture
def local():
    """Returns fetchers that may fetch from this machine, and closes them."""
    made = []

    def make(pace=None, resolver=fetch_module.look_up, allowed=HERE):
        transport = Transport(pace=pace, resolve=checking(resolver, HERE))
        made.append(Fetcher(transport, allowed, sleep=lambda seconds: None))
        return made[-1]

    yield make
    for one in made:
        one.close()


def mocked(*answers):
    left = list(answers)
    seen = []

    def handler(request):
        seen.append(request)
        return left.pop(0) if len(left) > 1 else left[0]

    return Fetcher(MockTransport(handler), sleep=lambda seconds: None), seen


def test_a_picture_is_fetched_with_what_tells_its_version(local):
    with serving(answering(200, PICTURE, content_type="image/jpeg", etag='"v1"')) as server:
        fetched = local().fetch(f"{server.url}/a%20b.jpg?size=2&{SECRET}", 1000)

    assert (fetched.data, fetched.etag, fetched.media_type) == (PICTURE, '"v1"', "image/jpeg")
    assert server.requests[0].target == f"/a%20b.jpg?size=2&{SECRET}"
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert "x-auth-token" not in server.requests[0].headers


def test_the_time_of_change_stands_in_for_an_etag():
    fetched, _ = mocked(Response(200, content=PICTURE, headers={"last-modified": "Wed, 21 Oct 2026 07:28:00 GMT"}))

    assert fetched.fetch("https://cdn.example.com/a.jpg", 1000).etag == "Wed, 21 Oct 2026 07:28:00 GMT"


def test_a_connection_is_kept(local):
    with serving(answering(200, PICTURE)) as server:
        one = local()
        for _ in range(3):
            one.fetch(f"{server.url}/a.jpg", 1000)

    assert server.connections == 1


# -- where it goes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "public"), [
    (["93.184.215.14"], True), (["93.184.215.14", "2606:2800:220:1:248:1893:25c8:1946"], True),
    (["127.0.0.1"], False), (["10.0.0.1"], False), (["169.254.169.254"], False), (["100.64.0.1"], False),
    (["93.184.215.14", "192.168.1.1"], False), (["::1"], False), (["::ffff:127.0.0.1"], False),
    (["64:ff9b::7f00:1"], False), (["fe80::1%eth0"], False), (["0.0.0.0"], False),
])
def test_every_address_of_a_name_has_to_be_public(answer, public):
    resolve = checking(lambda host, port: answer)

    if public:
        assert [where for _, where in resolve("cdn.example.com", 443)] == [(address, 443) for address in answer]
    else:
        with pytest.raises(SourceError, match="private network") as caught:
            resolve("cdn.example.com", 443)
        assert caught.value.word == "private_address"


def test_a_name_that_leads_here_is_not_connected_to():
    with serving(answering(200, PICTURE)) as server:
        fetching = fetcher(resolver=lambda host, port: ["127.0.0.1"])
        with pytest.raises(SourceError) as caught:
            fetching.fetch(f"https://rebind.example.com:{server.port}/a.jpg?{SECRET}", 1000)
        fetching.close()

    assert caught.value.word == "private_address"
    assert server.connections == 0
    assert SECRET not in str(caught.value)


def test_the_connection_goes_to_the_address_that_was_looked_at(local):
    asked = []

    def changing(host, port):  # as a name does that is out to trick us
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    with serving(answering(200, PICTURE)) as server:
        fetching = local(resolver=changing, allowed=frozenset({"cdn.example.com"}))
        assert fetching.fetch(f"http://cdn.example.com:{server.port}/a.jpg", 1000).data == PICTURE

    assert asked == ["cdn.example.com"]
    assert server.requests[0].headers["host"] == f"cdn.example.com:{server.port}"


@pytest.mark.parametrize(("url", "word"), [
    ("http://cdn.example.com/a.jpg", "bad_address"), ("ftp://cdn.example.com/a.jpg", "bad_address"),
    ("file:///etc/passwd", "bad_address"), ("https://me:pass@cdn.example.com/a.jpg", "bad_address"),
    ("https://127.1/a.jpg", "bad_address"), ("https://0x7f.1/", "bad_address"),
    ("https://127.0.0.1/a.jpg", "private_address"), ("https://localhost/a.jpg", "private_address"),
    ("https://[::1]/a.jpg", "private_address"), ("https://169.254.169.254/latest", "private_address"),
    ("https://cdn.example.com/a\r\nx: y", "bad_address"),
])
def test_an_address_that_is_not_fetched_is_refused_before_any_request(url, word):
    fetching, seen = mocked(Response(200, content=PICTURE))

    with pytest.raises(SourceError) as caught:
        fetching.fetch(url, 1000)

    assert caught.value.word == word
    assert seen == []


@pytest.mark.parametrize("target", ["http://cdn.example.com/a.jpg", "https://127.0.0.1/a", "https://localhost/",
                                    "//10.0.0.1/a", "file:///etc/passwd", "https://u:p@cdn.example.com/"])
def test_a_redirect_is_looked_at_like_an_address(target):
    fetching, seen = mocked(Response(302, headers={"location": target}), Response(200, content=PICTURE))

    with pytest.raises(SourceError):
        fetching.fetch("https://cdn.example.com/a.jpg", 1000)

    assert len(seen) == 1


def test_a_redirect_is_followed_a_few_times():
    hop = Response(302, headers={"location": "/next.jpg?x=1"})
    fetching, seen = mocked(hop, hop, Response(308, headers={"location": "https://two.example.com/b.jpg"}),
                            Response(200, content=PICTURE))

    assert fetching.fetch("https://cdn.example.com/a.jpg", 1000).data == PICTURE
    assert [str(request.url) for request in seen] == ["https://cdn.example.com"] * 3 + ["https://two.example.com"]
    assert [request.extensions["target"] for request in seen] == [b"/a.jpg", b"/next.jpg?x=1", b"/next.jpg?x=1",
                                                                  b"/b.jpg"]


def test_redirects_in_a_circle_end():
    fetching, seen = mocked(Response(302, headers={"location": "/again"}))

    with pytest.raises(SourceError, match="more than 5 redirects"):
        fetching.fetch("https://cdn.example.com/a.jpg", 1000)

    assert len(seen) == 6


# -- what comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "word"), [
    (Response(404), "not_found"), (Response(410), "not_found"), (Response(403), "refused"), (Response(401), "refused"),
    (Response(400), "refused"), (Response(204), "refused"), (Response(302), "refused"), (Response(206), "refused"),
    (Response(200, html="<p>hello"), "not_an_image"), (Response(200, content=b" <!DOCTYPE html>x"), "not_an_image"),
    (Response(200, json={}), "not_an_image"),
])
def test_what_will_not_change_is_said_and_not_asked_for_again(answer, word):
    fetching, seen = mocked(answer)

    with pytest.raises(SourceError) as caught:
        fetching.fetch(f"https://cdn.example.com/a.jpg?{SECRET}", 1000)

    assert caught.value.word == word
    assert not isinstance(caught.value, FetchFailed)
    assert len(seen) == 1
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_change_is_asked_for_again(status):
    fetching, seen = mocked(Response(status), Response(200, content=PICTURE))
    assert fetching.fetch("https://cdn.example.com/a.jpg", 1000).data == PICTURE

    fetching, seen = mocked(Response(status))
    with pytest.raises(FetchFailed, match="does not answer now"):
        fetching.fetch("https://cdn.example.com/a.jpg", 1000)
    assert len(seen) == 3


def drip(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not peer.server.stopped.wait(0.02):
        peer.send(b"x")


def silence(peer: Peer) -> None:
    peer.read()
    peer.server.stopped.wait()


def half(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + PICTURE)
    peer.hang_up()


@pytest.mark.parametrize("script", [drip, silence, half])
def test_a_server_that_does_not_finish_is_given_up(script, local):
    with serving(script) as server, pytest.raises(FetchFailed) as caught:
        local(Pace(progress=0.3, total=0.3, rate=1e6)).fetch(f"{server.url}/a.jpg?{SECRET}", 1_000_000)

    assert SECRET not in str(caught.value)


def test_a_server_that_is_not_there_may_be_there_later(local):
    with serving(answering()) as server:
        url = f"{server.url}/a.jpg"

    with pytest.raises(FetchFailed, match="cannot be reached"):
        local().fetch(url, 1000)


def test_what_is_too_large_is_not_read_to_its_end(local):
    sent = [0]

    def endless(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not peer.server.stopped.is_set():
            peer.send(b"x" * 10_000)
            sent[0] += 10_000

    with serving(endless) as server, pytest.raises(TooLarge, match="--max-source-bytes"):
        local().fetch(f"{server.url}/a.jpg", 100_000)

    assert sent[0] < 50_000_000


def test_the_limit_itself_is_within():
    fetching, _ = mocked(Response(200, content=b"12345"))

    assert fetching.fetch("https://cdn.example.com/a.jpg", 5).data == b"12345"
    with pytest.raises(TooLarge):
        mocked(Response(200, content=b"123456"))[0].fetch("https://cdn.example.com/a.jpg", 5)


def test_what_is_signed_into_an_address_is_in_no_log(caplog, local):
    caplog.set_level(logging.DEBUG)
    with serving(answering(503), answering(503), answering(404)) as server, pytest.raises(SourceError):
        local().fetch(f"{server.url}/a.jpg?{SECRET}", 1000)

    assert SECRET in server.requests[0].target
    assert SECRET not in caplog.text


# -- as a stage ------------------------------------------------------------------------------------


def test_read_fetches_what_has_an_address(monkeypatch, local):
    import hashlib

    with serving(answering(200, PICTURE, etag='"v1"')) as server:
        monkeypatch.setattr(fetch_module, "fetch", local().fetch)
        asset = Read()(Asset("https://cdn.example.com/a.jpg", "7", location=f"{server.url}/a.jpg"))

    assert asset.data == PICTURE
    assert asset.received == Received(hashlib.sha256(PICTURE).hexdigest(), len(PICTURE), etag='"v1"')


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(FetchFailed("gone for now")))

    assert (str(error), error.word) == ("gone for now", "fetch_failed")
