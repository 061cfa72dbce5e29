"""The command line: a thin skin over the library. Parse, call, print, exit.

Nothing heavy is imported before a command runs: `imagepipe --help` loads click alone.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from typing import Any

import click

from imagepipe import __version__
from imagepipe.errors import ExitCode, ImagepipeError

#: Each command: its module under `imagepipe.cli`, in the order of `--help`.
_COMMANDS = {
    "upload": "upload",
    "prepare": "prepare",
    "plan": "plan",
    "inspect": "inspect",
    "verify": "verify",
    "undo": "undo",
    "report": "report",
    "sandbox": "sandbox",
    "ledger": "ledger",
}


class _OutputClosed(Exception):
    """Whoever read our output has left."""


class _Commands(click.Group):
    """Commands whose modules are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"imagepipe.cli.{_COMMANDS[cmd_name]}")
        command = module.command
        assert isinstance(command, click.Command)  # each module names its command so
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would make it exit code 1, which has a meaning of its own here
            raise _OutputClosed from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="imagepipe")
@click.pass_context
def _imagepipe(ctx: click.Context) -> None:
    """Prepare product photographs and put them into a BigCommerce store, exactly once.

    Try it without a store: imagepipe upload catalog.csv --sandbox
    """
    from imagepipe.cli.settings import load_settings

    ctx.default_map = load_settings()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal does not have ends no run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        typed = sys.argv[1:] if arguments is None else arguments
        result = _imagepipe.main(args=list(typed), prog_name="imagepipe", standalone_mode=False, obj=typed)
        code = int(result) if isinstance(result, int) else 0
    except click.exceptions.Abort:
        click.echo("Stopped; nothing more is done.", err=True)
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except ImagepipeError as error:
        from imagepipe.cli.common import wrapped
        from imagepipe.plain import plain

        click.echo(wrapped(plain(f"imagepipe: {error}")), err=True)
        code = _exit_code(error)
    except _OutputClosed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # as a shell reports a process that SIGPIPE ended
    except OSError as error:
        from imagepipe.cli.common import wrapped
        from imagepipe.plain import plain

        with contextlib.suppress(OSError):  # it may be standard error that cannot be written to
            click.echo(wrapped(plain(f"imagepipe: {error}; the same command goes on from here")), err=True)
        code = ExitCode.TRY_AGAIN
    sys.exit(int(code))


def _exit_code(error: ImagepipeError) -> ExitCode:
    from imagepipe.errors import ConfigurationError, LedgerError, Retry, SourceError, StopRun

    if isinstance(error, StopRun):
        return error.exit_code
    if isinstance(error, (ConfigurationError, SourceError)):
        return ExitCode.USAGE
    if isinstance(error, LedgerError):
        return ExitCode.TRY_AGAIN if error.retry is Retry.AGAIN else ExitCode.USAGE
    return ExitCode.SOME_FAILED
