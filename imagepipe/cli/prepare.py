"""`imagepipe prepare`."""

from __future__ import annotations

from typing import Any

import click

from imagepipe.cli.common import quiet_logging, reading, reports_of, running, shaping_of, showing
from imagepipe.cli.settings import Sectioned, option, running_options, shaping_options, source_options
from imagepipe.errors import ConfigurationError, ExitCode


@click.command("prepare", cls=Sectioned, short_help="Write pictures, as a store wants them, into a folder.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--out", required=True, type=click.Path(file_okay=False), metavar="DIR", help="Where to write.")
@source_options
@shaping_options
@running_options
@option("--dask", metavar="ADDRESS", help="Prepare on this Dask cluster; needs imagepipe-upload[dask].")
def command(sources: tuple[str, ...], out: str, dask: str | None, **options: Any) -> ExitCode:
    """Write pictures as a store wants them into a folder; send nothing.

    SOURCE is as for upload: pictures, folders, manifests, https addresses.
    """
    from contextlib import ExitStack

    from imagepipe import api
    from imagepipe.cli.show import show

    quiet_logging(options["verbose"])
    with ExitStack() as stack:
        reports = reports_of(stack, options["reports"])
        executor = None
        if dask:
            try:
                from distributed import Client
            except ImportError as error:
                raise click.UsageError("--dask needs the extra: pip install 'imagepipe-upload[dask]'") from error
            try:
                client = Client(dask, timeout=10)  # type: ignore[no-untyped-call, unused-ignore]  # Dask has no types
            except (OSError, ValueError, ImportError) as error:
                raise ConfigurationError(f"no Dask scheduler answers at {dask}: {error}") from error
            executor = stack.enter_context(client).get_executor(pure=False)
        run = api.prepare_to(out, list(sources), shaping=shaping_of(options), executor=executor, **reading(options),
                             **running(options))
        return show(run, total=None, reports=reports, **showing(options)).exit_code
