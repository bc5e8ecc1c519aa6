"""Reading ahead and writing behind: order, errors, bounds, and what is left when a run is stopped."""

from __future__ import annotations

import functools
import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.cli import run
from ganinv.cli.pipeline import AHEAD, overlapped
from ganinv.errors import InputError, OutputError

WAIT = 10  # seconds, for what happens at once


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("read", "write"))]


def test_next_is_read_and_last_is_written_while_one_is_computed() -> None:
    read, written, computing = threading.Event(), threading.Event(), threading.Event()

    def reading(job: int) -> int:
        if job == 2:
            assert computing.wait(WAIT)
            read.set()
        return job

    def work(job: int, found: int) -> Callable[[], int]:
        if job == 1:
            computing.set()
            assert read.wait(WAIT)  # 2 is read in the meantime
            assert written.wait(WAIT)  # and 0 written

        def write() -> int:
            if job == 0:
                assert computing.wait(WAIT)
                written.set()
            return 10 * found

        return write

    assert [(job, result.result()) for job, result in overlapped(range(4), reading, work)] == [
        (job, 10 * job) for job in range(4)
    ]
    assert not threads()


def test_order_holds_whatever_takes_long() -> None:
    def slow(job: int, shift: int) -> int:
        time.sleep(0.02 * ((job + shift) % 3))
        return job

    def work(job: int, found: int) -> Callable[[], int]:
        slow(job, 1)
        return lambda: slow(found, 2)

    done = overlapped(range(9), lambda job: slow(job, 0), work)
    assert [(job, result.result()) for job, result in done] == [(job, job) for job in range(9)]


def test_each_error_belongs_to_its_job() -> None:
    def fails(stage: str, job: int) -> None:
        if stage == {1: "read", 3: "work"}.get(job):
            raise InputError(f"{stage} {job}")

    def work(job: int, found: None) -> Callable[[], int]:
        fails("work", job)
        return lambda: job

    told = []
    for job, result in overlapped(range(5), lambda job: fails("read", job), work):
        cause = result.exception()
        told.append((job, str(cause) if cause else result.result()))
    assert told == [(0, 0), (1, "read 1"), (2, 2), (3, "work 3"), (4, 4)]


def test_after_a_failed_write_nothing_is_written() -> None:
    wrote, computed = [], threading.Event()

    def write(job: int) -> int:
        if job == 1:
            assert computed.wait(WAIT)  # 2 waits to be written by then
            raise OutputError("the disk is full")
        wrote.append(job)
        return job

    def work(job: int, found: int) -> Callable[[], int]:
        if job == 3:
            computed.set()
        return lambda: write(job)

    done = overlapped(range(6), lambda job: job, work)
    outcomes = [result.exception() for _, result in done]
    assert wrote == [0] and isinstance(outcomes[1], OutputError)
    assert all(isinstance(cause, RuntimeError) for cause in outcomes[2:])


class Loaded:
    """What was read of one input."""


def test_memory_is_bounded() -> None:
    alive: weakref.WeakSet[Loaded] = weakref.WeakSet()
    most, finished = 0, 0

    def read(job: int) -> Loaded:
        loaded = Loaded()
        alive.add(loaded)
        return loaded

    def work(job: int, loaded: Loaded) -> Callable[[], None]:
        nonlocal most
        most = max(most, len(alive))
        return lambda: (time.sleep(0.005), loaded)[0]

    for _, result in overlapped(range(60), read, work):
        result.result()
        finished += 1
    gc.collect()
    assert finished == 60 and most <= 2 * AHEAD + 4  # read ahead, in work, waiting to be written, just read


def test_a_stop_drops_what_is_not_begun_and_waits_for_the_rest() -> None:
    begun, ended, read = [], [], []

    def write(job: int) -> None:
        begun.append(job)
        time.sleep(0.1)
        ended.append(job)

    def work(job: int, found: object) -> Callable[[], None]:
        if job == 3:
            raise KeyboardInterrupt
        return lambda: write(job)

    with pytest.raises(KeyboardInterrupt):
        for _ in overlapped(range(100), read.append, work):
            pass
    assert begun == ended and len(ended) < 3 and len(read) <= 4 + AHEAD
    assert not threads()


# ---- a run of `ganinv invert`


def test_ctrl_c_leaves_whole_files(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(5):
        bench.picture(f"in/{index}.png")
    real, calls = run.overlapped, []

    def interrupted(jobs: Any, read: Any, work: Any) -> Any:
        def stopped(job: Any, found: Any) -> Any:
            calls.append(job)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return work(job, found)

        return real(jobs, read, stopped)

    monkeypatch.setattr(run, "overlapped", interrupted)
    result = bench.invert("in", "--mask", "centre", "--samples", 2)
    assert result.exit_code != 0
    files = sorted(path.name for path in (bench.folder / "out").iterdir())
    assert files and not [name for name in files if name.startswith(".") or name.endswith(".tmp")]
    for path in (bench.folder / "out").glob("*.png"):
        assert bench.pixels(path).size > 0
    assert not threads()


def test_the_same_files_with_and_without_overlap(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(4):
        bench.picture(f"in/{index}.png")
    (bench.folder / "in" / "1.png").write_bytes(b"not a picture")
    arguments = ("in", *bench.tiny, "--mask", "free-form", "--samples", 2, "--json")
    first = bench.run("invert", *arguments, "--out", "together")

    def one_by_one(jobs: Any, read: Any, work: Any) -> Any:
        for job in jobs:
            yield from overlapped([job], read, work)

    monkeypatch.setattr(run, "overlapped", one_by_one)
    second = bench.run("invert", *arguments, "--out", "apart")
    told = [bench.printed(result) for result in (first, second)]
    assert [Path(p).name for p in told[0]["outputs"]] == [Path(p).name for p in told[1]["outputs"]]
    assert told[0]["failures"] == told[1]["failures"] and len(told[0]["failures"]) == 1
    for path in told[0]["outputs"]:
        assert Path(path).read_bytes() == Path("apart", Path(path).name).read_bytes()


def test_chunk_precision_and_compile_are_options(bench: Any) -> None:
    picture = bench.picture("me.png")
    for chunk in (1, 3):
        arguments = ("--samples", 3, "--chunk", chunk, "--raw")
        result = bench.run("invert", picture, *bench.tiny, *arguments, "--out", f"chunk{chunk}")
        assert result.exit_code == 0, result.stderr
    one, three = (bench.pixels(Path(f"chunk{c}/me-02-raw.png")).astype(int) for c in (1, 3))
    assert np.abs(one - three).max() <= 1
    for options, told in (
        (("--chunk", 0), "0 is not in the range x>=1"),
        (
            ("--precision", "float16"),
            "float16 is for CUDA, and the generator is on cpu: type --precision bfl",
        ),
        (("--precision", "half"), "'half' is not one of 'float32', 'bfloat16', 'float16'"),
    ):
        for command in ("invert", "edit"):
            more = ("--direction", "age", "--strength", 1) if command == "edit" else ()
            result = bench.run(command, picture, *bench.tiny, *more, *options, "--out", "none")
            assert result.exit_code == 2 and told in result.stderr, result.stderr
    assert not Path("none").exists()


def test_compile_where_there_is_no_compiler(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    picture = bench.picture("me.png")
    result = bench.invert(picture, "--compile")
    assert result.exit_code == 2
    assert "torch.compile cannot be had here (No working C++ compiler found): drop --compile" in result.stderr
    assert not (bench.folder / "out").exists()
