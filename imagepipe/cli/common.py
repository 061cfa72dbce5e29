"""What commands share: which store, which options go where, what is logged."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagepipe.errors import ConfigurationError

if TYPE_CHECKING:
    from imagepipe.api import Shaping
    from imagepipe.ledger import Ledger
    from imagepipe.report import Report
    from imagepipe.stores import Store

SANDBOX_FOLDER = Path("imagepipe-sandbox")


def wrapped(text: str, *, indent: str = "  ") -> str:
    """Return text in lines no longer than the terminal is wide; 80 where it is none."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size((80, 24)).columns if sys.stdout and sys.stdout.isatty() else 80
    return textwrap.fill(text, width=max(40, width), subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False)


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


def open_ledger(path: str | None, store: Store, *, writing: bool) -> Ledger:
    """Return the ledger of a store, which has to be there already unless `writing`."""
    from imagepipe.api import default_ledger
    from imagepipe.ledger import Ledger

    if path == "none":
        raise ConfigurationError("this goes by the ledger; --ledger none keeps none")
    return Ledger.open(there(Path(path) if path else default_ledger(store.identity)), writing=writing)


def there(ledger: Path) -> Path:
    """Return the file of a ledger. Raises `ConfigurationError` where there is none."""
    if not ledger.exists():
        raise ConfigurationError(f"there is no ledger at {ledger}, so nothing is known to have been uploaded; go to "
                                 "the folder of the upload, or name its ledger with --ledger FILE")
    return ledger


def hash_in(base_url: str) -> str:
    """Return the store hash that an API root names."""
    from urllib.parse import urlsplit

    parts = urlsplit(base_url).path.strip("/").split("/")
    if len(parts) < 2 or parts[-1] != "v3" or "stores" not in parts:
        raise ConfigurationError(f"--base-url {base_url} does not end in /stores/{{hash}}/v3")
    return parts[-2]


def quiet_logging(verbose: bool) -> None:
    """Send the library's warnings, or all that it logs, to standard error."""
    import logging

    from imagepipe.plain import plain

    class _Echo(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # standard error as it is now: a progress bar puts itself in between, so as not to be torn
            click.echo(wrapped(plain(f"imagepipe: {record.getMessage()}")), err=True)

    log = logging.getLogger("imagepipe")
    log.handlers[:] = [_Echo(logging.INFO if verbose else logging.WARNING)]
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


def reports_of(stack: ExitStack, paths: Sequence[str]) -> list[Report]:
    """Return a writer for each report that is asked for; what is not closed leaves nothing behind."""
    if not paths:
        return []
    from imagepipe.report import writer_for

    reports = []
    for path in paths:
        reports.append(writer_for(path))
        stack.callback(reports[-1].discard)
    return reports


def command_line() -> str:
    """Return the command as it was typed, as far as it is text; of addresses, without what may be secret in them."""
    import shlex

    from imagepipe.outcome import printable
    from imagepipe.sources import shown_url

    def shown(word: str) -> str:
        if "://" not in word:
            return word
        option, sign, value = word.partition("=") if word.startswith("-") else ("", "", word)
        kept = shown_url(value)
        return f"{option}{sign}{kept}{'' if kept == value else '?...'}"

    return str(printable(shlex.join(["imagepipe", *map(shown, click.get_current_context().find_root().obj)])))
