"""`imagepipe inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imagepipe.cli.common import quiet_logging, shaping_of, wrapped
from imagepipe.cli.settings import Sectioned, option, shaping_options
from imagepipe.errors import ExitCode

if TYPE_CHECKING:
    from imagepipe.asset import Asset, Facts
    from imagepipe.outcome import Outcome


@click.command("inspect", cls=Sectioned, short_help="Say what a picture is, and what stands in its way.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@shaping_options
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(files: tuple[str, ...], as_json: bool, **options: Any) -> ExitCode:
    """Say what a picture is, and what stands in the way of uploading it. Writes nothing."""
    from dataclasses import fields

    from imagepipe.api import Shaping, plan
    from imagepipe.cli.show import print_json
    from imagepipe.pipeline import Pipeline

    received: dict[int, Facts] = {}

    def look(asset: Asset) -> Asset:
        if asset.facts is not None:
            received[asset.number] = asset.facts
        return asset

    class Looking(Shaping):
        """Looks at what was received before it is changed."""

        def pipeline(self) -> Pipeline:
            read, decode, *rest = super().pipeline().stages
            return Pipeline((read, decode, look, *rest))

    quiet_logging(verbose=False)
    shaping = shaping_of(options)
    looking = Looking(**{field.name: getattr(shaping, field.name) for field in fields(Shaping)})
    run = plan(list(files), shaping=looking, jobs=0, similar="ignore")
    for outcome in run:
        if as_json:
            print_json(outcome.to_dict())
        else:
            for text in described(outcome, received.pop(outcome.asset.number, None)):
                click.echo(text)
    return run.summary.exit_code


def described(outcome: Outcome, facts: Facts | None) -> list[str]:
    """Return what to say of a picture, of which `facts` are as it was received."""
    from imagepipe.outcome import Status
    from imagepipe.plain import plain, size

    def part(word: str, text: str) -> str:
        return wrapped(plain(f"  {word:<8} {text}"), indent=" " * 11)

    values, received = outcome.to_dict(), outcome.asset.received
    said = [plain(outcome.asset.source)]
    if facts is not None and received is not None:
        frames = f", {facts.frames} frames" if facts.frames > 1 else ""
        said.append(part("is", f"{facts.format}, {facts.width} x {facts.height} pixels, {facts.bit_depth} bits a "
                               f"channel{frames}, {size(received.size)}"))
    if received is not None:
        said.append(part("SHA-256", received.sha256))
    if outcome.failed or outcome.status is Status.SKIPPED:
        return [*said, part(str(outcome.status), outcome.reason)]
    said.extend(part("changes", note) for note in values["notes"] or ["nothing: it is sent as it is"])
    untouched = ", pixels untouched" if values["lossless"] else ""
    said.append(part("becomes", f"{values['format']}, {values['width']} x {values['height']} pixels, "
                                f"{size(values['bytes_out'] or 0)}{untouched}"))
    said.extend(part("warning", warning.replace("_", " ")) for warning in values["warnings"])
    return said
