"""Freed memory is kept: blocks taken again cost no new pages."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ganinv.allocator import keep_freed_memory
from ganinv.cli import bench, machine, train

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

PAGES_OF_A_BLOCK = 64 * 2**20 // os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
CHILD = """
import resource, sys
import numpy as np
from ganinv.allocator import keep_freed_memory
done = keep_freed_memory() if sys.argv[1] == "keep" else None
def use():
    block = np.empty(64 * 2**20, np.uint8)  # above glibc's largest threshold: given back as it is freed
    block[:] = 1
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def child(how: str, **environment: str) -> tuple[str, int]:
    """What `keep_freed_memory` said in a process of its own, and the page faults of five blocks."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    clean["NUMPY_MADVISE_HUGEPAGE"] = "0"  # huge pages would hide what is counted
    command = [sys.executable, "-c", CHILD, how]
    text = subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, check=True
    ).stdout
    said, faults = text.split()
    return said, int(faults)


def test_blocks_taken_again_cost_no_pages() -> None:
    _, usual = child("leave")
    said, kept = child("keep")
    assert said == "True"
    assert usual > 10 * (kept + 1)
    assert kept < PAGES_OF_A_BLOCK / 10


def test_the_environment_goes_first() -> None:
    assert child("keep", MALLOC_TOP_PAD_="131072")[0] == "False"


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def missing(name: str) -> Any:
        raise error(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert not keep_freed_memory()


def test_commands_that_draw_keep_it(monkeypatch: pytest.MonkeyPatch, tiny_backbone: Any) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(machine, "keep_freed_memory", lambda: asked.append(True))
    machine.open_backbone(str(tiny_backbone.path), "cpu")
    assert asked == [True]


def test_training_and_bench_keep_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("ganinv.allocator.keep_freed_memory", lambda: asked.append(True))
    arguments = ["--config", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(train.command, arguments).exit_code != 0
    assert asked == [True]
    monkeypatch.setattr("ganinv.bench.ops.race_ops", lambda *args, **options: [])
    monkeypatch.setattr(
        "ganinv.bench.race.ceilings",
        lambda *args: dict.fromkeys(("float32", "bfloat16", "copy", "clone"), 1.0),
    )
    assert CliRunner().invoke(bench.command, ["ops"]).exit_code == 0
    assert asked == [True, True]
