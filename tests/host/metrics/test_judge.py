"""The judge's network and its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganinv.checkpoints import write_checkpoint
from ganinv.errors import CheckpointError
from ganinv.metrics.judge import Judge, JudgeConfig, load_judge


def tiny() -> Judge:
    torch.manual_seed(0)
    return Judge(JudgeConfig(resolution=16, names=("age", "smile"), widths=(8, 16), identity_dim=4)).eval()


def test_shapes_and_unit_identity() -> None:
    judge = tiny()
    readings, codes = judge(torch.zeros(3, 3, 16, 16))
    assert readings.shape == (3, 2)
    assert codes.shape == (3, 4)
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(3))


def test_readings_are_in_the_attributes_units() -> None:
    judge = tiny()
    judge.mean.copy_(torch.tensor([40.0, 0.5]))
    judge.std.copy_(torch.tensor([10.0, 0.2]))
    images = torch.rand(5, 3, 16, 16)
    expected = judge(images)[0] * judge.std + judge.mean
    torch.testing.assert_close(judge.read(images, chunk=2), expected, rtol=1e-4, atol=1e-5)


def test_unknown_attribute_is_told_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="does not read 'hat'; it reads age, smile"):
        tiny().column("hat")


def test_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \[N, 3, 16, 16\]"):
        tiny()(torch.zeros(1, 3, 32, 32))


def test_saved_judge_reads_the_same(tmp_path: Path) -> None:
    judge = tiny()
    path = tmp_path / "judge.safetensors"
    write_checkpoint(path, judge.state_dict(), kind="judge", family="judge", config=judge.config.to_json())
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(load_judge(path).read(images), judge.read(images))


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    write_checkpoint(path, {"a": torch.zeros(1)}, kind="directions", family="directions", config={})
    with pytest.raises(CheckpointError, match="directions"):
        load_judge(path)
