"""`imagepipe undo`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

import click

from imagepipe.cli.common import open_ledger, open_store, quiet_logging, wrapped
from imagepipe.cli.settings import Sectioned, access_options, option
from imagepipe.errors import ExitCode


@click.command("undo", cls=Sectioned, short_help="Delete exactly what a run created.")
@click.argument("run", required=False)
@access_options
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@option("-v", "--verbose", is_flag=True, help="Say what goes on behind.")
def command(run: str | None, **options: Any) -> ExitCode:
    """Delete exactly the images that a run created, after showing them. Without RUN: the last one."""
    from imagepipe.cli.show import counted, print_json
    from imagepipe.plain import plain
    from imagepipe.undo import undo, undoable

    quiet_logging(options["verbose"])
    with ExitStack() as stack:
        store, path, where = open_store(stack, options)
        ledger = stack.enter_context(open_ledger(path, store, writing=True))
        what = undoable(store, ledger, run or "")
        if not options["as_json"]:
            for image in what.delete:
                click.echo(plain(f"- product {image.product}, image {image.image_id}, {image.name}"))
            for image in what.changed:
                click.echo(plain(f"  left: product {image.product}, image {image.image_id} is listed under another "
                                 "name"), err=True)
            if what.lost:
                click.echo(wrapped(f"{counted(len(what.lost), 'image')} that this run replaced cannot be brought back; "
                                   "upload the old files to have them again"), err=True)
        if not what.delete:
            click.echo(f"Nothing of run {what.run} is left to delete.", err=True)
        elif not options["yes"]:
            if not sys.stdin.isatty():
                raise click.UsageError("undo deletes images; say --yes where nobody can be asked")
            click.confirm(wrapped(plain(f"Delete {counted(len(what.delete), 'image')} from {where}?")), abort=True,
                          err=True)
        deleted = 0
        for image in undo(store, ledger, what):
            deleted += 1
            if options["as_json"]:
                print_json({"type": "image", "action": "delete", "product_id": image.product,
                            "image_id": image.image_id, "output": image.name, "undone": what.run})
        if options["as_json"]:
            print_json({"type": "summary", "run_id": what.run, "deleted": deleted, "left": len(what.changed),
                        "lost": len(what.lost), "exit_code": 0})
        else:
            click.echo(f"{counted(deleted, 'image')} deleted")
    return ExitCode.OK
