"""`imagepipe upload`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli.settings import (
    access_options,
    option,
    running_options,
    sending_options,
    shaping_options,
    source_options,
)
from imagepipe.errors import ConfigurationError, ExitCode

if TYPE_CHECKING:
    from imagepipe.api import Shaping
    from imagepipe.stores import Store

SANDBOX_FOLDER = Path("imagepipe-sandbox")


@click.command("upload")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@access_options
@source_options
@sending_options
@shaping_options
@running_options
@option("-y", "--yes", is_flag=True, help="Do not ask before starting.")
def command(sources: tuple[str, ...], **options: Any) -> ExitCode:
    """Put pictures into a store, each exactly once.

    SOURCE is a picture, a folder, a manifest (.csv, .tsv, .jsonl; - reads JSON lines from standard
    input) or an https address. Try it without a store: imagepipe upload catalog.csv --sandbox
    """
    from imagepipe import api
    from imagepipe.cli.show import show

    quiet_logging(options["verbose"])
    with ExitStack() as stack:
        store, ledger, where = open_store(stack, options)
        total = _ask(sources, where, options)
        run = api.upload(list(sources), store, ledger=ledger, shaping=shaping_of(options), command=_command_line(),
                         **reading(options), **sending(options), **running(options))
        if ledger != "none" and not options["quiet"]:
            click.echo(f"Ledger: {ledger or api.default_ledger(store.identity)}", err=True)
        summary = show(run, total=total, reports=reports_of(options), **showing(options))
        if options["sandbox"] and not options["as_json"] and not options["quiet"]:
            click.echo("See the store in a browser: imagepipe sandbox", err=True)
    return summary.exit_code


def open_store(stack: ExitStack, options: dict[str, Any]) -> tuple[Store, str | None, str]:
    """Return the store that the options name, its ledger, and its name for people."""
    ledger: str | None = options["ledger"]
    if options["sandbox"]:
        from imagepipe.sandbox import Sandbox

        if options["base_url"]:
            raise ConfigurationError("give --sandbox or --base-url, not both")
        sandbox = stack.enter_context(Sandbox(folder=SANDBOX_FOLDER, create_missing=True))
        base_url, store_hash, token = sandbox.base_url, sandbox.store_hash, sandbox.token
        ledger = ledger or str(SANDBOX_FOLDER / "ledger.sqlite3")
        where = f"the sandbox in {SANDBOX_FOLDER}"
    else:
        token = os.environ.get("BIGCOMMERCE_ACCESS_TOKEN", "")
        base_url, store_hash = options["base_url"], options["store_hash"]
        if not base_url and not store_hash:
            raise ConfigurationError("which store? Give --store HASH or set BIGCOMMERCE_STORE_HASH; "
                                     "--sandbox tries it on this machine")
        if not token:
            raise ConfigurationError("set BIGCOMMERCE_ACCESS_TOKEN to the store's access token (the scope "
                                     "store_v2_products is needed); it is never an option, which others could read")
        store_hash = store_hash or hash_in(base_url)
        where = f"store {store_hash}" + (f" at {base_url}" if base_url else "")
    from imagepipe.stores.bigcommerce import BigCommerce

    store = BigCommerce(store_hash, token, base_url=base_url, leave_quota=options["leave_quota"] / 100,
                        max_requests=options["max_requests"], wait_for_network=options["wait_for_network"],
                        connections=options["connections"])
    stack.callback(store.close)
    return store, ledger, where


def hash_in(base_url: str) -> str:
    """Return the store hash that an API root names."""
    from urllib.parse import urlsplit

    parts = urlsplit(base_url).path.strip("/").split("/")
    if len(parts) < 2 or parts[-1] != "v3" or "stores" not in parts:
        raise ConfigurationError(f"--base-url {base_url} does not end in /stores/{{hash}}/v3")
    return parts[-2]


def _ask(sources: tuple[str, ...], where: str, options: dict[str, Any]) -> int | None:
    """Say in one line what will be done, and ask on a terminal; return how many rows there are, where that is known."""
    from imagepipe.asset import Asset
    from imagepipe.inputs import assets_from
    from imagepipe.pipeline import product_of
    from imagepipe.plain import plain

    if "-" in sources:
        return None
    total, products = 0, set()
    for item in assets_from(list(sources), needs_product=True, **reading(options)):
        total += 1
        if isinstance(item, Asset):
            products.add(product_of(item))
    if options["quiet"] or options["as_json"]:
        return total
    others = "are left and added to" if options["existing"] == "add" else "are left alone"
    click.echo(plain(f"Upload {total:,} pictures of {len(products):,} products to {where}; products with other images "
                     f"{others}."), err=True)
    if sys.stdin.isatty() and sys.stderr.isatty() and not options["yes"] and not options["sandbox"]:
        click.confirm("Go on?", abort=True, err=True)
    return total


def quiet_logging(verbose: bool) -> None:
    """Send the library's warnings, or all that it logs, to standard error."""
    import logging

    from imagepipe.plain import plain

    class _Escaping(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return plain(f"imagepipe: {record.getMessage()}")

    handler = logging.StreamHandler()
    handler.setFormatter(_Escaping())
    log = logging.getLogger("imagepipe")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO if verbose else logging.WARNING)


def shaping_of(options: dict[str, Any]) -> Shaping:
    """Return what the shaping options say."""
    from imagepipe.api import Shaping

    named = {field.name: options[field.name] for field in fields(Shaping)}
    return Shaping(**{**named, "keep": frozenset(named["keep"])})


def reading(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that say how to read the sources."""
    chosen = {name: options[name] for name in ("match", "product_id", "sku", "encoding", "roots", "limit_products")}
    only = [name.strip() for name in (options["only"] or "").split(",") if name.strip()]
    return {**chosen, "columns": dict(options["columns"]), "only": only}


def sending(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that say how to deal with what the store holds."""
    names = ("by_url", "existing", "on_change", "max_delete", "checksum", "redo", "connections")
    return {name: options[name] for name in names}


def running(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that say how to run."""
    return {name: options[name] for name in ("jobs", "memory", "picture_timeout", "similar")}


def showing(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that say what to show."""
    return {name: options[name] for name in ("as_json", "quiet", "verbose", "no_progress")}


def reports_of(options: dict[str, Any]) -> list[Any]:
    """Return a writer for each report that is asked for."""
    if not options["reports"]:
        return []
    from imagepipe.report import writer_for

    return [writer_for(path) for path in options["reports"]]


def _command_line() -> str:
    import shlex

    return shlex.join(["imagepipe", *sys.argv[1:]])
