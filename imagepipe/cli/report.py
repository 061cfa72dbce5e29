"""`imagepipe report`."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from imagepipe.cli.common import reports_of, there, wrapped
from imagepipe.cli.settings import Sectioned, option
from imagepipe.errors import ConfigurationError, ExitCode


@click.command("report", cls=Sectioned, short_help="Show the last run, and what to type next.")
@click.argument("run", required=False)
@option("--only", type=click.Choice(["failed", "planned", "skipped", "uploaded", "updated"]),
        help="Only pictures that ended so.")
@option("--out", type=click.Path(dir_okay=False, writable=True), multiple=True,
        help="Write it to a file: .html, .csv or .jsonl. Repeatable.")
@option("--ledger", type=click.Path(dir_okay=False), help="The ledger to read. [default: the store's, else the "
        "sandbox's in this folder]")
@option("--store", "store_hash", metavar="HASH", envvar="BIGCOMMERCE_STORE_HASH", help="The store's hash.")
@option("--sandbox", is_flag=True, envvar=None, help="The sandbox in ./imagepipe-sandbox.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(run: str | None, only: str | None, out: tuple[str, ...], **options: Any) -> ExitCode:
    """Show the last run (or RUN) from the ledger, and what to type next. Reads the ledger alone."""
    import json

    from imagepipe.cli.show import INDENT, line, print_json
    from imagepipe.ledger import Ledger
    from imagepipe.plain import plain

    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(there(_path(options)), writing=False))
        rows = ledger.runs()
        runs = [row for row in rows if run in (None, row["id"]) and not row["command"].startswith(
            ("imagepipe undo", "imagepipe ledger"))]
        if not runs:
            raise ConfigurationError(f"the ledger has no run {run!r}" if run else "the ledger has no run yet")
        chosen = runs[0]
        summary = json.loads(chosen["summary"]) if chosen["summary"] else None
        writers = reports_of(stack, out)
        counts: dict[str, int] = {}
        for values, preview in ledger.inputs(chosen["id"]):
            counts[values["status"]] = counts.get(values["status"], 0) + 1
            if only is not None and values["status"] != only:
                continue
            for writer in writers:
                writer.add(values, preview)
            if options["as_json"]:
                print_json(values)
            elif not out and (only == values["status"] or values["status"] == "failed"):
                click.echo(wrapped(plain(line(values)), indent=INDENT))
        said = summary or _unfinished(chosen["id"], counts)
        for writer in writers:
            writer.close(said)
        if options["as_json"]:
            print_json(said)
        else:
            undoing = f"imagepipe undo {chosen['id']}"  # as it is written down, without its options
            _describe(chosen, summary, counts, next((row for row in rows if row["command"] == undoing), None))
    return ExitCode.OK


def _path(options: dict[str, Any]) -> Path:
    from imagepipe.api import default_ledger
    from imagepipe.cli.common import SANDBOX_FOLDER

    if options["ledger"]:
        return Path(options["ledger"])
    if options["store_hash"] and not options["sandbox"]:
        return default_ledger(options["store_hash"])
    return SANDBOX_FOLDER / "ledger.sqlite3"


def _unfinished(run: str, counts: dict[str, int]) -> dict[str, Any]:
    """Return the summary of a run that was cut off before it could write one."""
    from imagepipe.outcome import Status, Summary

    summary = Summary(run_id=run, stopped="the run was cut off before it ended", interrupted=True)
    summary.counts.update({Status(status): count for status, count in counts.items()})
    return summary.to_dict()


def _describe(run: dict[str, Any], summary: dict[str, Any] | None, counts: dict[str, int],
              undone: dict[str, Any] | None) -> None:
    """Say how a run ended, what to type next, and whether it was taken back since."""
    from imagepipe.plain import plain

    said = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())) or "no pictures"
    click.echo(wrapped(f"Run {run['id']}, begun {run['started']}: {said}"))
    if summary is None:
        click.echo(wrapped("It was cut off before it ended. The same command settles what was in flight and goes on."))
    elif summary["stopped"]:
        click.echo(wrapped(plain(f"Stopped early: {summary['stopped']}")))
    # what is to be typed again stays on one line, however long, so that it can be copied
    if run["command"] and (summary is None or summary["exit_code"]):
        mended = summary is not None and summary["exit_code"] == ExitCode.SOME_FAILED
        click.echo(plain(f"{'When that is put right' if mended else 'To go on'}: {run['command']}"))
    if undone is not None:
        click.echo(wrapped(f"It was taken back, as far as was possible, on {undone['started']}" if undone["ended"] else
                           f"Taking it back was begun on {undone['started']}, and cut off"))
    changed = counts.get("uploaded") or (summary or {}).get("deleted")
    if changed and (undone is None or undone["exit_code"] != 0):
        click.echo(plain(f"To take it back: {' '.join(['imagepipe undo', run['id'], *_access(run['command'])])}"))


def _access(command: str) -> list[str]:
    """Return the options of a command that say which store and ledger it was about."""
    words = shlex.split(command)
    named = ("--store", "--base-url", "--ledger")
    joined = tuple(f"{name}=" for name in named)
    return [shlex.quote(word) for before, word in zip(["", *words], words, strict=False)
            if word in ("--sandbox", *named) or before in named or word.startswith(joined)]
