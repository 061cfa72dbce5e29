"""Options that commands share, and where their values come from: flag, environment, imagepipe.toml, default."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    SizeType = click.ParamType[int, Any]
    PairsType = click.ParamType[tuple[str, str], Any]
    RateType = click.ParamType[tuple[int, float], Any]
    DurationType = click.ParamType[float, Any]
else:  # generic since click 8.5 only
    SizeType = PairsType = RateType = DurationType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


class Size(SizeType):
    """A number of bytes with its unit: `8MB` is 8,000,000, `8MiB` is 8,388,608."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]I?)?B\s*", str(value), re.IGNORECASE | re.ASCII)
        if not match:
            self.fail(f"{value!r} is not a size; write it with its unit: 8MB (8,000,000 bytes), 500kB", param, ctx)
        return int(float(match[1]) * _UNITS[(match[2] or "").upper()])


class Pairs(PairsType):
    """`NAME=VALUE`."""

    name = "name=header"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, header = str(value).partition("=")
        if not equals or not name.strip() or not header.strip():
            self.fail(f"{value!r} is not of the form name=header, as in sku='Item No.'", param, ctx)
        return name.strip(), header.strip()


class Rate(RateType):
    """`N/30s`: so many requests in so much time."""

    name = "n/seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, float]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([0-9]+)/([0-9]+(?:\.[0-9]+)?)?s", str(value).strip())
        if not match or int(match[1]) < 1:
            self.fail(f"{value!r} is not a rate; write for example 100/30s", param, ctx)
        return int(match[1]), float(match[2] or 1)


class Duration(DurationType):
    """`90`, `90s`, `15m` or `1h`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", str(value).strip())
        if not match:
            self.fail(f"{value!r} is not a duration; write for example 90s or 15m", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


class Option(click.Option):
    """An option that knows under which heading `--help` lists it."""

    def __init__(self, *names: Any, section: str = "", **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.section = section

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter:  # comes from nowhere
            raise
        except click.BadParameter as error:  # click names the flag, also where nobody typed one
            source = ctx.get_parameter_source(self.name or "")
            if source is ParameterSource.ENVIRONMENT:
                where = f"the environment variable {self.resolved_from()}"
            elif source is ParameterSource.DEFAULT_MAP:
                where = "imagepipe.toml"
            else:
                raise
            raise click.BadParameter(f"{error.message.rstrip('.')} (from {where})", ctx, self) from error

    def resolved_from(self) -> str:
        """Return the environment variable that the value came from."""
        names = [self.envvar] if isinstance(self.envvar, str) else list(self.envvar or ())
        return next((name for name in names if name in os.environ), "")


class Sectioned(click.Command):
    """A command whose `--help` lists its options under headings; its own come first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(parameter, "section", ""), []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title or "Options"):
                    formatter.write_dl(records)


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Return a click option whose value can come from `IMAGEPIPE_…` as well."""
    flag = next(name for name in names if name.startswith("--")).split("/")[0]
    settings.setdefault("envvar", "IMAGEPIPE_" + flag.lstrip("-").replace("-", "_").upper())
    if "default" in settings and settings["default"] is not None and not settings.get("is_flag"):
        settings.setdefault("show_default", True)
    return click.option(*names, cls=Option, **settings)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that is all of `options`, listed in this order by `--help`."""
    return lambda command: functools.reduce(lambda done, add: add(done), reversed(options), command)


_in_source = functools.partial(option, section="Which pictures, of which products")
source_options = together(
    _in_source("--product-id", type=click.IntRange(1, 2**31 - 1), help="The product that all pictures belong to."),
    _in_source("--sku", help="The same by stock-keeping unit."),
    _in_source("--match", metavar="PATTERN",
               help="How a folder's paths name products: '{sku}/*', '{sku}_{sort_order}'."),
    _in_source("--column", "columns", type=Pairs(), multiple=True,
               help="Which column is which: sku='Item No.' (repeatable)."),
    _in_source("--encoding", help="Of a manifest, where it is neither UTF-8 nor UTF-16."),
    _in_source("--root", "roots", type=click.Path(exists=True, file_okay=False), multiple=True,
               help="Folder that a manifest's paths are relative to. Repeatable."),
    _in_source("--only", metavar="SKU,…", help="Only these products, by SKU or id."),
    _in_source("--limit-products", type=click.IntRange(1), help="Only the first N products: for a trial."),
)

_in_shaping = functools.partial(option, section="What pictures become")
shaping_options = together(
    _in_shaping("--max-bytes", type=Size(), default="8MB", help="Size limit of a picture, with its unit."),
    _in_shaping("--max-edge", type=click.IntRange(1), metavar="PX", help="Longest side; larger pictures are reduced."),
    _in_shaping("--format", type=click.Choice(["auto", "keep", "jpeg", "png", "webp"]), default="auto",
                help="What to send; auto keeps what the store takes."),
    _in_shaping("--quality", type=click.IntRange(1, 100), help="Of JPEG and WebP; by default that of the source."),
    _in_shaping("--min-quality", type=click.IntRange(1, 100), help="Below this the pixels shrink instead."),
    _in_shaping("--background", metavar="COLOR", help="Lay transparent pictures on this colour."),
    _in_shaping("--color", type=click.Choice(["srgb", "keep"]), default="srgb",
                help="Convert to sRGB, or keep the profile."),
    _in_shaping("--cmyk-profile", type=click.Path(exists=True, dir_okay=False),
                help="For CMYK pictures without a profile."),
    _in_shaping("--keep", type=click.Choice(["copyright", "icc", "exif", "xmp"]), multiple=True,
                help="Metadata to keep. Repeatable."),
    _in_shaping("--max-pixels", type=click.IntRange(1), default=200_000_000, help="Refuse larger pictures."),
    _in_shaping("--max-source-bytes", type=Size(), default="256MB", help="Refuse larger files."),
    _in_shaping("--accept-damaged", is_flag=True, help="Take what can be read of damaged pictures, with a warning."),
)

