"""Product images of the sandbox, as the API has them."""

import hashlib
import re
import struct
from datetime import datetime

import pytest
import pyvips
from sandbox_wire import BOUNDARY, FORM, check, form, wired

from imagepipe import testing
from imagepipe.testing import Sandbox

COLLECTION = "/catalog/products/{product_id}/images"
SINGLE = "/catalog/products/{product_id}/images/{image_id}"
FIELDS = {"id", "product_id", "is_thumbnail", "sort_order", "description", "image_file", "url_zoom", "url_standard",
          "url_thumbnail", "url_tiny", "date_modified"}


@pytest.fixture(scope="module")
def small():
    return testing.jpeg(120, 90)


@pytest.fixture
def sandbox():
    with Sandbox(products=[{"sku": "A", "product_id": 77}, {"sku": "B", "product_id": 78}], quota=None) as sandbox:
        yield sandbox


@pytest.fixture
def wire(sandbox):
    with wired(sandbox) as wire:
        yield wire


def test_a_product_without_images_is_204_and_nothing_else(wire):
    answer = wire("GET", "/catalog/products/77/images")

    check(answer, COLLECTION, "get")
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers


def test_an_image_is_created_and_comes_back_as_described(wire, sandbox, small):
    created = wire.post(77, small, "Linen Shirt (1).JPG", description="a “shirt”", sort_order=-3)

    check(created, COLLECTION, "post")
    assert created.status == 200
    assert created.data.keys() == FIELDS
    assert created.json["meta"] == {}
    assert (created.data["product_id"], created.data["sort_order"]) == (77, -3)
    assert created.data["description"] == "a “shirt”"
    assert re.fullmatch(r"[a-z]/[0-9]{3}/linen_shirt__1___[0-9]{5}\.jpg", created.data["image_file"])
    assert datetime.fromisoformat(created.data["date_modified"]).utcoffset().total_seconds() == 0
    assert sandbox.received(created.data["id"]) == small
    listing = wire("GET", "/catalog/products/77/images")
    check(listing, COLLECTION, "get")
    assert listing.data == [created.data]
    one = wire("GET", f"/catalog/products/77/images/{created.data['id']}")
    check(one, SINGLE, "get")
    assert one.data == created.data


def test_the_python_view_tells_what_the_store_found(wire, sandbox, small):
    wire.post(77, small)

    image, = sandbox.images(77)
    assert (image.format, image.width, image.height, image.frames) == ("jpeg", 120, 90, 1)
    assert (image.size, image.sha256) == (len(small), hashlib.sha256(small).hexdigest())


def test_every_post_makes_a_new_image(wire, small):
    ids = [wire.post(product, small).data["id"] for product in (77, 78, 77)]

    assert ids == sorted(set(ids))
    assert [image["id"] for image in wire("GET", "/catalog/products/77/images").data] == [ids[0], ids[2]]


def test_an_id_is_never_used_again(wire, small):
    first = wire.post(77, small).data["id"]
    wire("DELETE", f"/catalog/products/77/images/{first}")

    assert wire.post(77, small).data["id"] > first


PICTURES = {
    "bmp": testing.bmp, "gif": testing.gif, "jpeg": testing.jpeg, "png": testing.png, "wbmp": testing.wbmp,
    "webp": testing.webp, "xbm": testing.xbm}


@pytest.mark.parametrize("kind", PICTURES)
def test_each_type_that_is_taken_is_known_by_its_content(wire, sandbox, kind):
    data = PICTURES[kind](64, 48)

    answer = wire.post(77, data, "no-extension")

    assert answer.status == 200, answer.body
    image, = sandbox.images(77)
    assert (image.format, image.width, image.height) == (kind, 64, 48)
    assert image.image_file.endswith(".jpg" if kind == "jpeg" else f".{kind}")


@pytest.mark.parametrize("frames", [2, 150])
def test_an_animation_is_taken_up_to_150_frames(wire, sandbox, frames):
    assert wire.post(77, testing.gif(16, 12, frames=frames)).status == 200
    assert sandbox.images(77)[0].frames == frames


