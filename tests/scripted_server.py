"""A server of raw sockets that does, request by request, exactly what a test tells it to.

A script is a function that is given a `Peer` when the first byte of a request is there. It reads
(or does not), writes what it likes, and hangs up or not. The last script serves all that follow.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """The client's end of a connection, for one exchange."""

    sock: socket.socket
    server: ScriptedServer
    rest: bytes = b""
    open: bool = True

    def read(self) -> Received:
        """Read a whole request."""
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, _, body = self.rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.rest = body
        length = int(headers.get("content-length", 0))
        while len(self.rest) < length:
            self._more()
        request = Received(method, target, headers, self.rest[:length])
        self.rest = self.rest[length:]
        self.server.requests.append(request)
        return request

    def _more(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            self.open = False
            raise ConnectionError("the client hung up")
        self.rest += data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, status: int = 200, body: Any = b"", **headers: str) -> None:
        """Send a whole answer; what is no bytes is sent as JSON."""
        kind = "text/plain"
        if not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), "application/json"
        named = {"content-type": kind, "content-length": str(len(body)),
                 **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.send(f"HTTP/1.1 {status} So\r\n{lines}\r\n".encode() + body)

    def hang_up(self) -> None:
        self.open = False
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """Hang up with a reset instead of an end."""
        self.open = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], object]


def answering(status: int = 200, body: Any = b"", **headers: str) -> Script:
    """Return a script that reads the request and gives one answer."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.answer(status, body, **headers)

    return script


@dataclass
class ScriptedServer:
    """Serves on this machine, on a free port, while the `with` lasts."""

    scripts: list[Script]
    tls: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    receive_buffer: int | None = None
    port: int = 0

    def __enter__(self) -> ScriptedServer:
        self._socket = socket.socket()
        if self.receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(64)
        self.port = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._peers: list[Peer] = []
        self.stopped = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for peer in self._peers:
            peer.hang_up()
        for thread in self._threads:
            thread.join(5)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            peer = Peer(sock, self)
            self._peers.append(peer)
            while peer.open:
                if not peer.rest:
                    if isinstance(sock, ssl.SSLSocket):
                        peer.rest = sock.recv(1)
                        if not peer.rest:
                            break
                    elif not sock.recv(1, socket.MSG_PEEK):
                        break
                with self._lock:
                    script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                script(peer)
        sock.close()


def serving(*scripts: Script, **settings: Any) -> ScriptedServer:
    """Return a server for these scripts, to be used in a `with`."""
    return ScriptedServer(list(scripts), **settings)
