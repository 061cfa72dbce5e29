"""Stages, pipelines of them, and the one place where failure becomes data."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError, ImagepipeError, LedgerError, Retry, Skip, SourceError, StopRun
from imagepipe.outcome import Action, Outcome, Status

log = logging.getLogger("imagepipe")


class Stage(Protocol):
    """Anything that takes an asset and returns an asset."""

    def __call__(self, asset: Asset, /) -> Asset: ...


@runtime_checkable
class Remembering(Protocol):
    """A stage that remembers: seen, sent, quota. It stays in the parent process.

    It works inline like any other stage; `run` gives it two more moments. A stage that also has
    a method `note(outcome)` is told of every outcome of the run.
    """

    def __call__(self, asset: Asset, /) -> Asset: ...

    def admit(self, assets: Sequence[Asset], /) -> Iterable[Asset | Outcome]:
        """Look at a batch in input order, before anything is read.

        Return one thing for each asset, in the same order: the asset, perhaps completed, or its
        outcome if it is decided already.
        """
        ...

    def finish(self, product: object, /) -> None:
        """Do what is left to do for `product` (see `product_of`), now that its last image is through."""
        ...


@dataclass(frozen=True)
class Pipeline:
    """Stages in a row. Itself a stage, so pipelines nest.

    >>> Pipeline(()).stages
    ()
    """

    stages: tuple[Stage, ...]

    def __init__(self, stages: Iterable[Stage] = ()) -> None:
        flat: list[Stage] = []
        for stage in stages:
            if isinstance(stage, Pipeline):
                flat.extend(stage.stages)
            elif callable(stage):
                flat.append(stage)
            else:
                raise ConfigurationError(f"{stage!r} is not a stage: a stage is called with an asset and returns one")
        object.__setattr__(self, "stages", tuple(flat))

    def __call__(self, asset: Asset, /) -> Asset:
        for stage in self.stages:
            asset = stage(asset)
        return asset

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    def __add__(self, other: Iterable[Stage]) -> Pipeline:
        return Pipeline((*self.stages, *other))


def product_of(asset: Asset) -> object:
    """Return what makes two assets belong to one product: its id, else its SKU, else None."""
    target = asset.target
    return target.product_id if target.product_id is not None else target.sku


def name_of(stage: object) -> str:
    """Return the name of a stage, as reports show it."""
    return str(getattr(stage, "__name__", type(stage).__name__))


def attempt(stages: Iterable[Stage], asset: Asset) -> Outcome:
    """Send `asset` through `stages`; report what happened instead of raising.

    Only what is about the run and not this picture (`StopRun`, `LedgerError`), and what is no
    `Exception` (Ctrl-C), is raised.
    """
    started = time.perf_counter()
    name = ""
    try:
        for stage in stages:
            name = name_of(stage)
            asset = stage(asset)
            if not isinstance(asset, Asset):
                raise ConfigurationError(f"the stage {name} returned {type(asset).__name__}, not an Asset")
    except Skip as skip:
        outcome = Outcome(asset, Status.SKIPPED, name, str(skip), skip.code, duplicate_of=skip.duplicate_of)
    except (StopRun, LedgerError):
        raise
    except Exception as error:  # noqa: BLE001 - codecs and callers' stages raise anything; the batch goes on
        outcome = failure(asset, error, name)
    else:
        action = Action(asset.delivery.action) if asset.delivery else Action.NONE
        outcome = Outcome(asset, _status(asset), action=action)
    return replace(outcome, seconds=time.perf_counter() - started)


def _status(asset: Asset) -> Status:
    """Return the status of an asset that came through."""
    delivery = asset.delivery
    if delivery is None or delivery.action == Action.NONE:
        return Status.READY
    if delivery.image_id is None:
        return Status.PLANNED
    return Status.UPDATED if delivery.action == Action.UPDATE else Status.UPLOADED


def failure(asset: Asset, error: BaseException, stage: str = "") -> Outcome:
    """Return the outcome of a picture that `error` kept from going through."""
    if isinstance(error, ImagepipeError):
        code = error.word if isinstance(error, SourceError) else error.code
        return Outcome(asset, Status.FAILED, stage, str(error), code, error.retry)
    if isinstance(error, MemoryError):
        return Outcome(asset, Status.FAILED, stage, "more memory is needed than a picture may have; raise --memory",
                       "needs_memory", Retry.PERSON)
    log.debug("%s raised", stage or "a stage", exc_info=error)
    return Outcome(asset, Status.FAILED, stage, f"{type(error).__name__}: {error}", "error", Retry.PERSON)


def split(stages: Iterable[Stage]) -> tuple[tuple[Stage, ...], tuple[Any, ...]]:
    """Return the stages that may run in workers, and those from the first that remembers on.

    Raises `ConfigurationError` where a pure stage stands behind a remembering one: it would have
    to run in the parent, one picture after another, unnoticed.
    """
    pure: list[Stage] = []
    remembering: list[Stage] = []
    for stage in stages:
        if isinstance(stage, Remembering):
            remembering.append(stage)
        elif remembering:
            raise ConfigurationError(f"{name_of(stage)} stands behind {name_of(remembering[-1])}, which remembers what "
                                     "passed; put the stages that prepare a picture first")
        else:
            pure.append(stage)
    return tuple(pure), tuple(remembering)
