"""Options that commands share, and where their values come from: flag, environment, imagepipe.toml, default."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

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
        if isinstance(value, int):
            return value
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


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Return a click option whose value can come from `IMAGEPIPE_…` as well."""
    flag = next(name for name in names if name.startswith("--")).split("/")[0]
    settings.setdefault("envvar", "IMAGEPIPE_" + flag.lstrip("-").replace("-", "_").upper())
    if "default" in settings and settings["default"] is not None and not settings.get("is_flag"):
        settings.setdefault("show_default", True)
    return click.option(*names, **settings)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that is all of `options`, listed in this order by `--help`."""
    return lambda command: functools.reduce(lambda done, add: add(done), reversed(options), command)


source_options = together(
    option("--product-id", type=click.IntRange(1, 2**31 - 1), help="The product that all pictures belong to."),
    option("--sku", help="The same by stock-keeping unit."),
    option("--match", metavar="PATTERN", help="How a folder's paths name products: '{sku}/*', '{sku}_{sort_order}'."),
    option("--column", "columns", type=Pairs(), multiple=True,
           help="Which column is which: sku='Item No.' (repeatable)."),
    option("--encoding", help="Of a manifest, where it is neither UTF-8 nor UTF-16."),
    option("--root", "roots", type=click.Path(exists=True, file_okay=False), multiple=True,
           help="Folder that a manifest's paths are relative to. Repeatable."),
    option("--only", metavar="SKU,…", help="Only these products, by SKU or id."),
    option("--limit-products", type=click.IntRange(1), help="Only the first N products: for a trial."),
)

shaping_options = together(
    option("--max-bytes", type=Size(), default="8MB", help="Size limit of a picture, with its unit."),
    option("--max-edge", type=click.IntRange(1), metavar="PX", help="Longest side; larger pictures are reduced."),
    option("--format", type=click.Choice(["auto", "keep", "jpeg", "png", "webp"]), default="auto",
           help="What to send; auto keeps what the store takes."),
    option("--quality", type=click.IntRange(1, 100), help="Of JPEG and WebP; by default that of the source."),
    option("--min-quality", type=click.IntRange(1, 100), help="Below this the pixels shrink instead."),
    option("--background", metavar="COLOR", help="Lay transparent pictures on this colour."),
    option("--color", type=click.Choice(["srgb", "keep"]), default="srgb",
           help="Convert to sRGB, or keep the profile."),
    option("--cmyk-profile", type=click.Path(exists=True, dir_okay=False), help="For CMYK pictures without a profile."),
    option("--keep", type=click.Choice(["copyright", "icc", "exif", "xmp"]), multiple=True,
           help="Metadata to keep. Repeatable."),
    option("--max-pixels", type=click.IntRange(1), default=200_000_000, help="Refuse larger pictures."),
    option("--max-source-bytes", type=Size(), default="256MB", help="Refuse larger files."),
    option("--accept-damaged", is_flag=True, help="Take what can be read of damaged pictures, with a warning."),
)

running_options = together(
    option("-j", "--jobs", type=click.IntRange(0),
           help="Worker processes; 0: none. [default: cores, as memory allows]"),
    option("--memory", type=Size(), help="Memory for all workers together. [default: what is free]"),
    option("--picture-timeout", type=Duration(), default="60", help="Longest time for one picture."),
    option("--similar", type=click.Choice(["ignore", "report", "drop"]), default="report",
           help="Pictures that merely look alike."),
    option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output, nothing else there."),
    option("--report", "reports", type=click.Path(dir_okay=False, writable=True), multiple=True,
           help="Write a report: .html, .csv or .jsonl. Repeatable."),
    option("-q", "--quiet", is_flag=True, help="Only problems."),
    option("-v", "--verbose", is_flag=True, help="A line for every picture, and what goes on behind."),
    option("--no-progress", is_flag=True, help="No progress bar."),
)

access_options = together(
    option("--store", "store_hash", metavar="HASH", envvar="BIGCOMMERCE_STORE_HASH",
           help="The store's hash. [env: BIGCOMMERCE_STORE_HASH; the token: BIGCOMMERCE_ACCESS_TOKEN]"),
    option("--base-url", metavar="URL", help="API root up to and including /stores/{hash}/v3."),
    option("--sandbox", is_flag=True, envvar=None, help="A store on this machine, in ./imagepipe-sandbox."),
    option("--ledger", metavar="FILE|none", help="Where to keep the ledger. [default: your data folder]"),
    option("--connections", type=click.IntRange(1, 64), default=4, help="Products that are sent to at once."),
    option("--leave-quota", type=click.IntRange(0, 95), default=20, metavar="PERCENT",
           help="Share of the request quota left to other apps."),
    option("--max-requests", type=Rate(), help="Never more than this: 100/30s."),
    option("--wait-for-network", type=Duration(), default="15m", help="How long to wait for a lost connection."),
)

sending_options = together(
    option("--by-url", is_flag=True,
           help="Hand the store the address instead of the bytes; pictures are only checked."),
    option("--existing", type=click.Choice(["add", "skip"]), default="add",
           help="Products that hold images which are not ours."),
    option("--on-change", type=click.Choice(["replace", "add", "skip"]), default="replace",
           help="A picture that has changed since it was uploaded."),
    option("--max-delete", type=click.IntRange(0), default=100, help="Most images to delete in a run, when replacing."),
    option("--checksum", is_flag=True, help="Also read files that look unchanged."),
    option("--redo", is_flag=True, help="Send again what these settings would make otherwise."),
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
        by_command[name] = {_key(parameter): parameter.name for parameter in command.params
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
    return defaults


def _key(parameter: click.Parameter) -> str:
    return next(name for name in parameter.opts if name.startswith("--")).lstrip("-")
