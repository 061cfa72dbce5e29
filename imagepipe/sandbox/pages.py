"""The pages that a person looks at: what is in the store. Plain HTML, no script, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources
from urllib.parse import quote

from imagepipe.sandbox.answers import Answer
from imagepipe.sandbox.images import image_record
from imagepipe.sandbox.state import Image, Product, State

_PRODUCTS = 20  # a page
_SHOWN = 12  # images of a product on the front page
_ON_ITS_OWN = 200  # images on a page of a product
SAFETY = (("Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; "
                                      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
          ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"),
          ("Cache-Control", "no-store"))


def front(state: State, root: str, base_url: str, number: int) -> Answer:
    """Return the page of all products, those with images first."""
    # a catalogue of thousands, mostly empty, would hide what was uploaded
    order = "NOT EXISTS (SELECT 1 FROM images WHERE product_id = products.id), id"
    _, total = state.products(limit=0)
    pages = max(1, -(-total // _PRODUCTS))
    number = min(number, pages)
    found, _ = state.products(order=order, limit=_PRODUCTS, offset=(number - 1) * _PRODUCTS)
    images = state.count_images()
    summary = f"{_count(total, 'product')}, {_count(images, 'image')}"
    body = _turner("/", number, pages) if images else _nothing_yet(base_url, total)
    body += f"<main>{''.join(_product(state, root, product, _SHOWN, 1) for product in found)}</main>"
    body += _turner("/", number, pages) if found else ""
    return _page("The sandbox store", f"<header><h1>The sandbox store</h1><p>{summary}. It is on this machine only."
                                      f"</p></header>{body}")


def of_product(state: State, root: str, product: Product, number: int) -> Answer:
    """Return the page of one product, with all its images."""
    pages = max(1, -(-state.count_images(product.id) // _ON_ITS_OWN))
    number = min(number, pages)
    turner = _turner(f"/products/{product.id}", number, pages)
    body = (f'<header><p><a href="/">The sandbox store</a></p></header>{turner}'
            f"<main>{_product(state, root, product, _ON_ITS_OWN, number, alone=True)}</main>{turner}")
    return _page(product.name, body)


def missing() -> Answer:
    """Return the page for an address that leads nowhere."""
    return _page("Not found", '<header><h1>There is nothing here</h1><p><a href="/">The sandbox store</a></p></header>',
                 404)


def _page(title: str, body: str, status: int = 200) -> Answer:
    style = resources.files("imagepipe.sandbox").joinpath("page.css").read_text("utf-8")
    html = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(title)} · imagepipe</title><style>{style}</style></head>\n<body>{body}</body></html>\n")
    return Answer(status, html.encode("utf-8", "replace"), "text/html; charset=utf-8", SAFETY)


def _nothing_yet(base_url: str, products: int) -> str:
    there = f" So far there {'is' if products == 1 else 'are'} {_count(products, 'product')}." if products else ""
    return (f'<section class="hint"><h2>No images yet</h2><p>Upload some, then load this page again.{there}</p>'
            "<p>With the token that <code>imagepipe sandbox</code> showed in the terminal:</p>"
            "<pre>export BIGCOMMERCE_ACCESS_TOKEN=…\n"
            f"imagepipe upload catalog.csv \\\n  --base-url {escape(base_url)}</pre>"
            "<p>Or stop it, and let the upload run the store itself:</p>"
            "<pre>imagepipe upload catalog.csv --sandbox\nimagepipe sandbox</pre></section>")


def _product(state: State, root: str, product: Product, most: int, number: int, *, alone: bool = False) -> str:
    images = state.images(product.id, order="sort_order, id", limit=most, offset=(number - 1) * most)
    total = state.count_images(product.id)
    own = f"/products/{product.id}"
    skus = [product.sku, *(variant.sku for variant in state.variants("product_id = ?", (product.id,))[0]
                           if not variant.is_base)]
    named = " ".join(f"<code>{escape(sku)}</code>" for sku in skus[:20] if sku not in ("", product.name))
    more = (f'<p class="more"><a href="{own}">All {total:,} images</a></p>'
            if total > len(images) and not alone else "")
    shown = (f'<div class="images">{"".join(_figures(images, root))}</div>' if images else
             '<p class="none">No images.</p>')
    width = 5 if alone else min(len(images), 5)  # decides how many columns of the page it takes
    return (f'<section class="n{width}"><h2><a href="{own}">{escape(product.name)}</a></h2>'
            f'<p class="facts">product {product.id} {named} · {_count(total, "image")}</p>{shown}{more}</section>')


def _figures(images: Iterable[Image], root: str) -> Iterable[str]:
    for image in images:
        thumbnail = image_record(image, root)["url_thumbnail"].removeprefix(root)
        name = image.image_file.rsplit("/", 1)[-1]
        link = f"/product_images/{quote(image.image_file)}"
        if image.format:
            size = f"{image.width}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{image.height}"
            facts = [size, image.format.upper(), _bytes(image.size)]
            if image.frames > 1:
                facts.append(f"{image.frames} frames")
            picture = (f'<a href="{link}"><img src="/{escape(thumbnail)}" alt="{escape(image.description)}" '
                       'loading="lazy"></a>')
        else:
            facts = ["by address, not fetched"]
            picture = '<span class="away" aria-hidden="true">↗</span>'
        badge = '<span class="badge">Thumbnail</span>' if image.is_thumbnail else ""
        alt = f"<p>{escape(image.description)}</p>" if image.description else '<p class="none">No alt text</p>'
        url = f'<p class="name">{escape(image.image_url)}</p>' if image.image_url else ""
        yield (f'<figure><div class="frame">{picture}{badge}</div><figcaption>{alt}'
               f'<p class="name" title="{escape(image.image_file)}">{escape(name)}</p>{url}'
               f'<p class="facts">{" · ".join(facts)}</p>'
               f'<p class="facts">order {image.sort_order} · image {image.id}</p></figcaption></figure>')


def _turner(path: str, number: int, pages: int) -> str:
    if pages == 1:
        return ""
    before = f'<a href="{path}?page={number - 1}" rel="prev">← Before</a>' if number > 1 else "<span></span>"
    after = f'<a href="{path}?page={number + 1}" rel="next">Next →</a>' if number < pages else "<span></span>"
    return f'<nav aria-label="Pages">{before}<span>Page {number:,} of {pages:,}</span>{after}</nav>'


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _bytes(size: int) -> str:
    if size < 1_000:
        return f"{size}\N{NO-BREAK SPACE}B"
    return (f"{size / 1_000:.0f}\N{NO-BREAK SPACE}kB" if size < 999_500 else
            f"{size / 1_000_000:.1f}\N{NO-BREAK SPACE}MB")
