"""The functions that most callers need: `prepare`, `plan`, `upload`, and the `Run` that they return."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError, ExitCode, LedgerError, StopRun
from imagepipe.inputs import SOURCE_OPTIONS, Source, numbered
from imagepipe.lanes import Stop
from imagepipe.ledger import Ledger, Place
from imagepipe.ledger_file import is_blank
from imagepipe.outcome import Outcome, Status, Summary
from imagepipe.pipeline import Pipeline, Stage
from imagepipe.runner import run
from imagepipe.shaping import Shaping, shaped, take_shaping
from imagepipe.stores import Store
from imagepipe.stores.survey import Survey

log = logging.getLogger("imagepipe")


class Run:
    """A run under way: iterate it for the outcomes, close it early, and read its summary.

    >>> with upload("photos", store) as outcomes:  # doctest: +SKIP
    ...     for outcome in outcomes:
    ...         print(outcome.status, outcome.asset.source, outcome.reason)
    >>> outcomes.summary.raise_for_failures()  # doctest: +SKIP
    """

    def __init__(self, outcomes: Iterator[Outcome], *, stop: Stop, run_id: str | None = None, planning: bool = False,
                 on_outcome: Callable[[Outcome], None] | None = None,
                 on_end: Callable[[Summary], None] | None = None) -> None:
        self.summary = Summary(run_id=run_id)
        self.run_id = run_id
        self._outcomes = outcomes
        self._stop = stop
        self._planning = planning
        self._on_outcome, self._on_end = on_outcome, on_end
        self._started = time.monotonic()
        self._ended = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Outcome:
        try:
            outcome = next(self._outcomes)
        except StopIteration:
            self._end()
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self.stop()
            else:
                self._stop(f"cut off: {type(error).__name__}: {error}")
            self._end()
            raise
        self.summary.add(outcome, planning=self._planning and not self._stop)
        if self._on_outcome is not None:
            try:
                self._on_outcome(outcome)
            except LedgerError as error:
                self._stop(str(error), code=error.code, exit_code=ExitCode.TRY_AGAIN)
        return outcome

    def stop(self, reason: str = "interrupted", *, interrupted: bool = True) -> None:
        """End early: what is in flight is finished, the rest comes out as `planned`."""
        self.summary.interrupted = self.summary.interrupted or interrupted
        self._stop(reason, code="interrupted" if interrupted else "stopped",
                   exit_code=ExitCode.INTERRUPTED if interrupted else ExitCode.TRY_AGAIN)

    def wait(self) -> Summary:
        """Run to the end, and return the summary."""
        for _ in self:
            pass
        return self.summary

    def close(self) -> None:
        """Stop at once, cleanly: what is in flight is finished, and recorded where a store keeps a ledger.

        Outcomes that have not been taken are lost; a run that was not taken to its end counts as stopped.
        """
        close = getattr(self._outcomes, "close", None)
        if close is not None:
            close()
        if not self._ended:
            self._stop("closed before its end")
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.summary.seconds = time.monotonic() - self._started
        if self._stop:
            self.summary.stopped = self._stop.reason
            self.summary.require(self._stop.exit_code)
        if self._on_end is not None:
            self._on_end(self.summary)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def prepare(picture: str | os.PathLike[str] | bytes | IO[bytes], **shaping: Any) -> Asset:
    """Return one picture as a store wants it: `.data` holds the bytes, `.notes` what was done.

    `picture` is a path, an https address, bytes, or a file opened for reading bytes; `shaping`
    are fields of `Shaping`. Runs here and now, without a worker process.

    Raises `ImagepipeError`: `SourceError` where it cannot be read, `ImageError` where it cannot
    be used.

    >>> prepare("IMG_0001.HEIC", max_edge=2000).facts.format  # doctest: +SKIP
    'jpeg'
    """
    pipeline = shaped(shaping).pipeline()
    if isinstance(picture, bytes):
        return pipeline(Asset("bytes", data=picture))
    if isinstance(picture, (str, os.PathLike)):
        source = os.fspath(picture)
        location = source if "://" in source else str(Path(source).absolute())
        return pipeline(Asset(source, location=location))
    return pipeline(Asset(str(getattr(picture, "name", "file")), data=picture.read()))


def prepare_to(
    folder: str | os.PathLike[str],
    source: Source,
    *,
    shaping: Shaping | None = None,
    similar: Literal["ignore", "report", "drop"] = "report",
    executor: Executor | None = None,
    jobs: int | None = None,
    memory: int | None = None,
    picture_timeout: float = 60.0,
    rows: int = 10_000,
    window_bytes: int = 256_000_000,
    **options: Any,
) -> Run:
    """Prepare every picture of `source` into `folder`. Takes the options of `upload` that concern sources.

    Duplicates are skipped. Without `executor`, worker processes are started: `jobs` of them (0:
    none, all is done in this process), with limits on time and memory for each picture. Raises
    `ConfigurationError` where the folder cannot be written to.
    """
    from imagepipe.stages import Dedupe
    from imagepipe.stores.folder import Save

    shaping, options = take_shaping(shaping, options)
    stop, stack = Stop(), contextlib.ExitStack()
    assets = numbered(source, **_only_known(options, SOURCE_OPTIONS))
    save = Save(Path(folder))
    save.open()
    pipeline = shaping.pipeline() + (Dedupe(similar), save)
    executor = stack.enter_context(_workers(jobs, memory, picture_timeout)) if executor is None else executor
    outcomes = run(assets, pipeline, executor=executor, connections=1, rows=rows, window_bytes=window_bytes, stop=stop)
    return Run(outcomes, stop=stop, on_end=lambda summary: stack.close())


def upload(
    source: Source,
    store: Store,
    *,
    ledger: Ledger | str | os.PathLike[str] | None = None,
    shaping: Shaping | None = None,
    stages: Iterable[Stage] = (),
    similar: Literal["ignore", "report", "drop"] = "report",
    existing: Literal["add", "skip"] = "add",
    on_change: Literal["replace", "add", "skip"] = "replace",
    max_delete: int = 100,
    by_url: bool = False,
    checksum: bool = False,
    redo: bool = False,
    repair: bool = False,
    prune: bool | Callable[[Sequence[Place]], bool] = False,
    seen: Survey | None = None,
    planning: bool = False,
    connections: int = 4,
    executor: Executor | None = None,
    jobs: int | None = None,
    memory: int | None = None,
    picture_timeout: float = 60.0,
    rows: int = 10_000,
    window_bytes: int = 256_000_000,
    command: str = "",
    upload_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """Prepare every picture of `source` and put it into `store`, exactly once.

    `source` is a path (picture, folder, manifest), an https address, rows (dicts with the columns
    `image` and `product_id` or `sku`, and perhaps `sort_order`, `is_thumbnail`, `description`,
    `key`), `Asset`s, or a list of any of these. How to read it: `match`, `product_id`, `sku`,
    `columns`, `encoding`, `roots`, `only`, `limit_products`.

    `ledger` is a path, an open `Ledger`, None for the default place, or "none" to go by the
    store's listing alone. `stages` are further stages of yours, run before the last size check.
    What a picture becomes is said by `shaping`, or by its fields as keyword arguments.

    `repair` sends again what the ledger knows to have been sent and the store no longer has.
    `prune` deletes, at the end, the images of places that have gone from the source, among the
    products that it names; given a function, that is shown them first and says whether to. A run
    that was stopped or closed early, in which an input failed, or that took only some of the
    products (`only`, `limit_products`), prunes nothing. `seen` is what `survey` returned for the
    same job: its requests are not made twice.

    Nothing is sent before the run is iterated. Raises `ConfigurationError` and `LedgerError` here,
    at once; what goes wrong with a picture is in its outcome.
    """
    from imagepipe.stages import Dedupe, Upload

    shaping, options = take_shaping(shaping, options)
    source_options = _only_known(options, SOURCE_OPTIONS)
    prepared = _with_stages(shaping.pipeline(), stages)
    if by_url:
        prepared = _checked_only(prepared)
    assets = numbered(source, needs_product=True, **source_options)
    stop, stack = Stop(), contextlib.ExitStack()
    try:
        book = stack.enter_context(_ledger(ledger, store, writing=not planning))
        settings = repr(prepared)
        run_id = None if planning else book.begin_run(store.identity, command=command, settings=settings)
        uploader = Upload(store, book, run_id or "", existing=existing, on_change=on_change, max_delete=max_delete,
                          by_url=by_url, checksum=checksum, redo=redo, repair=repair, planning=planning,
                          settings=settings, seen=seen, **(upload_options or {}))
        pipeline = prepared + (Dedupe(similar), uploader)
        if executor is None:
            executor = stack.enter_context(_workers(jobs, memory, picture_timeout))
        interrupt = getattr(store, "interrupt", None)
        if interrupt is not None:  # so that nobody who stops a run waits for a network that has gone
            interrupt(False)
            stop.listeners.append(interrupt)
        outcomes = run(assets, pipeline, executor=executor, connections=connections, rows=rows,
                       window_bytes=window_bytes, stop=stop)
    except BaseException:
        stack.close()
        raise

    def write_down(outcome: Outcome) -> None:
        if run_id is not None:
            book.record_input(run_id, outcome.asset.number, outcome.to_dict(run_id), outcome.asset.preview)

    def end(summary: Summary) -> None:
        with stack:
            try:
                delete_gone(summary)
            except (StopRun, LedgerError) as error:
                _cut_off(summary, error)
            summary.extra.update(uploader.report())
            summary.require(uploader.unfinished)
            usage = getattr(store, "usage", None)
            if usage is not None:
                summary.extra["requests"] = usage()
            if run_id is not None:
                _end_run(book, run_id, summary)
            if interrupt is not None:
                interrupt(False)  # the store is the caller's, who may go on with it

    def delete_gone(summary: Summary) -> None:
        gone = uploader.gone() if prune and not stop and run_id is not None else []
        if gone and summary.counts[Status.FAILED]:
            log.warning("%d pictures have gone from the source; as some inputs failed, none was deleted", len(gone))
        elif gone and summary.codes["not_selected"]:  # rows left out may be of the same products, by another SKU
            log.warning("%d pictures may have gone from the source; as only some products were taken, none was deleted",
                        len(gone))
        elif gone and (prune is True or (callable(prune) and prune(gone))):
            uploader.prune(gone)

    return Run(outcomes, stop=stop, run_id=run_id, planning=planning, on_outcome=write_down, on_end=end)


def survey(
    assets: Sequence[Asset],
    store: Store,
    *,
    ledger: Ledger | str | os.PathLike[str] | None = None,
    shaping: Shaping | None = None,
    existing: Literal["add", "skip"] = "add",
    checksum: bool = False,
    redo: bool = False,
    by_url: bool = False,
    whole: bool = True,
) -> Survey:
    """Say, before an upload of `assets`, which of the products that it sends to hold images that are not ours.

    `assets` are what `inputs.assets_from` yields; `whole` says that they are all of the job.
    Give the result to `upload` as `seen`. Changes nothing. Where the store cannot be asked,
    `stopped` of the result says why. Raises `LedgerError`.
    """
    from imagepipe.stages import Upload

    pipeline = (shaping or Shaping()).pipeline()
    settings = repr(_checked_only(pipeline) if by_url else pipeline)
    with _ledger(ledger, store, writing=False) as book:
        return Upload(store, book, existing=existing, checksum=checksum, redo=redo, settings=settings,
                      planning=True).survey(assets, whole=whole)


def recover(source: Source, store: Store, *, ledger: str | os.PathLike[str], command: str = "",
            executor: Executor | None = None, jobs: int | None = None, **options: Any) -> Run:
    """Write down in `ledger` which pictures of `source` the store already holds, by their names; send nothing.

    What the store has is `skipped`, what it has not `planned`. Takes the options of `upload` that
    concern sources.
    """
    from imagepipe.stages import Read, Upload

    assets = numbered(source, needs_product=True, **_only_known(options, SOURCE_OPTIONS))
    stop, stack = Stop(), contextlib.ExitStack()
    book = stack.enter_context(Ledger.open(ledger))
    run_id = book.begin_run(store.identity, command=command)
    recorder = Upload(store, book, run_id, recording=True, checksum=True, settings=repr(Shaping().pipeline()))
    if executor is None:
        executor = stack.enter_context(_workers(jobs, None, 60.0))
    outcomes = run(assets, Pipeline((Read(), recorder)), executor=executor, stop=stop)

    def end(summary: Summary) -> None:
        with stack:
            _end_run(book, run_id, summary)

    return Run(outcomes, stop=stop, run_id=run_id, planning=True, on_end=end)


def _end_run(book: Ledger, run_id: str, summary: Summary) -> None:
    """Record how a run ended; where the ledger cannot, that is how it ended."""
    try:
        book.end_run(run_id, exit_code=int(summary.exit_code), summary=summary.to_dict())
    except LedgerError as error:
        _cut_off(summary, error)


def _cut_off(summary: Summary, error: StopRun | LedgerError) -> None:
    """Let a summary say what kept a run from coming to its end."""
    summary.stopped = summary.stopped or str(error)
    summary.require(error.exit_code if isinstance(error, StopRun) else ExitCode.TRY_AGAIN)


def set_aside(ledger: Path) -> Path | None:
    """Give a damaged ledger another name, so that a new one can be built; return that name.

    None where there is none. Raises `ConfigurationError` where it is in order, and `LedgerLocked`
    where a run holds it.
    """
    from imagepipe.errors import LedgerDamaged

    if not ledger.exists() or ledger.stat().st_size == 0:
        return None
    try:
        with Ledger.open(ledger) as book:
            if not book.is_new and book.runs():
                raise ConfigurationError(f"the ledger {ledger} is in order; move it away first to build another")
            return None
    except LedgerDamaged:
        kept = next(name for number in count(1) if not (name := ledger.with_name(f"{ledger.name}.damaged-{number}")
                                                        ).exists())
        ledger.rename(kept)
        for suffix in ("-wal", "-shm"):  # what belongs to the damaged file goes with it
            beside = ledger.with_name(ledger.name + suffix)
            if beside.exists():
                beside.rename(kept.with_name(kept.name + suffix))
        return kept


def plan(source: Source, store: Store | None = None, **options: Any) -> Run:
    """Say what `upload` would do with each picture, and why; send nothing.

    With a `store` its listing and the ledger are consulted; without one, only the pictures are
    looked at. Takes the options of `upload`.
    """
    if store is not None:
        return upload(source, store, planning=True, **options)
    from imagepipe.stages import Dedupe

    options.pop("ledger", None)
    shaping, options = take_shaping(options.pop("shaping", None), options)
    _only_known(options, (*SOURCE_OPTIONS, *inspect.signature(upload).parameters))
    stop, stack = Stop(), contextlib.ExitStack()
    executor = options.get("executor") or stack.enter_context(
        _workers(options.get("jobs"), options.get("memory"), options.get("picture_timeout", 60.0)))
    assets = numbered(source, **{name: options[name] for name in SOURCE_OPTIONS if name in options})
    pipeline = _with_stages(shaping.pipeline(), options.get("stages", ())) + (Dedupe(options.get("similar", "report")),)
    outcomes = (_as_planned(outcome) for outcome in run(assets, pipeline, executor=executor, stop=stop))
    return Run(outcomes, stop=stop, planning=True, on_end=lambda summary: stack.close())


def _as_planned(outcome: Outcome) -> Outcome:
    """Return the outcome of a plan: what is ready would be uploaded. Its bytes are not kept."""
    if outcome.status is not Status.READY:
        return outcome
    from imagepipe.asset import Delivery
    from imagepipe.outcome import Action

    size = outcome.asset.delivery.size if outcome.asset.delivery else None
    asset = replace(outcome.asset.without_bytes(), delivery=Delivery(action="upload", size=size))
    return replace(outcome, asset=asset, status=Status.PLANNED, action=Action.UPLOAD)


# -- settings ------------------------------------------------------------------------------------


def _only_known(options: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigurationError(f"unknown setting {', '.join(unknown)}")
    return options


def _with_stages(pipeline: Pipeline, stages: Iterable[Stage]) -> Pipeline:
    """Put a caller's stages before the last one, which sees to it that the result fits."""
    return Pipeline((*pipeline.stages[:-1], *stages, pipeline.stages[-1]))


