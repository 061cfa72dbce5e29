"""Tokens, signatures of addresses and passwords are in nothing that is printed, logged or kept.

Each secret begins with CANARY and is given the chance to get out: the store tells it back in its
errors, whatever is logged at whatever level is caught, and every file is searched. That the canary
reached the store, the picture's host or the proxy is asserted: it was there to be shown.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_store import TOKEN, Fault, FaultyStore, status
from scripted_server import answering, serving

from imagepipe.cli import main
from imagepipe.http import MockTransport, Request, Response
from imagepipe.ledger import Ledger
from imagepipe.sources import fetch as fetching
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
            everything.run("plan", manifest, *at, "--jobs", "0", *mode)
            everything.run("report", "--ledger", "ledger.sqlite3", "--base-url", store.base_url)
            everything.run("report", "--ledger", "ledger.sqlite3", "--base-url", store.base_url, "--out", "again.html")
            everything.run("verify", manifest, *at)
            everything.run("undo", *at, "--yes")

            assert len(store.sent) == 2
            assert {request.headers["x-auth-token"] for request in store.requests} == {TOKEN}
            everything.check()
    with Ledger.open("ledger.sqlite3", writing=False) as ledger:
        assert ledger.runs("faulty@localhost")
    assert any("CANARY-signature" in url for url in asked), asked
    assert "httpcore" in everything.loggers
    assert (everything.folder / "report.html").stat().st_size


ECHO = json.dumps({"status": 422, "title": f"token {TOKEN} is none", "type": TOKEN,
                   "errors": {"x-auth-token": TOKEN, "url": f"see https://me@x.example/?token={TOKEN}"}}).encode()
FAULTS = [
    *[Fault(f"{code} that tells the token back", status(code, content=ECHO), )
      for code in (400, 401, 403, 404, 413, 422, 501, 507)],
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_whatever_the_store_says(everything: Everything, manifest: str, fault: Fault,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagepipe.stores.waiting.Waiting.__call__", lambda waiting, seconds: None)
    monkeypatch.setattr("imagepipe.stages.upload.time.sleep", lambda seconds: None)
    for at, mode in ((1, ("--json", "--verbose")), (2, ("--verbose",))):
        with FaultyStore() as store:
            with store.failing(fault, at, onwards=True):
                assert upload(everything, manifest, store.base_url, *mode) in (1, 3, 4)
                assert store.requests[-1].headers["x-auth-token"] == TOKEN
            everything.check()


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


@pytest.mark.parametrize("said", [b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n"])
def test_a_proxy_with_a_password(everything: Everything, manifest: str, said: bytes,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(said)

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://CANARY-user:CANARY-password@127.0.0.1:{port}")
    assert upload(everything, manifest, "https://store.invalid/stores/faulty/v3", "--verbose") in (3, 4)
    listener.close()

    everything.check()
    everything.check("Q0FOQVJZ")  # CANARY in base64, as a proxy's password is sent
    assert any(b"Q0FOQVJZ" in request for request in heard)
    assert not any(TOKEN.encode() in request for request in heard)


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
