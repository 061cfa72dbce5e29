"""Products and variants of the sandbox, as the API has them."""

import pytest
from sandbox_wire import check, declared, wired

from imagepipe import testing
from imagepipe.errors import ConfigurationError
from imagepipe.testing import Sandbox

PRODUCTS = "/catalog/products"


@pytest.fixture
def sandbox():
    products = ["A-1", "B,2", {"sku": "SHIRT", "name": "A shirt", "variants": ["SHIRT-S", "SHIRT-M"],
                               "product_id": 500}, {"product_id": 9, "name": "No SKU"}]
    with Sandbox(products=products, quota=None) as sandbox:
        yield sandbox


@pytest.fixture
def wire(sandbox):
    with wired(sandbox) as wire:
        yield wire


@pytest.fixture
def free():
    with Sandbox(create_missing=True, quota=None) as sandbox, wired(sandbox) as wire:
        yield wire


def _skus(answer):
    assert answer.status == 200, answer.body
    return [record["sku"] for record in answer.data]


def test_a_product_is_as_described(wire):
    answer = wire("GET", "/catalog/products/500")

    check(answer, "/catalog/products/{product_id}", "get")
    assert answer.data.keys() <= declared("product_Full")
    assert (answer.data["id"], answer.data["sku"], answer.data["name"]) == (500, "SHIRT", "A shirt")
    listing = wire("GET", PRODUCTS)
    check(listing, PRODUCTS, "get")
    assert answer.data in listing.data
    assert [record["id"] for record in listing.data] == [9, 101, 102, 500]


@pytest.mark.parametrize("path", ["/catalog/products/77", "/catalog/products/0", "/catalog/products/A-1"])
def test_a_product_that_is_not_there_is_404(wire, path):
    answer = wire("GET", path)

    check(answer, "/catalog/products/{product_id}", "get")
    assert answer.status == 404


@pytest.mark.parametrize(("query", "skus"), [
    ("sku=A-1", ["A-1"]), ("sku:in=A-1,SHIRT", ["A-1", "SHIRT"]), ("sku:in=a-1", []), ("sku=B,2", ["B,2"]),
    ("sku=B%2C2", ["B,2"]), ("sku:in=B,2", []), ("sku:in=B%2C2", []), ("sku:in=SHIRT-S", []), ("sku=SHIRT-S", []),
    ("id:in=9,500,77", ["", "SHIRT"]), ("id=500", ["SHIRT"]), ("id:min=101&id:max=102", ["A-1", "B,2"]),
    ("id:greater=101&id:less=500", ["B,2"]), ("id:not_in=9,500", ["A-1", "B,2"]), ("name=No%20SKU", [""]),
    ("sort=sku&direction=desc", ["SHIRT", "B,2", "A-1", ""]), ("sku=A-1&id=9", []), ("sku%3Ain=A-1", ["A-1"])])
def test_products_are_found_by_main_sku_and_id_alone(wire, query, skus):
    answer = wire("GET", f"{PRODUCTS}?{query}")

    check(answer, PRODUCTS, "get")
    assert _skus(answer) == skus


@pytest.mark.parametrize(("query", "status"), [
    ("sku_in=A", 422), ("id:in=", 422), ("id:in=1,x", 422), ("id=x", 422), ("limit=300", 422),
    ("include=pictures", 422), ("include_fields=id", 422), ("include_fields=colour", 422), ("sort=colour", 422),
    ("direction=up", 422), ("keyword=shirt", 501), ("is_visible=true", 501), ("sku=%ff", 400)])
def test_a_query_that_cannot_be_answered_is_refused(wire, query, status):
    answer = wire("GET", f"{PRODUCTS}?{query}")

    assert answer.status == status
    assert answer.json["status"] == status
    assert answer.json["title"]


def test_fields_are_cut_to_what_is_asked_for(wire):
    product, = wire("GET", f"{PRODUCTS}?id=500&include_fields=sku").data

    assert product == {"id": 500, "sku": "SHIRT", "gift_wrapping_options_type": "any", "gift_wrapping_options_list": []}


def test_side_loaded_images_are_ten_at_most(wire, sandbox):
    small = testing.jpeg(40, 30)
    ids = [wire.post(500, small).data["id"] for _ in range(12)]
    wire.post(9, small)

    answer = wire("GET", f"{PRODUCTS}?id:in=9,101,500&include=images&include_fields=sku")

    check(answer, PRODUCTS, "get")
    assert [len(record["images"]) for record in answer.data] == [1, 0, 10]
    listed = wire("GET", "/catalog/products/500/images?limit=250").data
    assert answer.data[2]["images"] == listed[:10]
    assert [image["id"] for image in listed] == ids


def test_a_product_brings_what_is_included(wire, sandbox):
    wire.post(500, testing.jpeg(40, 30))

    answer = wire("GET", "/catalog/products/500?include=images,primary_image,variants,options,custom_fields,videos")

    check(answer, "/catalog/products/{product_id}", "get")
    assert answer.data["primary_image"] == answer.data["images"][0]
    assert [variant["sku"] for variant in answer.data["variants"]] == ["SHIRT-S", "SHIRT-M"]


