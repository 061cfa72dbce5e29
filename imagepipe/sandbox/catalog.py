"""The API's products and variants: `/catalog/products`, `/catalog/products/{id}`, `/catalog/variants`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagepipe.sandbox.answers import (
    INT32,
    Answer,
    Page,
    collection,
    fields_of,
    invalid,
    listed,
    not_found,
    not_simulated,
    one,
    page_asked,
    whole_number,
)
from imagepipe.sandbox.images import image_record
from imagepipe.sandbox.state import Product, State, Variant

SIDE_LOADED = 10  #: Images of a product that `include=images` shows at most; the rest has to be listed.
_WITH_OPTIONS = 10  # products a page with include=options or modifiers, as the description says

_ALWAYS = frozenset({"id", "gift_wrapping_options_type", "gift_wrapping_options_list"})  # whatever fields are asked for
_INCLUDES = frozenset({"bulk_pricing_rules", "channels", "custom_fields", "images", "modifiers", "options",
                       "parent_relations", "primary_image", "reviews", "variants", "videos"})
# what a product is that somebody has just made: the fields of the description, with their empty values
_PLAIN: dict[str, Any] = {
    "type": "physical", "description": "", "weight": 1, "width": 0, "depth": 0, "height": 0, "price": 10,
    "cost_price": 0, "retail_price": 0, "sale_price": 0, "map_price": 0, "tax_class_id": 0, "product_tax_code": "",
    "calculated_price": 10, "categories": [], "brand_id": 0, "option_set_id": 0, "option_set_display": "right",
    "inventory_level": 0, "inventory_warning_level": 0, "inventory_tracking": "none", "reviews_rating_sum": 0,
    "reviews_count": 0, "total_sold": 0, "fixed_cost_shipping_price": 0, "is_free_shipping": False, "is_visible": True,
    "is_featured": False, "related_products": [-1], "warranty": "", "bin_picking_number": "",
    "layout_file": "product.html", "upc": "", "mpn": "", "gtin": "", "date_last_imported": "", "search_keywords": "",
    "availability": "available", "availability_description": "", "gift_wrapping_options_type": "any",
    "gift_wrapping_options_list": [], "sort_order": 0, "condition": "New", "is_condition_shown": False,
    "order_quantity_minimum": 0, "order_quantity_maximum": 0, "page_title": "", "meta_keywords": [],
    "meta_description": "", "view_count": 0, "preorder_release_date": None, "preorder_message": "",
    "is_preorder_only": False, "is_price_hidden": False, "price_hidden_label": "", "open_graph_type": "product",
    "open_graph_title": "", "open_graph_description": "", "open_graph_use_meta_description": True,
    "open_graph_use_product_name": True, "open_graph_use_image": True}
_FIELDS = frozenset(_PLAIN) | {"id", "name", "sku", "date_created", "date_modified", "base_variant_id", "custom_url"}
_UNSORTED = frozenset({"price", "date_last_imported", "inventory_level", "is_visible", "total_sold",
                       "calculated_price"})  # the same in all products of the sandbox
_SORTED = {"id": "id", "name": "name", "sku": "sku", "date_modified": "modified"}

_PLACE = {"id": "id = ?", "id:min": "id >= ?", "id:max": "id <= ?", "id:greater": "id > ?", "id:less": "id < ?"}
_OF_COLLECTIONS = frozenset({"page", "limit", "include_fields", "exclude_fields"})
# filters that the description declares and the sandbox has not
_DECLARED = frozenset({"availability", "brand_id", "categories", "categories:in", "channel_id:in", "condition",
                       "date_last_imported", "date_last_imported:max", "date_last_imported:min",
                       "date_last_imported:not", "date_modified", "date_modified:max", "date_modified:min",
                       "inventory_level", "inventory_level:greater", "inventory_level:in", "inventory_level:less",
                       "inventory_level:max", "inventory_level:min", "inventory_level:not_in", "inventory_low",
                       "is_featured", "is_free_shipping", "is_visible", "keyword", "keyword_context", "mpn",
                       "out_of_stock", "price", "total_sold", "type", "upc", "weight"})


@dataclass(frozen=True)
class Catalog:
    """Answers about products and variants; with `create_missing`, whatever is asked for by name is made."""

    state: State
    create_missing: bool
    root: Callable[[], str]  #: Returns the address of the root page.

    def products(self, query: dict[str, str]) -> Answer:
        """`GET /catalog/products`."""
        page = page_asked(query)
        where, values = self._product_filters(query)
        included = _included(query)
        if included & {"options", "modifiers"}:
            page = Page(page.number, min(page.limit, _WITH_OPTIONS))
        found, total = self.state.products(where, values, order=_order(query), limit=page.limit, offset=page.offset)
        return collection([self._record(product, query, included) for product in found], total, page, query)

    def product(self, product_id: int, query: dict[str, str]) -> Answer:
        """`GET /catalog/products/{product_id}`."""
        check_names(query, frozenset({"include", "include_fields", "exclude_fields"}))
        return one(self._record(self.there(product_id), query, _included(query)))

    def there(self, product_id: int) -> Product:
        """Return a product; 404 where there is none and none is to be made."""
        if self.create_missing and 1 <= product_id <= INT32[1]:
            self.state.ensure(ids=[product_id])
        product = self.state.product(product_id)
        if product is None:
            raise not_found(f"Product {product_id}")
        return product

    def variants(self, query: dict[str, str]) -> Answer:
        """`GET /catalog/variants`: every SKU of the store, one-variant products' own included."""
        check_names(query, _OF_COLLECTIONS | {"id", "sku", "product_id"})
        page = page_asked(query)
        if self.create_missing and query.get("sku"):
            self.state.ensure(skus=[query["sku"]])
        conditions, values = ["1"], list[Any]()
        for name in ("id", "product_id", "sku"):
            if name in query:
                conditions.append(f"{name} = ?")
                values.append(query[name] if name == "sku" else _number(query, name))
        found, total = self.state.variants(" AND ".join(conditions), values, limit=page.limit, offset=page.offset)
        known = frozenset(_variant_record(Variant(1, 1, "", True)))
        records = [fields_of(_variant_record(variant), query, known, frozenset({"id"})) for variant in found]
        return collection(records, total, page, query)

    def _product_filters(self, query: dict[str, str]) -> tuple[str, list[Any]]:
        check_names(query, _OF_COLLECTIONS | _PLACE.keys() | {"id:in", "id:not_in", "sku", "sku:in", "name", "include",
                                                             "sort", "direction"}, _DECLARED)
        if self.create_missing:
            ids = [_number(query, "id")] if "id" in query else _numbers(query, "id:in")
            self.state.ensure(ids=[number for number in ids if 1 <= number <= INT32[1]],
                              skus=[query["sku"]] if query.get("sku") else listed(query.get("sku:in", "")))
        conditions, values = ["1"], list[Any]()
        for name, condition in _PLACE.items():
            if name in query:
                conditions.append(condition)
                values.append(_number(query, name))
        for name in ("sku", "name"):
            if name in query:
                conditions.append(f"{name} = ?")
                values.append(query[name])
        members: dict[str, list[Any]] = {"id IN": _numbers(query, "id:in"), "id NOT IN": _numbers(query, "id:not_in"),
                                         "sku IN": list(listed(query.get("sku:in", "")))}
        for condition, wanted in members.items():
            if wanted:
                conditions.append(f"{condition} ({', '.join('?' * len(wanted))})")
                values += wanted
        return " AND ".join(conditions), values

    def _record(self, product: Product, query: dict[str, str], included: set[str]) -> dict[str, Any]:
        variants, _ = self.state.variants("product_id = ?", (product.id,))
        base = next((variant.id for variant in variants if variant.is_base), None)
        record = {"id": product.id, "name": product.name, "sku": product.sku, **_PLAIN,
                  "date_created": product.modified, "date_modified": product.modified, "base_variant_id": base,
                  "custom_url": {"url": f"/products/{product.id}/", "is_customized": False}}
        record = fields_of(record, query, _FIELDS, _ALWAYS)
        root = self.root()
        for name in sorted(included):
            if name == "images":
                shown = self.state.images(product.id, limit=SIDE_LOADED)
                record[name] = [image_record(image, root) for image in shown]
            elif name == "primary_image":
                thumbnail = next((image for image in self.state.images(product.id) if image.is_thumbnail), None)
                record[name] = image_record(thumbnail, root) if thumbnail else None
            elif name == "variants":
                record[name] = [_variant_record(variant) for variant in variants]
            else:
                record[name] = [1] if name == "channels" else []
        return record


