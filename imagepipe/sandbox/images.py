"""The API's product images: list, get, create, update, delete."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from imagepipe.sandbox.answers import (
    INT32,
    Answer,
    Refusal,
    as_json,
    collection,
    fields_of,
    invalid,
    not_simulated,
    one,
    page_asked,
    whole_number,
)
from imagepipe.sandbox.forms import Part, parameters, read_multipart, read_object
from imagepipe.sandbox.names import name_in, rendition_name, stored_name
from imagepipe.sandbox.pictures import Picture, check
from imagepipe.sandbox.renditions import SIZES, rendition_extension
from imagepipe.sandbox.state import Image, State

MAX_BYTES = 8_000_000  #: "8 MB" of an image, read strictly.
_LONGEST_URL = 255
_FORMATS = ("application/json", "multipart/form-data")
_FIELDS = frozenset({"id", "product_id", "is_thumbnail", "sort_order", "description", "image_file", "url_zoom",
                     "url_standard", "url_thumbnail", "url_tiny", "date_modified"})
_ALWAYS = frozenset({"id"})

Fetch = Callable[[str], bytes]  #: Returns what an address holds; whatever it raises means: could not be downloaded.


def image_record(image: Image, root: str) -> dict[str, Any]:
    """Return an image as the API shows it; `root` is the address of the root page."""
    stamp = int(datetime.fromisoformat(image.modified).timestamp())
    urls = {}
    for name, (width, height) in SIZES.items():
        file = rendition_name(image.image_file, stamp, width, height, rendition_extension(image))
        urls[f"url_{name}"] = f"{root}products/{image.product_id}/images/{image.id}/{file}?c=2"
    return {"id": image.id, "product_id": image.product_id, "is_thumbnail": image.is_thumbnail,
            "sort_order": image.sort_order, "description": image.description, "image_file": image.image_file, **urls,
            "date_modified": image.modified}


@dataclass(frozen=True)
class Images:
    """Answers about the images of a product that is there."""

    state: State
    root: Callable[[], str]  #: Returns the address of the root page.
    fetch: Fetch | None
    longest_name: int

    def list(self, product_id: int, query: dict[str, str]) -> Answer:
        """`GET …/images`, ascending by id; 204 and no body where the product has none."""
        page = page_asked(query)
        total = self.state.count_images(product_id)
        if not total:
            return Answer(204)
        found = self.state.images(product_id, limit=page.limit, offset=page.offset)
        return collection([self._record(image, query) for image in found], total, page, query)

    def get(self, image: Image, query: dict[str, str]) -> Answer:
        """`GET …/images/{image_id}`."""
        return one(self._record(image, query))

    def create(self, product_id: int, content_type: str, body: bytes) -> Answer:
        """`POST …/images`: a form with `image_file`, or JSON with `image_url`."""
        kind, named = _kind(content_type)
        image: Image
        if kind == "multipart/form-data":
            parts = _fields(read_multipart(body, named.get("boundary", "")))
            values = _values(_of_text(parts))
            image = self._from_file(product_id, values, parts)
        else:
            record = read_object(body)
            values = _values(record)
            image = self._from_url(product_id, values, record)
        return as_json(200, {"data": image_record(image, self.root()), "meta": {}})

    def update(self, product_id: int, image_id: int, content_type: str, body: bytes) -> Answer:
        """`PUT …/images/{image_id}`: order, thumbnail, alt text."""
        kind, named = _kind(content_type)
        record: dict[str, Any]
        if kind == "multipart/form-data":
            parts = _fields(read_multipart(body, named.get("boundary", "")))
            record = {**_of_text(parts), **{name: part for name, part in parts.items() if name == "image_file"}}
        else:
            record = read_object(body)
        if "image_file" in record or "image_url" in record:
            raise not_simulated("an update with a new image, which is reported to leave the old one in place: "
                                "create the new one, then delete the old one")
        return one(image_record(self.state.update_image(product_id, image_id, _values(record)), self.root()))

    def _record(self, image: Image, query: dict[str, str]) -> dict[str, Any]:
        return fields_of(image_record(image, self.root()), query, _FIELDS, _ALWAYS)

    def _from_file(self, product_id: int, values: dict[str, Any], parts: dict[str, Part]) -> Image:
        if "image_url" in parts:
            # The sentence of the official description for this mistake
            title = ("image_url must be present if uploading by url" if "image_file" not in parts else
                     "image_file and image_url cannot be used together")
            raise Refusal(422, title, {"image_url": "belongs into a JSON body, without image_file"})
        part = parts.get("image_file")
        if part is None:
            raise invalid("image_file", "is required, or image_url in a JSON body")
        if part.filename is None or not part.filename.strip():
            raise invalid("image_file", "must be sent as a file, with a file name")
        picture = _checked(part.data)
        name = stored_name(part.filename, picture.extension, self.longest_name)
        return self.state.add_image(product_id, {**values, **_found(picture), "image_file": name}, part.data)

    def _from_url(self, product_id: int, values: dict[str, Any], record: dict[str, Any]) -> Image:
        if "image_file" in record:
            raise invalid("image_file", "can only be sent as multipart/form-data")
        if "image_url" not in record:
            raise invalid("image_url", "is required, or image_file in a multipart form")
        url = _address(record["image_url"])
        data: bytes | None = None
        picture = Picture("", 0, 0, 0)
        if self.fetch is not None:
            try:
                data = self.fetch(url)
            except Exception as error:  # another's function: whatever it raises is a failed download
                raise Refusal(400, f"image_url could not be downloaded ({type(error).__name__})",
                              {"image_url": "could not be downloaded"}) from error
            picture = _checked(data)
        name = stored_name(name_in(url), picture.extension or "jpg", self.longest_name)
        values |= {**_found(picture), "image_file": name, "image_url": url}
        return self.state.add_image(product_id, values, data)


def _kind(content_type: str) -> tuple[str, dict[str, str]]:
    kind, named = parameters(content_type)
    if kind not in _FORMATS:
        raise Refusal(415, f"Content-Type must be one of {', '.join(_FORMATS)}")
    return kind, named


def _checked(data: bytes) -> Picture:
    if len(data) > MAX_BYTES:
        raise invalid("image_file", f"has {len(data):,} bytes; at most {MAX_BYTES:,} are taken")
    if not data:
        raise invalid("image_file", "is empty")
    return check(data)


def _found(picture: Picture) -> dict[str, Any]:
    return {"format": picture.format, "width": picture.width, "height": picture.height, "frames": picture.frames}


def _fields(parts: list[Part]) -> dict[str, Part]:
    fields: dict[str, Part] = {}
    for part in parts:
        if part.name in fields:
            raise invalid(part.name, "is sent twice; one image can be created a request")
        fields[part.name] = part
    return fields


def _of_text(parts: dict[str, Part]) -> dict[str, Any]:
    """Return the fields of a form that are no file, as JSON would have them; their texts are `true`, `0`, ….

    What is not written as the API wants it (`True`, `1.0`) stays text, and is refused as such.
    """
    read: dict[str, Callable[[str], Any]] = {
        "is_thumbnail": lambda text: {"true": True, "false": False}.get(text, text),
        "sort_order": lambda text: text if whole_number(text) is None else int(text),
        "product_id": lambda text: text if whole_number(text) is None else int(text)}
    return {name: read.get(name, str)(part.text) for name, part in parts.items()
            if name in ("is_thumbnail", "sort_order", "description", "product_id", "date_modified")}


def _values(record: dict[str, Any]) -> dict[str, Any]:
    """Return the values to keep of a request, checked; fields that are unknown or without effect are left out."""
    values: dict[str, Any] = {}
    for name, kind, wanted in (("is_thumbnail", bool, "true or false"), ("sort_order", int, "a 32-bit whole number"),
                               ("description", str, "text"), ("product_id", int, "a whole number"),
                               ("date_modified", str, "a date and time as in RFC 3339")):
        if name not in record:
            continue
        value = record[name]
        fits = isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
        if name == "sort_order" and fits:
            fits = INT32[0] <= value <= INT32[1]
        if name == "date_modified" and fits:
            fits = _is_time(value)
        if not fits:
            raise invalid(name, f"must be {wanted}")
        values[name] = value
    values.pop("product_id", None)  # declared as writable, without a known effect: so there is none here
    values.pop("date_modified", None)
    if "description" in values:
        values["description"] = values["description"].encode("utf-8", "replace").decode()  # lone surrogates
    return values


def _is_time(text: str) -> bool:
    try:
        return "T" in text.upper() and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _address(url: Any) -> str:
    if not isinstance(url, str):
        raise invalid("image_url", "must be text")
    if len(url) > _LONGEST_URL:
        raise invalid("image_url", f"has {len(url)} characters; at most {_LONGEST_URL} are taken")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in url):
        raise invalid("image_url", "must be a full address, protocol included")
    if not _is_public(host):
        raise Refusal(400, "image_url could not be downloaded: its host is not publicly reachable",
                      {"image_url": "is not publicly reachable"})
    return url


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))


