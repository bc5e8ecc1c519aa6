"""The run over inputs: read ahead, written behind, told in order, past bad ones."""

from __future__ import annotations

import threading
from pathlib import Path

import click
import pytest

from ganinv.cli.common import Job
from ganinv.cli.run import Report, Write, run_jobs
from ganinv.errors import InputError, OutputError, UsageError

NAMES = ("a", "b", "c", "d", "e")


def jobs() -> list[Job]:
    return [Job(Path(name), name) for name in NAMES]


def new_report() -> Report:
    return Report(False, [Path(name) for name in NAMES], {})


def writing(job: Job) -> Write:
    return lambda: [Path(f"{job.name}-00.png")]


def test_told_in_the_order_of_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    report = new_report()

    def load(job: Job) -> str:
        report.note(f"Note: {job.name}: read")
        if job.name == "b":
            raise InputError("b: broken")
        return job.name.upper()

    def work(job: Job, loaded: str) -> Write:
        assert loaded == job.name.upper()
        if job.name == "d":
            raise UsageError("d: does not fit")
        report.note(f"Note: {job.name}: worked")
        return writing(job)

    both: list[str] = []

    def echo(text: str, err: bool = False) -> None:
        both.append(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click, "echo", echo)
        run_jobs(jobs(), load, work, report)
    assert both == [
        *("Note: a: read", "Note: a: worked", "a -> a-00.png (1 files)"),
        "Note: b: read",
        *("Note: c: read", "Note: c: worked", "c -> c-00.png (1 files)"),
        "Note: d: read",
        *("Note: e: read", "Note: e: worked", "e -> e-00.png (1 files)"),
    ]
    assert report.failures == [(Path("b"), "b: broken"), (Path("d"), "d: does not fit")]
    assert report.outputs == [Path(f"{name}-00.png") for name in "ace"]


def test_the_next_is_read_and_the_last_is_written_meanwhile() -> None:
    """Each waits for what can only happen at the same time; in turn, it would wait for ever."""
    read = {name: threading.Event() for name in NAMES}
    begun = {name: threading.Event() for name in NAMES}

    def load(job: Job) -> None:
        read[job.name].set()

    def work(job: Job, _: None) -> Write:
        begun[job.name].set()
        for other in NAMES[: NAMES.index(job.name) + 2]:
            assert read[other].wait(20)

        def write() -> list[Path]:
            following = NAMES[NAMES.index(job.name) + 1 :][:1]
            assert all(begun[name].wait(20) for name in following)
            return [Path(job.name)]

        return write

    report = new_report()
    run_jobs(jobs(), load, work, report)
    assert len(report.outputs) == len(NAMES)


def test_few_are_read_before_their_turn() -> None:
    read: list[str] = []

    def work(job: Job, _: None) -> Write:
        assert len(read) <= NAMES.index(job.name) + 3
        return writing(job)

    run_jobs(jobs(), lambda job: read.append(job.name), work, new_report())
    assert read == list(NAMES)


def test_a_result_that_cannot_be_written_ends_the_run() -> None:
    report, worked = new_report(), []

    def work(job: Job, _: None) -> Write:
        worked.append(job.name)

        def write() -> list[Path]:
            if job.name == "b":
                raise OutputError("no space")
            return [Path(job.name)]

        return write

    run_jobs(jobs(), lambda job: None, work, report)
    assert worked == ["a", "b", "c"]  # c was under way
    rest = [(Path(name), "not tried: results cannot be written") for name in "cde"]
    assert report.failures == [(Path("b"), "no space"), *rest]


@pytest.mark.parametrize("where", ["load", "work"])
def test_a_mistake_on_the_command_line_is_told_at_once(where: str) -> None:
    def fail(*_: object) -> None:
        raise UsageError("no such thing")

    worked = fail if where == "work" else writing
    with pytest.raises(UsageError, match="no such thing"):
        run_jobs(jobs(), fail if where == "load" else lambda job: job, worked, new_report())  # type: ignore[arg-type]
