"""The `ganinv` command: a table of commands, each imported when it runs, and the one place that shows errors.

`ganinv --help` reads the table and imports no command, so it stays fast. A mistake of the user's is one line
on stderr with the exit code of its class (2 for usage, 1 for the rest), never a traceback; Ctrl-C gives 130.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from ganinv import __version__
from ganinv.errors import GanInvError, UnknownNameError

INTERRUPTED = 130
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)

# name -> (module:attribute, the line of `ganinv --help`)
COMMANDS = {
    "invert": ("ganinv.cli.invert:command", "Complete pictures with erased parts, or invert whole ones."),
    "edit": ("ganinv.cli.edit:command", "Move inversions or pictures along directions (age, smile, ...)."),
    "morph": ("ganinv.cli.morph:command", "Go from one completion to another in steps."),
    "align": ("ganinv.cli.align:command", "Find faces in photos and cut them out upright."),
    "paste": ("ganinv.cli.paste:command", "Put changed crops back into their photos."),
    "app": ("ganinv.cli.app:command", "Open the page: erase by hand, pick a filling, move a slider."),
    "portraits": ("ganinv.cli.portraits:command", "Draw portraits with their attributes and landmarks."),
    "evaluate": ("ganinv.cli.evaluate:command", "Measure a method: quality, diversity, edits, calibration."),
    "train": ("ganinv.cli.train:command", "Train a method on a backbone."),
    "directions": ("ganinv.cli.directions:command", "List, keep and fit editing directions."),
    "models": ("ganinv.cli.models:command", "List, inspect, convert, add and remove models."),
    "plugins": ("ganinv.cli.plugins:command", "List methods and other plugins, and whether they load."),
    "bench": ("ganinv.cli.bench:command", "Measure speed on this machine, side by side with the usual way."),
    "doctor": ("ganinv.cli.doctor:command", "Say what works on this machine: PyTorch, ops, models."),
}


class CommandTable(click.Group):
    """A group whose commands are named in `COMMANDS` and imported on use, with errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now. Raises UnknownNameError, which offers the nearest."""
        if cmd_name not in COMMANDS:
            raise UnknownNameError("command", cmd_name, COMMANDS, hint="Try 'ganinv --help'.")
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command line; as a program (`standalone_mode`) it always leaves by SystemExit."""
        extra["standalone_mode"] = False
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if not standalone_mode:
                return super().main(args, prog_name, complete_var, **extra)
            try:
                result = super().main(args, prog_name, complete_var, **extra)
            except click.exceptions.NoArgsIsHelpError as cause:
                cause.show()
                sys.exit(cause.exit_code)
            except click.Abort:
                _leave("interrupted; every file that was written is whole", INTERRUPTED)
            except Exception as cause:
                message, code = explain(cause)
                _leave(message, code)
            sys.exit(result if isinstance(result, int) else 0)


def explain(cause: Exception) -> tuple[str, int]:
    """The line and the exit code for an error of the user's or of the machine; a bug of ours is raised on."""
    if isinstance(cause, GanInvError):
        return cause.message, cause.exit_code
    if isinstance(cause, click.UsageError):
        help_of = cause.ctx.command_path if cause.ctx else "ganinv"
        return f"{cause.format_message().rstrip('.')}. Try '{help_of} --help'.", cause.exit_code
    if isinstance(cause, click.ClickException):
        return cause.format_message(), cause.exit_code
    if isinstance(cause, OSError) and cause.errno:
        from ganinv.files import output_error

        path = "a result" if cause.filename is None else os.fsdecode(cause.filename)
        if cause.errno in _CANNOT_WRITE:
            return output_error(path, cause).message, 1
        return f"{path}: {cause.strerror}", 1
    if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":
        return "out of memory; ask for fewer --samples, or type --device cpu", 1
    if isinstance(cause, ModuleNotFoundError) and not (cause.name or "").startswith("ganinv"):
        return f"the Python module {cause.name!r} is not installed; type pip install 'ganinv[all]'", 1
    raise cause


def _leave(message: str, code: int) -> NoReturn:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Warnings of libraries as one line, like all other notes."""
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


@click.command(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ganinv")
def main() -> None:
    """Erase part of a picture and get several believable, editable completions, from any StyleGAN.

    \b
    ganinv invert me.png --mask half-left --samples 6 --out out
    ganinv edit out/me.inversion.safetensors --direction age --strength 2 --out out
    """
