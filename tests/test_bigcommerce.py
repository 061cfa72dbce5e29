"""What the client sends, and what it makes of each answer. The wire itself is tested in test_http.py."""

import json
import logging
import traceback
from email import message_from_bytes, policy
from urllib.parse import parse_qs, urlsplit

import pytest

from imagepipe import __version__
from imagepipe.errors import (
    AccessRefused,
    Ambiguous,
    ConfigurationError,
    ImagepipeError,
    ProductFull,
    ProductNotFound,
    Rejected,
    StoreBusy,
    StoreDown,
    StoreUnusable,
)
from imagepipe.http import MockTransport, Response
from imagepipe.stores import Store, StoreImage, Upload
from imagepipe.stores.bigcommerce import BigCommerce

CANARY = "canary0token0never0shown"
PAGE = b"<!DOCTYPE html><html><body>Welcome to the hotel</body></html>"


class Answers:
    """A store that answers what it is told to, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.naps = []
        self.now = 0.0

    def __call__(self, request):
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, int):
            return Response(answer)
        if isinstance(answer, tuple):
            status, body = answer[:2]
            headers = answer[2] if len(answer) > 2 else {}
            if isinstance(body, bytes):
                return Response(status, content=body, headers=headers)
            return Response(status, json=body, headers=headers)
        return Response(200, json=answer)

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds

    def clock(self):
        return self.now


def client(*answers, **settings):
    server = Answers(*answers)
    store = BigCommerce("abc", CANARY, transport=MockTransport(server), sleep=server.sleep, clock=server.clock,
                        **settings)
    return store, server


def listing(*items, total=None, pages=1, page=1):
    total = len(items) if total is None else total
    return {"data": list(items), "meta": {"pagination": {"total": total, "count": len(items), "per_page": 250,
                                                         "current_page": page, "total_pages": pages}}}


def image(number=5, product=7, **more):
    return {"id": number, "product_id": product, "image_file": f"a/1/front__{number}.jpg", "is_thumbnail": False,
            "sort_order": 0, "description": "", "url_zoom": f"https://cdn/{number}.jpg", "unknown": {"x": 1}, **more}


def query(request):
    return parse_qs(urlsplit(str(request.url)).query)


UPLOAD = Upload(7, "front-0123456789abcdef-01234567.jpg", "image/jpeg", b"\xff\xd8picture", sort_order=0,
                is_thumbnail=False, description='Größe "M"\nrot')


def parts_of(request):
    """Return the parts of a multipart body, read by the standard library's parser."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    message = message_from_bytes(head + request.content, policy=policy.HTTP)
    return {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}


# -- what is sent ----------------------------------------------------------------------------------


def test_it_is_a_store():
    store: Store = client(204)[0]

    assert store.identity == "abc"


def test_a_picture_is_sent_as_a_form_with_its_fields():
    store, server = client((200, {"data": image(), "meta": {}}))

    sent = store.create(UPLOAD)

    request = server.requests[0]
    parts = parts_of(request)
    assert sent == StoreImage(5, 7, "a/1/front__5.jpg", url="https://cdn/5.jpg")
    assert str(request.url) == "https://api.bigcommerce.com/stores/abc/v3/catalog/products/7/images"
    assert sorted(parts) == ["description", "image_file", "is_thumbnail", "sort_order"]
    assert parts["image_file"].get_filename() == UPLOAD.name
    assert parts["image_file"].get_content_type() == "image/jpeg"
    assert parts["image_file"].get_payload(decode=True) == UPLOAD.data
    assert parts["is_thumbnail"].get_payload(decode=True) == b"false"
    assert parts["sort_order"].get_payload(decode=True) == b"0"
    assert parts["description"].get_payload(decode=True).decode() == UPLOAD.description
    assert request.headers["x-auth-token"] == CANARY
    assert request.headers["user-agent"] == f"imagepipe/{__version__}"
    assert request.headers["accept"] == "application/json"


def test_what_is_not_stated_is_not_sent():
    store, server = client((201, {"data": image()}))

    store.create(Upload(7, "a.jpg", "image/jpeg", b"x"))

    assert list(parts_of(server.requests[0])) == ["image_file"]


