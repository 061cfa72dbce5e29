"""Drive a source through a pipeline: windows, fair turns between products, lanes per product.

One thread, the caller's, decides; others work and report to it through a queue. Three kinds of
work go on at the same time:

- *admission*: batches of rows, in input order, are shown to the stages that remember, before
  anything is read (one thread, one batch at a time);
- *preparation*: pictures go through the pure stages, in the executor that the caller gave;
- *delivery*: each product has a lane, in which its pictures go through the stages that remember
  in input order, one at a time; as many lanes move at once as there are connections.

Look-ahead is counted in rows that carry no bytes, prepared pictures in bytes. Preparation takes
turns between products, so that 200 pictures of one product do not leave the other lanes idle.
Nothing that holds a place in a window waits for a row that has not been read yet.
"""

from __future__ import annotations

import logging
import os
import queue
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError, ExitCode, LedgerError, Retry, StopRun, WorkerDied
from imagepipe.lanes import GUESS, LEAST, Job, Lane, Row, Stop, check_pickles, prepare_one, readdressed, weighed
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import Stage, attempt, failure, name_of, product_of, split

log = logging.getLogger("imagepipe")

_BATCH = 250  #: Rows shown to the remembering stages at once: five full requests of 50 products.
#: Rows after which a product that has had no more is taken to be through, if the window of rows is not shorter. What is
#: remembered of a product costs some 3 kB a picture; one that comes back after so many is looked at again.
_THROUGH = 2_000


def run(
    assets: Iterable[Asset | Outcome],
    pipeline: Iterable[Stage],
    *,
    executor: Executor | None = None,
    connections: int = 4,
    rows: int = 10_000,
    window_bytes: int = 256_000_000,
    stop: Stop | None = None,
) -> Iterator[Outcome]:
    """Send every asset through the pipeline; yield each one's outcome as it ends.

    `executor` runs the stages before the first that remembers: inline (None), threads,
    processes, Dask. `connections` is how many products are delivered at the same time, `rows`
    how far the source is read ahead, `window_bytes` how many bytes of prepared pictures may wait,
    each counted as 0.2 MB at least.
    Outcomes among the assets (rows that cannot be used) pass through. Closing the generator early
    stops cleanly: what is in flight ends, nothing else is begun.

    Raises `ConfigurationError` at the start where the pipeline cannot run as it stands, and what
    `assets` raises, after the outcomes of all that they gave before; no product is finished then.
    """
    pure, remembering = split(pipeline)
    if executor is not None and not isinstance(executor, ThreadPoolExecutor) and not getattr(executor, "inline", False):
        check_pickles(pure)
    return _Runner(iter(assets), pure, remembering, executor, max(1, connections), max(1, rows),
                   window_bytes, Stop() if stop is None else stop).outcomes()


