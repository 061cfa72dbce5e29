"""Addresses: which are taken, how they are shown, and by which key they are known."""

import pytest

from imagepipe import sources
from imagepipe.asset import Asset
from imagepipe.errors import SourceError
from imagepipe.outcome import Outcome
from imagepipe.sources.addresses import check_literal_host, is_public, parse_address, shown_url, url_key

SIGNED = "https://cdn.example/a/front.jpg?X-Amz-Signature=CANARY&v=2#CANARY"


@pytest.mark.parametrize("url", [
    "https://cdn.example/a.jpg", "HTTPS://CDN.example/a.jpg", "https://cdn.example:8443/a.jpg", "https://93.184.215.14/a",
    "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/a.jpg", "https://b\u00fccher.example/a.jpg", "https://cdn.example",
    "https://cdn.example./a.jpg", "https://a.example/caf\u00e9.jpg",
])
def test_a_public_address_is_taken(url):
    (asset,) = sources.from_path(url)

    assert isinstance(asset, Asset)
    assert asset.location == url
    check_literal_host(parse_address(url))


@pytest.mark.parametrize("url", [
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.0.0.1/", "https://0x7f000001/",
    "https://0177.0.0.1/", "https://017700000001/", "https://0/", "https://0.0.0.0/", "https://10.0.0.1/",
    "https://172.16.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/",
    "https://198.18.0.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://[::1]/", "https://[::]/",
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
    "https://[fe80::1]/", "https://[fd00::1]/", "https://[fe80::1%25eth0]/", "https://localhost/", "https://LOCALHOST./",
    "https://a.localhost/", "https://printer.local/", "https://metadata.google.internal/", "https://router/",
    "https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/", "https://1.2.3.4.5/", "https://1.2.3.256/",
])
def test_a_private_or_odd_host_is_refused_without_asking_anyone(url):
    with pytest.raises(SourceError) as caught:
        check_literal_host(parse_address(url))
    assert caught.value.word in ("private_address", "bad_address")


@pytest.mark.parametrize("url", [
    "https://user:pass@cdn.example/a.jpg", "https://user@cdn.example/a.jpg", "https://cdn.example\\@evil.example/",
    "https://cdn.example/a.jpg\r\nHost: evil", "https://cdn.example/a b.jpg", "https://cdn.example/\x00", "https://",
    "https:///a.jpg", "https://cdn.example:99999/", "https://cdn.example:/a", "https://cdn.example:0/", "https://[::1",
    "https://-a.example/", f"https://{'a' * 64}.example/", "https://a..example/",
    "file:///etc/passwd", "ftp://cdn.example/a.jpg", "gopher://cdn.example/", "javascript://x/%0aalert(1)",
])
def test_what_parsers_disagree_about_is_refused(url):
    with pytest.raises(SourceError):
        parse_address(url)


def test_an_address_is_shown_without_what_may_be_secret():
    assert shown_url("https://me:CANARY@cdn.example/a.jpg?sig=CANARY#CANARY") == "https://cdn.example/a.jpg"
    assert shown_url("https:\\\\me:CANARY@x") == "https:\\\\me:CANARY@x"  # no address
    assert shown_url("a?b.jpg") == "a?b.jpg"


@pytest.mark.parametrize("url", [SIGNED, "https://me:CANARY@cdn.example/a.jpg", "https://cdn.example/a b?CANARY"])
def test_no_secret_of_an_address_is_in_what_is_shown_of_it(url):
    (item,) = sources.from_urls([url])

    said = [item.source, item.key] if isinstance(item, Asset) else [item.reason, item.asset.source, item.asset.key]
    assert "CANARY" in url
    assert "CANARY" not in " ".join(said)


def test_no_secret_of_a_refused_address_is_in_its_row(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("image,sku\nhttps://me:CANARY@cdn.example/a.jpg?CANARY,A\n")

    (item,) = sources.from_csv(path)

    assert isinstance(item, Outcome)
    assert "CANARY" not in str(item.to_dict())


def test_no_secret_of_an_address_is_in_its_row_and_other_columns_are_kept(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("1,2,page\nhttps://cdn.example/a.jpg?CANARY,https://cdn.example/b.jpg?CANARY,https://a.example/?p=1\n")

    items = list(sources.from_csv(path, columns={"image": "1,2"}))

    assert [item.location.count("CANARY") for item in items] == [1, 1]
    assert {str(item.origin.row) for item in items} == {str({
        "1": "https://cdn.example/a.jpg", "2": "https://cdn.example/b.jpg", "page": "https://a.example/?p=1"})}


def test_the_same_picture_under_a_fresh_signature_is_the_same_place():
    again = "https://cdn.example/a/front.jpg?v=2&X-Amz-Signature=other"

    assert url_key(SIGNED) == url_key(again)
    assert url_key(SIGNED) != url_key(again.replace("v=2", "v=3"))
    assert url_key("https://cdn.example/a.jpg") == "https://cdn.example/a.jpg"


def test_the_store_takes_255_characters():
    base = "https://cdn.example/"

    sources.check_image_url(base + "a" * (255 - len(base)))
    with pytest.raises(SourceError, match="256 characters"):
        sources.check_image_url(base + "a" * (256 - len(base)))
    with pytest.raises(SourceError, match="private"):
        sources.check_image_url("https://192.168.0.1/a.jpg")


@pytest.mark.parametrize(("address", "public"), [
    ("93.184.215.14", True), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True), ("::ffff:93.184.215.14", True),
    ("64:ff9b::5db8:d70e", True), ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("2002:a00:1::", False),
    ("::127.0.0.1", False), ("2001:db8::1", False), ("192.0.0.8", False), ("240.0.0.1", False), ("fe80::1%eth0", False),
    ("not an address", False), ("127.1", False), ("", False),
])
def test_an_address_counts_as_public_only_if_it_is_all_the_way_in(address, public):
    assert is_public(address) is public


def test_addresses_of_a_list_are_numbered_and_the_bad_ones_named():
    good, bad = sources.from_urls(["https://cdn.example/a.jpg ", "https://cdn.example/a b.jpg"])

    assert good.origin.row_number == 1
    assert bad.code == "bad_address"