def test_product_id_and_date_modified_are_sent_where_they_are_set():
    store, server = client({"data": image()})

    store.create(Upload(7, "a.jpg", "image/jpeg", b"x", date_modified="2026-01-02T03:04:05Z", send_product_id=True))

    parts = parts_of(server.requests[0])
    assert parts["product_id"].get_payload(decode=True) == b"7"
    assert parts["date_modified"].get_payload(decode=True) == b"2026-01-02T03:04:05Z"


def test_an_address_is_sent_as_json():
    store, server = client({"data": image()})
    url = "https://cdn.example/" + "a" * (255 - 20)
    assert len(url) == 255

    store.create(Upload(7, image_url=url, sort_order=3, is_thumbnail=True, description="x", send_product_id=True))

    assert json.loads(server.requests[0].content) == {"image_url": url, "sort_order": 3, "is_thumbnail": True,
                                                      "description": "x", "product_id": 7}


@pytest.mark.parametrize("upload", [
    pytest.param(Upload(7, image_url="https://cdn.example/" + "a" * 236), id="256 characters"),
    pytest.param(Upload(7, "a.jpg"), id="nothing"),
    pytest.param(Upload(7, "a.jpg", data=b""), id="no bytes"),
    pytest.param(Upload(7, "a.jpg", data=b"x", description="a\udc80"), id="no text"),
])
def test_what_the_store_cannot_take_is_refused_before_any_request(upload):
    store, server = client({"data": image()})

    with pytest.raises(Rejected):
        store.create(upload)

    assert server.requests == []


def test_a_change_is_put_as_json():
    store, server = client((201, {"data": image(sort_order=4, is_thumbnail=True, description="é")}))

    changed = store.update(7, 5, sort_order=4, is_thumbnail=True, description="é")

    assert (changed.sort_order, changed.is_thumbnail, changed.description) == (4, True, "é")
    assert server.requests[0].method == "PUT"
    assert server.requests[0].url.path == "/stores/abc/v3/catalog/products/7/images/5"
    assert json.loads(server.requests[0].content) == {"sort_order": 4, "is_thumbnail": True, "description": "é"}


def test_a_deletion_of_what_is_gone_is_well():
    store, server = client(204, (404, {"title": "no such image"}), 204)

    store.delete(7, 5)
    store.delete(7, 5)

    assert [request.method for request in server.requests] == ["DELETE", "DELETE", "GET"]
    assert store.usage() == {"DELETE": 2, "GET": 1}


@pytest.mark.parametrize("answer", [(200, {"data": {}}), 200, (404, {"title": "no such thing"}), 410])
def test_a_deletion_that_is_not_answered_as_one_is_looked_up(answer):
    store, server = client(answer, (200, listing(image(5), image(6))), answer, (200, listing(image(6))))

    with pytest.raises(StoreBusy, match="did not delete image 5 of product 7"):
        store.delete(7, 5)
    store.delete(7, 5)

    assert [request.method for request in server.requests] == ["DELETE", "GET", "DELETE", "GET"]


def test_one_image_or_none():
    store, _ = client({"data": image()}, 404)

    assert store.image(7, 5) == StoreImage(5, 7, "a/1/front__5.jpg", url="https://cdn/5.jpg")
    assert store.image(7, 5) is None


