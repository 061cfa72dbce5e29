"""`imagepipe ledger`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from imagepipe.cli.common import command_line, open_store, quiet_logging, reading, showing
from imagepipe.cli.settings import Sectioned, access_options, running_options, source_options
from imagepipe.errors import ConfigurationError, ExitCode


@click.group("ledger", short_help="Build a lost or damaged ledger anew (recover).")
def command() -> None:
    """Look after the ledger."""


@command.command("recover", cls=Sectioned, short_help="Build it anew from the SOURCE and the store.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@access_options
@source_options
@running_options
def recover(sources: tuple[str, ...], **options: Any) -> ExitCode:
    """Build a lost or damaged ledger anew, from the SOURCE and what the store lists. Sends nothing.

    A damaged ledger is kept beside the new one, under another name.
    """
    from imagepipe import api
    from imagepipe.cli.show import show

    quiet_logging(options["verbose"])
    with ExitStack() as stack:
        store, ledger, _ = open_store(stack, options)
        if ledger == "none":
            raise ConfigurationError("which ledger? --ledger none keeps none")
        path = Path(ledger) if ledger else api.default_ledger(store.identity)
        kept = api.set_aside(path)
        if kept is not None:
            click.echo(f"The damaged ledger is kept as {kept}", err=True)
        run = api.recover(list(sources), store, ledger=path, command=command_line(), jobs=options["jobs"],
                          **reading(options))
        summary = show(run, total=None, **showing(options))
        click.echo(f"Ledger: {path}", err=True)
    return ExitCode.OK if summary.exit_code is ExitCode.TRY_AGAIN and not summary.stopped else summary.exit_code
