"""A folder of pictures worked on by several processes; bad files are reported and skipped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ganinv.cli.inputs import Job
from ganinv.cli.progress import LINE_SECONDS, counted
from ganinv.cli.run import Report
from ganinv.errors import CheckpointError, InputError, OutputError, UsageError

_FEW = 8  # inputs that one process does sooner than others start


@dataclass
class Outcome:
    """Of one input. error: why nothing was made of it; fatal: the others would meet the same."""

    outputs: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: bool = False
    error: str | None = None
    fatal: bool = False
    misused: bool = False


@dataclass
class FolderReport(Report):
    """A report that also tells of inputs whose results were there already."""

    skipped: list[Path] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The object of --json."""
        return {**super().to_json(), "skipped": [str(path) for path in self.skipped]}


def shown(path: Path | str) -> str:
    """A path on one line, whatever its name holds: line breaks and bytes that are no text are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def default_workers(inputs: int, processes: int = 1) -> int:
    """As many as there are cores for each of a launch's processes, and one for few inputs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if inputs <= _FEW else max(1, min(cores // processes, inputs // 4))


def attempt(work: Callable[[Job], Outcome], job: Job) -> Outcome:
    """Runs `work` on a job; what its user did wrong, or its file is, becomes part of the outcome."""
    try:
        return work(job)
    except (InputError, CheckpointError) as cause:
        return Outcome(error=cause.message)
    except UsageError as cause:
        return Outcome(error=cause.message, misused=True)
    except OutputError as cause:
        return Outcome(error=cause.message, fatal=True)
    except MemoryError:
        return Outcome(error="out of memory; make the picture smaller, or type --workers 1")


def run_folder(
    jobs: Sequence[Job], work: Callable[[Job], Outcome], report: FolderReport, workers: int
) -> None:
    """Runs `work` on each job, in this process or (where it can be pickled) in `workers` of them.

    Results are told in the order of the jobs. A result that cannot be written ends the run.

    Raises:
        UsageError: the first job met one: a mistake on the command line that all would meet.
    """
    results = _alone(jobs, work) if workers == 1 else _pooled(jobs, work, workers)
    start = last = time.monotonic()
    for index, outcome in enumerate(counted(results, len(jobs))):
        job = jobs[index]
        for note in outcome.notes:
            report.note(f"Warning: {shown(job.path)}: {note}")
        if outcome.misused and index == 0:
            raise UsageError(outcome.error or "")
        if outcome.error is not None:
            report.failures.append((job.path, outcome.error))
        if outcome.fatal:
            rest = "not tried: results cannot be written"
            report.failures += [(other.path, rest) for other in jobs[index + 1 :]]
            return
        if outcome.skipped:
            report.skipped.append(job.path)
        report.outputs += outcome.outputs
        if outcome.outputs and not outcome.skipped and not report.as_json:
            count = len(outcome.outputs)
            click.echo(f"{shown(job.path)} -> {shown(outcome.outputs[-1])} ({count} files)")
        now = time.monotonic()
        if now - last > LINE_SECONDS and not sys.stderr.isatty():
            last, done = now, index + 1
            left = (now - start) / done * (len(jobs) - done)
            report.note(
                f"{done} of {len(jobs)}, {done / (now - start):.1f} a second, about {left:.0f} s left"
            )


def _alone(jobs: Sequence[Job], work: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    for job in jobs:
        yield attempt(work, job)


def _pooled(jobs: Sequence[Job], work: Callable[[Job], Outcome], workers: int) -> Iterator[Outcome]:
    """In order; no more than a few jobs a worker are under way, so that memory does not grow."""
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_in_worker)
    ahead: deque[Future[Outcome]] = deque()
    waiting = iter(jobs)
    try:
        while True:
            while len(ahead) < 3 * workers and (job := next(waiting, None)) is not None:
                ahead.append(pool.submit(attempt, work, job))
            if not ahead:
                return
            yield ahead.popleft().result()
    except BrokenProcessPool as cause:
        raise InputError(
            "a worker process was ended from outside, perhaps for want of memory: type fewer --workers, and "
            "--skip-existing to go on"
        ) from cause
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_worker() -> None:
    """One thread each, and Ctrl-C left to the parent."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for a detector that brings PyTorch