# -- answers to a POST -----------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "error"), [
    (400, Rejected), (405, Rejected), (413, Rejected), (415, Rejected), (422, Rejected), (418, Rejected),
    (404, ProductNotFound), (507, ProductFull), (409, StoreBusy), (423, StoreBusy),
    (401, AccessRefused), (403, AccessRefused), (301, StoreUnusable), (302, StoreUnusable), (304, StoreUnusable),
    (501, StoreUnusable), (505, StoreUnusable),
    (408, Ambiguous), (499, Ambiguous), (500, Ambiguous), (502, Ambiguous), (503, Ambiguous), (504, Ambiguous),
    (520, Ambiguous), (599, Ambiguous),
    pytest.param((200, b""), Ambiguous, id="empty"),
    pytest.param(204, Ambiguous, id="204"),
    pytest.param((200, b"{"), Ambiguous, id="half JSON"),
    pytest.param((200, PAGE, {"content-type": "text/html"}), Ambiguous, id="web page"),
    pytest.param((200, PAGE), Ambiguous, id="web page without a type"),
    pytest.param((404, PAGE, {"content-type": "text/html"}), Ambiguous, id="web page for 404"),
    pytest.param({"data": {}}, Ambiguous, id="no id"),
    pytest.param({"data": None}, Ambiguous, id="no data"),
    pytest.param([], Ambiguous, id="a list"),
    pytest.param({"data": [image()]}, Ambiguous, id="list of images"),
    pytest.param({"data": image(number="5")}, Ambiguous, id="id is text"),
    pytest.param({"data": image(number=True)}, Ambiguous, id="id is true"),
    pytest.param({"data": image(number=0)}, Ambiguous, id="id is 0"),
    pytest.param({"data": image(number=1.5)}, Ambiguous, id="id is no whole number"),
    pytest.param({"data": image(product=8)}, Ambiguous, id="another product"),
    pytest.param((200, b"x" * 1_000_001), Ambiguous, id="over 1 MB"),
])
def test_each_answer_to_an_upload_means_one_thing_and_is_not_repeated(answer, error):
    store, server = client(answer)

    with pytest.raises(error) as caught:
        store.create(UPLOAD)

    assert type(caught.value) is error
    assert len(server.requests) == 1


def test_an_image_without_its_product_is_taken():
    store, _ = client({"data": {"id": 5}})

    assert store.create(UPLOAD) == StoreImage(5, 7)


def test_the_wait_before_looking_grows_and_ends_with_a_success():
    store, _ = client(500, 500, {"data": image()}, 500)
    waits = []

    for _ in range(4):
        try:
            store.create(UPLOAD)
        except Ambiguous as error:
            waits.append(error.wait)

    assert waits == [2.0, 4.0, 2.0]


def test_uploads_that_are_all_lost_stop_the_run():
    store, server = client(500)

    for _ in range(9):
        with pytest.raises(Ambiguous):
            store.create(UPLOAD)
    with pytest.raises(StoreDown, match="last 10 uploads"):
        store.create(UPLOAD)

    assert len(server.requests) == 10


def test_the_reason_is_what_the_store_says_made_plain():
    store, _ = client((422, {"status": 422, "title": "Bad\x1b[2J\npicture", "errors": {"image_file": "too small"}}))

    with pytest.raises(Rejected, match=r"422 .*: Bad\\x1b\[2J\\npicture; image_file: too small"):
        store.create(UPLOAD)


def test_the_reason_is_cut_and_never_the_raw_body():
    store, _ = client((400, b"RAW " * 1000), (400, {"title": "t" * 5000}),
                      (413, PAGE, {"content-type": "text/html"}))

    texts = []
    for _ in range(3):
        with pytest.raises(Rejected) as caught:
            store.create(UPLOAD)
        texts.append(str(caught.value))

    assert "RAW" not in texts[0]
    assert len(texts[1]) < 500
    assert "--max-bytes" in texts[2]
    assert "hotel" not in texts[2]


def test_a_redirect_is_named_by_its_origin_only():
    store, server = client((302, b"", {"location": "https://evil.example:8443/take?token=secret"}))

    with pytest.raises(StoreUnusable, match="unexpected redirect to https://evil.example:8443 ") as caught:
        store.create(UPLOAD)

    assert "secret" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [
    (401, {"title": f"bad token {CANARY}"}), (422, {"title": CANARY, "errors": {"x": CANARY}}),
    (500, {"title": CANARY}), (302, b"", {"location": f"https://x.example/{CANARY}"}), (429, {"title": CANARY}),
    (200, {"data": CANARY}),
])
def test_a_token_that_the_store_echoes_is_not_shown(answer, caplog):
    caplog.set_level(logging.DEBUG, "imagepipe")
    store, server = client(answer)

    for call in (lambda: store.create(UPLOAD), lambda: store.images(7), lambda: store.side_loaded([7])):
        with pytest.raises(ImagepipeError) as caught:
            call()
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown = [str(frame.locals) for frame in frames.stack if "/imagepipe/stores/bigcommerce" in frame.filename]
        assert CANARY not in f"{caught.value} {caught.value!r} {shown}"

    assert server.requests[0].headers["x-auth-token"] == CANARY
    assert CANARY not in caplog.text
    assert CANARY not in f"{store!r} {store} {vars(store)}"


