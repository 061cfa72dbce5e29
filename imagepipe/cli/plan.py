"""`imagepipe plan`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from imagepipe.cli.common import (
    open_store,
    quiet_logging,
    reading,
    reports_of,
    running,
    sending,
    shaping_of,
    showing,
    wrapped,
)
from imagepipe.cli.settings import (
    Sectioned,
    Size,
    access_options,
    option,
    running_options,
    sending_options,
    shaping_options,
    source_options,
)
from imagepipe.errors import ExitCode


@click.command("plan", cls=Sectioned, short_help="Say what upload would do, and why; send nothing.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@access_options
@source_options
@sending_options
@shaping_options
@running_options
@option("--line", type=Size(), default="1MB", help="Bytes a second that your line uploads, for the estimate.")
def command(sources: tuple[str, ...], line: int, **options: Any) -> ExitCode:
    """Say what upload would do with each picture, and why; send nothing.

    Without a store, only the pictures are looked at. Ends with 1 where there are problems.
    """
    import os

    from imagepipe import api
    from imagepipe.cli.show import show

    quiet_logging(options["verbose"])
    with ExitStack() as stack:
        reports = reports_of(stack, options["reports"])
        common: dict[str, Any] = {"shaping": shaping_of(options), **reading(options), **running(options)}
        if options["sandbox"] or options["base_url"] or (options["store_hash"]
                                                         and os.environ.get("BIGCOMMERCE_ACCESS_TOKEN")):
            store, ledger, _ = open_store(stack, options)
            run = api.plan(list(sources), store, ledger=ledger, **common, **sending(options))
        else:
            run = api.plan(list(sources), **common)
        summary = show(run, total=None, reports=reports, **showing(options))
        if not options["as_json"] and not options["quiet"]:
            click.echo(wrapped(estimate(summary, line)))
    return summary.exit_code


def estimate(summary: Any, bytes_a_second: int) -> str:
    """Return what an upload of this plan would take: requests, bytes, time."""
    from imagepipe.outcome import Status
    from imagepipe.plain import size

    sent = summary.counts[Status.PLANNED]
    if not sent:
        return "Nothing would be sent."
    requests = sent + summary.extra.get("products", 0) // 50 + 2
    payload = summary.planned_bytes
    quota_seconds = requests / 150 * 30 / 0.8  # the smallest quota of a store, of which a fifth is left to others
    line_seconds = payload / bytes_a_second
    seconds = max(quota_seconds, line_seconds)
    duration = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else (
        f"{seconds / 3600:.1f} h")
    return (f"An upload would take about {requests:,} requests and {size(payload)}: {duration} with a quota of 150 "
            f"requests in 30 s, of which a fifth is left to others, and a line of {size(bytes_a_second)} a second.")
