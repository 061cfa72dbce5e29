"""What the store's answers mean: images, products, pages of them, and refusals in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeGuard, TypeVar
from urllib.parse import urlsplit

from imagepipe.answer import Answer, Nonsense, Secret
from imagepipe.errors import (
    AccessRefused,
    Ambiguous,
    ProductFull,
    ProductNotFound,
    Rejected,
    StoreBusy,
    StoreDown,
    StoreError,
    StoreUnusable,
)
from imagepipe.plain import plain
from imagepipe.stores import StoreImage

T = TypeVar("T")

#: Statuses after which the same request may well succeed (https://developer.bigcommerce.com, "API status codes").
TEMPORARY = frozenset({408, 425, 499, 500, 502, 503, 504})
BUSY = frozenset({409, 423})
LONGEST_TEXT = 300  #: Characters of what a store says that are passed on.


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing."""

    items: tuple[T, ...]
    total: int  #: Of all pages, in items.
    pages: int


# -- what is in an answer ------------------------------------------------------------------------------


def created(answer: Answer, product_id: int) -> StoreImage:
    """Return the image that a 2xx speaks of; raise `Nonsense` where it speaks of none, or of another product's."""
    if answer.status == 204 or not answer.body.strip():
        raise Nonsense(f"the answer ({answer.status}) is empty")
    if answer.is_web_page:
        raise Nonsense("the answer is a web page")
    body = answer.json()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        raise Nonsense("the answer holds no image")
    return image_of(data, product_id)


def image_of(item: Mapping[str, Any], product_id: int) -> StoreImage:
    """Return an image as it is listed; raise `Nonsense` where it has no number, or another product's."""
    number = _number(item.get("id"), "an image")
    if item.get("product_id") is not None and _number(item["product_id"], "a product") != product_id:
        raise Nonsense("an image of another product was answered")
    order = item.get("sort_order")
    url = next((item[name] for name in ("url_zoom", "url_standard", "url_thumbnail", "url_tiny")
                if isinstance(item.get(name), str) and item[name]), "")
    return StoreImage(number, product_id, _text(item.get("image_file")), item.get("is_thumbnail") is True,
                      order if type(order) is int else 0, _text(item.get("description")), url,
                      _text(item.get("date_modified")))


def product_with_images(item: Mapping[str, Any]) -> tuple[int, list[StoreImage]]:
    """Return a product's number and the images that are listed with it."""
    number = _number(item.get("id"), "a product")
    images = item.get("images") or []
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise Nonsense("a product's images are no list")
    return number, [image_of(image, number) for image in images]


def product_sku(item: Mapping[str, Any]) -> tuple[int, str, int]:
    """Return a product's number, its SKU, and the number again: the product that the SKU leads to."""
    number = _number(item.get("id"), "a product")
    return number, _text(item.get("sku")), number


def variant_sku(item: Mapping[str, Any]) -> tuple[int, str, int]:
    """Return a variant's number, its SKU, and its product's number."""
    return (_number(item.get("id"), "a variant"), _text(item.get("sku")),
            _number(item.get("product_id"), "a variant's product"))


def page_of(answer: Answer, number: int, parse: Callable[[Mapping[str, Any]], T]) -> Page[T]:
    """Return a page of a listing; raise `Nonsense` where it is not whole, so that nothing counts as absent by it."""
    if answer.status == 204:
        return Page((), 0, 0)
    if answer.is_web_page:
        raise Nonsense("the answer is a web page")
    body = answer.json()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise Nonsense("the answer holds no list")
    meta = body.get("meta")
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    if not isinstance(pagination, dict):
        raise Nonsense("the answer does not say how many pages there are")
    total, pages, count, current = (pagination.get(name) for name in ("total", "total_pages", "count", "current_page"))
    if not _is_count(total) or not _is_count(pages):
        raise Nonsense("the answer does not say how many pages there are")
    if (count is not None and count != len(data)) or (current is not None and current != number):
        raise Nonsense("a page is not the one that was asked for, or not whole")
    if (not data and total and number <= pages) or (pages <= 1 and len(data) != total):
        raise Nonsense("a page is not whole")
    return Page(tuple(parse(item) for item in data), total, pages)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 63:
        raise Nonsense(f"{what} has no number in the answer")
    return value


