"""A training killed at any moment ends as if it had been left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganinv.errors import CheckpointError
from ganinv.parts import Backbone, Discriminator
from plugin_ganinpaint.training import entry
from plugin_ganinpaint.training.methods import DIVERSE_INPAINT
from plugin_ganinpaint.training.state import LOG, save_state, state_path

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., Any]


def test_killed_three_times_it_ends_the_same(tmp_path: Path) -> None:
    paths = os.pathsep.join(filter(None, sys.path))
    found = subprocess.run(
        [
            sys.executable,
            ROOT / "scripts" / "kill_training.py",
            "--kills",
            "3",
            "--seed",
            "0",
            "--out",
            tmp_path,
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.splitlines()[-1].startswith("3 kills in ")
    assert found.stdout.splitlines()[-1].endswith(" trainings: 0 differences")


def test_a_run_that_saved_nothing_begins_anew(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    config = short()
    with pytest.raises(CheckpointError, match="nothing to resume in"):
        entry.fit(config, backbone, discriminator, tmp_path / "a", resume=True)
    (tmp_path / "a").mkdir()
    line = '{"stage": 1, "images": 400, "l2": 0.1}\n'
    (tmp_path / "a" / LOG).write_text(line + line[:20])  # killed before the first state
    half = tmp_path / "a" / ".stage1.state.4711.tmp"
    half.touch()
    lines: list[str] = []
    entry.fit(config, backbone, discriminator, tmp_path / "a", stage="1", resume=True, report=lines.append)
    assert f"{tmp_path / 'a'} holds a run that has saved no state yet: it begins anew" in lines
    assert not half.exists() and '"images": 400' not in (tmp_path / "a" / LOG).read_text()
    entry.fit(config, backbone, discriminator, tmp_path / "b", stage="1", report=lines.append)
    assert (tmp_path / "a" / DIVERSE_INPAINT.result).read_bytes() == (
        tmp_path / "b" / DIVERSE_INPAINT.result
    ).read_bytes()


def test_a_finished_stage_is_left_as_it_is(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    """Resumed, a run that is in stage 2 does not write the weights and sheets of stage 1 again."""
    entry.fit(short(), backbone, discriminator, tmp_path)
    kept = {
        path: path.read_bytes()
        for path in (tmp_path / DIVERSE_INPAINT.result, tmp_path / LOG, state_path(tmp_path, 1))
    }
    result = entry.fit(short(), backbone, discriminator, tmp_path, resume=True)
    assert {k: v["reason"] for k, v in result["stages"].items()} == {"1": "done", "2": "done"}
    assert result["stages"]["1"]["diversity"] > 0
    for path, content in kept.items():
        assert path.read_bytes() == content, path.name


def test_killed_between_the_last_sheet_and_its_state(
    short: Make,
    backbone: Backbone,
    discriminator: Discriminator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The state of the last step knows nothing of the sheet at the end: the sheet's figures come once."""
    config = short(save_every=24)
    entry.fit(config, backbone, discriminator, tmp_path / "whole", stage="1")
    from plugin_ganinpaint.training import loop

    saves: list[Path] = []

    def killed_at_the_second(path: Path, state: dict[str, Any]) -> Path:
        saves.append(path)
        if len(saves) == 2:
            raise InterruptedError
        return save_state(path, state)

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(loop, "save_state", killed_at_the_second)
        entry.fit(config, backbone, discriminator, tmp_path / "killed", stage="1")
    entry.fit(config, backbone, discriminator, tmp_path / "killed", stage="1", resume=True)

    whole, killed = (
        [json.loads(line) for line in (tmp_path / run / LOG).read_text().splitlines()]
        for run in ("whole", "killed")
    )
    assert [(line["images"], line.keys()) for line in killed] == [
        (line["images"], line.keys()) for line in whole
    ]
    assert [line["images"] for line in whole if "probe_diversity" in line] == [16, 24]
