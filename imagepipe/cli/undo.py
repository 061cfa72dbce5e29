"""`imagepipe undo`."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli.common import open_ledger, open_store, quiet_logging, wrapped
from imagepipe.cli.settings import Sectioned, access_options, option
from imagepipe.errors import ExitCode, Retry, StopRun

if TYPE_CHECKING:
    from imagepipe.undo import Done, Undoable


@click.command("undo", cls=Sectioned, short_help="Take back what a run created and replaced.")
@click.argument("run", required=False)
@access_options
@option("--from", "folders", type=click.Path(exists=True, file_okay=False, path_type=Path), multiple=True,
        metavar="DIR", help="Look for replaced pictures here as well, such as in a copy. Repeatable.")
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@option("-v", "--verbose", is_flag=True, help="Say what goes on behind.")
def command(run: str | None, **options: Any) -> ExitCode:
    """Delete exactly the images that a run created, after showing them. Without RUN: the last one.

    What it replaced is put back: kept where the store still has it, and sent again where the
    source is at hand, with its text, order and thumbnail. What cannot be is named.

    - deleted   + sent again   = there, and shown again   ! cannot be put back
    """
    from imagepipe.plain import plain
    from imagepipe.undo import undo, undoable

    quiet_logging(options["verbose"])
    with ExitStack() as stack:
        store, path, where = open_store(stack, options)
        ledger = stack.enter_context(open_ledger(path, store, writing=True))
        what = undoable(store, ledger, run or "", folders=options["folders"])
        if not options["as_json"]:
            [row] = [row for row in ledger.runs(store.identity) if row["id"] == what.run]
            command = f": {row['command']}" if row["command"] else ""
            click.echo(wrapped(plain(f"Run {what.run}, begun {row['started']}{command}")), err=True)
        _preview(what, as_json=options["as_json"])
        if not what:
            click.echo(f"Nothing of run {what.run} is left to delete.", err=True)
        elif not options["yes"]:
            if not sys.stdin.isatty():
                raise click.UsageError("undo deletes images; say --yes where nobody can be asked")
            click.confirm(wrapped(plain(_question(what, where))), abort=True, err=True)
        # a mere look leaves it the last run, which the same command with --from is about then
        only_looked = not what and bool(what.lost) and not options["yes"]
        if only_looked:
            click.echo("Nor can anything be put back now; --yes takes it for undone all the same.", err=True)
        counts: Counter[str] = Counter()
        code, stopped = ExitCode.OK, ""
        try:
            for done in () if only_looked else undo(store, ledger, what):
                counts[done.action] += 1
                if done.action == "left":
                    code = _worse(code, done)
                _tell(done, what, as_json=options["as_json"])
        except StopRun as error:
            code, stopped = error.exit_code, str(error)
        _total(what, counts, code, stopped, as_json=options["as_json"])
    return code


def _preview(what: Undoable, *, as_json: bool) -> None:
    """Show what will be done, and what cannot be."""
    from imagepipe.cli.show import counted, print_json
    from imagepipe.plain import plain

    if as_json:
        for lost in what.lost:
            print_json({"type": "image", "action": "lost", "product_id": lost.product, "image_id": lost.image_id,
                        "key": lost.key or None, "reason": lost.reason, "undone": what.run})
        return
    for image in what.delete:
        click.echo(plain(f"- product {image.product}, image {image.image_id}, {image.name}"))
    for one in what.restore:
        keys = ", ".join(before.place.key for before in one.before)
        click.echo(plain(f"+ product {one.place.product}, {keys}: from {one.source}"))
    for before, image_id in what.stay:
        click.echo(plain(f"= product {before.place.product}, {before.place.key}: image {image_id}"))
    for lost in what.lost:
        of = lost.key or f"image {lost.image_id}"
        click.echo(wrapped(plain(f"! product {lost.product}, {of}: {lost.reason}")), err=True)
    for image in what.changed:
        click.echo(plain(f"  left: product {image.product}, image {image.image_id} is listed under another "
                         "name"), err=True)
    if what.edited:
        click.echo(wrapped(f"{counted(what.edited, 'change')} of text, order or thumbnail that this run made will "
                           "stay"), err=True)


def _question(what: Undoable, where: str) -> str:
    from imagepipe.cli.show import counted

    parts = [f"delete {counted(len(what.delete), 'image')}"] if what.delete else []
    if what.restore:
        parts.append(f"send {counted(len(what.restore), 'former picture')} again")
    if what.stay:
        parts.append(f"show {counted(len(what.stay), 'former image')} again")
    said = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{said[0].upper()}{said[1:]}, in {where}?"


def _tell(done: Done, what: Undoable, *, as_json: bool) -> None:
    """Say what was done, one thing at a time: in JSON all, to people what was not done as it was announced."""
    from imagepipe.cli.show import print_json
    from imagepipe.plain import plain

    if as_json:
        print_json({"type": "image", "action": done.action, "product_id": done.product, "image_id": done.image_id,
                    "output": done.name or None, "key": done.key or None, "reason": done.reason or None,
                    "retry": done.retry and str(done.retry), "undone": what.run})
    elif done.action == "left":
        of = done.key or f"image {done.image_id}"
        click.echo(wrapped(plain(f"left: product {done.product}, {of}: {done.reason}")), err=True)


def _total(what: Undoable, counts: Counter[str], code: ExitCode, stopped: str, *, as_json: bool) -> None:
    from imagepipe.cli.show import counted, print_json
    from imagepipe.plain import plain

    left = counts["left"] + len(what.changed)
    if as_json:
        print_json({"type": "summary", "run_id": what.run, "deleted": counts["delete"], "restored": counts["restore"],
                    "kept": counts["keep"], "left": left, "lost": len(what.lost), "edited": what.edited,
                    "stopped": stopped or None, "exit_code": int(code)})
        return
    said = [f"{counted(counts['delete'], 'image')} deleted"]
    said += [f"{counts['restore']:,} sent again"] if counts["restore"] else []
    said += [f"{counts['keep']:,} shown again"] if counts["keep"] else []
    said += [f"{len(what.lost):,} not put back"] if what.lost else []
    click.echo(", ".join(said))
    if stopped:
        click.echo(wrapped(plain(f"Stopped early: {stopped}")), err=True)
    if any(lost.before is not None for lost in what.lost):  # by its name: without, it would be an earlier run's turn
        click.echo(f"'imagepipe undo {what.run} --from DIR' puts back what is in DIR.", err=True)
    if stopped or code:
        click.echo(f"'imagepipe undo {what.run}' goes on from here.", err=True)


def _worse(code: ExitCode, done: Done) -> ExitCode:
    """Return the exit code that tells the truth, now that this was left."""
    again = code is ExitCode.TRY_AGAIN or done.retry is Retry.AGAIN
    return ExitCode.TRY_AGAIN if again else ExitCode.SOME_FAILED