class _Runner:
    def __init__(self, source: Iterator[Asset | Outcome], pure: tuple[Stage, ...], remembering: tuple[Any, ...],
                 executor: Executor | None, connections: int, rows: int, window_bytes: int, stop: Stop) -> None:
        self.source = source
        self.ready: Callable[[], bool] | None = getattr(source, "ready", None)
        self.pure, self.remembering = pure, remembering
        self.executor = executor
        self.connections = connections
        self.row_limit, self.byte_limit = rows, window_bytes
        self.stop = stop
        stop.wake = lambda: self.events.put(lambda: None)
        self.listeners = [stage.note for stage in remembering if hasattr(stage, "note")]
        workers = getattr(executor, "jobs", None) or getattr(executor, "_max_workers", None) or os.cpu_count() or 1
        self.ahead = 2 * int(workers) if executor is not None else 1
        self.shareable = all(type(stage).__module__.startswith("imagepipe.") for stage in pure)

        self.events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.done: deque[Outcome] = deque()  #: To be yielded.
        self.lanes: OrderedDict[object, Lane] = OrderedDict()  #: By product, the one seen last at the end.
        self.turns: deque[Lane] = deque()  #: Lanes that have something to prepare, in turn.
        self.deliverable: deque[Lane] = deque()  #: Lanes whose first row is prepared.
        self.sharing: dict[str, Job] = {}  #: By location: preparations that later rows may share.
        self.read = 0  #: Rows read from the source.
        self.outstanding = 0  #: Rows admitted and not decided.
        self.unprepared = 0
        self.preparing = 0
        self.delivering = 0
        self.finishing = 0  #: Of those that are being delivered: products at their end.
        self.held = 0  #: Bytes prepared, or in preparation, and not delivered.
        self.exhausted = False
        self.broken: Exception | None = None  #: What the source raised.
        self.admitting: list[Asset] = []
        self.futures: set[Future[Outcome]] = set()

    # -- the loop ------------------------------------------------------------------------------

    def outcomes(self) -> Iterator[Outcome]:
        self.threads = ThreadPoolExecutor(self.connections + 1, thread_name_prefix="imagepipe")
        try:
            while True:
                if self.stop:
                    self._give_up_waiting()
                self._finish_some()
                self._feed()
                self._prepare_some()
                self._deliver_some()
                while self.done:
                    yield self.done.popleft()
                if self._idle():
                    if self.broken is not None:
                        raise self.broken
                    if self.exhausted and not self._finish_some(everything=True):
                        return
                    if self.exhausted:
                        continue
                self._await()
        except GeneratorExit:  # closed early: nobody waits for a network that has gone
            self._tell_of_the_end()
            raise
        finally:
            for future in list(self.futures):
                future.cancel()
            self.threads.shutdown(wait=True, cancel_futures=True)
            close = getattr(self.source, "close", None)
            if close is not None:
                close()

    def _idle(self) -> bool:
        return not (self.outstanding or self.admitting or self.delivering or self.preparing)

    def _decide(self, outcome: Outcome) -> None:
        """Tell those who listen, before the next of its product is begun; then it may be yielded."""
        for note in self.listeners:
            try:
                note(outcome)
            except (StopRun, LedgerError) as error:
                self._stop_because(error)
            except Exception as error:  # a caller's stage; what it remembers cannot be relied on now
                log.debug("a stage failed at the news of an outcome", exc_info=error)
                self.stop(f"{getattr(note, '__qualname__', note)} failed: {type(error).__name__}: {error}")
        self.done.append(outcome)

    def _await(self) -> None:
        """Take what the threads and workers report, waiting for the first of it."""
        if not self.done and self.events.empty() and not self._may_prepare():
            if self.ready is not None and not self.exhausted:
                try:
                    self.events.get(timeout=0.05)()  # a source that may have something soon is asked again
                except queue.Empty:
                    return
            elif self.preparing or self.delivering or self.admitting:
                self.events.get()()
        while True:
            try:
                self.events.get_nowait()()
            except queue.Empty:
                return

    def _call(self, work: Callable[[], Any], then: Callable[[Future[Any]], None]) -> None:
        """Run `work` in a thread of ours, and `then` in the deciding thread."""
        future = self.threads.submit(work)
        future.add_done_callback(lambda done: self.events.put(lambda: then(done)))

    def _stop_because(self, error: Exception) -> None:
        exit_code = getattr(error, "exit_code", ExitCode.TRY_AGAIN)
        self.stop(str(error), code=getattr(error, "code", "stopped"), exit_code=exit_code,
                  retry=getattr(error, "retry", Retry.AGAIN))

    def _planned(self, asset: Asset) -> Outcome:
        """Return the outcome of a picture that was not sent because the run stopped."""
        return Outcome(asset.without_bytes(), Status.PLANNED, reason=self.stop.reason, code=self.stop.code,
                       retry=self.stop.retry, exit_code=self.stop.exit_code)

    # -- reading and admitting -----------------------------------------------------------------

    def _wants_rows(self) -> bool:
        if self.exhausted or self.admitting or self.outstanding >= self.row_limit:
            return False
        if self.finishing:
            return False  # a row of a product that is being forgotten is to find it forgotten
        # far enough ahead when there is work for every lane and every worker
        return self.unprepared < _BATCH or len(self.turns) < 2 * self.connections

    def _feed(self) -> None:
        if not self._wants_rows():
            return
        batch: list[Asset] = []
        while len(batch) < min(_BATCH, self.row_limit - self.outstanding):
            try:
                if self.ready is not None and not self.ready():
                    if self.stop:
                        self.exhausted = True  # whoever writes to us may never end
                    break
                item = next(self.source)
            except StopIteration:
                self.exhausted = True
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised when what was read has been seen to
                log.warning("the source failed after %d rows, which are seen to first: %s", self.read, error)
                self.exhausted, self.broken = True, error
                break
            self.read += 1
            if isinstance(item, Outcome):
                self._decide(item)
            elif self.stop:
                self._decide(self._planned(item))
            else:
                batch.append(item)
            if len(self.done) >= _BATCH:
                break
        if not batch:
            return
        if not self.remembering:
            self._admitted(batch)
            return
        self.admitting = batch
        self._call(lambda: self._admit(batch), self._admission_ended)

    def _admit(self, batch: list[Asset]) -> list[Asset | Outcome]:
        """Show a batch to each remembering stage in turn; keep the order and the count."""
        current: list[Asset | Outcome] = list(batch)
        for stage in self.remembering:
            open_rows = [index for index, item in enumerate(current) if isinstance(item, Asset)]
            answers = list(stage.admit([current[index] for index in open_rows]))
            if len(answers) != len(open_rows):
                raise ConfigurationError(f"{name_of(stage)}.admit returned {len(answers)} of {len(open_rows)} rows")
            for index, answer in zip(open_rows, answers, strict=True):
                current[index] = answer
        return current

    def _admission_ended(self, future: Future[list[Asset | Outcome]]) -> None:
        batch, self.admitting = self.admitting, []
        error = future.exception()
        if error is None:
            self._admitted(future.result())
        elif isinstance(error, (StopRun, LedgerError)):
            self._stop_because(error)
            for asset in batch:
                self._decide(self._planned(asset))
        elif isinstance(error, Exception):
            log.debug("admission failed", exc_info=error)
            for asset in batch:
                self._decide(failure(asset, error, "admit"))
        else:
            raise error

    def _admitted(self, items: Sequence[Asset | Outcome]) -> None:
        for item in items:
            if isinstance(item, Outcome):
                self._lane(product_of(item.asset))
                self._decide(item)
                continue
            if self.stop:
                self._decide(self._planned(item))
                continue
            lane = self._lane(product_of(item))
            row = Row(item, lane)
            lane.rows.append(row)
            self.outstanding += 1
            if item.delivery is not None:  # decided on admission: nothing to prepare
                row.prepared = Outcome(item, Status.READY)
                self._offer(lane)
            else:
                lane.unprepared.append(row)
                self.unprepared += 1
                if len(lane.unprepared) == 1:
                    self.turns.append(lane)

    def _lane(self, product: object) -> Lane:
        lane = self.lanes.get(product)
        if lane is None:
            lane = self.lanes[product] = Lane(product)
        lane.last_seen = self.read
        self.lanes.move_to_end(product)
        return lane

    # -- preparing -----------------------------------------------------------------------------

    def _may_prepare(self) -> bool:
        if not self.turns or self.stop or self.preparing >= self.ahead:
            return False
        # with a full window, one more is let in when nothing is on its way out, so that none waits for ever
        on_its_way = self.preparing or self.delivering or self.deliverable
        return self.held + GUESS <= self.byte_limit or not on_its_way

    def _prepare_some(self) -> None:
        while self._may_prepare():
            lane = self.turns.popleft()
            row = lane.unprepared.popleft()
            self.unprepared -= 1
            if lane.unprepared:
                self.turns.append(lane)
            self._start(row)
            if self.executor is None:
                return  # the caller's thread did the work; see to the deliveries before the next one

    def _start(self, row: Row) -> None:
        location = row.asset.location if self.shareable else ""
        job = self.sharing.get(location) if location else None
        if job is not None:
            row.job = job
            job.rows.append(row)
            job.undelivered += 1
            if job.outcome is not None:
                self._prepared_for(row, job.outcome)
            return
        job = row.job = Job([row], row.asset, undelivered=1)
        if location:
            self.sharing[location] = job
        self.preparing += 1
        self.held += job.size
        if self.executor is None:
            outcome = prepare_one(self.pure, row.asset)
            self._preparation_ended(job, outcome)
            return
        try:
            future = self.executor.submit(prepare_one, self.pure, row.asset)
        except Exception as error:  # noqa: BLE001 - any executor will do, and may raise anything
            self.stop(f"the workers cannot go on: {error}", code="workers")
            self.preparing -= 1
            self._preparation_failed(job, self._planned(row.asset))
            return
        self.futures.add(future)
        future.add_done_callback(lambda done: self.events.put(lambda: self._preparation_came(job, done)))

    def _preparation_came(self, job: Job, future: Future[Outcome]) -> None:
        self.futures.discard(future)
        if future.cancelled():
            self._preparation_ended(job, self._planned(job.asset))
            return
        error = future.exception()
        if error is None:
            self._preparation_ended(job, future.result())
        elif isinstance(error, BrokenExecutor):
            died = WorkerDied(f"the process that worked on this picture died ({error})")
            self._preparation_ended(job, failure(job.asset, died, "prepare"))
        elif isinstance(error, Exception):
            self._preparation_ended(job, failure(job.asset, error, "prepare"))
        else:
            raise error

    def _preparation_ended(self, job: Job, outcome: Outcome) -> None:
        self.preparing -= 1
        if outcome.status is not Status.READY:
            self._preparation_failed(job, outcome)
            return
        self.held -= job.size
        job.size = max(len(outcome.asset.data or b""), LEAST)
        self.held += job.size
        job.outcome = outcome
        for row in list(job.rows):
            self._prepared_for(row, outcome)

    def _prepared_for(self, row: Row, outcome: Outcome) -> None:
        outcome = row.prepared = self._addressed(row, outcome)
        if self.remembering:
            self._offer(row.lane)
        else:
            self._leave(row, outcome)

    def _preparation_failed(self, job: Job, outcome: Outcome) -> None:
        for row in list(job.rows):
            self._leave(row, self._addressed(row, outcome))

    @staticmethod
    def _addressed(row: Row, outcome: Outcome) -> Outcome:
        """Return the outcome of a preparation as that of one of the rows that share it."""
        first = row.job.asset if row.job is not None else row.asset
        return replace(outcome, asset=readdressed(outcome.asset, first, row.asset))

    # -- delivering ----------------------------------------------------------------------------

    def _offer(self, lane: Lane) -> None:
        """Put a lane in line for delivery if its first row is prepared."""
        if not lane.busy and lane.rows and lane.rows[0].prepared is not None and lane not in self.deliverable:
            self.deliverable.append(lane)

    def _deliver_some(self) -> None:
        while self.deliverable and self.delivering < self.connections and not self.stop:
            lane = self.deliverable.popleft()
            if lane.busy or not lane.rows or lane.rows[0].prepared is None:
                continue
            row = lane.rows[0]
            lane.busy = True
            self.delivering += 1
            self._call(partial(self._deliver, row), partial(self._delivery_ended, row))

    def _deliver(self, row: Row) -> Outcome:
        assert row.prepared is not None  # for the type checker: `_deliver_some` saw to it
        outcome = attempt(self.remembering, row.prepared.asset)
        return replace(outcome, seconds=outcome.seconds + row.prepared.seconds)

    def _delivery_ended(self, row: Row, future: Future[Outcome]) -> None:
        self.delivering -= 1
        row.lane.busy = False
        error = future.exception()
        if error is None:
            outcome = future.result()
        elif isinstance(error, (StopRun, LedgerError)):
            self._stop_because(error)
            outcome = self._planned(row.asset)
        elif isinstance(error, Exception):
            outcome = failure(row.asset, error, "deliver")
        else:
            raise error
        self._leave(row, weighed(outcome))
        self._offer(row.lane)

    def _leave(self, row: Row, outcome: Outcome) -> None:
        """Take a row out of everything, with its outcome."""
        lane, job = row.lane, row.job
        if lane.rows and lane.rows[0] is row:
            lane.rows.popleft()
        else:
            lane.rows.remove(row)
        row.prepared = None
        if job is not None:
            job.undelivered -= 1
            if job.undelivered == 0:
                self.held -= job.size
                if self.sharing.get(job.asset.location) is job:
                    del self.sharing[job.asset.location]
                job.rows.clear()
                job.outcome = None
        self.outstanding -= 1
        self._decide(outcome)
        self._offer(lane)

    # -- ending --------------------------------------------------------------------------------

    def _tell_of_the_end(self) -> None:
        while self.stop.listeners:
            self.stop.listeners.pop()()

    def _give_up_waiting(self) -> None:
        """Turn everything that is not in flight into `planned`."""
        self._tell_of_the_end()
        for future in list(self.futures):
            future.cancel()
        for lane in self.lanes.values():
            for row in list(lane.rows):
                in_flight = lane.busy and row is lane.rows[0]
                in_preparation = row.job is not None and row.prepared is None
                if not in_flight and not in_preparation:
                    self._leave(row, self._planned(row.asset))
            lane.unprepared.clear()
        self.turns.clear()
        self.deliverable.clear()
        self.unprepared = 0

    def _finish_some(self, *, everything: bool = False) -> bool:
        """Let the remembering stages finish products that are through; True if some were begun.

        A product is through when the source has ended, or when its last row is far back.
        """
        if not self.remembering or self.stop:
            return False
        if self.admitting and not everything:
            return False  # one of these rows may be of a product that seems to be through
        through: list[Lane] = []
        for lane in self.lanes.values():
            if not everything and self.read - lane.last_seen <= min(self.row_limit, _THROUGH):
                break  # nor is any that was seen later
            if not lane.rows and not lane.busy:
                through.append(lane)
        for lane in through:
            del self.lanes[lane.product]
            self.delivering += 1
            self.finishing += 1
            self._call(partial(self._finish, lane), self._finish_ended)
        return bool(through)

    def _finish(self, lane: Lane) -> None:
        for stage in self.remembering:
            stage.finish(lane.product)

    def _finish_ended(self, future: Future[None]) -> None:
        self.delivering -= 1
        self.finishing -= 1
        error = future.exception()
        if isinstance(error, (StopRun, LedgerError)):
            self._stop_because(error)
        elif isinstance(error, Exception):
            log.warning("%s", error)
            log.debug("finishing a product failed", exc_info=error)
        elif error is not None:
            raise error
