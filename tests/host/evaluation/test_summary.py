"""Figures of made-up measurements, against plain loops over pictures, samples and signs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.evaluation.measure import SIGNS
from ganinv.evaluation.summary import by_group, edits, means, of_all_edits, sizes_of
from ganinv.evaluation.tables import number
from ganinv.metrics.readings import READ_AS

COUNT, SAMPLES = 30, 3
NAMES = ("age", "smile", "glasses")
COLUMNS = {READ_AS[name]: i for i, name in enumerate(NAMES)}


@pytest.fixture
def measured() -> dict[str, np.ndarray]:
    """Readings in which every edit lowers the smile by 2 s.d., whatever its sign; half are not edited."""
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(COUNT, SAMPLES, 3))
    truth = rng.normal(size=(COUNT, 3)) * (1, 2, 3)
    edited = np.repeat(np.repeat(raw[:, :1, None], 3, 1), 2, 2) + rng.normal(size=(COUNT, 3, 2, 3)) / 5
    for d in range(3):
        edited[:, d, :, d] += np.array(SIGNS) * 1.5
    edited[:, 0, :, 1] -= 4
    edited[COUNT // 2 :] = math.nan
    return {
        "read_true": truth,
        "read_raw": raw,
        "read_composite": raw,
        "edited": edited,
        "edit_identity": rng.uniform(size=(COUNT, 3, 2)),
        "jump": rng.uniform(1, 2, size=(COUNT, SAMPLES)),
        "true_jump": rng.uniform(size=COUNT),
        "detail": rng.uniform(size=(COUNT, SAMPLES)),
        "true_detail": rng.uniform(size=COUNT),
        "psnr": rng.normal(25, 2, size=(COUNT, SAMPLES)),
        "identity": rng.uniform(size=(COUNT, SAMPLES)),
        "feat_composite": rng.normal(size=(COUNT, SAMPLES, 4)),
        "share": np.linspace(0.05, 1, COUNT),
    }


def moves_of(measured: dict[str, np.ndarray], d: int, s: int) -> list[list[float]]:
    """Moves in the asked way of direction `d` at sign `s`, one list a picture that can move."""
    truth, found = measured["read_true"], []
    deviation = [np.std(truth[:, a], ddof=1) for a in range(3)]
    end = np.quantile(truth[:, d], 0.99 if SIGNS[s] > 0 else 0.01)
    for i in range(COUNT // 2):
        before, after = measured["read_raw"][i, 0], measured["edited"][i, d, s]
        if SIGNS[s] * (end - before[d]) > 0.5 * deviation[d]:
            found.append([SIGNS[s] * (after[a] - before[a]) / deviation[a] for a in range(3)])
    return found


def test_edits_are_told_as_loops_tell_them(measured: dict[str, np.ndarray]) -> None:
    found = edits(measured, list(NAMES), COLUMNS.__getitem__, replicates=20)
    asked = []
    for d, name in enumerate(NAMES):
        of_sign = [moves_of(measured, d, s) for s in range(2)]
        own = [move[d] for moves in of_sign for move in moves]
        asked += [value > 0 for value in own]
        assert found[name]["own_move"].value == pytest.approx(np.mean(own))
        assert found[name]["accuracy"].value == pytest.approx(np.mean([value > 0 for value in own]))
        assert found[name]["left_out"] == COUNT - len(own)
        others = {
            f"{NAMES[a]}, at {SIGNS[s]:+d}": SIGNS[s] * np.mean([move[a] for move in of_sign[s]])
            for a in range(3)
            for s in range(2)
            if a != d
        }
        worst = max(others, key=lambda key: abs(others[key]))
        assert found[name]["which"] == worst
        assert found[name]["worst_other"].value == pytest.approx(others[worst])
        assert found[name]["identity"].value == pytest.approx(
            measured["edit_identity"][: COUNT // 2, d].mean()
        )
    whole = of_all_edits(measured, list(NAMES), COLUMNS.__getitem__, replicates=20)
    assert whole["edit_accuracy"].value == pytest.approx(np.mean(asked))


def test_what_an_edit_does_both_ways_does_not_cancel(measured: dict[str, np.ndarray]) -> None:
    """Less smile, whether older or younger: the mean of moves in the asked way would be about 0."""
    found: dict[str, Any] = edits(measured, list(NAMES), COLUMNS.__getitem__, replicates=20)["age"]
    assert found["which"].startswith("smile") and found["worst_other"].high < -1


def test_means_and_groups_are_those_of_their_pictures(measured: dict[str, np.ndarray]) -> None:
    found = means(measured, measured, replicates=20)
    for name in ("jump", "detail"):
        values = [np.mean(row) for row in measured[name]]
        assert found[name].value == pytest.approx(sum(values) / sum(measured[f"true_{name}"]))
    low, high = (np.quantile(measured["read_true"], q, axis=0) for q in (0.01, 0.99))
    inside = [
        low[a] <= measured["read_composite"][i, k, a] <= high[a]
        for i in range(COUNT)
        for k in range(SAMPLES)
        for a in range(3)
    ]
    assert found["plausible"].value == pytest.approx(np.mean(inside))
    groups = sizes_of(measured)
    assert list(groups) == ["0% to 20%", "20% to 40%", "40% to 60%", "60% to 80%", "80% to 100%"]
    assert sorted(np.concatenate(list(groups.values()))) == list(range(COUNT))
    told = by_group(measured, torch.zeros(COUNT, 4), groups, paired=False, replicates=5)
    last = [i for i in range(COUNT) if measured["share"][i] >= 0.8]
    assert told["80% to 100%"]["psnr"].value == pytest.approx(measured["psnr"][last].mean())
    assert "kid_composite" not in told["80% to 100%"]  # too few for a distance


def test_numbers_as_people_read_them() -> None:
    def figure(value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
        return {"value": value, "low": low, "high": high, "count": 9}

    assert number(figure(27.712, 27.51, 27.92)) == "27.7 (27.5 to 27.9)"
    assert number(figure(0.012, -0.0004, 0.031)) == "0.01 (0.00 to 0.03)"
    assert number(figure(3.14159, None, None)) == "3.142" and number(figure(None, None, None)) == "-"
