"""Fetch the pictures that a store shows, to compare them with what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

from imagepipe.errors import ImagepipeError
from imagepipe.stores import Store, StoreImage

LARGEST = 64_000_000  #: Bytes; eight times what a store takes.


def downloader(store: Store) -> Callable[[StoreImage], Iterator[bytes]]:
    """Return a function that yields what a store serves of an image, the likeliest original first.

    Where an original is served is not documented: it is tried where stores are known to have it,
    and then what the listing names, which may be a smaller rendition. Everything is fetched as any
    stranger's address is; only for a store on this machine, addresses of this machine are allowed.
    No token goes along. The function raises `ImagepipeError` where nothing can be had.
    """
    from imagepipe.sources.fetch import fetcher

    here = store.identity.endswith("@localhost")
    fetch = fetcher(allowed=frozenset({"127.0.0.1", "::1", "localhost"}) if here else frozenset())
    originals = getattr(store, "originals", "")

    def download(image: StoreImage) -> Iterator[bytes]:
        original = f"{originals}{quote(image.image_file)}" if originals and image.image_file else ""
        problem: ImagepipeError | None = None
        had = False
        for url in filter(None, (original, image.url)):
            try:
                yield fetch.fetch(url, LARGEST).data
                had = True
            except ImagepipeError as error:
                problem = error
        if problem is not None and not had:
            raise problem

    return download
