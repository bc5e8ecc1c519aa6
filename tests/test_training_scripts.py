"""Parts of the training scripts that decide what the generator learns."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in ("paired_portraits", "train_portraits"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_pairs_differ_in_one_attribute(tmp_path: Path) -> None:
    from paired_portraits import Pairs, render

    render(tmp_path, 16, 64, seed=3, shard=16)
    names = json.loads((tmp_path / "renders" / "names.json").read_text())
    pairs = Pairs(tmp_path, 128)
    first, second = pairs.normals[0::2], pairs.normals[1::2]
    assert ((first != second).sum(1) == 1).all() and first.shape == (8, len(names))
    assert ((first - second).abs().sum(1) >= 1).all()
    x, z = pairs.batch(8, 64, torch.Generator().manual_seed(0))
    assert x.shape == (8, 3, 64, 64) and z.shape == (8, 128)
    assert torch.allclose(z.square().mean(1), torch.ones(8), atol=1e-5)


def test_glasses_weigh_where_they_are() -> None:
    from paired_portraits import changed_weight

    first = torch.zeros(1, 3, 64, 64)
    second = first.clone()
    second[:, :, 20:24, 16:48] = 1  # a frame: 128 of 4,096 pixels
    weight = changed_weight(torch.cat([first, second]))
    assert weight.shape == (2, 1, 64, 64) and torch.equal(weight[0], weight[1])
    assert weight[0, 0, 22, 30] > 10 and weight[0, 0, 50, 30] == 0
    assert weight.mean() < 1.01


def test_a_rate_falls_along_half_a_cosine() -> None:
    from train_portraits import Phase

    phase = Phase(64, kimg=10, lr=1e-3, lr_end=1e-4)
    assert [phase.lr_at(n) for n in (0, 10_000, 20_000)] == pytest.approx([1e-3, 1e-4, 1e-4])
    assert phase.lr_at(5_000) == pytest.approx(5.5e-4) and Phase(64, kimg=10, lr=1e-3).lr_at(9_000) == 1e-3