def _text(value: object) -> str:
    """Return a text as one that can be written anywhere: JSON can hold halves of characters."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


# -- refusals --------------------------------------------------------------------------------------


def stopping(answer: Answer, host: str, secret: Secret) -> StoreError | None:
    """Return the error of an answer that concerns the store, whatever was asked of it."""
    status = answer.status
    if 200 <= status < 300:
        return None
    said = explained(answer, secret)
    if 300 <= status < 400:
        return StoreUnusable(f"unexpected redirect to {origin_of(answer.headers.get('location', ''))} ({status} from "
                             f"{host}), which is never followed; check --base-url")
    if status == 401:
        return AccessRefused(f"the store refuses the access token ({said}); check BIGCOMMERCE_ACCESS_TOKEN and the "
                             "store's hash")
    if status == 403:
        return AccessRefused(f"the store refuses this to the access token ({said}); it needs the scope "
                             "store_v2_products")
    if status == 429:
        return StoreDown(f"the store takes no more requests for now ({said}); try again later")
    if status in (501, 505):
        return StoreUnusable(f"{host} cannot do what was asked ({said}); check --base-url")
    return None


def no_product(product_id: int) -> ProductNotFound:
    """Return the error of a product that the store does not have."""
    return ProductNotFound(f"the store has no product {product_id}; check the id in its product list")


def refusal(answer: Answer, product_id: int, secret: Secret) -> StoreError:
    """Return the error of a write that was not answered with 2xx, and not by `stopping`."""
    status, said = answer.status, explained(answer, secret)
    if status in BUSY:
        return StoreBusy(f"product {product_id} is locked or being changed ({said})")
    if status == 507:
        return ProductFull(f"product {product_id} takes no more images ({said}); delete some in the store")
    if status in TEMPORARY or status >= 500:
        return Ambiguous(f"the store answered with an error ({said})")
    if status == 404:
        if answer.is_web_page:  # the word of a proxy or a portal, not of the store
            return Ambiguous(f"a web page came instead of the store's answer ({said})")
        return no_product(product_id)
    if status == 413:
        return Rejected(f"the store finds the file too large ({said}); lower --max-bytes")
    return Rejected(f"the store refuses it: {said}")


def explained(answer: Answer, secret: Secret) -> str:
    """Return the status and what the store says of it, in one plain line without secrets. Never the raw body."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    said = f"{answer.status} {phrase}".strip()
    words = "" if answer.is_web_page else _words(answer, secret)
    if words and words.lower() != phrase.lower():
        said += f": {words}"
    return said


def _words(answer: Answer, secret: Secret) -> str:
    try:
        body = answer.json()
    except Nonsense:
        return ""
    if isinstance(body, list) and body:  # as version 2 of the API has it
        body = body[0]
    if not isinstance(body, dict):
        return ""
    words = [value for name in ("title", "detail", "message") if isinstance(value := body.get(name), str) and value]
    errors = body.get("errors")
    if isinstance(errors, dict):
        words.extend(f"{name}: {text}" for name, text in list(errors.items())[:5] if isinstance(text, str))
    elif isinstance(errors, list):
        words.extend(text for text in errors[:5] if isinstance(text, str))
    text = secret.hide(plain("; ".join(dict.fromkeys(words))))  # before it is cut: half a secret would not be found
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def origin_of(url: str) -> str:
    """Return scheme and host of an address, and nothing that may be secret in it."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that makes no sense"
    if not parts.hostname:
        return "another place on the same host"
    return plain(f"{parts.scheme or 'https'}://{parts.hostname}{port}")