def _without_end(data):
    return data[:len(data) // 2]


def _gif_of(width, height):
    data = bytearray(testing.gif(16, 12))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def _webp_of(width, height):
    data = bytearray(testing.webp(16, 12, frames=2))
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


@pytest.mark.parametrize("data", [
    pytest.param(b"", id="empty"),
    pytest.param(b"not a picture at all, but rather long", id="text"),
    pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="svg"),
    pytest.param(b"%PDF-1.7\n", id="pdf"),
    pytest.param(b"\0" * 400, id="zeros"),
    pytest.param(b"\0\0\x08\x08" + b"\xff" * 7, id="short wbmp"),
    pytest.param(b"\0\0" + b"\xff" * 40, id="wbmp of endless width"),
    pytest.param(b"\xff\xd8\xff\xe0" + b"x" * 500, id="jpeg of noise"),
    pytest.param(b"BM" + b"\xff" * 500, id="bmp of noise"),
    pytest.param(_without_end(testing.jpeg(120, 90)), id="half a jpeg"),
    pytest.param(_without_end(testing.png(120, 90)), id="half a png"),
    pytest.param(_without_end(testing.gif(120, 90)), id="half a gif"),
    pytest.param(_without_end(testing.webp(120, 90)), id="half a webp"),
    pytest.param(_without_end(testing.bmp(120, 90)), id="half a bmp"),
    pytest.param(testing.tiff(32, 24), id="tiff"),
    pytest.param(testing.heic(64, 48), id="heic"),
    pytest.param(testing.gif(16, 12, frames=151), id="gif of 151 frames"),
    pytest.param(_gif_of(5121, 12), id="gif that is too wide"),
    pytest.param(_webp_of(5_000_000, 30), id="animated webp with a huge canvas"),
    pytest.param(_gif_of(16, 5121), id="gif that is too high"),
])
def test_what_the_store_cannot_show_is_refused(wire, sandbox, data):
    answer = wire.post(77, data, "photo.jpg")

    check(answer, COLLECTION, "post")
    assert answer.status == 422
    assert "image_file" in answer.json["errors"]
    assert sandbox.images(77) == []


def test_the_limit_is_8_000_000_bytes(wire, sandbox):
    picture = testing.png(400, 300)
    last = picture[-12:]  # IEND; before it a chunk of padding that no decoder minds

    def of_size(size):
        room = size - len(picture) - 12
        return picture[:-12] + struct.pack(">I", room) + b"xxXx" + bytes(room) + _crc(b"xxXx" + bytes(room)) + last

    assert wire.post(77, of_size(8_000_000)).status == 200
    answer = wire.post(77, of_size(8_000_001))
    check(answer, COLLECTION, "post")
    assert answer.status == 422
    assert len(sandbox.images(77)) == 1


def _crc(data):
    import zlib

    return struct.pack(">I", zlib.crc32(data))


@pytest.mark.parametrize(("field", "value"), [
    ("is_thumbnail", "True"), ("is_thumbnail", "1"), ("is_thumbnail", ""), ("sort_order", "1.0"), ("sort_order", "one"),
    ("sort_order", "2147483648"), ("sort_order", "-2147483649"), ("sort_order", " 1"), ("product_id", "A"),
    ("date_modified", "yesterday"), ("date_modified", "2024-05-17")])
def test_a_form_field_is_read_strictly(wire, sandbox, small, field, value):
    answer = wire.post(77, small, **{field: value})

    check(answer, COLLECTION, "post")
    assert answer.status == 422
    assert field in answer.json["errors"]
    assert sandbox.images(77) == []


@pytest.mark.parametrize("fields", [
    {"sort_order": "2147483647"}, {"sort_order": "-2147483648"}, {"is_thumbnail": "false"}, {"product_id": "77"},
    {"date_modified": "2018-08-15T14:48:31+00:00"}, {"colour": "red"}])
def test_what_is_right_or_unknown_is_taken(wire, small, fields):
    assert wire.post(77, small, **fields).status == 200


