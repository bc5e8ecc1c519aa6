"""The run over a command's inputs, past bad ones, and its report.

While one input is worked on, the next is read and the results of the last are written, each in a thread of
its own: decoding and encoding pictures takes longer than a small generator.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import local
from typing import Any, TypeVar

import click

from ganinv.cli.common import Job, progress_bar
from ganinv.errors import CheckpointError, GanInvError, InputError, OutputError, UsageError

T = TypeVar("T")
Write = Callable[[], list[Path]]
"""Writes the files of one input and returns them, last the one to look at."""
_AHEAD = 2  # inputs read before their turn
_OF_AN_INPUT = (InputError, CheckpointError, UsageError)  # others end the run


@dataclass
class Report:
    """What a run was asked (`inputs`, `options`) and did: files written, inputs that failed and why."""

    as_json: bool
    inputs: list[Path]
    options: dict[str, Any]
    outputs: list[Path] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)
    _held: local = field(default_factory=local, repr=False)

    def note(self, text: str) -> None:
        """One line for the user on stderr."""
        held: list[str] | None = getattr(self._held, "notes", None)
        if held is None:
            click.echo(text, err=True)
        else:
            held.append(text)

    @contextmanager
    def hold(self) -> Iterator[list[str]]:
        """Keeps this thread's notes in a list instead, to be told in their turn."""
        self._held.notes = []
        try:
            yield self._held.notes
        finally:
            self._held.notes = None

    def fail(self, job: Job, reason: str) -> None:
        """Notes an input without results."""
        self.failures.append((job.path, reason))

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
    jobs: Sequence[Job], load: Callable[[Job], T], work: Callable[[Job, T], Write], report: Report
) -> None:
    """Runs each input through `load`, in a thread and ahead; `work`, here; and the `Write` that work returns,
    in a thread and behind. What they say and how they end is told in the order of the inputs.

    A result that cannot be written ends the run: the next one would not be either.

    Raises:
        UsageError: the first input met one: a mistake on the command line that all would meet.
    """
    with (
        progress_bar(len(jobs)) as advance,
        ThreadPoolExecutor(1, "read") as reader,
        ThreadPoolExecutor(1, "write") as writer,
    ):
        last = _Written(report, advance)
        reads = _ahead(jobs, lambda job: reader.submit(_read, load, job, report))
        for index, (job, read) in enumerate(zip(jobs, reads, strict=True)):
            found, told = read.result()
            if told:
                last.tell()
                _say(report, told)
            cause, write = found if isinstance(found, GanInvError) else None, None
            with report.hold() as notes:
                try:
                    write = None if isinstance(found, GanInvError) else work(job, found)
                except _OF_AN_INPUT as error:
                    cause = error
            last.tell()
            _say(report, notes)
            if last.failed:
                for other in jobs[index:]:
                    report.fail(other, "not tried: results cannot be written")
                return
            if write is not None:
                last.start(job, writer.submit(write))
                continue
            assert cause is not None
            if isinstance(cause, UsageError) and index == 0:
                raise cause
            report.fail(job, cause.message)
            advance()
        last.tell()


class _Written:
    """The input whose results are being written, if any."""

    def __init__(self, report: Report, advance: Callable[[], None]) -> None:
        self.report, self.advance, self.failed = report, advance, False
        self.job: Job | None = None
        self.future: Future[list[Path]] | None = None

    def start(self, job: Job, future: Future[list[Path]]) -> None:
        self.job, self.future = job, future

    def tell(self) -> None:
        """Waits for the files and tells of them, once."""
        job, future, self.job, self.future = self.job, self.future, None, None
        if job is None or future is None:
            return
        try:
            written = future.result()
        except OutputError as cause:
            self.report.fail(job, cause.message)
            self.failed = True
            return
        self.report.outputs += written
        if not self.report.as_json:
            click.echo(f"{job.path} -> {written[-1]} ({len(written)} files)")
        self.advance()


def _read(load: Callable[[Job], T], job: Job, report: Report) -> tuple[T | GanInvError, list[str]]:
    """What `load` gives or why it cannot, and its notes."""
    with report.hold() as notes:
        try:
            return load(job), notes
        except _OF_AN_INPUT as cause:
            return cause, notes


def _ahead(jobs: Sequence[Job], start: Callable[[Job], Future[T]]) -> Iterator[Future[T]]:
    """A future for each job in turn, begun `_AHEAD` jobs before."""
    begun: deque[Future[T]] = deque()
    for job in jobs:
        begun.append(start(job))
        if len(begun) > _AHEAD:
            yield begun.popleft()
    yield from begun


def _say(report: Report, notes: Sequence[str]) -> None:
    for note in notes:
        report.note(note)
