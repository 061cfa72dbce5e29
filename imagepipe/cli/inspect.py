"""`imagepipe inspect`."""

from __future__ import annotations

from typing import Any

import click

from imagepipe.cli.common import quiet_logging, shaping_of
from imagepipe.cli.settings import option, shaping_options
from imagepipe.errors import ExitCode


@click.command("inspect")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@shaping_options
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(files: tuple[str, ...], as_json: bool, **options: Any) -> ExitCode:
    """Say what a picture is, and what stands in the way of uploading it. Writes nothing."""
    from imagepipe.api import plan
    from imagepipe.cli.show import print_json
    from imagepipe.outcome import Status
    from imagepipe.plain import plain, size

    quiet_logging(verbose=False)
    run = plan(list(files), shaping=shaping_of(options), jobs=0, similar="ignore")
    for outcome in run:
        values = outcome.to_dict()
        if as_json:
            print_json(values)
            continue
        click.echo(plain(outcome.asset.source))
        if outcome.failed or outcome.status is Status.SKIPPED:
            click.echo(f"  {plain(outcome.reason)}")
            continue
        received = outcome.asset.received
        click.echo(f"  is       {size(received.size) if received else ''}, SHA-256 {values['source_sha256']}")
        for note in values["notes"] or ["it would be sent as it is"]:
            click.echo(f"  would be {plain(note)}" if values["notes"] else f"  {note}")
        click.echo(f"  becomes  {values['format']}, {values['width']} x {values['height']} pixels, "
                   f"{size(values['bytes_out'] or 0)}{'' if not values['lossless'] else ', pixels untouched'}")
        for warning in values["warnings"]:
            click.echo(f"  warning  {warning.replace('_', ' ')}")
    return run.summary.exit_code
