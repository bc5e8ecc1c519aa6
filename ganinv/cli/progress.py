"""Progress: bars on a terminal, else a line now and then, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.progress import Progress

    from ganinv.method import InversionMethod

LINE_SECONDS = 10.0  # between lines of progress that go to a file

T = TypeVar("T")


@contextmanager
def items_bar(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal and for several inputs; else nothing, as each input has its line."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    with _bar() as bar:
        task = bar.add_task("pictures", total=total)
        yield lambda: bar.advance(task)


def counted(items: Iterable[T], total: int) -> Iterator[T]:
    """The items as they come, with a bar on a terminal."""
    with items_bar(total) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function to call with a stage, its items done and in all: a bar with the time left for each stage on
    a terminal, else a line now and then.
    """
    if not sys.stderr.isatty():
        yield _stage_lines()
        return
    with _bar() as bar:
        yield _stages(bar)


def _stages(bar: Progress) -> Callable[[str, int, int], None]:
    """A function that gives each stage it is told of a line of its own on the bar."""
    tasks: dict[str, Any] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done)

    return progress


def _stage_lines() -> Callable[[str, int, int], None]:
    """Tells a stage's first and last items, and every `LINE_SECONDS` between, on stderr."""
    begun: dict[str, tuple[float, int]] = {}
    last = [0.0]

    def progress(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        start, before = begun.setdefault(stage, (now, done))
        if before != done and done < total and now - last[0] < LINE_SECONDS:
            return
        last[0] = now
        left = (now - start) / (done - before) * (total - done) if done > before else None
        told = f", about {left:.0f} s left" if left and done < total else ""
        click.echo(f"{stage}: {done} of {total}{told}", err=True)

    return progress


@contextmanager
def step_bar(method: InversionMethod, *, wanted: bool) -> Iterator[None]:
    """Shows the steps of a slow method on a terminal while it works, where `wanted`."""
    if not wanted or not sys.stderr.isatty():
        yield
        return
    with _bar() as bar:
        method.progress = _stages(bar)
        try:
            yield
        finally:
            method.progress = None


@contextmanager
def download_bar() -> Iterator[Callable[[int, int | None], object] | None]:
    """A function to call with the bytes received and in all, which a terminal shows; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    with _bar(in_bytes=True) as bar:
        task = bar.add_task("download", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def _bar(*, in_bytes: bool = False) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    # Rich would send piped stdout to its own console, which is stderr.
    both = sys.stdout.isatty()
    return Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=both)