# -- 429 -------------------------------------------------------------------------------------------


def test_a_429_proves_that_nothing_was_stored_and_is_waited_out():
    store, server = client((429, b"", {"X-Rate-Limit-Time-Reset-Ms": "1500", "X-Retry-After": "3"}), {"data": image()})

    assert store.create(UPLOAD).id == 5
    assert server.naps == [pytest.approx(3, abs=0.1)]
    assert server.requests[0].content == server.requests[1].content
    assert store.usage() == {"POST": 2}


def test_a_store_that_only_says_429_is_given_up():
    store, server = client(429)

    with pytest.raises(StoreDown):
        store.create(UPLOAD)

    assert len(server.requests) == 10
    assert max(server.naps) <= 75


# -- listings --------------------------------------------------------------------------------------


def test_a_product_without_images_is_listed_as_empty():
    assert client(204)[0].images(7) == []
    assert client(listing())[0].images(7) == []


def test_a_listing_is_read_page_by_page():
    all_of_them = [image(number) for number in range(1, 601)]

    def answer(request):
        page = int(query(request)["page"][0])
        return Response(200, json=listing(*all_of_them[(page - 1) * 250:page * 250], total=600, pages=3, page=page))

    store, server = client(answer)

    assert [one.id for one in store.images(7)] == list(range(1, 601))
    assert [query(request) for request in server.requests] == [{"page": [str(page)], "limit": ["250"]}
                                                               for page in (1, 2, 3)]


def test_a_server_with_smaller_pages_than_asked_for_is_followed():
    def answer(request):
        page = int(query(request)["page"][0])
        return Response(200, json=listing(image(page), total=4, pages=4, page=page))

    assert [one.id for one in client(answer)[0].images(7)] == [1, 2, 3, 4]


@pytest.mark.parametrize("bad", [
    pytest.param((200, b""), id="empty"),
    pytest.param((200, b'{"data": ['), id="cut off"),
    pytest.param((200, PAGE, {"content-type": "text/html"}), id="web page"),
    pytest.param((418, PAGE, {"content-type": "text/html"}), id="web page with a status"),
    pytest.param({"data": []}, id="no paging"),
    pytest.param({"data": [], "meta": {"pagination": {"total": "x", "total_pages": 1}}}, id="no numbers"),
    pytest.param({"data": {}, "meta": {}}, id="no list"),
    pytest.param(listing(total=3), id="empty but for its total"),
    pytest.param(listing(image(1), total=3), id="too short"),
    pytest.param(listing(image(1), page=2), id="another page"),
    pytest.param(listing({"id": "x"}), id="no id"),
    pytest.param(listing(image(product=8)), id="another product's image"),
    pytest.param(listing(None), id="null in it"),
])
def test_a_page_that_is_not_whole_is_read_again_and_never_counts_as_absence(bad):
    store, server = client(bad, listing(image()))
    assert [one.id for one in store.images(7)] == [5]
    assert len(server.requests) == 2

    store, server = client(bad)
    with pytest.raises(StoreUnusable):
        store.images(7)
    assert len(server.requests) == 6


def test_a_listing_that_changes_while_it_is_read_is_read_again():
    shifted = [listing(image(1), image(2), total=3, pages=2), listing(image(2), total=3, pages=2, page=2)]
    grown = [listing(image(1), image(2), total=3, pages=2), listing(image(3), image(4), total=4, pages=2, page=2)]
    whole = [listing(image(1), image(2), total=3, pages=2), listing(image(3), total=3, pages=2, page=2)]
    store, server = client(*shifted, *grown, *whole)

    assert [one.id for one in store.images(7)] == [1, 2, 3]
    assert len(server.requests) == 6


def test_a_listing_that_never_stands_still_is_an_error():
    store, _ = client(*[listing(image(1), total=2, pages=2), listing(image(1), total=2, pages=2, page=2)] * 10)

    with pytest.raises(StoreBusy, match="changes while it is read"):
        store.images(7)


