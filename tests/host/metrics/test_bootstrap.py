"""Intervals, against SciPy's and against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from ganinv.metrics.bootstrap import bootstrap, mean_interval, ratio_interval


def test_a_mean_has_the_interval_that_scipy_gives_it() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=120)
    found = mean_interval(values, replicates=4000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.value == pytest.approx(values.mean()) and found.count == 120
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_what_was_not_measured_is_left_out() -> None:
    found = mean_interval(np.array([1.0, math.nan, 3.0, math.nan]))
    assert (found.value, found.count) == (2.0, 2)
    nothing = mean_interval(np.array([math.nan]))
    assert nothing.count == 0 and nothing.to_json() == {"value": None, "low": None, "high": None, "count": 0}


def test_one_picture_has_no_interval() -> None:
    found = mean_interval(np.array([5.0]))
    assert found.to_json() == {"value": 5.0, "low": None, "high": None, "count": 1}


def test_a_ratio_is_one_of_sums() -> None:
    under = np.array([1.0, 2.0, 5.0])
    found = ratio_interval(2 * under, under)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    assert ratio_interval(np.array([3.0, 0.0]), np.array([1.0, 2.0])).value == pytest.approx(1.0)


def test_same_seed_same_interval_in_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=40)
    whole = mean_interval(values, seed=3)
    monkeypatch.setattr("ganinv.metrics.bootstrap._CELLS", 40 * 7)
    assert mean_interval(values, seed=3) == whole
    assert mean_interval(values, seed=4) != whole


def test_a_centred_interval_holds_its_figure() -> None:
    """A largest value can only shrink when drawn again: the plain interval lies on one side of it."""
    values = np.arange(30.0)

    def largest(weights: np.ndarray) -> np.ndarray:
        return np.where(weights > 0, values, -1).max(1)

    plain, centred = bootstrap(largest, 30), bootstrap(largest, 30, centred=True)
    assert plain.high == plain.value == centred.value == 29
    assert centred.low < 29 < centred.high
    assert centred.high - centred.low == pytest.approx(plain.high - plain.low)
