"""From the measurements of single pictures to figures with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ganinv.evaluation.measure import SIGNS
from ganinv.evaluation.parts import Arrays
from ganinv.metrics.bootstrap import Estimate, bootstrap, mean_interval, ratio_interval
from ganinv.metrics.distribution import fid, kid
from ganinv.metrics.readings import READ_AS, agreement, correlation, edit_moves, plausible
from ganinv.metrics.separability import inception_discriminative_scores

SIZE_BINS = ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0))
_FEWEST = 20  # pictures of a family or bin, below which no distance of distributions is told

Figures = dict[str, Estimate]


@dataclass(frozen=True)
class Figure:
    """A line of the report. better: 1 more, -1 less, 0 neither."""

    title: str
    better: int
    about: str


FIGURES = {
    "kid_raw": Figure("KID, raw outputs", -1, "all samples against the reference set"),
    "kid_composite": Figure("KID, composites", -1, "all samples against the reference set"),
    "kid_generator": Figure(
        "KID, the generator's own samples", -1, "no picture, no hole: what G itself gives"
    ),
    "kid_truth": Figure("KID, the true pictures", -1, "the floor: other pictures of the same kind"),
    "kid_ratio": Figure(
        "KID, raw outputs over generator's samples", -1, "1: as good as G; told where G's interval is above 0"
    ),
    "fid_raw": Figure("FID, raw outputs", -1, "the first sample of each picture"),
    "fid_composite": Figure("FID, composites", -1, "the first sample of each picture"),
    "fid_generator": Figure("FID, the generator's own samples", -1, "as many as pictures"),
    "fid_truth": Figure("FID, the true pictures", -1, "the floor at this number of pictures"),
    "fid_ratio": Figure("FID, raw outputs over generator's samples", -1, "1: as good as G itself"),
    "p_ids": Figure(
        "P-IDS", 1, "share of first composites that look more real than their truth; 0.5 at best"
    ),
    "u_ids": Figure("U-IDS", 1, "share that a linear SVM takes for the other kind; 0.5 at best"),
    "perceptual_hole": Figure(
        "perceptual distance to truth, hole", -1, "composite; small is not all: see diversity"
    ),
    "perceptual_whole": Figure("perceptual distance to truth, whole", -1, "composite"),
    "diversity_hole": Figure(
        "diversity, hole", 1, "mean pairwise perceptual distance of a picture's composites"
    ),
    "diversity_whole": Figure("diversity, whole", 1, "the same over the whole picture"),
    "diversity_colour": Figure("difference of samples in the hole", 1, "mean absolute, of a range of 2"),
    "psnr": Figure("PSNR of raw visible pixels, dB", 1, "before known pixels are pasted"),
    "ssim": Figure("SSIM of raw visible pixels", 1, "before known pixels are pasted"),
    "l1": Figure("L1 of raw visible pixels", -1, "of a range of 2"),
    "jump": Figure("colour jump over the border", -1, "composite over truth; 1 is as in the truth"),
    "detail": Figure(
        "fine detail in the hole", 1, "composite over truth; 1 is as in the truth, less is soft; noise counts"
    ),
    "plausible": Figure(
        "attribute realism", 1, "share of readings where 98 % of the truth's lie; 0.98 at best"
    ),
    "agreement": Figure("attributes off the truth's, s.d.", -1, "mean over attributes; hidden ones are free"),
    "identity": Figure("identity kept", 1, "cosine of the judge's codes, composite and truth"),
    "edit_accuracy": Figure("edits that move the asked way", 1, "share, over all directions, both signs"),
    "edit_identity": Figure("identity kept by edits", 1, "cosine, edited and unedited raw output"),
    "seconds": Figure("seconds a picture", -1, "all samples of it, drawing included"),
}
IN_GROUPS = ("kid_composite", "perceptual_hole", "diversity_hole", "diversity_colour", "psnr", "ssim", "jump",
             "detail", "plausible", "identity")  # fmt: skip
_MEANS = ("perceptual_hole", "perceptual_whole", "psnr", "ssim", "l1", "identity")


def summarise(measured: Arrays, others: dict[str, torch.Tensor], *, paired: bool, replicates: int) -> Figures:
    """Every figure of `FIGURES` that the measurements allow.

    Args:
        measured: of all pictures. others: features [M, D] of the `reference` set and of the `generator`.
        paired: the reference set is these very pictures.
    """
    figures = distances(measured, others, paired=paired, replicates=replicates)
    first = _tensor(measured["feat_composite"])[:, 0]
    paired_score, unpaired_score = inception_discriminative_scores(_tensor(measured["feat_true"]), first)
    figures["p_ids"] = mean_interval(paired_score, replicates=replicates)
    figures["u_ids"] = mean_interval(unpaired_score, replicates=replicates)
    figures |= means(measured, measured, replicates=replicates)
    return {name: figures[name] for name in FIGURES if name in figures}


def distances(measured: Arrays, others: dict[str, torch.Tensor], *, paired: bool, replicates: int) -> Figures:
    """KID and FID of raw outputs, composites, the generator's own samples and the true pictures."""
    reference, truth = others["reference"], _tensor(measured["feat_true"])
    sets = {name: _tensor(measured[f"feat_{name}"]) for name in ("raw", "composite")}
    figures = {}
    for name, drawn in sets.items():
        figures[f"kid_{name}"] = kid(drawn, reference, paired=paired, replicates=replicates)
        figures[f"fid_{name}"] = fid(drawn[:, 0], reference, replicates=max(replicates // 10, 1))
    alone = {"generator": others["generator"]} | ({} if paired else {"truth": truth})
    for name, drawn in alone.items():
        figures[f"kid_{name}"] = kid(drawn[:, None], reference, replicates=replicates)
        figures[f"fid_{name}"] = fid(drawn, reference, replicates=max(replicates // 10, 1))
    for kind in ("kid", "fid"):
        if figures[f"{kind}_generator"].low > 0:
            figures[f"{kind}_ratio"] = _ratio(figures[f"{kind}_raw"], figures[f"{kind}_generator"])
    return figures


def _ratio(over: Estimate, under: Estimate) -> Estimate:
    """Of two figures with intervals of their own: relative errors add in squares."""
    value = over.value / under.value
    error = np.hypot((over.high - over.low) / 2 / over.value, (under.high - under.low) / 2 / under.value)
    return Estimate(value, value * (1 - error), value * (1 + error), over.count)


def means(part: Arrays, whole: Arrays, *, replicates: int) -> Figures:
    """Figures that are means over pictures, of a `part` of the measurements; the truths of the `whole` give
    the units of attributes.
    """
    figures = {name: mean_interval(_by_picture(part[name]), replicates=replicates)
               for name in (*_MEANS, "diversity_hole", "diversity_whole", "diversity_colour", "seconds")
               if name in part}  # fmt: skip
    for name in ("jump", "detail"):
        figures[name] = ratio_interval(_by_picture(part[name]), part[f"true_{name}"], replicates=replicates)
    if "read_composite" in part:
        inside = plausible(part["read_composite"], whole["read_true"]).mean(1)
        deviation = whole["read_true"].std(0, ddof=1)
        apart = np.abs(part["read_composite"] - part["read_true"][:, None]).mean(1) / deviation
        figures["plausible"] = mean_interval(inside, replicates=replicates)
        figures["agreement"] = mean_interval(apart.mean(1), replicates=replicates)
    return figures


def by_group(
    measured: Arrays,
    reference: torch.Tensor,
    groups: dict[str, np.ndarray],
    *,
    paired: bool,
    replicates: int,
) -> dict[str, Figures]:
    """The figures of `IN_GROUPS` for each group of pictures; `groups`: name -> numbers of its pictures."""
    found = {}
    for name, members in groups.items():
        part = {key: array[members] for key, array in measured.items()}
        figures = means(part, measured, replicates=replicates)
        if len(members) >= _FEWEST:
            own = reference[members] if paired else reference
            features = _tensor(part["feat_composite"])
            figures["kid_composite"] = kid(features, own, paired=paired, replicates=replicates)
        found[name] = {key: figures[key] for key in IN_GROUPS if key in figures}
    return found


def families_of(measured: Arrays, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Numbers of the pictures of each family of holes."""
    return {name: np.flatnonzero(measured["family"] == i) for i, name in enumerate(names)}


def sizes_of(measured: Arrays) -> dict[str, np.ndarray]:
    """Numbers of the pictures of each bin of hole sizes that has any; the last bin holds its end."""
    share, found = measured["share"], {}
    for low, high in SIZE_BINS:
        members = np.flatnonzero((share >= low) & ((share < high) | (high == 1)))
        if len(members):
            found[f"{low:.0%} to {high:.0%}"] = members
    return found


def attributes(measured: Arrays, names: tuple[str, ...], *, replicates: int) -> dict[str, Figures]:
    """For each attribute: plausible, agreement, and correlation of its readings in composites and truths."""
    readings, truth = measured["read_composite"], measured["read_true"]
    inside, apart = plausible(readings, truth), agreement(readings, truth)

    def of(column: int) -> Figures:
        def correlated(weights: np.ndarray) -> np.ndarray:
            return correlation(readings[:, :, column], truth[:, column], weights)

        return {
            "plausible": mean_interval(inside[:, column], replicates=replicates),
            "agreement": mean_interval(apart[:, column], replicates=replicates),
            "correlation": bootstrap(correlated, len(truth), replicates=replicates),
        }

    return {name: of(column) for column, name in enumerate(names)}


def edits(
    measured: Arrays, directions: list[str], column: Callable[[str], int], *, replicates: int
) -> dict[str, dict[str, Any]]:
    """For each direction: accuracy (share moved the asked way), own move and largest move of another
    direction's attribute (s.d.), which one, identity kept, and how many were left out (already at the end).

    The own move is the mean over both signs. Others are looked at for each sign alone: what an edit does
    both ways (less smile, whether older or younger) would cancel in the mean.
    """
    there = np.isfinite(measured["edited"]).all(axis=(1, 2, 3))
    before, after = measured["read_raw"][there, 0], measured["edited"][there]
    truth = measured["read_true"]
    columns = {name: column(READ_AS[name]) for name in directions}
    found: dict[str, dict[str, Any]] = {}
    for d, name in enumerate(directions):
        pairs = [
            edit_moves(before, after[:, d, s], truth, columns[name], sign) for s, sign in enumerate(SIGNS)
        ]
        asked, moves = np.stack([a for a, _ in pairs]), np.stack([m for _, m in pairs])  # [2, N], [2, N, A]
        usable = np.isfinite(asked).sum(0).astype(np.float64)

        own = np.nansum(moves[:, :, columns[name]], 0)
        others = {
            (other, s): mean_interval(sign * moves[s, :, c], replicates=replicates)
            for other, c in columns.items()
            for s, sign in enumerate(SIGNS)
            if other != name and np.isfinite(asked[s]).any()
        }
        worst = max(others, key=lambda other: abs(others[other].value), default=None)
        found[name] = {
            "accuracy": ratio_interval(np.nansum(asked, 0), usable, replicates=replicates),
            "left_out": int(asked.size - usable.sum()),
            "own_move": ratio_interval(own, usable, replicates=replicates),
            "worst_other": others[worst] if worst else None,
            "which": f"{worst[0]}, at {SIGNS[worst[1]]:+d}" if worst else None,
            "identity": mean_interval(measured["edit_identity"][there, d].mean(1), replicates=replicates),
        }
    return found


def of_all_edits(
    measured: Arrays, directions: list[str], column: Callable[[str], int], *, replicates: int
) -> Figures:
    """Accuracy and identity over all directions; a picture is drawn again with all its edits."""
    there = np.isfinite(measured["edited"]).all(axis=(1, 2, 3))
    before, after = measured["read_raw"][there, 0], measured["edited"][there]
    asked = np.stack(
        [
            edit_moves(before, after[:, d, s], measured["read_true"], column(READ_AS[name]), sign)[0]
            for d, name in enumerate(directions)
            for s, sign in enumerate(SIGNS)
        ]
    )
    usable = np.isfinite(asked).sum(0).astype(np.float64)
    identity = measured["edit_identity"][there].mean(axis=(1, 2))
    return {
        "edit_accuracy": ratio_interval(np.nansum(asked, 0), usable, replicates=replicates),
        "edit_identity": mean_interval(identity, replicates=replicates),
    }


def _by_picture(values: np.ndarray) -> np.ndarray:
    """Mean over the samples, [N]."""
    return values.astype(np.float64) if values.ndim == 1 else values.astype(np.float64).mean(1)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)