@pytest.mark.parametrize(("field", "value"), [
    ("is_thumbnail", "true"), ("is_thumbnail", 1), ("is_thumbnail", None), ("sort_order", "1"), ("sort_order", 1.5),
    ("sort_order", True), ("sort_order", 2**31), ("description", 5), ("description", None)])
def test_a_json_field_is_read_strictly(wire, field, value):
    answer = wire.send("POST", "/catalog/products/77/images", {"image_url": "https://example.com/a.jpg", field: value})

    check(answer, COLLECTION, "post")
    assert answer.status == 422
    assert field in answer.json["errors"]


def test_an_address_is_noted_and_not_fetched(wire, sandbox):
    url = "https://cdn.example.com/shoes/Red%20Shoe.png?size=big"

    answer = wire.send("POST", "/catalog/products/77/images", {"image_url": url, "sort_order": 0, "is_thumbnail": True})

    check(answer, COLLECTION, "post")
    assert answer.status == 200
    assert re.fullmatch(r"[a-z]/[0-9]{3}/red_shoe__[0-9]{5}\.png", answer.data["image_file"])
    assert sandbox.images(77)[0].image_url == url
    with pytest.raises(FileNotFoundError):
        sandbox.received(answer.data["id"])


def test_an_address_is_fetched_where_a_function_does_it(small):
    def fetch(url):
        if "gone" in url:
            raise OSError("no route")
        return small if "good" in url else b"<html>"

    with Sandbox(products=[{"product_id": 77}], fetch=fetch) as sandbox, wired(sandbox) as wire:
        answers = [wire.send("POST", "/catalog/products/77/images", {"image_url": f"https://example.com/{name}.jpg"})
                   for name in ("good", "gone", "page")]

        assert [answer.status for answer in answers] == [200, 400, 422]
        assert sandbox.received(answers[0].data["id"]) == small


@pytest.mark.parametrize(("url", "status"), [
    ("https://example.com/" + "a" * 235, 200), ("https://example.com/" + "a" * 236, 422), ("example.com/a.jpg", 422),
    ("ftp://example.com/a.jpg", 422), ("https://", 422), ("https://[::1/a.jpg", 422), ("", 422), (5, 422),
    ("https://example.com/a b.jpg", 422), ("http://127.0.0.1/a.jpg", 400), ("https://localhost/a.jpg", 400),
    ("https://10.0.0.8/a.jpg", 400), ("https://shop.local/a.jpg", 400), ("http://example.com/a.jpg", 200)])
def test_an_address_must_be_whole_public_and_at_most_255_characters(wire, url, status):
    answer = wire.send("POST", "/catalog/products/77/images", {"image_url": url})

    check(answer, COLLECTION, "post")
    assert answer.status == status


def test_file_and_address_exclude_each_other(wire, sandbox, small):
    both = wire.post(77, small, image_url="https://example.com/a.jpg")
    in_form = wire("POST", "/catalog/products/77/images", form([("image_url", "https://example.com/a.jpg")]),
                   Content_Type=FORM)
    in_json = wire.send("POST", "/catalog/products/77/images",
                        {"image_url": "https://example.com/a.jpg", "image_file": "a.jpg"})
    neither = wire("POST", "/catalog/products/77/images", form([("description", "x")]), Content_Type=FORM)
    nothing = wire.send("POST", "/catalog/products/77/images", {})

    for answer in (both, in_form, in_json, neither, nothing):
        check(answer, COLLECTION, "post")
        assert answer.status == 422
    assert in_form.json["title"] == "image_url must be present if uploading by url"
    assert sandbox.images(77) == []


def test_an_image_must_be_a_file_with_a_name(wire, small):
    body = form([("image_file", "C:\\photo.jpg")])

    assert wire("POST", "/catalog/products/77/images", body, Content_Type=FORM).status == 422
    assert wire.post(77, small, "").status == 422


def test_one_image_a_request(wire, sandbox, small):
    end = f"--{BOUNDARY}--\r\n".encode()
    body = form([], small).removesuffix(end) + form([], small)

    assert wire("POST", "/catalog/products/77/images", body, Content_Type=FORM).status == 422
    assert sandbox.images(77) == []