def _checked_only(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that fetches and checks a picture, and refuses what would have to be changed."""
    from imagepipe.stages import Comply

    read, decode, *shaping = pipeline.stages
    return Pipeline((read, decode, Comply(Pipeline(shaping))))


@contextlib.contextmanager
def _ledger(ledger: Ledger | str | os.PathLike[str] | None, store: Store, *, writing: bool) -> Iterator[Ledger]:
    """Give the ledger that is meant; close it unless it was open before."""
    if isinstance(ledger, Ledger):
        yield ledger
        return
    path = None if ledger == "none" else default_ledger(store.identity) if ledger is None else Path(ledger)
    if path is None or (not writing and is_blank(path)):
        with Ledger.in_memory() as opened:
            yield opened
    else:
        with Ledger.open(path, writing=writing) as opened:
            yield opened


def default_ledger(identity: str) -> Path:
    """Return where the ledger of a store is kept unless another place is named: one file a store."""
    import platformdirs

    name = "".join(letter if letter.isalnum() else "-" for letter in identity).strip("-")
    return platformdirs.user_data_path("imagepipe", appauthor=False) / f"{name}.sqlite3"


def _workers(jobs: int | None, memory: int | None, picture_timeout: float) -> contextlib.AbstractContextManager[Any]:
    """Return worker processes; with `jobs=0`, an executor that does everything here."""
    from imagepipe.workers import Inline, Workers

    if jobs == 0:
        return Inline()
    return Workers(jobs, wall_seconds=picture_timeout, memory_budget=memory)


__all__ = ["Run", "Shaping", "Survey", "plan", "prepare", "prepare_to", "survey", "upload"]
