"""The pages of the sandbox that a person looks at."""

from html.parser import HTMLParser

import pytest
from sandbox_wire import spoken, wired

from imagepipe import testing
from imagepipe.testing import Sandbox

SMALL = testing.jpeg(60, 45)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\N{RIGHT-TO-LEFT OVERRIDE}"


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(self.words)


@pytest.fixture
def sandbox():
    products = [{"sku": "A", "name": "Linen shirt", "variants": ["A-S"]}, {"sku": HOSTILE[:50], "name": HOSTILE}]
    with Sandbox(products=products, quota=None) as sandbox:
        yield sandbox


@pytest.fixture
def wire(sandbox):
    with wired(sandbox) as wire:
        yield wire


def _page(wire, target="/"):
    answer = wire.page(target)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.body.decode())


def test_products_and_images_are_shown_with_what_is_known_of_them(wire, sandbox):
    wire.post(101, SMALL, "second.jpg", sort_order=5, description="from behind")
    wire.post(101, testing.png(80, 70), "first.png", sort_order=-1, description="from the front")

    page = _page(wire)

    for said in ("2 products", "2 images", "Linen shirt", "product 101", "A-S", "from behind", "from the front",
                 "60 × 45", "80 × 70", "JPEG", "PNG", "order -1", "order 5", "image 1"):
        assert said in page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert [image["alt"] for image in page.named("img")] == ["from the front", "from behind"]
    assert page.words.count("Thumbnail") == 1
    assert page.text.index("Thumbnail") > page.text.index("from the front")


def test_every_link_and_picture_leads_somewhere(wire):
    wire.post(101, SMALL)
    wire.post(102, testing.gif(40, 30, frames=3), HOSTILE)

    for link in _page(wire).links:
        assert link.startswith("/")
        assert wire.page(link).status == 200, link


def test_hostile_names_are_text_and_nothing_else(wire, sandbox):
    wire.post(102, SMALL, "<b>\N{RIGHT-TO-LEFT OVERRIDE}.jpg", description=HOSTILE)
    wire.send("POST", "/catalog/products/102/images", {"image_url": "https://example.com/<script>\"'.jpg?<b>&amp;"})
    ordinary = {"html", "head", "meta", "title", "style", "body", "header", "h1", "p", "main", "section", "h2", "a",
                "code", "div", "figure", "img", "figcaption", "span"}

    for target in ("/", "/products/102"):
        page = _page(wire, target)
        assert {tag for tag, _ in page.tags} <= ordinary
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert HOSTILE in page.words
        assert [image["alt"] for image in page.named("img")] == [HOSTILE]


def test_a_page_runs_nothing_and_loads_nothing_from_elsewhere(wire, sandbox):
    record = wire.post(101, SMALL).data

    for target in ("/", "/products/101", "/nowhere", f"/product_images/{record['image_file']}",
                   record["url_tiny"].removeprefix(sandbox.url.rstrip("/"))):
        headers = wire.page(target).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; img-src 'self'; style-src 'unsafe-inline';")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_token_is_on_no_page(wire, sandbox):
    wire.post(101, SMALL)

    for target in ("/", "/products/101", "/nowhere"):
        assert sandbox.token.encode() not in wire.page(target).body


def test_an_empty_store_says_how_to_upload(wire, sandbox):
    page = _page(wire)

    assert "No images yet" in page.text
    assert sandbox.base_url in page.text
    assert "imagepipe upload" in page.text


def test_many_products_come_in_pages_with_those_that_have_images_first():
    with Sandbox(products=[f"P{number}" for number in range(45)], quota=None) as sandbox, wired(sandbox) as wire:
        wire.post(145, SMALL)

        pages = [_page(wire, target) for target in ("/", "/?page=2", "/?page=3")]

        assert [len(page.named("section")) for page in pages] == [20, 20, 5]
        assert next(link for link in pages[0].links if link.startswith("/products/")) == "/products/145"
        assert "/?page=2" in pages[0].links
        assert {"/?page=1", "/?page=3"} <= set(pages[1].links)
        seen = {link for page in pages for link in page.links if link.count("/") == 2 and "products" in link}
        assert len(seen) == 45


def test_a_product_with_many_images_has_a_page_of_its_own(wire):
    for number in range(14):
        wire.post(101, SMALL, sort_order=number)

    front, own = _page(wire), _page(wire, "/products/101")

    assert len(front.named("img")) == 12
    assert "All 14 images" in front.text
    assert len(own.named("img")) == 14


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example", ""])
def test_a_page_answers_to_this_machine_alone(wire, host):
    wire.post(101, SMALL)

    for target in ("/", "/products/101", "/product_images/x"):
        answer = wire.raw("GET", target, headers={"Host": host})
        assert answer.status == 421
        assert b"Linen" not in answer.body


def test_it_also_goes_by_localhost(wire, sandbox):
    port = sandbox.url.rstrip("/").rpartition(":")[2]

    assert wire.raw("GET", "/", headers={"Host": f"localhost:{port}"}).status == 200


@pytest.mark.parametrize("target", [
    "/../access.json", "/product_images/../access.json", "/product_images/..%2faccess.json",
    "/product_images//etc/passwd", "/product_images/",
    "/product_images/1", "/products/../store.sqlite3", "/products/101/images/1/x.1.1280.1281.jpg",
    "/products/102/images/1/x.1.1280.1280.jpg", "/products/101/images/../x.1.1280.1280.jpg", "/products/x",
    "/store/lock", "/products/999"])
def test_nothing_but_pictures_of_the_store_is_served(wire, target):
    wire.post(101, SMALL)

    answer = wire.page(target)

    assert answer.status == 404
    assert b"nothing here" in answer.body


def test_pages_can_only_be_read(wire):
    assert wire.raw("POST", "/", b"x").status == 501
    assert wire.raw("HEAD", "/").body == b""


def test_a_whole_address_as_target_is_understood(sandbox):
    host = sandbox.url.removeprefix("http://").rstrip("/")

    answer = spoken(sandbox, f"GET {sandbox.url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_picture_sent_lying_on_its_side_is_shown_so(wire, sandbox):
    record = wire.post(101, testing.jpeg(600, 400, orientation=6)).data

    answer = wire.page(record["url_thumbnail"].removeprefix(sandbox.url.rstrip("/")))

    assert b"Exif" not in answer.body
    assert b"image-orientation: none" in wire.page("/").body
