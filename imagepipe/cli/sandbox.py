"""`imagepipe sandbox`."""

from __future__ import annotations

import threading

import click

from imagepipe.cli.common import SANDBOX_FOLDER
from imagepipe.cli.settings import Sectioned, option
from imagepipe.errors import ExitCode


@click.command("sandbox", cls=Sectioned, short_help="Run a store on this machine, to click around in.")
@option("--port", type=click.IntRange(0, 65535), default=0, help="0: any that is free.")
@click.option("--folder", type=click.Path(file_okay=False), default=str(SANDBOX_FOLDER), show_default=True,
              help="Where the store keeps its products and images.")
def command(port: int, folder: str) -> ExitCode:
    """Run a store on this machine, to click around in and to upload to.

    It behaves as the BigCommerce API does, listens on 127.0.0.1 alone, and keeps what it is given.
    """
    from pathlib import Path

    from imagepipe.sandbox import Sandbox

    with Sandbox(folder=Path(folder), port=port, create_missing=True) as sandbox:
        click.echo(f"Look at it:   {sandbox.url}")
        click.echo(f"Upload to it: BIGCOMMERCE_ACCESS_TOKEN={sandbox.token} \\\n"
                   f"              imagepipe upload SOURCE --base-url {sandbox.base_url}")
        click.echo("Ctrl-C ends it.", err=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("", err=True)
    return ExitCode.OK
