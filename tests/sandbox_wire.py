"""Talking to the sandbox over the wire, without imagepipe's own client, and checking against the official schemas."""

import functools
import http.client
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import yaml

DESCRIPTION = Path(__file__).parent / "data" / "product-images.openapi.yml"
BOUNDARY = "the-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]


class Wire:
    """One connection to a sandbox, kept open."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        parts = urlsplit(sandbox.base_url)
        self.root = parts.path
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)

    def __call__(self, method, path, body=None, *, token=True, **headers) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named.setdefault("X-Auth-Token", self.sandbox.token)
        return self.raw(method, self.root + path, body, named)

    def raw(self, method, target, body=None, headers=None) -> Answer:
        self.connection.request(method, target, body, headers or {})
        answer = self.connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def post(self, product, data, name="a picture.jpg", /, **fields) -> Answer:
        fields = [(key, str(value)) for key, value in fields.items()]
        return self("POST", f"/catalog/products/{product}/images", form(fields, data, name), Content_Type=FORM)

    def send(self, method, path, value) -> Answer:
        return self(method, path, json.dumps(value), Content_Type="application/json")

    def page(self, target) -> Answer:
        return self.raw("GET", target)

    def close(self):
        self.connection.close()


@contextmanager
def wired(sandbox) -> Iterator[Wire]:
    wire = Wire(sandbox)
    try:
        yield wire
    finally:
        wire.close()


def form(fields: Iterable[tuple[str, str]] = (), data: bytes | None = None, name: str = "a.jpg") -> bytes:
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
             for key, value in fields]
    if data is not None:
        parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image_file"; filename="{name}"\r\n'
                     "Content-Type: application/octet-stream\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def spoken(sandbox, request: bytes, *, end: bool = False) -> bytes:
    """Send bytes, and return all that comes back until the sandbox closes the connection; `end`: say that was all."""
    parts = urlsplit(sandbox.base_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer


@functools.cache
def description() -> dict[str, Any]:
    found = yaml.safe_load(DESCRIPTION.read_text("utf-8"))
    # "This value is `null` for complex products", says the text beside the type
    found["components"]["schemas"]["product_Full"]["allOf"][2]["properties"]["base_variant_id"]["nullable"] = True
    return found


def check(answer: Answer, path: str, method: str) -> None:
    """Raise unless an answer is one that the official description has for the path and method."""
    responses = description()["paths"][path][method]["responses"]
    assert str(answer.status) in responses, f"{method} {path} does not declare {answer.status}: {answer.body[:300]!r}"
    content = responses[str(answer.status)].get("content")
    if not content:
        assert answer.body == b""
        return
    assert answer.headers["content-type"] == "application/json"
    schema = _as_json_schema({**content["application/json"]["schema"], "components": description()["components"]})
    jsonschema.Draft202012Validator(schema).validate(answer.json)


def _as_json_schema(value: Any) -> Any:
    """Return OpenAPI 3.0 as JSON Schema: what may be null says so, and `oneOf` becomes `anyOf`.

    The two faces of an image in an answer require nothing, so that every image fits both of them,
    which `oneOf` forbids.
    """
    if isinstance(value, list):
        return [_as_json_schema(member) for member in value]
    if not isinstance(value, dict):
        return value
    made = {("anyOf" if key == "oneOf" else key): _as_json_schema(member) for key, member in value.items()}
    if made.pop("nullable", False) is True:
        made["type"] = [made["type"], "null"]
    return made


def declared(name: str) -> set[str]:
    """Return the names of the properties that a schema has, in all its parts."""
    found: set[str] = set()
    _collect(description()["components"]["schemas"][name], found)
    return found


def _collect(schema: dict[str, Any], found: set[str]) -> None:
    found.update(schema.get("properties", {}))
    if "$ref" in schema:
        _collect(description()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], found)
    for part in schema.get("allOf", []):
        _collect(part, found)