def _variant_record(variant: Variant) -> dict[str, Any]:
    return {"id": variant.id, "product_id": variant.product_id, "sku": variant.sku, "sku_id": variant.id,
            "price": None, "calculated_price": 10, "sale_price": None, "retail_price": None, "weight": None,
            "calculated_weight": 1, "is_free_shipping": False, "purchasing_disabled": False,
            "purchasing_disabled_message": "", "image_url": "", "cost_price": 0, "upc": "", "mpn": "", "gtin": "",
            "inventory_level": 0, "inventory_warning_level": 0, "bin_picking_number": "",
            "option_values": [] if variant.is_base else [{"id": variant.id, "label": variant.sku, "option_id": 1,
                                                          "option_display_name": "Variant"}]}


def check_names(query: dict[str, str], known: frozenset[str] | set[str],
                declared: frozenset[str] = frozenset()) -> None:
    """Refuse a parameter that the API does not know (422), or that the sandbox does not have (501)."""
    for name in query:
        if name in declared:
            raise not_simulated(f"the filter {name}")
        if name not in known:
            raise invalid(name[:60], "is no parameter of this request")


def _included(query: dict[str, str]) -> set[str]:
    included = set(listed(query.get("include", "")))
    if wrong := included - _INCLUDES:
        raise invalid("include", f"{min(wrong)[:60]!r} is nothing that can be included")
    return included


def _order(query: dict[str, str]) -> str:
    sort, direction = query.get("sort", "id"), query.get("direction", "asc")
    if direction not in ("asc", "desc"):
        raise invalid("direction", "must be asc or desc")
    if sort not in _SORTED and sort not in _UNSORTED:
        raise invalid("sort", f"{sort[:60]!r} is nothing to sort by")
    return f"{_SORTED.get(sort, 'id')} {direction}, id {direction}"


def _number(query: dict[str, str], name: str) -> int:
    value = whole_number(query[name])
    if value is None:
        raise invalid(name, "must be a whole number")
    return value


def _numbers(query: dict[str, str], name: str) -> list[int]:
    values = [whole_number(member) for member in listed(query.get(name, ""))]
    if None in values or (name in query and not values):
        raise invalid(name, "must be whole numbers with commas between")
    return [value for value in values if value is not None]
