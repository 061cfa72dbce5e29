"""Which request is for what, and who may make it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from imagepipe.sandbox.answers import Answer, Refusal, as_text, not_found, not_simulated, whole_number
from imagepipe.sandbox.catalog import Catalog, check_names
from imagepipe.sandbox.images import Images
from imagepipe.sandbox.state import Image, State

_COLLECTION = frozenset({"page", "limit", "include_fields", "exclude_fields"})
_SINGLE = frozenset({"include_fields", "exclude_fields"})
_IMAGES = re.compile(r"/catalog/products/([^/]+)/images(?:/([^/]+))?")
_PRODUCT = re.compile(r"/catalog/products/([^/]+)")
_UNSUPPORTED = ("<!DOCTYPE html>\n<title>415 Unsupported Media Type</title>\n"
                "<h1>415 Unsupported Media Type</h1>\n<p>{}</p>\n")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the API, read whole."""

    method: str
    path: str  #: Behind the API root, such as `/catalog/products/77/images`.
    query: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Api:
    """Answers requests as FACTS and the official description have it."""

    state: State
    catalog: Catalog
    images: Images
    store_hash: str
    token: str

    def refused(self, path: str, token: str | None) -> Answer | None:
        """Return the answer to a request without the right to ask, before anything else of it is looked at."""
        if not token or not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            # plain text, as a gateway in front of the API answers: no client may count on JSON here
            return as_text(401, "Unauthorized: the X-Auth-Token header is missing or wrong.\n")
        if path.split("/")[2:3] != [self.store_hash]:
            return Refusal(403, "The token is not for this store").answer
        return None

    def answer(self, asked: Asked) -> Answer:
        """Return the answer to a request that has the right to ask."""
        try:
            return self._route(asked)
        except Refusal as refusal:
            if refusal.status == 415:
                return Answer(415, _UNSUPPORTED.format(refusal.title).encode(), "text/html; charset=utf-8")
            return refusal.answer

    def _route(self, asked: Asked) -> Answer:
        query = query_of(asked.query)
        images, product = _IMAGES.fullmatch(asked.path), _PRODUCT.fullmatch(asked.path)
        route: dict[str, Callable[[], Answer]] = {}
        if images and images[2] is None:
            product_id = _id(images[1], "Product")
            route = {"GET": lambda: self._list(product_id, query),
                     "POST": lambda: self.images.create(self._product(product_id, query), asked.content_type,
                                                        asked.body)}
        elif images:
            product_id, image_id = _id(images[1], "Product"), _id(images[2], "Image")
            route = {"GET": lambda: self._get(product_id, image_id, query),
                     "PUT": lambda: self.images.update(self._image(product_id, image_id, query).product_id, image_id,
                                                       asked.content_type, asked.body),
                     "DELETE": lambda: self._delete(product_id, image_id, query)}
        elif product:
            product_id = _id(product[1], "Product")
            route = {"GET": lambda: self.catalog.product(product_id, query)}
        elif asked.path == "/catalog/products":
            route = {"GET": lambda: self.catalog.products(query)}
        elif asked.path == "/catalog/variants":
            route = {"GET": lambda: self.catalog.variants(query)}
        if asked.method not in route:
            raise not_simulated(f"{asked.method[:10]} {asked.path[:100]}")
        return route[asked.method]()

    def _list(self, product_id: int, query: dict[str, str]) -> Answer:
        check_names(query, _COLLECTION)
        return self.images.list(self.catalog.there(product_id).id, query)

    def _product(self, product_id: int, query: dict[str, str]) -> int:
        check_names(query, frozenset())
        return self.catalog.there(product_id).id

    def _get(self, product_id: int, image_id: int, query: dict[str, str]) -> Answer:
        return self.images.get(self._image(product_id, image_id, query, _SINGLE), query)

    def _delete(self, product_id: int, image_id: int, query: dict[str, str]) -> Answer:
        self._image(product_id, image_id, query)
        self.state.delete_image(product_id, image_id)  # a second time is 404: the description declares no status
        return Answer(204)

    def _image(self, product_id: int, image_id: int, query: dict[str, str],
               known: frozenset[str] = frozenset()) -> Image:
        check_names(query, known)
        image = self.state.image(image_id, product_id)
        if image is None:
            raise not_found(f"Image {image_id} of product {product_id}")
        return image


def query_of(text: str) -> dict[str, str]:
    """Return the parameters of a query; of one that is given twice, the last."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError:
        raise Refusal(400, "the query is malformed") from None


def _id(text: str, what: str) -> int:
    number = whole_number(text)
    if number is None or number < 1:
        raise not_found(f"{what} {text[:40]}")
    return number
