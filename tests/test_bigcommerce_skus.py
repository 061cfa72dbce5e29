"""From SKUs to products, in few requests."""

from urllib.parse import parse_qs, urlsplit

import pytest

from imagepipe.errors import StoreUnusable
from imagepipe.http import MockTransport, Response
from imagepipe.stores.bigcommerce import BigCommerce
from imagepipe.stores.skus import LONGEST_QUERY, batches


class Catalog:
    """Products and variants by SKU, answered as the API does: filters know no case."""

    def __init__(self, products=None, variants=None):
        self.products, self.variants = products or {}, variants or {}
        self.requests = []
        self.refuse = lambda asked: False

    def __call__(self, request):
        parts = urlsplit(str(request.url))
        path = parts.path.rpartition("/catalog/")[2]
        asked = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
        self.requests.append((path, asked, str(request.url)))
        if self.refuse(asked):
            return Response(422, json={"title": "bad filter"})
        table = self.products if path == "products" else self.variants
        if "sku:in" in asked:
            assert path == "products"
            wanted = [sku.lower() for sku in asked["sku:in"].split(",")]
            found = [(sku, id_) for sku, id_ in table.items() if sku.lower() in wanted]
        elif "sku" in asked:
            found = [(sku, id_) for sku, id_ in table.items() if sku.lower() == asked["sku"].lower()]
        else:
            found = list(table.items())
        page, limit = int(asked["page"]), int(asked["limit"])
        items = [{"id": 1000 + number, "sku": sku, "product_id": id_} if path == "variants" else {"id": id_, "sku": sku}
                 for number, (sku, id_) in enumerate(found)][(page - 1) * limit:page * limit]
        return Response(200, json={"data": items, "meta": {"pagination": {
            "total": len(found), "count": len(items), "per_page": limit, "current_page": page,
            "total_pages": -(-len(found) // limit)}}})

    def asked(self, path):
        return [asked for where, asked, _ in self.requests if where == path]


def store_of(catalog):
    return BigCommerce("abc", "token", transport=MockTransport(catalog), sleep=lambda seconds: None)


def test_many_skus_are_found_in_few_requests_of_bearable_length():
    catalog = Catalog({f"SKU-{number:05}": number for number in range(1, 451)})

    found = store_of(catalog).product_ids(list(catalog.products))

    assert found == catalog.products
    assert len(catalog.requests) == 5
    assert all(len(url) < 2048 for _, _, url in catalog.requests)
    assert {asked["include_fields"] for asked in catalog.asked("products")} == {"sku"}


def test_odd_characters_are_found_as_they_are():
    skus = {"A&B=C": 1, "A B+C": 2, "50%": 3, "ä/ö?#": 4, "x;y:z": 5, " lead": 6, "日本": 7, '"q"': 8}

    assert store_of(Catalog(skus)).product_ids(list(skus)) == skus


def test_a_sku_with_a_comma_is_asked_for_alone():
    catalog = Catalog({"A,B": 1, "A": 2, "B": 3})

    assert store_of(catalog).product_ids(["A,B", "A"]) == {"A,B": 1, "A": 2}
    assert [asked.get("sku:in") or asked["sku"] for asked in catalog.asked("products")] == ["A", "A,B"]


def test_the_same_letters_count_before_the_same_in_another_case():
    catalog = Catalog({"shirt": 1, "SHIRT": 2, "Hat": 3})

    assert store_of(catalog).product_ids(["SHIRT", "HAT"]) == {"SHIRT": 2, "HAT": 3}


def test_a_sku_that_two_fit_in_another_case_is_not_guessed():
    catalog = Catalog({"shirt": 1, "SHIRT": 2})

    assert store_of(catalog).product_ids(["Shirt"]) == {}


def test_few_that_are_missing_are_asked_for_among_variants_one_by_one():
    catalog = Catalog({"A": 1}, {"A-RED": 1, "A-BLUE": 1})

    assert store_of(catalog).product_ids(["A", "A-RED", "nope"]) == {"A": 1, "A-RED": 1}
    assert [asked.get("sku") for asked in catalog.asked("variants")][:2] == ["A-RED", "nope"]


def test_a_store_that_is_not_large_is_looked_through_for_what_is_nearest_to_an_unknown_sku():
    catalog = Catalog({"A": 1}, {"A-RED": 1, "A-BLUE": 1})
    store = store_of(catalog)

    store.product_ids(["A-BLEU"])
    store.product_ids(["A-ROT"])

    assert {"A-RED", "A-BLUE"} <= set(store.known_skus())
    assert [asked.get("sku") for asked in catalog.asked("variants")] == ["A-BLEU", None, "A-ROT"]


def test_a_large_store_is_not_looked_through_for_a_hint():
    catalog = Catalog({"A": 1}, {f"V{number}": 1 for number in range(20_000)})

    assert store_of(catalog).product_ids(["nope"]) == {}
    assert len(catalog.asked("variants")) == 2


def test_many_that_are_missing_are_found_by_paging_all_variants():
    catalog = Catalog({}, {f"V{number}": number // 3 + 1 for number in range(700)})
    wanted = [f"V{number}" for number in range(0, 700, 7)]

    assert store_of(catalog).product_ids(wanted) == {sku: catalog.variants[sku] for sku in wanted}
    assert [(asked["page"], asked["limit"]) for asked in catalog.asked("variants")] == [
        ("1", "250"), ("2", "250"), ("3", "250")]


def test_what_takes_fewer_requests_is_done():
    catalog = Catalog({}, {f"V{number}": 1 for number in range(5000)})

    found = store_of(catalog).product_ids([f"V{number}" for number in range(4000, 4010)])

    assert len(found) == 10
    assert len(catalog.asked("variants")) == 11  # one page shows that there are twenty


def test_all_variants_are_paged_once():
    catalog = Catalog({}, {f"V{number}": 1 for number in range(300)})
    store = store_of(catalog)

    store.product_ids([f"X{number}" for number in range(30)])
    store.product_ids([f"Y{number}" for number in range(30)])

    assert sum("sku" not in asked for asked in catalog.asked("variants")) == 2


def test_a_product_counts_before_a_variant_of_another():
    catalog = Catalog({"A": 1}, {"A": 2, **{f"V{number}": 3 for number in range(10)}})

    assert store_of(catalog).product_ids(["A", *[f"V{number}" for number in range(9)]])["A"] == 1


def test_what_was_seen_is_known_for_a_hint_without_asking():
    catalog = Catalog({"A": 1}, {"A-RED": 1})
    store = store_of(catalog)
    assert list(store.known_skus()) == []

    store.product_ids(["A", "A-RED"])
    asked = len(catalog.requests)

    assert sorted(store.known_skus()) == ["A", "A-RED"]
    assert len(catalog.requests) == asked


def test_one_sku_that_the_store_refuses_does_not_hide_the_others():
    catalog = Catalog({"A": 1, "B": 2})
    catalog.refuse = lambda asked: "evil" in asked.get("sku:in", "") + asked.get("sku", "")

    assert store_of(catalog).product_ids(["A", "evil", "B"]) == {"A": 1, "B": 2}


def test_a_store_that_refuses_every_lookup_is_no_store_without_products():
    catalog = Catalog({"A": 1})
    catalog.refuse = lambda asked: True

    with pytest.raises(StoreUnusable):
        store_of(catalog).product_ids(["A", "B", "C", "D"])


def test_a_server_that_ignores_the_filter_is_noticed():
    catalog = Catalog({f"S{number}": number + 1 for number in range(500)})
    store = BigCommerce("abc", "t", sleep=lambda seconds: None, transport=MockTransport(
        lambda request: catalog(type(request)("GET", str(request.url).replace("sku:in", "ignored")))))

    with pytest.raises(StoreUnusable, match="look them up"):
        store.product_ids(["S1"])


def test_what_is_no_text_and_what_is_empty_is_not_asked_for():
    catalog = Catalog({"A": 1})

    assert store_of(catalog).product_ids(["a\udc80b", "", "A"]) == {"A": 1}
    assert len(catalog.requests) == 1


def test_a_long_sku_goes_alone():
    long = "é" * 400
    assert [len(some) for some in batches(["a", long, "b"])] == [1, 1, 1]
    assert all(len(",".join(some)) <= LONGEST_QUERY for some in batches([str(number) for number in range(1000)]))
