"""The command table: light help, nearest names, one-line errors, exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import click
import click.testing
import pytest

from ganinv.cli import main as front
from ganinv.errors import InputError, UsageError

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "ops"), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def run_failing(monkeypatch: pytest.MonkeyPatch, cause: BaseException) -> click.testing.Result:
    """The front door's answer to a command that raises."""

    @click.command()
    def command() -> None:
        raise cause

    monkeypatch.setattr(front.CommandTable, "get_command", lambda *_: command)
    return click.testing.CliRunner().invoke(front.main, ["doctor"])


def test_help_lists_every_command_and_is_fast() -> None:
    seconds = []  # of processor time: a busy machine is not the command's fault
    for _ in range(3):
        before = os.times()
        result = python("-m", "ganinv", "--help")
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
    assert result.returncode == 0, result.stderr
    for name, (_, about) in front.COMMANDS.items():
        assert name in result.stdout
        assert about in result.stdout
    assert min(seconds) < 0.3


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["invert", "--help"], ["edit", "-h"]])
def test_help_imports_neither_torch_nor_a_plugin(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ganinv.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'plugin_ganinpaint'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", front.COMMANDS)
def test_every_command_of_the_table_exists(name: str) -> None:
    module, _, attribute = front.COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.help


def test_unknown_command_offers_the_nearest() -> None:
    result = click.testing.CliRunner().invoke(front.main, ["invrt"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: unknown command 'invrt'; did you mean 'invert'?")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("cause", "code", "text"),
    [
        (InputError("no such file: a.png"), 1, "no such file: a.png"),
        (UsageError("three\nlines\nhere"), 2, "three lines here"),
        (OSError(errno.ENOSPC, "No space left", "x/a.png"), 1, "cannot write x/a.png: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), 1, "cannot write a.png: no permission"),
        (OSError(errno.EIO, "Input/output error", "a.png"), 1, "a.png: Input/output error"),
        (MemoryError(), 1, "out of memory"),
        (ModuleNotFoundError("No module named 'gradio'", name="gradio"), 1, "'gradio' is not installed"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.BadParameter("a\nb"), 2, "Invalid value: a b"),
    ],
)
def test_mishaps_are_one_line(
    monkeypatch: pytest.MonkeyPatch, cause: BaseException, code: int, text: str
) -> None:
    result = run_failing(monkeypatch, cause)
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stderr.strip().startswith("Error: ")
    assert result.stderr.strip().count("\n") == 0
    assert result.stdout == ""


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_failing(monkeypatch, RuntimeError("a bug"))
    assert isinstance(result.exception, RuntimeError)


def test_warnings_of_libraries_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> None:
        warnings.simplefilter("always")
        warnings.warn("the op was not compiled:\n no compiler", stacklevel=1)

    monkeypatch.setattr(front.CommandTable, "get_command", lambda *_: command)
    result = click.testing.CliRunner().invoke(front.main, ["doctor"])
    assert result.exit_code == 0
    assert result.stderr == "Warning: the op was not compiled: no compiler\n"


def test_no_arguments_print_the_help() -> None:
    result = click.testing.CliRunner().invoke(front.main, [])
    assert result.exit_code == 2
    assert "Commands:" in result.output