def test_the_only_image_is_the_thumbnail_whatever_was_sent(wire, small):
    assert wire.post(77, small, is_thumbnail="false").data["is_thumbnail"] is True


def test_a_product_has_one_thumbnail_and_it_moves(wire, sandbox, small):
    first, second, third = (wire.post(77, small, sort_order=order).data["id"] for order in (2, 1, 0))

    def thumbnails():
        return [image.id for image in sandbox.images(77) if image.is_thumbnail]

    assert thumbnails() == [first]
    assert wire.post(77, small, is_thumbnail="true").data["is_thumbnail"] is True
    assert len(thumbnails()) == 1
    answer = wire.send("PUT", f"/catalog/products/77/images/{second}", {"is_thumbnail": True})
    check(answer, SINGLE, "put")
    assert thumbnails() == [second]
    wire.send("PUT", f"/catalog/products/77/images/{second}", {"is_thumbnail": False})
    assert thumbnails() == [second]
    wire("DELETE", f"/catalog/products/77/images/{second}")
    assert thumbnails() == [third]


def test_an_update_changes_what_it_names_and_no_more(wire, sandbox, small):
    before = wire.post(77, small, description="old", sort_order=4).data

    answer = wire.send("PUT", f"/catalog/products/77/images/{before['id']}", {"description": "new", "weight": 5})

    check(answer, SINGLE, "put")
    assert answer.status == 200
    assert answer.data == {**before, "description": "new", "date_modified": answer.data["date_modified"],
                           **{name: url for name, url in answer.data.items() if name.startswith("url_")}}


def test_an_image_that_is_put_further_back_pushes_those_behind_it(wire, sandbox, small):
    first, second, third = (wire.post(77, small, sort_order=order).data["id"] for order in (0, 1, 2))

    wire.send("PUT", f"/catalog/products/77/images/{first}", {"sort_order": 1})
    assert {image.id: image.sort_order for image in sandbox.images(77)} == {first: 1, second: 2, third: 3}

    wire.send("PUT", f"/catalog/products/77/images/{third}", {"sort_order": 0})
    assert {image.id: image.sort_order for image in sandbox.images(77)} == {third: 0, first: 1, second: 2}


def test_an_update_with_a_new_image_is_not_simulated(wire, small):
    image_id = wire.post(77, small).data["id"]
    path = f"/catalog/products/77/images/{image_id}"

    assert wire.send("PUT", path, {"image_url": "https://example.com/b.jpg"}).status == 501
    assert wire("PUT", path, form([], small), Content_Type=FORM).status == 501
    assert wire("PUT", path, form([("sort_order", "9")]), Content_Type=FORM).data["sort_order"] == 9


def test_a_deletion_is_204_once_and_then_404(wire, sandbox, small):
    image_id = wire.post(77, small).data["id"]
    path = f"/catalog/products/77/images/{image_id}"

    assert wire("DELETE", path.replace("77", "78")).status == 404
    answer = wire("DELETE", path)
    check(answer, SINGLE, "delete")
    assert (answer.status, answer.body) == (204, b"")
    assert wire("DELETE", path).status == 404
    assert wire("GET", "/catalog/products/77/images").status == 204
    with pytest.raises(FileNotFoundError):
        sandbox.received(image_id)


@pytest.mark.parametrize("path", ["/catalog/products/99/images", "/catalog/products/99/images/1",
                                  "/catalog/products/77/images/99", "/catalog/products/x/images",
                                  "/catalog/products/-1/images", "/catalog/products/99999999999999999999/images"])
def test_what_is_not_there_is_404_with_the_error_body(wire, path):
    answer = wire("GET", path)

    check(answer, SINGLE if path.endswith("1") or path.endswith("/99") else COLLECTION, "get")
    assert answer.status == 404
    assert answer.json.keys() == {"status", "title", "type"}


def test_a_post_to_an_unknown_product_is_404(wire, small):
    answer = wire.post(99, small)

    check(answer, COLLECTION, "post")
    assert answer.status == 404


