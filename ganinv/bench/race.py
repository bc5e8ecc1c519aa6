"""Contenders in processes of their own, taking turns; the machine's ceilings, measured in the same run."""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ganinv.allocator import keep_freed_memory
from ganinv.bench.contenders import Task, make
from ganinv.bench.timing import least_seconds, seconds, warm_up
from ganinv.errors import GanInvError

_FIRST_SIDE, _LONG_ENOUGH = 256, 0.05
"""Side of the first matrices whose product is timed; seconds of a product that tell the rate."""


@dataclass
class Result:
    """What a contender took. cause: why it could not take part; seconds: of each round, in order."""

    name: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    cause: str = ""

    @property
    def median(self) -> float:
        """Seconds; not a number where it did not take part."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


def race(
    names: Sequence[str], task: Task, *, rounds: int, threads: int, checkouts: Mapping[str, str] | None = None
) -> list[Result]:
    """Each contender once to warm up, then `rounds` times in turn. One that fails is told by its cause."""
    with ExitStack() as stack:
        runners = [
            stack.enter_context(
                _Runner.start(name, replace(task, checkout=(checkouts or {}).get(name, "")), threads)
            )
            for name in names
        ]
        for _ in range(rounds):
            for runner in runners:
                runner.go()
    return [runner.result for runner in runners]


def ceilings(threads: int, device: str = "cpu") -> dict[str, float]:
    """Rates of this machine: GFLOP/s of matrix products by type; GB/s (both ways) of a copy into memory that
    is there, and, "clone", into memory fresh from the system, as results of operations are.
    """
    side, floats = (2048, 64 << 20) if device == "cpu" else (8192, 512 << 20)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rates = {}
        for dtype in (torch.float32, torch.bfloat16):
            rates[str(dtype)[6:]] = _products(dtype, device, side) / 1e9
        source = torch.zeros(floats, device=device)
        target = torch.empty_like(source)
        rates["copy"] = 2 * source.nbytes / least_seconds(lambda: target.copy_(source), 5) / 1e9
        rates["clone"] = 2 * source.nbytes / least_seconds(source.clone, 5) / 1e9
        return rates
    finally:
        torch.set_num_threads(before)


def _products(dtype: torch.dtype, device: str, largest: int) -> float:
    """FLOP/s of products of square matrices of side `largest`, or of smaller ones that take long enough: a
    processor without bfloat16 would need minutes for large ones.
    """
    side = min(_FIRST_SIDE, largest)
    while True:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        took = least_seconds(functools.partial(torch.mm, a, b), 5)
        if side == largest or took > _LONG_ENOUGH:
            return 2 * side**3 / took
        side = min(2 * side, largest)


class _Runner:
    """The parent's end of one process."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.result, self.process = Result(name), process
        self._hear()

    @classmethod
    @contextmanager
    def start(cls, name: str, task: Task, threads: int) -> Iterator[_Runner]:
        """Starts the process and waits for its first, unmeasured call; ends it at the end."""
        arguments = [sys.executable, "-m", "ganinv.bench.race", name, json.dumps(asdict(task)), str(threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:  # closing its stdin is what ends it
            yield cls(name, process)

    def go(self) -> None:
        """One measured call."""
        if self.result.cause:
            return
        assert self.process.stdin is not None
        print("go", file=self.process.stdin, flush=True)
        told = self._hear()
        if "seconds" in told:
            self.result.seconds.append(told["seconds"])
            self.result.peak_bytes = told["peak"]

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"cause": "its process ended without a word"}
        self.result.cause = told.get("cause", "")
        return told


def worker(arguments: Sequence[str]) -> None:
    """The other end: a line of JSON after the first call, and after each line on stdin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("task", type=json.loads)
    parser.add_argument("threads", type=int)
    given = parser.parse_args(arguments)
    keep_freed_memory()  # as the commands do; peers have it too
    out, sys.stdout = sys.stdout, sys.stderr  # peers print as they please
    torch.set_num_threads(given.threads)

    def tell(**facts: Any) -> None:
        print(json.dumps(facts), file=out, flush=True)

    try:
        work = make(given.name, Task(**given.task))
        warm_up(work)
        tell(ready=True)
        for _ in sys.stdin:
            tell(seconds=seconds(work), peak=peak_bytes())
    except GanInvError as error:
        tell(cause=error.message)
    except Exception as error:  # a peer's program may fail in any way, and only it is out then
        tell(cause=f"{type(error).__name__}: {error}".splitlines()[0])


def peak_bytes() -> int:
    """Most memory that this process has held: of the card, if it uses one."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    try:  # getrusage would count what the parent held when this process was forked from it
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    worker(sys.argv[1:])
