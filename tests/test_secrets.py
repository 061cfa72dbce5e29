"""Tokens, signatures of addresses and passwords are in nothing that is printed, logged or kept.

Each secret begins with CANARY and is given the chance to get out: the store tells it back in its
errors, whatever is logged at whatever level is caught, and every file is searched. That the canary
reached the store, the picture's host or the proxy is asserted: it was there to be shown.
"""

from __future__ import annotations

import functools
import gzip
import json
import logging
import shutil
import ssl
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import VirtualTime, another_host, hurried
from faulty_store import TOKEN, Fault, FaultyStore, raw
from scripted_server import Peer, answering, serving

from imagepipe.answer import BrokenOff, NoConnection, Secret
from imagepipe.asset import Asset, Origin
from imagepipe.cli import main
from imagepipe.deadlines import Pace
from imagepipe.errors import StoreError
from imagepipe.http import MockTransport, Request, Response, Transport, exchange
from imagepipe.ledger import Ledger
from imagepipe.outcome import Outcome, Status
from imagepipe.sources import fetch as fetching
from imagepipe.sources.addresses import parse_address
from imagepipe.stages.upload import Upload as UploadStage
from imagepipe.stores import Upload
from imagepipe.stores.bigcommerce import BigCommerce
from imagepipe.stores.connection import Patience
from imagepipe.testing import jpeg

CANARY = "CANARY"
assert TOKEN.startswith(CANARY)
SIGNED = "https://cdn.example.com/signed.jpg?X-Amz-Signature=CANARY-signature#CANARY-part"
MODES = [(), ("--json",), ("--verbose",), ("--json", "--verbose"), ("--quiet",)]


class Everything:
    """All that comes out of the command line: what it prints, what anything logs, what is in its folder."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._capfd = folder, capfd
        self.logged: list[str] = []
        self.loggers: set[str] = set()
        monkeypatch.setattr(logging.Logger, "isEnabledFor", lambda logger, level: True)
        monkeypatch.setattr(logging.Logger, "callHandlers", lambda logger, record: self._keep(logger, record))

    def _keep(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        self.loggers.add(logger.name.partition(".")[0])
        self.logged.append(record.getMessage())
        self.logged.append(repr(record.args))
        if record.exc_info and record.exc_info[1]:
            self.logged.extend(traceback.format_exception(record.exc_info[1]))

    def run(self, *arguments: str) -> int:
        """Run a command; return its exit code."""
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        return int(left.value.code or 0)

    def check(self, secret: str = CANARY, *, but: str | None = None) -> str:
        """Fail where the secret is in anything; return what was printed."""
        out, err = self._capfd.readouterr()
        for what, text in (("standard output", out), ("standard error", err), ("a log", "\n".join(self.logged))):
            assert secret not in text, f"{what}: {text[max(0, text.find(secret) - 300):][:400]}"
        for file in self.folder.rglob("*"):
            assert secret not in file.name
            if file.is_file() and file.name != but:
                assert secret.encode() not in file.read_bytes(), file
        return out + err


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the command line's stores wait by a clock of their own, and give up soon."""
    virtual = VirtualTime()

    class Hurried(BigCommerce):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named, sleep=virtual.sleep, clock=virtual.clock,
                             pace=Pace(progress=5, total=10), patience=Patience(attempts=3, lost_writes=3))

    monkeypatch.setattr("imagepipe.stores.bigcommerce.BigCommerce", Hurried)
    monkeypatch.setattr("imagepipe.stages.Upload", functools.partial(UploadStage, sleep=virtual.sleep))