def test_options_make_pages_of_ten():
    with Sandbox(products=[f"P{number}" for number in range(12)]) as sandbox, wired(sandbox) as wire:
        answer = wire("GET", f"{PRODUCTS}?include=options&limit=250")

        assert answer.json["meta"]["pagination"]["per_page"] == 10


def test_a_link_to_the_next_page_keeps_the_filter():
    skus = [f"P {number}&{number}" for number in range(7)]
    with Sandbox(products=skus) as sandbox, wired(sandbox) as wire:
        found, query = [], "?id:greater=101&limit=3&include_fields=sku"
        while query:
            answer = wire("GET", PRODUCTS + query)
            found += _skus(answer)
            query = answer.json["meta"]["pagination"]["links"].get("next")

        assert found == skus[1:]


def test_pages_are_of_50_unless_asked():
    with Sandbox(products=[f"P{number}" for number in range(51)]) as sandbox, wired(sandbox) as wire:
        pagination = wire("GET", PRODUCTS).json["meta"]["pagination"]

        assert pagination == {"total": 51, "count": 50, "per_page": 50, "current_page": 1, "total_pages": 2,
                              "links": {"current": "?page=1&limit=50", "next": "?page=2&limit=50"}}
        assert len(wire("GET", PRODUCTS + "?limit=250").data) == 51


def test_variants_are_all_skus_of_the_store(wire):
    answer = wire("GET", "/catalog/variants")

    assert _skus(answer) == ["A-1", "B,2", "SHIRT-S", "SHIRT-M", ""]
    assert answer.json["meta"]["pagination"]["total"] == 5


@pytest.mark.parametrize(("query", "found"), [
    ("sku=SHIRT-M", [(500, "SHIRT-M")]), ("sku=A-1", [(101, "A-1")]), ("sku=SHIRT", []), ("sku=SHIRT-S,SHIRT-M", []),
    ("product_id=500", [(500, "SHIRT-S"), (500, "SHIRT-M")]), ("page=2&limit=2", [(500, "SHIRT-S"), (500, "SHIRT-M")])])
def test_variants_are_found_by_sku(wire, query, found):
    answer = wire("GET", f"/catalog/variants?{query}")

    assert [(record["product_id"], record["sku"]) for record in answer.data] == found


def test_a_filter_that_variants_do_not_have_is_refused(wire):
    assert wire("GET", "/catalog/variants?sku:in=A-1").status == 422


@pytest.mark.parametrize(("method", "path"), [
    ("POST", PRODUCTS), ("PUT", "/catalog/products/500"), ("DELETE", PRODUCTS), ("GET", "/catalog/brands"),
    ("GET", "/catalog/products/500/videos"), ("PATCH", "/catalog/products/500/images"), ("GET", "/"),
    ("GET", "/catalog/products/"), ("PUT", "/catalog/products/500/images")])
def test_what_the_sandbox_does_not_have_is_501_and_says_so(wire, method, path):
    answer = wire.send(method, path, {})

    assert answer.status == 501
    assert path in answer.json["title"]


def test_what_is_asked_for_is_made_where_that_is_wanted(free):
    assert _skus(free("GET", f"{PRODUCTS}?sku:in=NEW-1,NEW-2&include_fields=sku")) == ["NEW-1", "NEW-2"]
    assert [record["id"] for record in free("GET", f"{PRODUCTS}?id:in=77,5&include=images").data] == [5, 77]
    assert free("GET", "/catalog/products/6/images").status == 204
    assert free("GET", "/catalog/products/7").data["id"] == 7
    assert free.post(8, testing.jpeg(40, 30)).status == 200
    assert _skus(free("GET", "/catalog/variants?sku=NEW-3")) == ["NEW-3"]
    assert len(free.sandbox.products()) == 8


def test_what_is_asked_for_twice_is_made_once(free):
    first = free("GET", f"{PRODUCTS}?sku=NEW").data[0]["id"]

    assert free("GET", f"{PRODUCTS}?sku:in=NEW").data[0]["id"] == first
    assert free("GET", "/catalog/variants?sku=NEW").data[0]["product_id"] == first


def test_a_variant_is_not_made_a_product(free):
    free.sandbox.add_product("SHIRT", variants=["SHIRT-S"])

    assert _skus(free("GET", f"{PRODUCTS}?sku:in=SHIRT-S")) == []


def test_ids_made_up_for_skus_keep_clear_of_those_people_ask_for(free):
    made = free("GET", f"{PRODUCTS}?sku=NEW").data[0]["id"]

    assert made > 1_000_000


def test_nothing_is_made_where_it_is_not_wanted(wire, sandbox):
    assert _skus(wire("GET", f"{PRODUCTS}?sku:in=NEW")) == []
    assert wire("GET", f"{PRODUCTS}?id:in=77").data == []
    assert wire("GET", "/catalog/variants?sku=NEW").data == []
    assert len(sandbox.products()) == 4


def test_a_sku_or_id_that_is_taken_is_refused(sandbox):
    for wrong in ({"sku": "SHIRT"}, {"sku": "X", "variants": ["SHIRT-S"]}, {"product_id": 9}, {"product_id": 0}):
        with pytest.raises(ConfigurationError):
            sandbox.add_product(**wrong)
    assert len(sandbox.products()) == 4
