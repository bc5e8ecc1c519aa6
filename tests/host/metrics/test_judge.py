"""The judge's network and the figures computed from its readings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

from ganinv.checkpoints import write_checkpoint
from ganinv.errors import CheckpointError
from ganinv.metrics.judge import Judge, JudgeConfig, kid, load_judge, r2_and_auc


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


def test_r2_and_auc_agree_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(400, 2, generator=generator)
    truth[:, 1] = (truth[:, 1] > 0.5).float()
    readings = truth + 0.7 * torch.randn(400, 2, generator=generator)
    scores = r2_and_auc(readings, truth, ("age", "glasses"))
    assert scores["age"] == pytest.approx(r2_score(truth[:, 0], readings[:, 0]), abs=1e-5)
    assert scores["glasses"] == pytest.approx(roc_auc_score(truth[:, 1], readings[:, 1]), abs=1e-5)


def test_kid_is_about_zero_for_one_distribution_and_grows_with_a_shift() -> None:
    generator = torch.Generator().manual_seed(2)
    a, b = torch.randn(600, 8, generator=generator), torch.randn(600, 8, generator=generator)
    same, error = kid(a, b, subsets=20, size=200)
    near, _ = kid(a, b + 0.3, subsets=20, size=200)
    far, _ = kid(a, b + 1.0, subsets=20, size=200)
    assert abs(same) < 5 * error + 0.01
    assert same < near < far


def test_kid_agrees_with_the_plain_double_sum() -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(12, 3, generator=generator), torch.randn(12, 3, generator=generator) + 0.5
    k = [[[float((u @ v / 3 + 1) ** 3) for v in q] for u in p] for p, q in ((x, x), (y, y), (x, y))]
    within = sum(k[m][i][j] for m in (0, 1) for i in range(12) for j in range(12) if i != j) / (12 * 11)
    across = sum(map(sum, k[2])) / 144
    assert kid(x, y, subsets=3, size=12)[0] == pytest.approx(within - 2 * across, rel=1e-4)