@pytest.fixture
def everything(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Everything:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", TOKEN)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return Everything(folder, capfd, monkeypatch)


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    """One picture of this machine, one at an address that is signed, one at an address that cannot be had."""
    given = tmp_path / "given"  # holds the secrets, as it may: it is not ours
    given.mkdir()
    (given / "a.jpg").write_bytes(jpeg(48, 36))
    (given / "rows.csv").write_text("image,product_id,description\n"
                                    f"a.jpg,1,text\n{SIGNED},2,\n{SIGNED.replace('/signed', '/gone')},2,\n"
                                    "https://CANARY-user:CANARY-password@cdn.example.com/a.jpg?sig=CANARY,1,\n"
                                    "http://CANARY-user:CANARY-password@cdn.example.com/plain.jpg?sig=CANARY,1,\n")
    return str(given / "rows.csv")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answers for hosts of pictures, and keeps what they were asked for."""
    seen: list[str] = []

    def answer(request: Request) -> Response:
        seen.append(f"{request.url} {request.extensions.get('target')}")  # the path is kept out of the url
        if "gone" in seen[-1]:
            return Response(404, text=f"no {seen[-1]}")
        return Response(200, content=jpeg(48, 36, seed=5), headers={"Content-Type": "image/jpeg", "ETag": '"1"'})

    fetcher = fetching.Fetcher(MockTransport(answer), sleep=lambda seconds: None)
    monkeypatch.setattr(fetching, "fetch", fetcher.fetch)
    monkeypatch.setattr(fetching, "shared_fetcher", lambda: fetcher)
    yield seen


def upload(everything: Everything, manifest: str, base_url: str, *mode: str) -> int:
    return everything.run("upload", manifest, "--base-url", base_url, "--ledger", "ledger.sqlite3", "--jobs", "0",
                          "--yes", "--wait-for-network", "0s", "--report", "report.html", "--report", "report.csv",
                          "--report", "report.jsonl", *mode)


def test_a_run_and_all_that_can_be_asked_about_it(everything: Everything, manifest: str, asked: list[str]) -> None:
    for mode in MODES:
        with FaultyStore() as store:
            for file in everything.folder.glob("ledger*"):
                file.unlink()
            assert upload(everything, manifest, store.base_url, *mode) == 1  # of an address that cannot be had
            at = ("--base-url", store.base_url, "--ledger", "ledger.sqlite3")
            assert everything.run("plan", manifest, *at, "--jobs", "0", *mode) in (0, 1)
            again = [word for kind in ("html", "csv", "jsonl") for word in ("--out", f"again.{kind}")]
            for file in everything.folder.glob("again.*"):
                file.unlink()
            json_mode = ("--json",) if "--json" in mode else ()
            assert everything.run("report", "--ledger", "ledger.sqlite3", *again, *json_mode) == 0
            assert everything.run("report", "--ledger", "ledger.sqlite3", "--only", "failed", *json_mode) == 0
            assert everything.run("verify", manifest, *at, *json_mode) in (0, 1)
            assert everything.run("inspect", manifest, *json_mode) in (0, 1)
            assert everything.run("prepare", manifest, "--out", "prepared", "--jobs", "0", *mode) in (0, 1)
            assert everything.run("undo", *at, "--yes", *json_mode) == 0
            for kind in ("html", "csv", "jsonl"):
                for name in (f"again.{kind}", f"report.{kind}"):
                    assert "cdn.example.com/signed.jpg" in (everything.folder / name).read_text(), name

            assert len(store.sent) == 2
            assert {request.headers["x-auth-token"] for request in store.requests} == {TOKEN}
            everything.check()
    with Ledger.open("ledger.sqlite3", writing=False) as ledger:
        assert ledger.runs("faulty@localhost")
    assert any("CANARY-signature" in url for url in asked), asked
    assert "httpcore" in everything.loggers
    assert (everything.folder / "report.html").stat().st_size


ECHO = json.dumps({"status": 422, "title": f"token {TOKEN} is none", "type": TOKEN,
                   "errors": {TOKEN: TOKEN, "url": f"see https://me@x.example/?token={TOKEN}"}}).encode()
PAGE = f"<!doctype html><title>{TOKEN}</title>{TOKEN}".encode()
LIMITS = ("X-Rate-Limit-Time-Reset-Ms: 3000", "X-Rate-Limit-Requests-Left: 0", "X-Rate-Limit-Requests-Quota: 150",
          "X-Rate-Limit-Time-Window-Ms: 30000")


def telling(code: int, *headers: str, content: bytes = ECHO, kind: str = "application/json") -> Any:
    """Return a fault that tells the token back wherever an answer has room for it."""
    head = (f"HTTP/1.1 {code} {TOKEN}", f"X-Echo: {TOKEN}", f"X-{TOKEN}: 1", f"Set-Cookie: token={TOKEN}",
            f"Content-Type: {kind}", f"Content-Length: {len(content)}", "Connection: close", *headers, "", "")
    return raw("\r\n".join(head).encode() + content)


def early(head: str) -> Any:
    """Return a fault that sends these lines and hangs up."""
    return raw(head.replace("\n", "\r\n").encode())


LISTED = {"data": [{"id": 5, "product_id": 1, "image_file": TOKEN, "description": TOKEN, "url_zoom": TOKEN,
                    "sku": TOKEN, "images": []}],
          "meta": {"pagination": {"total": 1, "count": 1, "per_page": 50, "current_page": 1, "total_pages": 1}}}
FAULTS = [
    *[Fault(str(code), telling(code)) for code in (400, 401, 403, 404, 408, 409, 413, 415, 422, 423, 500, 501, 502, 503,
                                                   504, 507)],
    Fault("429", telling(429, *LIMITS, f"X-Retry-After: {TOKEN}")),
    *[Fault(f"redirect {number}", telling(code, f"Location: {url}")) for number, (code, url) in enumerate([
        (301, f"https://{TOKEN}.example.com/"), (302, f"http://me:{TOKEN}@other.example/{TOKEN}?token={TOKEN}"),
        (307, f"/{TOKEN}"), (308, f"https://a.example:{TOKEN}/")])],
    Fault("packed", telling(422, "Content-Encoding: gzip", content=gzip.compress(ECHO))),
    Fault("escaped", telling(422, content=ECHO.replace(b"CANARY", b"\\u0043ANARY"))),
    Fault("in a text that is cut", telling(400, content=json.dumps({"title": "a" * 290 + TOKEN}).encode())),
    Fault("escaped, in a text that is cut",
          telling(400, content=json.dumps({"title": "a" * 290 + TOKEN}).replace("CANARY", "\\u0043ANARY").encode())),
    Fault("a web page", telling(200, content=PAGE, kind="text/html")),
    Fault("a web page that says 502", telling(502, content=PAGE, kind="text/html")),
    Fault("truncated JSON", telling(200, content=ECHO[:60])),
    Fault("half a body", early(f"HTTP/1.1 200 OK\nContent-Length: 999\n\n{TOKEN}")),
    Fault("a listing", telling(200, content=json.dumps(LISTED).encode())),
    Fault("an image", telling(200, content=json.dumps({"data": LISTED["data"][0], "meta": {}}).encode())),  # type: ignore[index]
    Fault("no status line", early(f"{TOKEN} is no status line\n\n")),
    Fault("another version", early(f"HTTP/{TOKEN} 200 OK\n\n")),
    Fault("a status that is none", early(f"HTTP/1.1 {TOKEN} OK\n\n")),
    Fault("a line that is no header", early(f"HTTP/1.1 200 OK\n{TOKEN}\n\n")),
    Fault("a name that is none", early(f"HTTP/1.1 200 OK\n{TOKEN} x: 1\n\n")),
    Fault("a length that is none", early(f"HTTP/1.1 200 OK\nContent-Length: {TOKEN}\n\n")),
    Fault("an unknown transfer", early(f"HTTP/1.1 200 OK\nTransfer-Encoding: {TOKEN}\n\n")),
    Fault("an unknown packing", telling(200, f"Content-Encoding: {TOKEN}")),
    Fault("a chunk that is none", early(f"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n{TOKEN}\n")),
    Fault("hung up", raw(b"")),
    Fault("reset", raw(f"HTTP/1.1 200 {TOKEN}".encode(), then="reset")),
]


@pytest.mark.parametrize(("number", "fault"), list(enumerate(FAULTS)), ids=[fault.name for fault in FAULTS])
def test_whatever_the_store_says(everything: Everything, manifest: str, number: int, fault: Fault) -> None:
    """From the first request on, and from the first upload on."""
    for at in (1, 3):
        with FaultyStore() as store:
            with store.failing(fault, at, onwards=True):
                code = upload(everything, manifest, store.base_url, *MODES[(number + at) % len(MODES)])
                assert code in (1, 3, 4)
                assert store.requests[-1].headers["x-auth-token"] == TOKEN
                assert len(store.requests) >= at
                everything.run("verify", manifest, "--base-url", store.base_url, "--ledger", "ledger.sqlite3")
            assert everything.run("report", "--ledger", "ledger.sqlite3", "--out", "again.html", "--json") == 0
            everything.check()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_an_error_has_no_secret_in_its_text_its_causes_and_its_variables(fault: Fault) -> None:
    virtual = VirtualTime()
    with FaultyStore() as server, server.failing(fault, 1, onwards=True):
        store = hurried(server.base_url, virtual, patience=Patience(attempts=2, lost_writes=3))
        for act in (lambda: store.images(1), lambda: store.create(Upload(1, "a.jpg", data=b"x" * 100)),
                    lambda: store.update(1, 5, sort_order=2), lambda: store.delete(1, 5),
                    lambda: store.product_ids(["MUG"])):
            try:
                assert TOKEN not in repr(act())
            except StoreError as error:
                for one in chain(error):
                    assert CANARY not in str(one) + repr(one) + repr(one.args)
                shown = traceback.TracebackException.from_exception(error, capture_locals=True)
                ours = [frame for frame in shown.stack if frame.filename != __file__]  # this test holds it, of course
                assert ours
                assert CANARY not in str([frame.locals for frame in ours])
        store.close()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it, were it hidden from tracebacks or not."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("head", ["{} is no status line", "HTTP/{} 200 OK", "HTTP/1.1 {} OK", "HTTP/1.1 200 OK\n{}",
                                  "HTTP/1.1 200 OK\n{} x: 1", "HTTP/1.1 200 OK\nContent-Length: {}",
                                  "HTTP/1.1 200 OK\nTransfer-Encoding: {}", "HTTP/1.1 200 OK\nContent-Encoding: {}",
                                  "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n{}"])
@pytest.mark.parametrize("by", ["store", "proxy"])
def test_what_is_no_answer_is_said_in_our_words(head: str, by: str) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(f"{head.format('PEERSWORDS')}\n\n".replace("\n", "\r\n").encode())
        peer.hang_up()

    with serving(script) as server:
        transport = Transport(proxy=server.url if by == "proxy" else None)
        with pytest.raises((NoConnection, BrokenOff)) as caught:
            exchange(transport.handle_request, "GET", "https://a.example/" if by == "proxy" else server.url,
                     headers={}, cap=100)
    transport.close()

    assert "peerswords" not in str(caught.value).lower()
    assert list(chain(caught.value)) == [caught.value]


@pytest.mark.parametrize(("status", "kind"), [(407, "proxy"), (403, "proxy"), (502, "network"), (504, "network")])
def test_a_proxy_that_refuses_is_quoted_with_its_number_alone(status: int, kind: str) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(f"HTTP/1.1 {status} PEERSWORDS\r\nContent-Length: 0\r\n\r\n".encode())
        peer.hang_up()

    with serving(script) as server, pytest.raises(NoConnection) as caught:
        exchange(Transport(proxy=server.url).handle_request, "GET", "https://a.example/", headers={}, cap=100)

    assert str(caught.value) == f"the proxy refuses ({status})"
    assert caught.value.kind == kind


def test_a_token_that_comes_back_in_two_pieces_is_not_logged_by_the_library(everything: Everything) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(f"HTTP/1.1 200 OK\r\nX-Echo: {TOKEN[:10]}".encode())
        time.sleep(0.05)  # so that these are two packets
        peer.send(f"{TOKEN[10:]}\r\nX-End: 1\r\nContent-Length: 2\r\n\r\n[]".encode())

    transport = Transport()
    with serving(script) as server:
        answer = exchange(transport.handle_request, "GET", server.url, headers={}, cap=100,
                          secret=("X-Auth-Token", Secret(TOKEN)))
    transport.close()

    assert answer.json() == []
    logged = "\n".join(everything.logged)
    assert "X-Echo" in logged
    assert TOKEN not in logged + str(answer)
    assert TOKEN[10:] not in logged + str(answer)


def test_what_signs_an_address_of_the_command_is_not_in_the_ledger(everything: Everything, asked: list[str]) -> None:
    with FaultyStore() as store:
        assert everything.run("upload", SIGNED, "--product-id", "1", "--base-url", store.base_url, "--ledger",
                              "ledger.sqlite3", "--jobs", "0", "--yes") == 0
    with Ledger.open("ledger.sqlite3", writing=False) as ledger:
        [run] = ledger.runs()
    assert run["command"].startswith("imagepipe upload 'https://cdn.example.com/signed.jpg?...' --product-id 1 ")
    everything.run("report", "--ledger", "ledger.sqlite3")
    everything.check()


def test_what_signs_an_address_is_in_no_repr() -> None:
    asset = Asset(SIGNED, "1", location=SIGNED, data=b"bytes", origin=Origin("rows.csv", 1, {"image": SIGNED}))
    shown = [repr(one) for one in (asset, Outcome(asset, Status.FAILED), parse_address(SIGNED.partition("#")[0]),
                                   Upload(1, image_url=SIGNED), [asset])]

    assert not [text for text in shown if CANARY in text]
    assert "https://cdn.example.com/signed.jpg" in shown[0]
    assert "bytes" not in shown[0]
    assert asset.location == SIGNED


def test_a_secret_is_hidden_in_any_case_and_encoding() -> None:
    secret = Secret("Canary/Token+1")

    assert secret.hide("a canary/token+1 CANARY%2FTOKEN%2B1 b") == "a *** *** b"
    assert secret.blank(b"a Canary/Token+1 b") == b"a ************** b"
    assert secret.blank(b"n+1 b", b"xCanary/Toke") == b"*** b"
    assert Secret("short").blank(b"a short word") == b"a short word"
    assert Secret("").hide("nothing") == "nothing"


def test_no_store_there(everything: Everything, manifest: str) -> None:
    with FaultyStore() as store:
        url = store.base_url
    assert upload(everything, manifest, url, "--verbose") == 4

    assert "no connection" in everything.check()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for(everything: Everything, manifest: str, tmp_path: Path) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem", "-days", "2",
                    "-subj", "/CN=localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(answering(200, b"1"), tls=context) as server:
        assert upload(everything, manifest, f"https://localhost:{server.port}/stores/faulty/v3", "--verbose") in (3, 4)

    assert "trusted" in everything.check()


BASIC = "Q0FOQVJZLXVzZXI6Q0FOQVJZLXBhc3N3b3Jk"  # CANARY-user:CANARY-password, as a proxy's password is sent


@pytest.mark.parametrize("said", [
    "HTTP/1.1 407 X\n\n", f"HTTP/1.1 407 {BASIC}\n\n", f"HTTP/1.1 403 no, CANARY-password\nX: {BASIC}\n\n",
    f"HTTP/1.1 502 {BASIC}\nProxy-Authorization: Basic {BASIC}\n\n", f"HTTP/1.1 500 CANARY-password {BASIC}\n\n",
    f"{BASIC} is no status line\n\n", f"HTTP/1.1 200 OK\n{BASIC}\n\n", f"HTTP/1.1 200 OK\n\n{BASIC}", "",
], ids=range(9))
@pytest.mark.parametrize("mode", [("--verbose",), ("--json",)], ids=" ".join)
def test_a_proxy_with_a_password(everything: Everything, manifest: str, said: str, mode: tuple[str, ...],
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    with another_host(said.replace("\n", "\r\n").encode()) as (port, heard):
        monkeypatch.setenv("HTTPS_PROXY", f"http://CANARY-user:CANARY-password@127.0.0.1:{port}")
        assert upload(everything, manifest, "https://store.invalid/stores/faulty/v3", *mode) in (3, 4)

    everything.check("CANARY-password")
    everything.check(BASIC)
    everything.check()
    assert any(BASIC.encode() in request for request in heard)
    assert not any(TOKEN.encode() in request for request in heard)


@pytest.mark.parametrize("proxy", ["http://CANARY-user:CANARY/password@proxy.example:1", "CANARY-user:CANARY-word@",
                                   "http://CANARY-user:CANARY#word@proxy.example:1", "http://proxy.example:CANARY",
                                   "http://CANARY@CANARY:CANARY@proxy.example", "socks5://CANARY:CANARY@proxy.example"])
def test_a_proxy_whose_password_could_be_taken_for_its_host(everything: Everything, manifest: str, proxy: str,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert upload(everything, manifest, "https://store.invalid/stores/faulty/v3", "--verbose") == 2

    assert "proxy" in everything.check()


def test_a_password_of_a_proxy_is_in_no_variable_of_a_traceback() -> None:
    transport = Transport(proxy="http://CANARY-user:CANARY-password@127.0.0.1:9")
    with pytest.raises((NoConnection, BrokenOff)) as caught:
        exchange(transport.handle_request, "GET", "https://store.example/", headers={}, cap=1)

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "CANARY-password" not in str([frame.locals for frame in shown.stack if frame.filename != __file__])
    assert "CANARY-password" not in str(vars(transport))


@pytest.mark.parametrize("where", ["imagepipe.stores.bigcommerce.BigCommerce.create",
                                   "imagepipe.stores.bigcommerce.BigCommerce.side_loaded",
                                   "imagepipe.stages.decode.Decode.__call__",
                                   "imagepipe.ledger.Ledger.settle"])
def test_a_mistake_of_ours(everything: Everything, manifest: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(where, broken)
    with FaultyStore() as store:
        assert upload(everything, manifest, store.base_url, "--verbose") != 0

    everything.check()


def test_options_that_are_wrong(everything: Everything, manifest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"https://CANARY-user:CANARY-password@store.example/stores/x/v3?{CANARY}",
                f"https://store.example/stores/x/v3?token={CANARY}", f"http://store.example/{CANARY}@/stores/x/v3#"):
        assert upload(everything, manifest, url) == 2
    with FaultyStore() as store:
        monkeypatch.setenv("BIGCOMMERCE_ACCESS_TOKEN", f"{TOKEN} and\nmore")
        assert upload(everything, manifest, store.base_url) == 2

    out, err = everything._capfd.readouterr()
    assert TOKEN not in out + err
    assert "CANARY-password" not in out + err


def test_the_sandbox_keeps_its_token_in_one_file(everything: Everything, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "MUG").mkdir(parents=True)
    (photos / "MUG" / "a.jpg").write_bytes(jpeg(48, 36))
    for mode in MODES:
        assert everything.run("upload", str(photos), "--match", "{sku}/*", "--sandbox", "--jobs", "0", "--yes",
                              *mode) == 0
    [access] = everything.folder.rglob("access.json")
    token = json.loads(access.read_text())["token"]

    assert len(token) > 8
    everything.check(token, but="access.json")
    assert access.stat().st_mode & 0o077 == 0


def test_this_would_be_noticed(everything: Everything) -> None:
    """The search finds what it looks for, in each of the places."""
    leaks: list[Callable[[], object]] = [
        lambda: logging.getLogger("httpx").debug("sent %s", TOKEN),
        lambda: (everything.folder / "ledger.sqlite3-wal").write_bytes(b"..." + TOKEN.encode()),
        lambda: (everything.folder / TOKEN).touch(),
    ]
    for leak in leaks:
        everything.logged.clear()
        leak()
        with pytest.raises(AssertionError):
            everything.check()
        for file in everything.folder.iterdir():
            file.unlink()
    everything.logged.clear()
    everything.check()
