"""The same exchange with TLS on it, and through a proxy. The certificate is made here, by openssl where it is."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from scripted_server import Peer, answering, serving

from imagepipe.answer import BrokenOff, NoConnection, Secret
from imagepipe.deadlines import Pace
from imagepipe.http import Transport, exchange

CANARY = "canary0token0never0shown"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return folder


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))


def ask(url, *, pace=None, proxy=None, **more):
    transport = Transport(pace=pace, proxy=proxy)
    try:
        return exchange(transport.handle_request, more.pop("method", "GET"), url, headers={}, cap=1_000_000,
                        secret=("X-Auth-Token", Secret(CANARY)), **more)
    finally:
        transport.close()


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(tls):
    with serving(answering(200, b"1"), tls=tls) as server, pytest.raises(NoConnection) as caught:
        ask(f"https://localhost:{server.port}/")

    assert caught.value.kind == "tls"
    assert server.requests == []


def test_a_certificate_for_another_name_is_refused(tls, trusted):
    with serving(answering(200, b"1"), tls=tls) as server, pytest.raises(NoConnection) as caught:
        ask(f"https://127.0.0.2:{server.port}/")

    assert caught.value.kind in ("tls", "refused")  # where only one address is this machine's, it is not there
    assert server.requests == []


def test_a_large_upload_arrives_whole(tls, trusted):
    body = bytes(range(256)) * 12_000

    with serving(answering(200, {"ok": 1}), tls=tls) as server:
        answer = ask(f"https://localhost:{server.port}/x", method="POST", files={"f": ("a.jpg", body, "image/jpeg")})

    assert answer.json() == {"ok": 1}
    assert body in server.requests[0].body
    assert server.requests[0].headers["x-auth-token"] == CANARY


def test_silence_is_cut_off(tls, trusted):
    def silent(peer: Peer) -> None:
        peer.read()
        peer.server.stopped.wait()

    with serving(silent, tls=tls) as server, pytest.raises(BrokenOff) as caught:
        ask(f"https://localhost:{server.port}/", pace=Pace(progress=0.3))

    assert caught.value.slow


def test_a_drip_is_cut_off(tls, trusted):
    def drip(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not peer.server.stopped.wait(0.05):
            peer.send(b"x")

    with serving(drip, tls=tls) as server, pytest.raises(BrokenOff) as caught:
        ask(f"https://localhost:{server.port}/", pace=Pace(progress=5, total=0.5, rate=1e6))

    assert caught.value.slow


def test_an_upload_that_nobody_takes_is_cut_off(tls, trusted):
    def deaf(peer: Peer) -> None:
        peer.server.stopped.wait()

    with serving(deaf, tls=tls, receive_buffer=4096) as server, pytest.raises(BrokenOff):
        ask(f"https://localhost:{server.port}/", method="POST", pace=Pace(progress=0.3),
            files={"f": ("a", b"x" * 20_000_000, "image/png")})


def test_a_handshake_that_does_not_end_is_cut_off():
    def silent(peer: Peer) -> None:
        peer.server.stopped.wait()

    with serving(silent) as server, pytest.raises(NoConnection) as caught:
        ask(f"https://localhost:{server.port}/", pace=Pace(connect=0.3))

    assert caught.value.kind == "timeout"


def test_a_reset_after_the_request_may_have_been_carried_out(tls, trusted):
    def reset(peer: Peer) -> None:
        peer.read()
        peer.reset()

    with serving(reset, tls=tls) as server, pytest.raises(BrokenOff):
        ask(f"https://localhost:{server.port}/", method="POST", json={})


def relay(peer: Peer) -> None:
    """Serve one CONNECT, as a proxy does."""
    request = peer.read()
    host, _, port = request.target.rpartition(":")
    with socket.create_connection((host, int(port))) as far:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def back() -> None:
            with contextlib.suppress(OSError):  # whoever hangs up first
                while data := far.recv(1 << 16):
                    peer.send(data)

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        while data := peer.sock.recv(1 << 16):
            far.sendall(data)
        far.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    peer.hang_up()


def test_a_proxy_sees_where_it_goes_and_nothing_of_what_is_said(tls, trusted):
    with serving(answering(200, b"hello"), tls=tls) as server, serving(relay) as proxy:
        answer = ask(f"https://localhost:{server.port}/secret/path", proxy=f"http://me:pass@127.0.0.1:{proxy.port}")

    assert answer.body == b"hello"
    assert server.requests[0].headers["x-auth-token"] == CANARY
    assert proxy.requests[0].target == f"localhost:{server.port}"
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert CANARY not in str(proxy.requests)
    assert "secret" not in str(proxy.requests)
