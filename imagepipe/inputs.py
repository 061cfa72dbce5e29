"""What a caller gives as a source, turned into assets: chosen, numbered, and able to say whether they would block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Self

from imagepipe.asset import Asset, Target
from imagepipe.errors import ConfigurationError
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import product_of

#: A path, an address, rows, or several of these.
Source = str | os.PathLike[str] | Mapping[str, Any] | Iterable[Any]

#: Options that say how to read a source.
SOURCE_OPTIONS = ("match", "product_id", "sku", "columns", "encoding", "roots", "only", "limit_products")


def numbered(source: Source, **options: Any) -> Iterator[Asset | Outcome]:
    """Yield what `assets_from` does, each with its number among the inputs, from 1."""
    return _Numbered(assets_from(source, **options))



def assets_from(
    source: Source,
    *,
    match: str | None = None,
    product_id: int | None = None,
    sku: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    roots: Iterable[str | os.PathLike[str]] = (),
    only: Iterable[str] = (),
    limit_products: int | None = None,
    needs_product: bool = False,
) -> Iterator[Asset | Outcome]:
    """Yield what `source` asks for, opening no picture; rows that cannot be used come as outcomes.

    Raises `ConfigurationError` where the whole source cannot be used, or where `needs_product`
    and nothing says which product a folder's pictures belong to.
    """
    if product_id is not None and sku is not None:
        raise ConfigurationError("give --product-id or --sku, not both")
    fixed = Target(product_id=product_id, sku=sku)
    parts = _parts(source, match=match, columns=dict(columns or {}), encoding=encoding,
                   roots=tuple(Path(root) for root in roots), suggest=needs_product and fixed == Target())
    chosen = _Chain(parts)
    if fixed != Target() or only or limit_products is not None:
        return _Chosen(chosen, fixed, frozenset(map(str, only)), limit_products)
    return chosen


def _parts(source: Source, *, match: str | None, columns: dict[str, str], encoding: str | None,
           roots: tuple[Path, ...], suggest: bool) -> list[Iterator[Asset | Outcome]]:
    from imagepipe import sources

    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if suggest and match is None and path != "-" and "://" not in path and Path(path).is_dir():
            raise ConfigurationError(_needs_match(path))
        return [sources.from_path(path, match=match, columns=columns, encoding=encoding, roots=roots)]
    if isinstance(source, Mapping):
        return [sources.from_rows([source], columns=columns, roots=roots, match=match)]
    if isinstance(source, (list, tuple)) and source and all(isinstance(item, (str, os.PathLike)) for item in source):
        parts: list[Iterator[Asset | Outcome]] = []
        for item in source:
            parts.extend(_parts(item, match=match, columns=columns, encoding=encoding, roots=roots, suggest=suggest))
        return parts
    return [sources.from_rows(source, columns=columns, roots=roots, match=match)]


def _needs_match(folder: str) -> str:
    from imagepipe import sources

    pattern = sources.suggest_for(folder)
    said = f"which product the pictures in {folder} belong to is not said"
    if pattern is None:
        return (f"{said}: give --match with a pattern such as '{{sku}}/*', --sku or --product-id, or a manifest with "
                "the columns image and sku")
    return f"{said}. This pattern fits the folder: --match '{pattern}'"


class _Chain:
    """Several sources in a row, which can be asked whether they would block (`ready`)."""

    def __init__(self, parts: list[Iterator[Asset | Outcome]]) -> None:
        self._parts = parts
        self._current = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Asset | Outcome:
        while self._current < len(self._parts):
            try:
                return next(self._parts[self._current])
            except StopIteration:
                self._current += 1
        raise StopIteration

    def ready(self) -> bool:
        """Tell whether the next item can be had without waiting for anyone."""
        ready = getattr(self._parts[self._current], "ready", None) if self._current < len(self._parts) else None
        return True if ready is None else bool(ready())

    def close(self) -> None:
        for part in self._parts:
            close = getattr(part, "close", None)
            if close is not None:
                close()


class _Chosen(_Chain):
    """A source whose rows get a product, and of which only some products are taken."""

    def __init__(self, inner: _Chain, fixed: Target, only: frozenset[str], limit: int | None) -> None:
        super().__init__([inner])
        self._fixed, self._only, self._limit = fixed, only, limit
        self._products: set[object] = set()

    def __next__(self) -> Asset | Outcome:
        item = super().__next__()
        if isinstance(item, Outcome):
            return item
        if self._fixed != Target() and product_of(item) is None:
            item = item.evolve(target=replace(item.target, product_id=self._fixed.product_id, sku=self._fixed.sku))
        product = product_of(item)
        if self._only and str(item.target.sku) not in self._only and str(item.target.product_id) not in self._only:
            return Outcome(item, Status.SKIPPED, "source", "not among the products asked for (--only)", "not_selected")
        if self._limit is not None and product not in self._products:
            if len(self._products) >= self._limit:
                return Outcome(item, Status.SKIPPED, "source", f"beyond the first {self._limit} products "
                               "(--limit-products)", "not_selected")
            self._products.add(product)
        return item


class _Numbered:
    """Give each input its number, keeping what the source can tell of itself."""

    def __init__(self, source: Iterator[Asset | Outcome]) -> None:
        from imagepipe.sources import Apart

        self._source = source
        self._apart = Apart()
        self._numbers = count(1)
        if hasattr(source, "ready"):
            self.ready = source.ready

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Asset | Outcome:
        item = self._apart(next(self._source))
        if isinstance(item, Outcome):
            return replace(item, asset=replace(item.asset, number=next(self._numbers)))
        return replace(item, number=next(self._numbers))

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