def test_a_product_takes_as_many_images_as_it_may_and_no_more(small):
    with Sandbox(products=[{"product_id": 77}], max_images=3) as sandbox, wired(sandbox) as wire:
        statuses = [wire.post(77, small).status for _ in range(4)]

        assert statuses == [200, 200, 200, 422]
        assert len(sandbox.images(77)) == 3
        wire("DELETE", f"/catalog/products/77/images/{sandbox.images(77)[0].id}")
        assert wire.post(77, small).status == 200


@pytest.mark.parametrize(("page", "limit", "count", "links"), [
    (1, 3, 3, {"current": "?page=1&limit=3", "next": "?page=2&limit=3"}),
    (2, 3, 3, {"previous": "?page=1&limit=3", "current": "?page=2&limit=3", "next": "?page=3&limit=3"}),
    (3, 3, 1, {"previous": "?page=2&limit=3", "current": "?page=3&limit=3"}),
    (9, 3, 0, {"current": "?page=9&limit=3"}),
    (1, 250, 7, {"current": "?page=1&limit=250"})])
def test_a_listing_comes_in_pages(wire, small, page, limit, count, links):
    ids = [wire.post(77, small, sort_order=9 - number).data["id"] for number in range(7)]

    answer = wire("GET", f"/catalog/products/77/images?page={page}&limit={limit}")

    check(answer, COLLECTION, "get")
    assert [image["id"] for image in answer.data] == ids[(page - 1) * limit:page * limit]
    assert answer.json["meta"]["pagination"] == {
        "total": 7, "count": count, "per_page": limit, "current_page": page, "total_pages": -(-7 // limit),
        "links": links}


@pytest.mark.parametrize("query", ["limit=251", "limit=0", "limit=x", "page=0", "page=-1", "page=1.5", "sort=id",
                                   "include_fields=id", "include_fields=sku"])
def test_a_query_that_the_api_does_not_have_is_refused(wire, small, query):
    wire.post(77, small)

    assert wire("GET", f"/catalog/products/77/images?{query}").status == 422


def test_a_listing_shows_only_the_fields_that_are_asked_for(wire, small):
    wire.post(77, small)

    short, = wire("GET", "/catalog/products/77/images?include_fields=image_file").data
    rest, = wire("GET", "/catalog/products/77/images?exclude_fields=image_file,url_zoom").data

    assert short.keys() == {"id", "image_file"}
    assert rest.keys() == FIELDS - {"image_file", "url_zoom"}


@pytest.mark.parametrize(("name", "stem"), [
    ("../../etc/passwd.jpg", "passwd"), ("a\\b\\C.JPEG", "c"), ("smile-\N{GRINNING FACE}.png", "smile-_"),
    ("...jpg", "image"), ("x" * 300 + ".jpg", "x" * 100), ("half.txt", "half.txt"),
    ("shoe-0123456789abcdef-89abcdef.jpg", "shoe-0123456789abcdef-89abcdef")])
def test_a_file_name_is_cleaned_and_cut(wire, small, name, stem):
    path = wire.post(77, small, name).data["image_file"]

    assert re.fullmatch(r"[a-z]/[0-9]{3}/(.*)__[0-9]{5}\.[a-z]+", path)[1] == stem


@pytest.mark.parametrize("kind", PICTURES)
def test_the_addresses_of_an_image_lead_to_pictures_that_fit(wire, sandbox, kind):
    record = wire.post(77, PICTURES[kind](700, 500)).data

    for name, box in (("zoom", (1280, 1280)), ("standard", (560, 850)), ("thumbnail", (330, 500)), ("tiny", (66, 100))):
        answer = wire.page(record[f"url_{name}"].removeprefix(sandbox.url.rstrip("/")))
        assert answer.status == 200
        shown = pyvips.Image.new_from_buffer(answer.body, "", fail_on="warning")
        assert shown.width <= box[0]
        assert shown.height <= box[1]
        assert shown.width / shown.height == pytest.approx(7 / 5, rel=0.05)
    original = wire.page(f"/product_images/{record['image_file']}")
    assert original.body == sandbox.received(record["id"])
