"""P-IDS and U-IDS (Zhao et al. 2021, arXiv 2103.10428): how well a linear SVM tells completions from truth.

0.5 and more mean that it cannot. As published the SVM is judged on the pictures it was fitted to, which with
fewer pictures than some ten times the features says 0 of anything. Here each picture is judged by an SVM
that was fitted without it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

Array = npt.NDArray[np.float64]
FOLDS = 5


def inception_discriminative_scores(real: Tensor, fake: Tensor, *, seed: int = 0) -> tuple[Array, Array]:
    """P-IDS and U-IDS of each picture; their means are the scores.

    Args:
        real, fake: features [N, D] of the true pictures and of a completion of each, N >= 2 * FOLDS.

    Returns:
        paired [N]: 1 where the completion looks more real than its own truth. unpaired [N]: share of the two
        that are taken for the other kind. All NaN for fewer pictures.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    x, y = real.double().numpy(), fake.double().numpy()
    count = len(x)
    paired, unpaired = np.full(count, np.nan), np.full(count, np.nan)
    if count < 2 * FOLDS:
        return paired, unpaired
    for held_out in folds(count, seed):
        kept = np.setdiff1d(np.arange(count), held_out)
        machine = make_pipeline(StandardScaler(), LinearSVC(dual=False))
        machine.fit(np.concatenate([x[kept], y[kept]]), np.repeat([1, 0], len(kept)))
        true, false = machine.decision_function(x[held_out]), machine.decision_function(y[held_out])
        paired[held_out] = false > true
        unpaired[held_out] = ((true < 0).astype(float) + (false > 0)) / 2
    return paired, unpaired


def folds(count: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Numbers of the pictures that are held out together."""
    return np.array_split(np.random.default_rng(seed).permutation(count), FOLDS)
