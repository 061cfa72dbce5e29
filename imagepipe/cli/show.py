"""What a person sees of a run: progress, a line a picture, problems, totals.

People's words go to standard error, results to standard output; with `--json`, standard output
has one object a line and nothing else. Everything that comes from outside is escaped.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self

import click

from imagepipe.api import Run
from imagepipe.cli.common import wrapped
from imagepipe.errors import ExitCode, ImagepipeError
from imagepipe.outcome import Status, Summary
from imagepipe.plain import json_line, plain, size

INDENT = " " * 10  #: Of what does not fit on the line of a picture.
LINGER = 2.0  #: Seconds that what is waited for is shown at least: pictures on their way may still arrive.
EXAMPLES = 40  #: So many pictures that went well are shown, one line each; then only what did not.


def line(values: dict[str, Any]) -> str:
    """Return an outcome, given as its JSON line, as one line of text, unescaped."""
    status, reason = values["status"], values["reason"]
    to = values["sku"] or (f"product {values['product_id']}" if values["product_id"] else "")
    head = f"{status:<8}  {values['source']}"
    named = f"{values['image']} "
    if reason and reason.startswith(named):
        reason = f"this {reason.removeprefix(named)}"  # its name is before it on the line
    if reason and values["manifest"] and reason.startswith(values["manifest"]):
        return f"{status:<8}  {reason}"  # it names the row by itself
    if reason and status in (Status.FAILED, Status.SKIPPED, Status.PLANNED):
        where = f" (row {values['row_number']})" if status == Status.FAILED and values["row_number"] else ""
        return f"{head}{where}: {reason}"
    bytes_in, bytes_out = values["bytes_in"], values["bytes_out"]
    parts = [f"image {values['image_id']}" if values["image_id"] else ""]
    if bytes_in and bytes_out:
        before, after = size(bytes_in), size(bytes_out)
        parts.append(after if before == after else f"{before} -> {after}")
    parts.extend(values["notes"] or (["untouched"] if values["lossless"] and status != Status.UPDATED else []))
    for warning in values["warnings"]:
        alike = f"looks like {values['similar_to']}" if warning == "looks_alike" else ""
        parts.append(f"warning: {alike or warning.replace('_', ' ')}")
    return f"{head}{f' -> {to}' if to else ''}: {'; '.join(part for part in parts if part)}"


def counted(number: int, word: str) -> str:
    """Return a number of things for people: `1 picture`, `1,200 pictures`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def totals(summary: Summary) -> str:
    """Return the totals of a run as one or two lines."""
    words = {Status.UPLOADED: "uploaded", Status.UPDATED: "updated", Status.READY: "prepared",
             Status.PLANNED: "planned", Status.SKIPPED: "skipped", Status.FAILED: "failed"}
    counts = [f"{summary.counts[status]:,} {word}" for status, word in words.items() if summary.counts[status]]
    text = f"{counted(summary.total, 'picture')}: {', '.join(counts) or 'nothing to do'}"
    if summary.untouched:
        text += f"; {summary.untouched:,} with their pixels untouched"
    if summary.bytes_out:
        text += f"; {size(summary.bytes_in)} in, {size(summary.bytes_out)} out"
    text += f"; {summary.seconds:.1f} s"
    if summary.extra.get("deleted"):
        text += f"; {counted(summary.extra['deleted'], 'former image')} deleted"
    return text


