"""A folder by several processes: their shares, the merged report, and one that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganinv.cli.shares import Share, finish, my_share
from ganinv.errors import UsageError


def test_shares_of_a_launch() -> None:
    assert my_share({}) == Share(0, 1, "")
    torchrun = {"RANK": "1", "WORLD_SIZE": "3", "TORCHELASTIC_RUN_ID": "x", "TORCHELASTIC_RESTART_COUNT": "0"}
    assert my_share(torchrun) == Share(1, 3, "x.0")
    slurm = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "1"}
    assert my_share(slurm) == Share(2, 4, "77.1")
    assert my_share(slurm | {"SLURM_JOB_NAME": "interactive"}) == Share()
    parts = [Share(rank, 3).of(range(10)) for rank in range(3)]
    assert sorted(item for part in parts for item in part) == list(range(10))
    for bad in ({"RANK": "3", "WORLD_SIZE": "3"}, {"RANK": "x", "WORLD_SIZE": "3"}):
        with pytest.raises(UsageError, match="the place of this process is unclear: RANK="):
            my_share(bad)


def test_reports_of_shares_are_merged_by_the_last(tmp_path: Path) -> None:
    def report(*outputs: str) -> dict[str, Any]:
        return {
            "outputs": list(outputs),
            "inputs": list(outputs),
            "skipped": [],
            "failures": [],
            "options": {"a": 1},
        }

    assert finish(Share(0, 2, "old"), tmp_path, "r", report("stale")) is None
    assert finish(Share(1, 2, "new"), tmp_path, "r", report("b")) is None  # the other is of another launch
    merged = finish(Share(0, 2, "new"), tmp_path, "r", report("a"))
    assert merged is not None
    found = json.loads(merged.read_text())
    assert found["outputs"] == ["a", "b"] and found["processes"] == 2 and found["options"] == {"a": 1}


def test_a_folder_by_two_processes_one_of_them_killed(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(7):
        two.photo(two.folder / "photos" / f"{index}.png")
    Path("points.json").write_text(json.dumps(two.five(16, 80, 50)))
    monkeypatch.setenv("WORLD_SIZE", "2")

    def share(rank: int, *more: object) -> Any:
        monkeypatch.setenv("RANK", str(rank))
        return two.align("photos", "--out", "out", *more)

    first = share(0)  # the other is killed, and never reports
    assert first.exit_code == 0 and "process 0 of 2: 4 of 7 photos" in first.stderr
    assert "the last process to end writes out/align-report.json" in first.stderr
    assert not Path("out/align-report.json").exists() and len(list(Path("out").glob("[0-9].png"))) == 4
    assert share(1, "--skip-existing").exit_code == 0
    merged = json.loads(Path("out/align-report.json").read_text())
    assert len(merged["outputs"]) == 14 and len(merged["inputs"]) == 7 and not merged["failures"]
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    Path("out/3.png").unlink()
    alone = two.align("photos", "--out", "out", "--skip-existing")
    assert alone.exit_code == 0
    whole = json.loads(Path("out/align-report.json").read_text())
    assert len(whole["skipped"]) == 6 and [Path(p).name for p in whole["outputs"]] == [
        "3.align.json",
        "3.png",
    ]


def test_a_killed_worker_is_told(two: Any) -> None:
    """A worker that is ended from outside leaves one line, not a traceback."""
    for index in range(3):
        two.photo(two.folder / "photos" / f"{index}.png")
    code = (
        "import os, sys\nfrom functools import partial\nfrom pathlib import Path\n"
        "from ganinv.cli.inputs import Job\nfrom ganinv.cli.folder import FolderReport, run_folder\n"
        "from ganinv.errors import InputError\n"
        "if __name__ == '__main__':\n"
        "    jobs = [Job(Path(name), name) for name in 'abc']\n"
        "    try: run_folder(jobs, os._exit, FolderReport(False, [], {}), 2)\n"
        "    except InputError as e: print(e)\n"
    )
    Path("run.py").write_text(
        code.replace("os._exit", "partial(killed)").replace(
            "if __name__", "def killed(job): os._exit(9)\nif __name__"
        )
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run([sys.executable, "run.py"], capture_output=True, text=True, env=env, check=True)
    assert (
        "a worker process was ended from outside" in said.stdout and "--skip-existing to go on" in said.stdout
    )
