"""A training's state: resumed runs equal uninterrupted ones, and what goes wrong leaves the last good one."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.errors import CheckpointError
from plugin_ganinpaint.training import common
from plugin_ganinpaint.training.state import load_state, state_path

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

Make = Callable[..., Any]


def nothing(networks: Any, best: Any) -> None:
    """Stands for what writes weight files."""


@pytest.mark.parametrize("stage", [1, 2])
def test_resumed_run_equals_the_uninterrupted_one(
    stage: int,
    short: Make,
    make_run: Make,
    assert_same: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In all but its seconds: a stop adds neither a sheet nor a candidate for the best networks."""
    config = short()
    whole = make_run(config, stage, tmp_path / "whole")
    whole.run(on_save=nothing)
    first = make_run(config, stage, tmp_path / "parts")
    step: Callable[[float], Any] = first.train_step

    def stopped_in_the_third(progress: float) -> Any:
        if first.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(progress)

    monkeypatch.setattr(first, "train_step", stopped_in_the_third)
    assert first.run(on_save=nothing).reason == "stopped"
    torch.manual_seed(99)  # another process would have another global state
    second = make_run(config, stage, tmp_path / "parts")
    second.resume()
    assert second.step == 3 and second.images == 12
    second.run(on_save=nothing)
    a, b = (load_state(state_path(tmp_path / name, stage), stage=stage) for name in ("whole", "parts"))
    for key in a:
        if key != "seconds":
            assert_same(a[key], b[key], key)


def test_nan_stops_with_one_line_and_keeps_the_last_state(
    short: Make, make_run: Make, tmp_path: Path
) -> None:
    run = make_run(short(), 1, tmp_path)
    run.save(nothing)
    good = state_path(tmp_path, 1).read_bytes()
    with torch.no_grad():
        next(run.networks.parameters()).fill_(math.nan)
    with pytest.raises(
        common.TrainingError,
        match=r"stage 1 stopped at step 1: .* not finite; the last good state, of 0 images, is kept in",
    ) as caught:
        run.run(on_save=nothing)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("type --resume stage1.lr=0.0005")
    assert state_path(tmp_path, 1).read_bytes() == good


def test_a_request_to_stop_saves_and_says_so(
    short: Make, make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(short(), 1, tmp_path)
    step: Callable[[float], Any] = run.train_step

    def interrupted(progress: float) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return step(progress)

    monkeypatch.setattr(run, "train_step", interrupted)
    ending = run.run(on_save=nothing)
    assert (ending.reason, ending.images) == ("stopped", 4)
    assert load_state(state_path(tmp_path, 1), stage=1)["step"] == 1


def test_broken_states_are_told(tmp_path: Path) -> None:
    path = state_path(tmp_path, 1)
    with pytest.raises(CheckpointError, match="no training state at"):
        load_state(path, stage=1)
    path.write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="is not a training state or is damaged"):
        load_state(path, stage=1)
    torch.save({"format": "ganinv-training-state-3", "stage": 2}, path)
    with pytest.raises(CheckpointError, match="is a state of stage 2; stage 1 is needed"):
        load_state(path, stage=1)
