"""`imagepipe upload`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli.common import (
    command_line,
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
    access_options,
    option,
    running_options,
    sending_options,
    shaping_options,
    source_options,
)
from imagepipe.errors import ConfigurationError, ExitCode

if TYPE_CHECKING:
    from imagepipe.api import Shaping, Survey
    from imagepipe.stores import Store

LOOKED_AT = 10_000  #: Rows whose products are looked at before the question.
PRODUCTS_LOOKED_AT = 1_000  #: Products likewise: twenty requests, and ten for their SKUs.


@click.command("upload", cls=Sectioned, short_help="Put pictures into a store, each exactly once.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@access_options
@source_options
@sending_options
@shaping_options
@running_options
@option("--prune", is_flag=True, help="At the end, delete our images whose pictures have gone from the SOURCE.")
@option("-y", "--yes", is_flag=True, help="Do not ask before starting, nor before pruning.")
def command(sources: tuple[str, ...], **options: Any) -> ExitCode:
    """Put pictures into a store, each exactly once.

    SOURCE is a picture, a folder, a manifest (.csv, .tsv, .jsonl; - reads JSON lines from standard
    input) or an https address. Try it without a store: imagepipe upload catalog.csv --sandbox
    """
    from imagepipe import api
    from imagepipe.cli.show import show

    quiet_logging(options["verbose"])
    with ExitStack() as stack:
        reports = reports_of(stack, options["reports"])
        store, ledger, where = open_store(stack, options)
        shaping = shaping_of(options)
        total, seen = _ask(sources, store, ledger, shaping, where, options)
        run = api.upload(list(sources), store, ledger=ledger, shaping=shaping, command=command_line(), seen=seen,
                         prune=_pruning(options), **reading(options), **sending(options), **running(options))
        if ledger != "none" and not options["quiet"]:
            click.echo(f"Ledger: {ledger or api.default_ledger(store.identity)}", err=True)
        summary = show(run, total=total, reports=reports, **showing(options))
        if options["sandbox"] and not options["as_json"] and not options["quiet"]:
            click.echo("See the store in a browser: imagepipe sandbox", err=True)
    return summary.exit_code


def _pruning(options: dict[str, Any]) -> Any:
    """Return what is asked before pictures that have gone from the source are deleted; False: nothing is."""
    from imagepipe.cli.show import counted
    from imagepipe.plain import plain

    def sure(places: Any) -> bool:
        for place in places:
            click.echo(plain(f"gone      {place.key}: product {place.product}, image {place.image_id}"), err=True)
        if options["yes"]:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            click.echo(f"{counted(len(places), 'picture')} gone from the source; --yes deletes their images", err=True)
            return False
        try:
            return click.confirm(f"Delete what shows {counted(len(places), 'picture')} gone from the source?",
                                 default=False, err=True)
        except click.Abort:  # Ctrl-C is a no; the run itself is over, and is still to be written down
            return False

    return sure if options["prune"] else False


def _ask(sources: tuple[str, ...], store: Store, ledger: str | None, shaping: Shaping, where: str,
         options: dict[str, Any]) -> tuple[int | None, Survey | None]:
    """Say what will be done, and ask on a terminal.

    Return how many rows there are, and what was seen of their products: None where that is not
    known, as of standard input.
    """
    from imagepipe import api
    from imagepipe.asset import Asset
    from imagepipe.cli.show import counted
    from imagepipe.inputs import assets_from
    from imagepipe.pipeline import product_of
    from imagepipe.plain import plain

    if "-" in sources:
        return None, None
    total, pictures, bad, products = 0, 0, 0, set()
    first: list[Asset] = []
    whole = True
    for item in assets_from(list(sources), needs_product=True, **reading(options)):
        total += 1
        if isinstance(item, Asset) and product_of(item) is not None:
            pictures += 1
            products.add(product_of(item))
            if len(first) < LOOKED_AT and len(products) <= PRODUCTS_LOOKED_AT:
                first.append(item)
            else:
                whole = False
        else:
            bad += isinstance(item, Asset) or item.failed
    if options["only"] and not products:
        raise ConfigurationError(f"--only {options['only']}: the source has no picture of such a product; these are "
                                 "its SKUs or product ids, with commas between them")
    if options["quiet"]:
        return total, None
    seen = api.survey(first, store, ledger=ledger, shaping=shaping, whole=whole,
                      **{name: options[name] for name in ("existing", "checksum", "redo", "by_url")})
    if options["as_json"]:
        if seen.with_others:
            click.echo(wrapped(str(seen)), err=True)
        return total, seen
    unusable = f"; {bad:,} more cannot be used" if bad else ""
    what = f"{counted(pictures, 'picture')} of {counted(len(products), 'product')}"
    click.echo(wrapped(plain(f"Upload {what} to {where}{unusable}. {seen}")), err=True)
    asked = sys.stdin.isatty() and sys.stderr.isatty() and not options["yes"] and not options["sandbox"]
    if pictures and asked and seen.stopped is None:
        click.confirm("Go on?", abort=True, err=True)
    return total, seen
