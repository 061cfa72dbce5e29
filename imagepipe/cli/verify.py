"""`imagepipe verify`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from imagepipe.cli.common import (
    command_line,
    open_ledger,
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
from imagepipe.errors import ExitCode

if TYPE_CHECKING:
    from imagepipe.ledger import Ledger
    from imagepipe.stores import Store


@click.command("verify", cls=Sectioned, short_help="Compare the store with the ledger.")
@click.argument("sources", nargs=-1, metavar="[SOURCE...]")
@option("--download", is_flag=True, help="Fetch each picture and compare it with what was sent.")
@option("--repair", is_flag=True, help="Send what is missing; needs the SOURCE.")
@option("--adopt", is_flag=True, help="Link images that the store had before to the pictures of the SOURCE.")
@option("-y", "--yes", is_flag=True, help="Adopt also what merely looks the same, without asking.")
@access_options
@source_options
@sending_options
@shaping_options
@running_options
def command(sources: tuple[str, ...], **options: Any) -> ExitCode:
    """Compare the store with what the ledger says that was sent. Changes nothing unless asked.

    = there   - missing   * changed (order, text, thumbnail)   + unknown to the ledger   ! could not tell

    With a SOURCE, only its products are looked at.
    """
    quiet_logging(options["verbose"])
    if (options["repair"] or options["adopt"]) and not sources:
        raise click.UsageError("--repair and --adopt need the SOURCE that the pictures come from")
    typed = click.get_current_context().get_parameter_source("reports") is ParameterSource.COMMANDLINE
    if typed and not options["repair"]:
        raise click.UsageError("--report is of the pictures that --repair sends; --json writes down what verify finds")
    with ExitStack() as stack:
        store, path, _ = open_store(stack, options)
        if options["adopt"]:
            with open_ledger(path, store, writing=True) as ledger:
                return _adopt(store, ledger, sources, options)
        with open_ledger(path, store, writing=False) as ledger:
            products = _products_of(store, sources, options) if sources else None
            code = _compare(store, ledger, products, options)
        if options["repair"] and code is ExitCode.SOME_FAILED:
            return _repair(store, path, sources, options)
        return code


def _compare(store: Store, ledger: Ledger, products: set[int] | None, options: dict[str, Any]) -> ExitCode:
    from imagepipe.cli.show import print_json
    from imagepipe.errors import StopRun
    from imagepipe.plain import plain
    from imagepipe.stores.downloads import downloader
    from imagepipe.verify import Findings, Mark, verify

    totals = Findings()
    try:
        for finding in verify(store, ledger, products=products,
                              download=downloader(store) if options["download"] else None):
            totals.counts[finding.mark] += 1
            if options["as_json"]:
                print_json(finding.to_dict())
            elif finding.mark is not Mark.SAME or options["verbose"]:
                what = ", ".join(finding.keys) or finding.name
                why = f": {finding.reason}" if finding.reason else ""
                click.echo(wrapped(plain(f"{finding.mark} product {finding.product_id}, image {finding.image_id}, "
                                         f"{what}{why}")))
    except StopRun as error:
        totals.stopped = str(error)
        click.echo(f"imagepipe: {plain(str(error))}", err=True)
        if options["as_json"]:
            print_json(totals.to_dict())
        return error.exit_code
    if options["as_json"]:
        print_json(totals.to_dict())
    else:
        words = {Mark.SAME: "there", Mark.MISSING: "missing", Mark.CHANGED: "changed", Mark.UNKNOWN: "unknown to us",
                 Mark.UNTOLD: "could not be told"}
        said = [f"{totals.counts[mark]:,} {word}" for mark, word in words.items() if totals.counts[mark]]
        click.echo(f"{totals.counts.total():,} images: {', '.join(said) or 'none is known'}")
    return totals.exit_code


def _products_of(store: Store, sources: tuple[str, ...], options: dict[str, Any]) -> set[int]:
    """Return the products that a source names, as far as the store has them."""
    from imagepipe.asset import Asset
    from imagepipe.inputs import assets_from

    targets = [item.target for item in assets_from(list(sources), needs_product=True, **reading(options))
               if isinstance(item, Asset)]
    skus = sorted({target.sku for target in targets if target.product_id is None and target.sku is not None})
    found = store.product_ids(skus) if skus else {}
    return {target.product_id for target in targets if target.product_id is not None} | set(found.values())


def _repair(store: Store, path: str | None, sources: tuple[str, ...], options: dict[str, Any]) -> ExitCode:
    from imagepipe import api
    from imagepipe.cli.show import show

    with ExitStack() as stack:
        reports = reports_of(stack, options["reports"])
        run = api.upload(list(sources), store, ledger=path, shaping=shaping_of(options), command=command_line(),
                         **{**sending(options), "repair": True}, **reading(options), **running(options))
        return show(run, total=None, reports=reports, **showing(options)).exit_code


def _adopt(store: Store, ledger: Ledger, sources: tuple[str, ...], options: dict[str, Any]) -> ExitCode:
    """Link what the store had before to places; ask for what is not certain."""
    import sys
    from dataclasses import replace

    from imagepipe.asset import Asset
    from imagepipe.errors import ImagepipeError
    from imagepipe.inputs import assets_from
    from imagepipe.plain import plain
    from imagepipe.stages import Decode, Read
    from imagepipe.stores.downloads import downloader
    from imagepipe.verify import adopt, adoptable

    read, decode = Read(), Decode()
    ids: dict[str, int] = {}
    assets = []
    for item in assets_from(list(sources), needs_product=True, **reading(options)):
        if not isinstance(item, Asset):
            continue
        if item.target.product_id is None and item.target.sku is not None:
            if item.target.sku not in ids:
                ids.update(store.product_ids([item.target.sku]))
            item = item.evolve(target=replace(item.target, product_id=ids.get(item.target.sku)))
        try:
            assets.append(decode(read(item)).without_bytes())
        except ImagepipeError as error:
            click.echo(plain(f"{item.source}: {error}"), err=True)

    def likeness(data: bytes) -> Any:
        try:
            return decode(Asset("image", data=data)).likeness
        except ImagepipeError:
            return None

    adopted = left = 0
    for adoption in adoptable(store, ledger, assets, download=downloader(store), likeness=likeness):
        text = (f"image {adoption.image.image_id} of product {adoption.image.product} ({adoption.image.name}) "
                f"{'is' if adoption.certain else 'looks like'} {adoption.place.key}")
        sure = adoption.certain or options["yes"]
        if not sure and sys.stdin.isatty() and not options["as_json"]:
            sure = click.confirm(f"{plain(text)}. Adopt it?", default=False, err=True)
        if sure:
            adopt(ledger, adoption)
            adopted += 1
            click.echo(plain(f"adopted: {text}"), err=bool(options["as_json"]))
        else:
            left += 1
            click.echo(plain(f"left: {text}; say --yes to adopt it"), err=True)
    click.echo(f"{adopted:,} images adopted, {left:,} left to a person", err=bool(options["as_json"]))
    return ExitCode.OK
