"""Find pictures that a product has twice."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from imagepipe.asset import Asset, Likeness
from imagepipe.errors import ConfigurationError, Skip
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import product_of

#: Codes of what is skipped because its product has the picture, from this input or another.
_THERE = frozenset({"already_uploaded", "duplicate", "similar"})


class _Product:
    """What has passed of one product. A picture is named by its number and source."""

    def __init__(self) -> None:
        self.hashes: dict[str, tuple[int, str]] = {}
        self.likenesses: list[tuple[Likeness, tuple[int, str]]] = []


class _Seen:
    """What has passed, by product."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.products: dict[object, _Product] = {}


@dataclass(frozen=True)
class Dedupe:
    """Skip a picture that its product has already; report those that look alike.

    The same bytes, and for JPEG the same picture with other metadata, are duplicates: the first
    in input order wins, and when it fails later the next one takes its place. What merely looks
    the same fills `similar_to`, and is dropped only with `similar="drop"`: the same shirt in
    another colour is another picture.

    Raises `Skip` with code `duplicate` (or `similar`).
    """

    similar: Literal["ignore", "report", "drop"] = "report"
    _seen: _Seen = field(default_factory=_Seen, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.similar not in ("ignore", "report", "drop"):
            raise ConfigurationError(f"similar is {self.similar!r}; it can be 'ignore', 'report' or 'drop'")

    def __call__(self, asset: Asset, /) -> Asset:
        me = (asset.number, asset.source)
        hashes = _hashes(asset)
        with self._seen.lock:
            product = self._seen.products.setdefault(product_of(asset), _Product())
            for hash_ in hashes:
                first = product.hashes.get(hash_)
                if first is not None and first != me:
                    raise Skip(f"the same picture as {first[1]}", "duplicate", duplicate_of=first[1])
            alike = self._alike(asset, product, me)
            if alike is not None and self.similar == "drop":
                raise Skip(f"looks the same as {alike}", "similar", duplicate_of=alike)
            product.hashes.update((hash_, me) for hash_ in hashes)
            if asset.likeness is not None:
                product.likenesses.append((asset.likeness, me))
        return asset if alike is None else asset.evolve(similar_to=alike, warning="looks_alike")

    def _alike(self, asset: Asset, product: _Product, me: tuple[int, str]) -> str | None:
        if asset.likeness is None or self.similar == "ignore":
            return None
        from imagepipe.likeness import alike

        for likeness, other in product.likenesses:
            if other != me and alike(likeness, asset.likeness):
                return other[1]
        return None

    def admit(self, assets: Sequence[Asset], /) -> Iterable[Asset | Outcome]:
        """Nothing can be told before a picture is read."""
        return assets

    def note(self, outcome: Outcome, /) -> None:
        """Forget a picture that did not get through, so that its duplicate may."""
        got_through = outcome.status not in (Status.FAILED, Status.PLANNED, Status.SKIPPED)
        if got_through or outcome.code in _THERE or outcome.asset.delivery is not None:
            return
        me = (outcome.asset.number, outcome.asset.source)
        with self._seen.lock:
            product = self._seen.products.get(product_of(outcome.asset))
            if product is not None:
                for hash_ in _hashes(outcome.asset):
                    if product.hashes.get(hash_) == me:
                        del product.hashes[hash_]
                product.likenesses[:] = [entry for entry in product.likenesses if entry[1] != me]

    def finish(self, product: object, /) -> None:
        """Forget a product that is through."""
        with self._seen.lock:
            self._seen.products.pop(product, None)


def _hashes(asset: Asset) -> list[str]:
    received = asset.received.sha256 if asset.received else None
    return [hash_ for hash_ in (received, asset.fingerprint) if hash_]
