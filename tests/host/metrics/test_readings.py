"""Figures of readings and the calibration of hidden attributes, against what is known of made-up readings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

from ganinv.metrics.calibration import bin_edges, calibrate, histogram, total_variation
from ganinv.metrics.readings import agreement, correlation, edit_moves, plausible, r2_and_auc


def test_r2_and_auc_agree_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(400, 2, generator=generator)
    truth[:, 1] = (truth[:, 1] > 0.5).float()
    readings = truth + 0.7 * torch.randn(400, 2, generator=generator)
    scores = r2_and_auc(readings, truth, ("age", "glasses"))
    assert scores["age"] == pytest.approx(r2_score(truth[:, 0], readings[:, 0]), abs=1e-5)
    assert scores["glasses"] == pytest.approx(roc_auc_score(truth[:, 1], readings[:, 1]), abs=1e-5)


def test_realism_and_agreement() -> None:
    truth = np.stack([np.linspace(0, 1, 101), np.linspace(0, 10, 101)], axis=1)
    readings = np.repeat(truth[:, None], 2, axis=1)
    inside = plausible(readings, truth)
    assert inside.mean(0) == pytest.approx([99 / 101, 99 / 101])
    assert not plausible(readings + 20, truth).any()
    readings[:, 1] += truth.std(0, ddof=1)  # one of two samples is a deviation off
    assert agreement(readings, truth) == pytest.approx(np.full((101, 2), 0.5))


def test_correlation_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    readings = truth[:, None] + rng.normal(size=(30, 3))
    weights = np.ones((2, 30))
    weights[1, :15] = 0
    found = correlation(readings, truth, weights)
    for row, part in enumerate((slice(None), slice(15, None))):
        expected = np.corrcoef(readings[part].ravel(), np.repeat(truth[part], 3))[0, 1]
        assert found[row] == pytest.approx(expected)
    assert np.isnan(correlation(readings, np.ones(30), weights)).all()


def test_edit_moves() -> None:
    truth = np.stack([np.linspace(-1, 1, 201), np.linspace(-10, 10, 201)], axis=1)
    deviation = truth.std(0, ddof=1)
    before = np.array([[0.0, 0.0], [0.0, 0.0], [0.97, 0.0]])  # the third is at the upper end already
    after = before + np.array([[1, 0.2], [-1, 0], [1, 0]]) * deviation
    asked, moves = edit_moves(before, after, truth, column=0, sign=1)
    assert asked[:2].tolist() == [1, 0] and math.isnan(asked[2])
    assert moves[0] == pytest.approx([1, 0.2]) and np.isnan(moves[2]).all()
    down, _ = edit_moves(before, after, truth, column=0, sign=-1)
    assert down.tolist() == [0, 1, 0]


@pytest.fixture
def redrawn() -> np.ndarray:
    """Readings of eight redrawn renders of each of 600 pictures."""
    return np.random.default_rng(1).normal(size=(600, 8))


def test_right_samples_are_calibrated(redrawn: np.ndarray) -> None:
    samples = np.random.default_rng(2).normal(size=(600, 8))
    edges = bin_edges(redrawn, redrawn)
    found = calibrate(samples, redrawn, edges, replicates=200)
    assert found.expected == pytest.approx([0.1] * 10, abs=1e-3)
    assert found.total_variation.value < 2 * found.floor < 0.05
    assert found.coverage.value == 1
    assert found.spread.low < 1 < found.spread.high


@pytest.mark.parametrize(("spread", "floor"), [(0.2, 0.45), (4.0, 0.25)])
def test_too_little_and_too_much_diversity_show(redrawn: np.ndarray, spread: float, floor: float) -> None:
    samples = spread * np.random.default_rng(3).normal(size=(600, 8))
    found = calibrate(samples, redrawn, bin_edges(redrawn, redrawn), replicates=100)
    assert found.total_variation.low > floor
    assert found.spread.value == pytest.approx(spread**2, rel=0.1)
    assert found.coverage.value < 1


def test_one_answer_a_picture_shows_in_the_spread_only(redrawn: np.ndarray) -> None:
    """Pooled over pictures it looks right; that its samples are all alike is what `spread` is for."""
    samples = np.repeat(np.random.default_rng(4).normal(size=(600, 1)), 8, axis=1)
    found = calibrate(samples, redrawn, bin_edges(redrawn, redrawn), replicates=100)
    assert found.total_variation.value < 0.1 and found.spread.value == pytest.approx(0, abs=1e-9)


def test_total_variation_of_known_shares() -> None:
    redrawn = np.array([[0.0, 0.0, 1.0, 1.0]] * 4)
    values = redrawn.copy()
    edges = bin_edges(redrawn, values)
    assert edges.tolist() == [0.5]
    samples = np.array([[0.0, 0.0, 0.0, 1.0]] * 4)
    assert histogram(samples, edges).tolist() == [[0.75, 0.25]] * 4
    found = calibrate(samples, redrawn, edges, replicates=20)
    assert found.total_variation.value == pytest.approx(0.25) and found.coverage.value == 1
    none = calibrate(np.zeros((4, 4)), redrawn, edges, replicates=20)
    assert none.total_variation.value == pytest.approx(0.5) and none.coverage.value == 0.5
    assert total_variation(np.array([1.0, 1.0]), redrawn, edges, replicates=20).value == pytest.approx(0.5)