def test_a_product_that_does_not_exist_has_no_listing():
    store, server = client((404, {"title": "nope"}))

    with pytest.raises(ProductNotFound):
        store.images(7)

    assert len(server.requests) == 1


def test_many_products_are_listed_in_one_request_and_missing_ones_do_not_exist():
    def answer(request):
        ids = [int(text) for text in query(request)["id:in"][0].split(",")]
        return Response(200, json=listing(*[{"id": id_, "images": [image(id_ * 10, id_)]} for id_ in ids if id_ != 3]))

    store, server = client(answer)

    found = store.side_loaded([*range(1, 121), 1])

    assert sorted(found) == [1, 2, *range(4, 121)]
    assert [one.id for one in found[2]] == [20]
    assert [len(query(request)["id:in"][0].split(",")) for request in server.requests] == [50, 50, 20]
    assert {query(request)["include"][0] for request in server.requests} == {"images"}


def test_a_server_that_does_not_filter_is_no_such_store():
    store, _ = client(listing({"id": 1, "images": []}, {"id": 99, "images": []}))

    with pytest.raises(StoreUnusable, match="99"):
        store.side_loaded([1])


def test_an_empty_answer_is_no_word_on_which_products_there_are():
    for call in (lambda store: store.side_loaded([1]), lambda store: store.product_ids(["A"])):
        with pytest.raises(StoreUnusable):
            call(client(204)[0])


def test_a_wrong_root_is_said_at_once():
    store, _ = client((404, {"title": "no route"}))

    with pytest.raises(StoreUnusable, match="--base-url"):
        store.side_loaded([1])


# -- reads that fail -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 423, 499, 500, 502, 503, 504])
def test_a_read_is_repeated_with_growing_pauses(status):
    store, server = client(status, status, status, listing(image()))

    assert [one.id for one in store.images(7)] == [5]
    assert len(server.naps) == 3
    assert server.naps[0] < server.naps[1] < server.naps[2]


def test_a_pause_that_a_503_asks_for_is_kept():
    store, server = client((503, b"", {"Retry-After": "17"}), (503, b"", {"Retry-After": "never"}), listing())

    store.images(7)

    assert server.naps[0] == 17
    assert server.naps[1] < 3


def test_a_store_that_fails_at_everything_is_down():
    store, server = client(503)

    with pytest.raises(StoreDown):
        store.images(7)

    assert len(server.requests) == 7  # six attempts, and the simplest read of all


def test_one_listing_that_fails_does_not_stop_the_run():
    store, _ = client(lambda request: Response(500) if "/products/7/" in request.url.path
                      else Response(200, json=listing()))

    with pytest.raises(StoreBusy):
        store.images(7)


def test_a_store_that_has_answered_others_meanwhile_is_not_asked_whether_it_works():
    def answer(request):
        if "/products/7/" not in request.url.path:
            return Response(200, json=listing())
        answer.asked += 1
        if answer.asked == 3:
            store.images(8)
        return Response(500)

    answer.asked = 0
    store, server = client(answer)

    with pytest.raises(StoreBusy):
        store.images(7)
    assert [request.url.path.split("/")[-2] for request in server.requests].count("8") == 1
    assert len(server.requests) == 7


def test_repetitions_have_a_budget():
    def flaky(request):
        flaky.number += 1
        return Response(200, json=listing(image())) if flaky.number % 6 == 0 else Response(500)

    flaky.number = 0
    store, server = client(flaky)

    with pytest.raises((StoreBusy, StoreDown)):
        for _ in range(1000):
            store.images(7)

    assert 50 <= len(server.requests) <= 80


@pytest.mark.parametrize(("status", "error"), [(401, AccessRefused), (403, AccessRefused), (302, StoreUnusable),
                                               (501, StoreUnusable)])
def test_a_refusal_of_access_is_not_repeated(status, error):
    for call in ("images", "side_loaded", "product_ids", "update", "delete", "image"):
        store, server = client(status)
        arguments = {"images": (7,), "side_loaded": ([7],), "product_ids": (["A"],)}.get(call, (7, 5))

        with pytest.raises(error):
            getattr(store, call)(*arguments)

        assert len(server.requests) == 1


