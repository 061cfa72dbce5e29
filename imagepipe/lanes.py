"""What a run keeps of its inputs: rows, the preparations that they share, and a lane for each product."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from imagepipe.asset import Asset, Delivery
from imagepipe.errors import ConfigurationError, ExitCode, Retry
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import Stage, attempt, name_of

GUESS = 4_000_000  #: Bytes that a picture in preparation is counted for, until its size is known.
LEAST = 200_000  #: Bytes that a prepared picture is counted for at least: no crowd of tiny ones is prepared ahead.


class Stop:
    """Asks a run to end early, from any thread or a signal handler.

    What is in flight is finished and written down; what was not sent is reported as `planned`.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.code = "stopped"
        self.exit_code = ExitCode.TRY_AGAIN
        self.retry = Retry.AGAIN
        self._is_set = False  # no Event, whose lock a signal handler could find held by the thread it interrupts
        self.wake: Callable[[], None] = lambda: None
        self.listeners: list[Callable[[], object]] = []  #: Called once, when the run is to end early.

    def __call__(self, reason: str, *, code: str = "stopped", exit_code: ExitCode = ExitCode.TRY_AGAIN,
                 retry: Retry = Retry.AGAIN) -> None:
        """Stop the run because of `reason`; the first reason counts."""
        if not self._is_set:
            self.reason, self.code, self.exit_code, self.retry = reason, code, exit_code, retry
            self._is_set = True
        self.wake()

    def __bool__(self) -> bool:
        return self._is_set


def check_pickles(stages: Sequence[Stage]) -> None:
    """Raise `ConfigurationError` for a stage that cannot be sent to a worker process."""
    for stage in stages:
        try:
            pickle.dumps(stage)
        except Exception as error:  # pickling raises what it likes
            raise ConfigurationError(
                f"the stage {name_of(stage)} cannot be sent to a worker process ({error}); define it at the top of a "
                "module, or run with threads or inline") from error


def prepare_one(stages: Sequence[Stage], asset: Asset) -> Outcome:
    """Run in a worker: prepare one picture, and send back no more than is needed."""
    outcome = attempt(stages, asset)
    prepared = outcome.asset
    if outcome.status is not Status.READY:
        return replace(outcome, asset=prepared.without_bytes())
    if prepared.data is not None and prepared.pixels is not None:
        return replace(outcome, asset=prepared.evolve(pixels=None))
    return outcome


@dataclass(eq=False, slots=True)
class Row:
    """One admitted input, on its lane."""

    asset: Asset
    lane: Lane
    job: Job | None = None
    prepared: Outcome | None = None  #: Set when it may be delivered.


@dataclass(eq=False, slots=True)
class Job:
    """One preparation, which may serve several rows: one picture for two products."""

    rows: list[Row]
    asset: Asset  #: As it was sent to be prepared: that of the first row.
    outcome: Outcome | None = None  #: Set when it is prepared; a row may come when the first has left.
    size: int = GUESS
    undelivered: int = 0


@dataclass(eq=False, slots=True)
class Lane:
    """The rows of one product, in input order."""

    product: object
    rows: deque[Row] = field(default_factory=deque)  #: Not delivered yet.
    unprepared: deque[Row] = field(default_factory=deque)  #: Not sent to a worker yet.
    busy: bool = False
    last_seen: int = 0  #: How many rows had been read when one of this product came last.


def weighed(outcome: Outcome) -> Outcome:
    """Return `outcome` without bytes; with their size on record where no stage has delivered them, as a plan asks."""
    asset = outcome.asset
    if outcome.status is Status.READY and asset.data is not None and asset.delivery is None:
        asset = replace(asset, delivery=Delivery(size=len(asset.data), action="none"))
    return replace(outcome, asset=asset.without_bytes())


def readdressed(prepared: Asset, first: Asset, asset: Asset) -> Asset:
    """Return `prepared`, made from `first`, as the picture of another row that asked for the same file."""
    if first is asset:
        return prepared
    # what was said of the first row before is not said of this one
    notes, warnings = prepared.notes[len(first.notes):], prepared.warnings[len(first.warnings):]
    return replace(prepared, source=asset.source, target=asset.target, key=asset.key, origin=asset.origin,
                   order=asset.order, number=asset.number, notes=(*asset.notes, *notes),
                   warnings=tuple(dict.fromkeys((*asset.warnings, *warnings))))


