"""FID, KID and P-/U-IDS, against SciPy, torchmetrics, double sums and a machine fitted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance

from ganinv.metrics import distribution
from ganinv.metrics.distribution import fid, kid
from ganinv.metrics.separability import folds, inception_discriminative_scores


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Given(nn.Module):
    num_features = 6

    def forward(self, features: Tensor) -> Tensor:
        return features


def kernel(u: Tensor, v: Tensor) -> float:
    return float((u.double() @ v.double() / len(u) + 1) ** 3)


@pytest.mark.filterwarnings("ignore:.*save all extracted features")
def test_kid_is_that_of_torchmetrics() -> None:
    x, y = draw(0, 40, 6), draw(1, 40, 6) + 0.3
    theirs = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=40)
    theirs.update(y, real=True)
    theirs.update(x, real=False)
    assert kid(x[:, None], y, replicates=10).value == pytest.approx(float(theirs.compute()[0]), rel=1e-4)


@pytest.mark.parametrize("paired", [False, True])
def test_kid_of_several_samples_leaves_pairs_of_one_picture_out(paired: bool) -> None:
    x, y = draw(2, 5, 3, 4), draw(3, 5, 4)
    own = [
        kernel(x[p, i], x[q, j])
        for p in range(5)
        for q in range(5)
        if p != q
        for i in range(3)
        for j in range(3)
    ]
    theirs = [kernel(y[p], y[q]) for p in range(5) for q in range(5) if p != q]
    across = [
        kernel(x[p, i], y[q]) for p in range(5) for q in range(5) if not paired or p != q for i in range(3)
    ]
    expected = np.mean(own) + np.mean(theirs) - 2 * np.mean(across)
    assert kid(x, y, paired=paired, replicates=5).value == pytest.approx(expected, rel=1e-9)


def test_kid_tells_equal_from_different() -> None:
    a, b = draw(4, 300, 1, 8), draw(5, 300, 8)
    same, near, far = (kid(a, b + shift, replicates=200) for shift in (0.0, 0.3, 1.0))
    assert same.low < 0 < same.high
    assert 0 < near.low < near.value < far.low


def test_kid_of_many_pictures_hardly_depends_on_how_they_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(6, 240, 2, 8), draw(7, 240, 8) + 0.2
    apart = kid(x, y, replicates=100)
    monkeypatch.setattr(distribution, "_GROUPS", 60)
    monkeypatch.setattr(distribution, "_ROWS", 50)
    grouped = kid(x, y, replicates=100)
    assert grouped.value == pytest.approx(apart.value, rel=0.05) and grouped.count == 240
    assert grouped.high - grouped.low == pytest.approx(apart.high - apart.low, rel=0.4)


def test_fid_is_the_frechet_distance() -> None:
    x, y = draw(8, 60, 5) * torch.arange(1, 6), draw(9, 80, 5) @ draw(10, 5, 5) + 1
    a, b = x.double().numpy(), y.double().numpy()
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    found = fid(x, y, replicates=20)
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.low < found.value < found.high


def test_ids_are_those_of_machines_fitted_without_the_picture() -> None:
    real, fake = draw(11, 40, 3), draw(12, 40, 3) + 0.5
    paired, unpaired = inception_discriminative_scores(real, fake, seed=4)
    x, y = real.double().numpy(), fake.double().numpy()
    for out in folds(40, 4):
        kept = [i for i in range(40) if i not in out]
        both = np.concatenate([x[kept], y[kept]])
        mean, deviation = both.mean(0), both.std(0)
        machine = LinearSVC(dual=False).fit((both - mean) / deviation, [1] * len(kept) + [0] * len(kept))
        for i in out:
            t, f = (machine.decision_function((z[i : i + 1] - mean) / deviation)[0] for z in (x, y))
            assert paired[i] == (f > t) and unpaired[i] == (float(t < 0) + float(f > 0)) / 2
    assert sorted(np.concatenate(folds(40, 4))) == list(range(40))


def test_ids_at_their_ends() -> None:
    same = inception_discriminative_scores(draw(13, 400, 4), draw(14, 400, 4))
    assert [score.mean() for score in same] == pytest.approx([0.5, 0.5], abs=0.1)
    apart = inception_discriminative_scores(draw(13, 50, 4), draw(14, 50, 4) + 20)
    assert [score.mean() for score in apart] == [0, 0]
    few = inception_discriminative_scores(draw(13, 9, 4), draw(14, 9, 4))
    assert np.isnan(few).all()