def test_a_change_is_repeated_since_that_is_harmless():
    store, server = client(500, (200, b""), {"data": image()})

    assert store.update(7, 5, sort_order=1).id == 5
    assert len(server.requests) == 3


def test_a_change_that_is_refused_says_why():
    store, _ = client((422, {"title": "no"}))

    with pytest.raises(Rejected, match="no"):
        store.update(7, 5, sort_order=1)


def test_a_change_of_an_image_that_is_gone_is_told_from_a_product_that_is_gone():
    with pytest.raises(Rejected, match="no image 5"):
        client(404, listing())[0].update(7, 5, sort_order=1)
    with pytest.raises(ProductNotFound):
        client(404)[0].update(7, 5, sort_order=1)


def test_only_what_can_be_changed_is_changed():
    with pytest.raises(ConfigurationError, match="image_file"):
        client(204)[0].update(7, 5, image_file="x")


# -- how it is made --------------------------------------------------------------------------------


@pytest.mark.parametrize("base_url", [
    "http://api.example/stores/abc/v3", "ftp://api.example/stores/abc/v3", "https://api.example/v3",
    "https://api.example/stores/other/v3", "https://api.example/stores/abc/v2", "https://u:p@api.example/stores/abc/v3",
    "https://api.example/stores/abc/v3?x=1", "https:///stores/abc/v3", "https://a:99999/stores/abc/v3",
    "https://api.example/sto\nres/abc/v3", "https://a..b/stores/abc/v3", "https://a b/stores/abc/v3",
    "https://.a/stores/abc/v3", "http://127.0.0.1.evil.example/stores/abc/v3", "stores/abc/v3", "",
])
def test_a_root_that_is_none_is_refused(base_url):
    with pytest.raises(ConfigurationError):
        BigCommerce("abc", CANARY, base_url=base_url, transport=MockTransport(Answers(204)))


@pytest.mark.parametrize(("base_url", "identity"), [
    (None, "abc"), ("https://api.bigcommerce.com/stores/abc/v3/", "abc"),
    ("https://proxy.example:8443/bc/stores/abc/v3", "abc@https://proxy.example:8443"),
    ("http://127.0.0.1:8080/stores/abc/v3", "abc@localhost"), ("http://localhost:1/stores/abc/v3/", "abc@localhost"),
    ("http://[::1]:1/stores/abc/v3", "abc@localhost"),
])
def test_a_store_is_its_hash_and_its_origin(base_url, identity):
    assert BigCommerce("abc", CANARY, base_url=base_url, transport=MockTransport(Answers(204))).identity == identity


@pytest.mark.parametrize("token", ["", "  ", "a b", "a\nb", "tökén"])
def test_a_token_that_is_none_is_refused_without_being_shown(token):
    with pytest.raises(ConfigurationError) as caught:
        BigCommerce("abc", token)

    assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize("store_hash", ["", "a/b", "../x", "a b", "é", "a?b"])
def test_a_hash_that_is_none_is_refused(store_hash):
    with pytest.raises(ConfigurationError):
        BigCommerce(store_hash, CANARY)


def test_a_clients_own_httpx_can_be_used():
    import httpx

    server = Answers((302, b"", {"location": "https://evil.example/"}), {"data": image()})
    with httpx.Client(transport=httpx.MockTransport(server), follow_redirects=True) as own, \
            BigCommerce("abc", CANARY, client=own) as store:
        with pytest.raises(StoreUnusable):
            store.create(UPLOAD)
        assert store.create(UPLOAD).id == 5

    assert {request.url.host for request in server.requests} == {"api.bigcommerce.com"}


def test_what_the_store_says_of_an_image_can_be_written_anywhere():
    store, _ = client((200, b'{"data": {"id": 5, "image_file": "a\\ud800.jpg", "sort_order": true, "description": 7}}'),
                      {"data": {"id": 1 << 64}})

    assert store.create(UPLOAD) == StoreImage(5, 7, "a?.jpg")
    with pytest.raises(Ambiguous):
        store.create(UPLOAD)
