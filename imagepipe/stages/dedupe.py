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


class _Seen:
    """What has passed, by product."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sources: dict[tuple[object, str], tuple[int, str]] = {}  #: (product, hash) -> (number, source).
        self.likenesses: dict[object, list[tuple[Likeness, int, str]]] = {}


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
        product = product_of(asset)
        me = (asset.number, asset.source)
        with self._seen.lock:
            hashes = self._hashes(asset)
            for hash_ in hashes:
                first = self._seen.sources.get((product, hash_))
                if first is not None and first != me:
                    raise Skip(f"the same picture as {first[1]}", "duplicate", duplicate_of=first[1])
            alike = self._alike(asset, product) if self.similar != "ignore" else None
            if alike is not None and self.similar == "drop":
                raise Skip(f"looks the same as {alike}", "similar", duplicate_of=alike)
            for hash_ in hashes:
                self._seen.sources[product, hash_] = me
            if asset.likeness is not None and self.similar != "ignore":
                self._seen.likenesses.setdefault(product, []).append((asset.likeness, *me))
        return asset.evolve(similar_to=alike, warning="looks_alike") if alike is not None else asset

    @staticmethod
    def _hashes(asset: Asset) -> list[str]:
        received = asset.received.sha256 if asset.received else None
        return [hash_ for hash_ in (received, asset.fingerprint) if hash_]

    def _alike(self, asset: Asset, product: object) -> str | None:
        if asset.likeness is None:
            return None
        from imagepipe.likeness import alike

        for likeness, number, source in self._seen.likenesses.get(product, ()):
            if (number, source) != (asset.number, asset.source) and alike(likeness, asset.likeness):
                return source
        return None

    def admit(self, assets: Sequence[Asset], /) -> Iterable[Asset | Outcome]:
        """Nothing can be told before a picture is read."""
        return assets

    def note(self, outcome: Outcome, /) -> None:
        """Forget a picture that did not get through, so that its duplicate may."""
        if outcome.status in (Status.FAILED, Status.PLANNED) and outcome.asset.delivery is None:
            product, me = product_of(outcome.asset), (outcome.asset.number, outcome.asset.source)
            with self._seen.lock:
                for hash_ in self._hashes(outcome.asset):
                    if self._seen.sources.get((product, hash_)) == me:
                        del self._seen.sources[product, hash_]
                alike = self._seen.likenesses.get(product)
                if alike:
                    alike[:] = [entry for entry in alike if (entry[1], entry[2]) != me]

    def finish(self, product: object, /) -> None:
        """Forget a product that is through."""
        with self._seen.lock:
            self._seen.likenesses.pop(product, None)
            for key in [key for key in self._seen.sources if key[0] == product]:
                del self._seen.sources[key]