class _Hearing(logging.Handler):
    """Hands over what is logged for information."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.INFO:
            self._hear(record.getMessage())


class Progress:
    """A bar on a terminal; elsewhere a plain line now and then; nothing where it is not wanted."""

    def __init__(self, *, total: int | None, wanted: bool, every: float = 10.0) -> None:
        self._total, self._wanted, self._every = total, wanted, every
        self._done = 0
        self._last = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._log = logging.getLogger("imagepipe")
        self._heard = 0.0
        self._waiting = _Hearing(self._say_what_is_waited_for)

    def __enter__(self) -> Self:
        if self._wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(),
                            TimeElapsedColumn(), console=Console(stderr=True), transient=True, expand=True)
            self._bar.start()
            self._task = self._bar.add_task("pictures", total=self._total)
            self._log.addHandler(self._waiting)
            self._log.setLevel(min(self._log.level, logging.INFO))
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._log.removeHandler(self._waiting)
            self._bar.stop()
            self._bar = None

    def _say_what_is_waited_for(self, text: str) -> None:
        """Put what the library says, such as that the quota is used up, beside the bar, until pictures go on."""
        if self._bar is not None:
            self._heard = time.monotonic()
            self._bar.update(self._task, description=plain(text))

    def step(self) -> None:
        """Count one more picture that has ended."""
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
            if time.monotonic() - self._heard > LINGER:
                self._bar.update(self._task, description="pictures")
        elif self._wanted and time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            of = f" of {self._total:,}" if self._total else ""
            click.echo(f"{self._done:,}{of} pictures done", err=True)

    def say(self, text: str, *, err: bool = False) -> None:
        """Print a line without tearing the bar."""
        if self._bar is not None:
            self._bar.stop()
            click.echo(text, err=err)
            self._bar.start()
        else:
            click.echo(text, err=err)


def show(run: Run, *, total: int | None, as_json: bool, quiet: bool, verbose: bool, no_progress: bool,
         reports: Any = ()) -> Summary:
    """Consume a run and show it; return its summary."""
    shown = left_out = 0
    wanted = not (quiet or no_progress)
    with _interruptible(run), Progress(total=total, wanted=wanted) as progress, run:
        for outcome in run:
            values = outcome.to_dict(run.run_id)
            for report in reports:
                report.add(values, outcome.asset.preview)
            if as_json:
                print_json(values)
            else:
                # what was not tried, as the run was stopped: the totals say how many and why; each says nothing new
                unsent = outcome.status is Status.PLANNED and outcome.code is not None
                unasked = outcome.code == "not_selected"  # the user's own choice
                if verbose or outcome.failed or not (unsent or unasked or quiet or shown >= EXAMPLES):
                    shown += 1
                    progress.say(wrapped(plain(line(values)), indent=INDENT))
                else:
                    left_out += 1
            progress.step()
    summary = run.summary
    for report in reports:
        try:
            report.close(summary.to_dict())
        except ImagepipeError as error:  # the pictures are where they belong; only the file is not
            click.echo(wrapped(plain(f"imagepipe: {error}")), err=True)
            summary.require(ExitCode.TRY_AGAIN)
    if as_json:
        print_json(summary.to_dict())
    elif not quiet or summary.exit_code:
        if left_out and not quiet:
            click.echo(f"… and {left_out:,} more; --verbose or --json lists every one")
        click.echo(wrapped(totals(summary)))
        for remark in remarks(summary):
            click.echo(wrapped(plain(remark)), err=True)
    return summary


def remarks(summary: Summary) -> Iterator[str]:
    """Yield what a person should know beside the totals."""
    extra = summary.extra
    if summary.interrupted:
        yield "Interrupted. What was in flight is done and written down; the same command goes on from here."
    elif summary.stopped:
        yield f"Stopped early: {summary.stopped}"
    if others := extra.get("products_with_other_images"):
        they = "it is left alone" if others == 1 else "they are left alone"
        then = f"{they} (--existing skip)" if extra.get("existing") == "skip" else "they stay as they are"
        yield (f"{others:,} product{' already holds' if others == 1 else 's already hold'} images that are not ours; "
               f"{then}.")
    for text in extra.get("surplus", ()):
        yield f"Note: {text}."
    for text in extra.get("unfinished", ()):
        yield f"Not finished: {text}"
    if extra.get("not_deleted"):
        yield (f"{extra['not_deleted']:,} replaced images were left, as --max-delete was reached; "
               "run again to delete them.")
    if extra.get("other_settings"):
        yield (f"{extra['other_settings']:,} unchanged pictures were uploaded with other settings; "
               "--redo sends them again.")
    if summary.retryable and not summary.interrupted:
        yield f"{summary.retryable:,} may go through when the same command is run again."


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON line."""
    utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    click.echo(json_line(value) if utf8 else json.dumps(value))


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) end the run in order, and the second at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            if sys.stderr.isatty():
                _say_now("\x1b[?25h\n")  # the bar had hidden the cursor
            # every intent is in the ledger already: the next run looks up what became of it
            os._exit(130)
        asked = True
        _say_now("\nStopping: what is in flight is finished and written down.\nOnce more stops at once.\n")
        run.stop("interrupted")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_now(text: str) -> None:
    """Write to standard error from a signal handler, which may have come in the middle of another write to it."""
    with suppress(OSError):
        os.write(2, text.encode("ascii"))
