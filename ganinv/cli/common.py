"""What commands that work on files share: options, finding the inputs, the run over them and its report."""

from __future__ import annotations

import glob
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ganinv.cli.pipeline import overlapped
from ganinv.errors import CheckpointError, InputError, OutputError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from ganinv.method import InversionMethod

INVERSION_SUFFIX = ".inversion.safetensors"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm") + (
    (".heic", ".heif", ".avif")  # where no decoder is installed, a folder of photos tells of those
)

_LINE_SECONDS = 10.0  # between lines of progress that go to a file

T = TypeVar("T")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Finite(click.ParamType):
    """A number that is neither infinite nor NaN, from `min` to `max` where these are given."""

    name = "number"

    def __init__(self, min: float | None = None, max: float | None = None) -> None:
        self.least = -math.inf if min is None else min
        self.most = math.inf if max is None else max

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; fails as other click types do."""
        number = float(click.FLOAT.convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        if not self.least <= number <= self.most:
            self.fail(f"{value} is not in the range {self.least:g} to {self.most:g}.", param, ctx)
        return number


class Size(click.ParamType):
    """HEIGHTxWIDTH in pixels."""

    name = "HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """(height, width); fails as other click types do."""
        if isinstance(value, tuple):
            return value
        height, _, width = str(value).partition("x")
        if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
            self.fail(f"{value!r} is not of the form HEIGHTxWIDTH, like 384x512.", param, ctx)
        return int(height), int(width)


def options(*decorators: Decorator) -> Decorator:
    """Several click options as one decorator; --help lists them in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the results."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout; notes go to stderr."
)
machine_options = options(
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="cpu, cuda, cuda:1, or auto: cuda if there is any.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        default="float32",
        show_default=True,
        help="Of the generator's convolutions; float16 on CUDA only.",
    ),
    click.option(
        "--chunk",
        type=click.IntRange(min=1),
        help="Pictures in one pass of the generator; default: what free memory has room for.",
    ),
    click.option(
        "--compile",
        "compiled",
        is_flag=True,
        help="Draw through torch.compile; the first picture waits for the compiler.",
    ),
)


# ------------------------------------------------------------------------------------------ inputs


@dataclass(frozen=True)
class Job:
    """One input, and the name of its results: its stem, below the subfolders of its folder or glob."""

    path: Path
    name: str


def expand_inputs(
    patterns: Sequence[str], kinds: Sequence[Sequence[str]], out: Path, *, leave_out: bool = True
) -> list[Job]:
    """The inputs that files, folders and globs stand for, in a fixed order.

    Args:
        patterns: as typed. A file is taken whatever its suffix; an absent one is told in the run.
        kinds: groups of suffixes; a folder or glob gives its files of the first group it has any of.
        out: the folder of the results; a folder input leaves it out where `leave_out`.

    A folder that cannot be read is a job too, which fails when it is read.

    Raises:
        UsageError: a folder or glob without inputs, or two inputs whose results would have one name.
    """
    jobs: list[Job] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            if leave_out and out.resolve() == path.resolve():
                raise UsageError(
                    f"--out {out} is the input folder itself: choose another folder for the results"
                )
            jobs += _of_kind(pattern, path, _below(path, out if leave_out else None), kinds)
        elif not path.exists() and glob.has_magic(pattern):
            root = Path(*_until_magic(path))
            found = (Path(p) for p in sorted(glob.glob(pattern, recursive=True)))
            jobs += _of_kind(pattern, root, (p for p in found if p.is_file()), kinds)
        else:
            jobs.append(Job(path, result_name(path.name)))
    _refuse_collisions(jobs)
    return jobs


def result_name(file_name: str) -> str:
    """The stem: the file's name without its suffix, or without the whole `.inversion.safetensors`."""
    if file_name.endswith(INVERSION_SUFFIX):
        return file_name.removesuffix(INVERSION_SUFFIX)
    return Path(file_name).stem


def _below(folder: Path, out: Path | None) -> Iterator[Path]:
    """The files below a folder that are neither hidden nor results, sorted; folders that cannot be read."""
    results = None if out is None else out.resolve()
    unreadable: list[Path] = []
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=lambda e: unreadable.append(Path(e.filename))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if results is None or results not in (Path(place).resolve(), *Path(place).resolve().parents):
            found += [Path(place, name) for name in names if not name.startswith(".")]
    yield from sorted([path for path in found if path.is_file()] + unreadable)


def _until_magic(path: Path) -> Iterator[str]:
    for part in path.parts:
        if glob.has_magic(part):
            return
        yield part


def _of_kind(pattern: str, root: Path, found: Iterable[Path], kinds: Sequence[Sequence[str]]) -> list[Job]:
    files = list(found)
    for suffixes in kinds:
        fitting = [path for path in files if path.name.lower().endswith(tuple(suffixes)) or path.is_dir()]
        if fitting:
            places = [path.relative_to(root).parent for path in fitting]
            pairs = zip(fitting, places, strict=True)
            return [Job(path, (place / result_name(path.name)).as_posix()) for path, place in pairs]
    wanted = ", ".join("*" + suffix for suffixes in kinds for suffix in suffixes)
    raise UsageError(f"{pattern} holds no input; looked for {wanted}")


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(job.name, job)
        if other is not job:
            raise UsageError(
                f"{other.path} and {job.path} would both be written as {job.name}-*: "
                "rename one, or run them apart"
            )


def refuse_overwriting(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raises UsageError where a result would be written over one of the files it is made from."""
    planned = {path.resolve() for path in outputs}
    for path in inputs:
        if path.resolve() in planned:
            raise UsageError(f"a result would be written over the input {path}: choose another --out folder")


# ------------------------------------------------------------------------------------------ the run


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
    with _progress(len(jobs)) as advance, closing(overlapped(jobs, read, work)) as done:
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


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal and for several inputs; else nothing, as each input has its line."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    with _bar() as bar:
        task = bar.add_task("pictures", total=total)
        yield lambda: bar.advance(task)


def counted(items: Iterable[T], total: int) -> Iterator[T]:
    """The items as they come, with a bar on a terminal."""
    with _progress(total) as advance:
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
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield progress


def _stage_lines() -> Callable[[str, int, int], None]:
    """Tells a stage's first and last items, and every `_LINE_SECONDS` between, on stderr."""
    begun: dict[str, tuple[float, int]] = {}
    last = [0.0]

    def progress(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        start, before = begun.setdefault(stage, (now, done))
        if before != done and done < total and now - last[0] < _LINE_SECONDS:
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
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        method.progress = progress
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