_in_running = functools.partial(option, section="How to run, and what to show")
running_options = together(
    _in_running("-j", "--jobs", type=click.IntRange(0),
                help="Worker processes; 0: none. [default: cores, as memory allows]"),
    _in_running("--memory", type=Size(), help="Memory for all workers together. [default: what is free]"),
    _in_running("--picture-timeout", type=Duration(), default="60", help="Longest time for one picture."),
    _in_running("--similar", type=click.Choice(["ignore", "report", "drop"]), default="report",
                help="Pictures that merely look alike."),
    _in_running("--json", "as_json", is_flag=True,
                help="One JSON object a line on standard output, nothing else there."),
    _in_running("--report", "reports", type=click.Path(dir_okay=False, writable=True), multiple=True,
                help="Write a report: .html, .csv or .jsonl. Repeatable."),
    _in_running("-q", "--quiet", is_flag=True, help="Only problems."),
    _in_running("-v", "--verbose", is_flag=True, help="A line for every picture, and what goes on behind."),
    _in_running("--no-progress", is_flag=True, help="No progress bar."),
)

_in_access = functools.partial(option, section="Which store")
access_options = together(
    _in_access("--store", "store_hash", metavar="HASH", envvar="BIGCOMMERCE_STORE_HASH",
               help="The store's hash. [env: BIGCOMMERCE_STORE_HASH; the token: BIGCOMMERCE_ACCESS_TOKEN]"),
    _in_access("--base-url", metavar="URL", help="API root up to and including /stores/{hash}/v3."),
    _in_access("--sandbox", is_flag=True, envvar=None, help="A store on this machine, in ./imagepipe-sandbox."),
    _in_access("--ledger", metavar="FILE|none", help="Where to keep the ledger. [default: your data folder]"),
    _in_access("--connections", type=click.IntRange(1, 64), default=4, help="Products that are sent to at once."),
    _in_access("--leave-quota", type=click.IntRange(0, 95), default=20, metavar="PERCENT",
               help="Share of the request quota left to other apps."),
    _in_access("--max-requests", type=Rate(), help="Never more than this: 100/30s."),
    _in_access("--wait-for-network", type=Duration(), default="15m", help="How long to wait for a lost connection."),
)

_in_sending = functools.partial(option, section="What the store holds already")
sending_options = together(
    _in_sending("--by-url", is_flag=True,
                help="Hand the store the address instead of the bytes; pictures are only checked."),
    _in_sending("--existing", type=click.Choice(["add", "skip"]), default="add",
                help="Products that hold images which are not ours."),
    _in_sending("--on-change", type=click.Choice(["replace", "add", "skip"]), default="replace",
                help="A picture that has changed since it was uploaded."),
    _in_sending("--max-delete", type=click.IntRange(0), default=100,
                help="Most images to delete in a run, when replacing."),
    _in_sending("--checksum", is_flag=True, help="Also read files that look unchanged."),
    _in_sending("--redo", is_flag=True, help="Send again what these settings would make otherwise."),
)


def load_settings(path: Path = Path("imagepipe.toml")) -> dict[str, Any]:
    """Return the defaults that `imagepipe.toml` in the current folder names, by command.

    Keys are option names; those at the top hold for every command that has them, those under
    `[upload]` for that one. Raises `click.UsageError` for a key that no command knows, so that a
    slip of the pen is not passed over.
    """
    if not path.is_file():
        return {}
    import tomllib

    from imagepipe.cli import _COMMANDS, _imagepipe

    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    context = click.Context(_imagepipe)
    by_command: dict[str, dict[str, Any]] = {}
    for name in _COMMANDS:
        command = _imagepipe.get_command(context, name)
        assert command is not None  # `name` comes from the table
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        by_command[name] = {_key(parameter): parameter.name for each in inner.values() for parameter in each.params
                            if isinstance(parameter, click.Option)}
    known = {key for keys in by_command.values() for key in keys}
    defaults: dict[str, Any] = {name: {} for name in by_command}
    for key, value in settings.items():
        plain_key = key.replace("_", "-")
        if isinstance(value, dict) and key in by_command:
            for inner, inner_value in value.items():
                if inner.replace("_", "-") not in by_command[key]:
                    raise click.UsageError(f"{path}: [{key}] has no setting {inner!r}")
                defaults[key][by_command[key][inner.replace("_", "-")]] = inner_value
        elif plain_key in known:
            for name, keys in by_command.items():
                if plain_key in keys:
                    defaults[name].setdefault(keys[plain_key], value)
        else:
            raise click.UsageError(f"{path}: there is no setting {key!r}")
    return {**defaults, "ledger": {"recover": defaults["ledger"]}}


def _key(parameter: click.Parameter) -> str:
    return next(name for name in parameter.opts if name.startswith("--")).lstrip("-")
