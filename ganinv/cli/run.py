"""The run of a command over its inputs, and the report of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from ganinv.cli.inputs import Job
from ganinv.cli.pipeline import overlapped
from ganinv.cli.progress import items_bar
from ganinv.errors import CheckpointError, InputError, OutputError, UsageError

T = TypeVar("T")


@dataclass
class Report:
    """What a run was asked (`inputs`, `options`) and did: files written, inputs that failed and why."""

    as_json: bool
    inputs: list[Path]
    options: dict[str, Any]
    outputs: list[Path] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """One line for the user on stderr."""
        click.echo(text, err=True)

    def finish(self, ctx: click.Context) -> None:
        """Prints the report; leaves with exit code 1 unless every input succeeded."""
        many = len(self.inputs) > 1
        for path, reason in self.failures:
            self.note(f"Error: {reason}" if not many or str(path) in reason else f"Error: {path}: {reason}")
        if many:
            failed = len({path for path, _ in self.failures})
            self.note(f"{len(self.inputs) - failed} of {len(self.inputs)} inputs done, {failed} failed")
        if self.as_json:
            click.echo(json.dumps(self.to_json(), indent=2))
        if self.failures:
            ctx.exit(1)

    def to_json(self) -> dict[str, Any]:
        """The object of --json."""
        return {
            "outputs": [str(path) for path in self.outputs],
            "inputs": [str(path) for path in self.inputs],
            "options": self.options,
            "failures": [{"input": str(path), "error": reason} for path, reason in self.failures],
        }


def run_jobs(
    jobs: Sequence[Job],
    read: Callable[[Job], T],
    work: Callable[[Job, T], Callable[[], list[Path]]],
    report: Report,
) -> None:
    """Reads each input, works on it and writes its results, going on past bad ones.

    The next inputs are read, and the last results written, while one is worked on: see `overlapped`. What
    `work` gives writes the files and returns them, last the one to look at. A result that cannot be written
    ends the run: the next one would not be either.

    Raises:
        UsageError: the first input met one: a mistake on the command line that all would meet.
    """
    with items_bar(len(jobs)) as advance, closing(overlapped(jobs, read, work)) as done:
        for index, (job, result) in enumerate(done):
            try:
                written = result.result()
            except (InputError, CheckpointError) as cause:
                report.failures.append((job.path, cause.message))
            except UsageError as cause:
                if index == 0:
                    raise
                report.failures.append((job.path, cause.message))
            except OutputError as cause:
                report.failures.append((job.path, cause.message))
                rest = "not tried: results cannot be written"
                report.failures += [(other.path, rest) for other in jobs[index + 1 :]]
                return
            else:
                report.outputs += written
                if not report.as_json:
                    click.echo(f"{job.path} -> {written[-1]} ({len(written)} files)")
            advance()
