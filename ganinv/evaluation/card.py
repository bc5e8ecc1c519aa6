"""The protocol card: every choice that moves a number, in the report for all to see."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from ganinv.bench.timing import machine_name
from ganinv.evaluation.measure import Bench
from ganinv.evaluation.parts import Arrays
from ganinv.inversion import backbone_record, run_versions
from ganinv.metrics import bootstrap, calibration, readings, separability

DEFINITIONS = {
    "pictures": "every picture is rounded to 8 bits before it is looked at, as a file would be",
    "raw": "the generator's whole picture, before known pixels are pasted",
    "composite": "the raw output in the hole, see tones and feather; the true pixels elsewhere",
    "codes": "random codes differ between pictures: sample i of picture p by SHA-256 of (seed, p, i)",
    "generator's samples": "untruncated, as many as pictures, constant noise",
    "KID": "cubic polynomial kernel, unbiased; all samples; pairs of samples of one picture left out",
    "FID": "torchmetrics; the first sample of each picture; as many references as pictures",
    "P-IDS, U-IDS": (
        "linear SVM (C = 1) on standardised features of truths and first composites; each picture is judged "
        f"by a machine fitted without it ({separability.FOLDS} folds)"
    ),
    "perceptual": (
        "squared distance of feature maps of unit length at each place, summed over depths, weighted by the "
        "part of the hole that a place covers"
    ),
    "SSIM": "Gaussian window of s.d. 1.5, range 2; mean of the map over known pixels, truth in the hole",
    "PSNR": "10 log10(4 / MSE) over known pixels, in each sample; mean of dB",
    "jump": "mean |RGB difference| of neighbours across the border; ratio of means, composite to truth",
    "detail": (
        "mean |4 x pixel - its four neighbours| where all are in the hole; ratio of means, composite to truth"
    ),
    "attribute realism": (
        f"share of the judge's readings between the {readings.PLAUSIBLE[0]:.0%} and "
        f"{readings.PLAUSIBLE[1]:.0%} quantiles of its readings of the truths"
    ),
    "edits": (
        "raw output of the first sample, strength either way; moves in deviations of the truths' readings; "
        "pictures within half a deviation of the asked end (1 or 99 % of the truths) left out; the largest "
        "other move is of a direction's attribute, for one sign of the edit"
    ),
    "calibration": (
        "hole: pixels that change by over 1/255 as the attribute alone is swept, widened by 2; composites' "
        f"readings against those of renders with it drawn afresh; {calibration.BINS} bins at deciles of the "
        "latter, or 2 classes where it is absent in over a quarter"
    ),
    "intervals": (
        f"bootstrap over pictures, {bootstrap.LEVEL:.0%}; distances (FID, KID, total variation): same width, "
        "centred on the figure"
    ),
}


def protocol(bench: Bench) -> dict[str, Any]:
    """What two evaluations must share for their figures to compare."""
    settings, tools = bench.settings, bench.instruments
    kept = settings.to_json()
    for key in (
        "truncation",
        "tones",
        "feather",
        "calibrate",
        "calibration_count",
        "calibration_samples",
        "features",
    ):
        kept.pop(key)
    return {
        **kept,
        "data": bench.pictures.about,
        "count": len(bench.pictures),
        "resolution": bench.backbone.resolution,
        "features": tools.network.to_json(),
        "perceptual": tools.perceptual.to_json(),
        "reads_attributes": tools.judge is not None,
        "definitions": DEFINITIONS,
    }


def identity(bench: Bench) -> dict[str, Any]:
    """All that a measurement depends on, for resuming."""
    return {
        "protocol": protocol(bench),
        "settings": bench.settings.to_json(),
        "method": bench.completer.to_json(),
        "backbone": backbone_record(bench.backbone),
        "directions": sorted(bench.instruments.edits),
        "versions": run_versions(),
    }


def card(bench: Bench, measured: Arrays) -> dict[str, Any]:
    """The card of a finished evaluation."""
    known = {**protocol(bench), "picture_sha256": _sum(measured["picture_sha"])}
    known["mask_sha256"] = _sum(measured["hole_sha"])
    text = json.dumps(known, sort_keys=True, default=str)
    settings = bench.settings
    return {
        "protocol_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "protocol": known,
        "method": bench.completer.to_json(),
        "truncation": settings.truncation,
        "tones": settings.tones,
        "feather": settings.feather,
        "backbone": backbone_record(bench.backbone),
        "calibration": {
            "attributes": list(settings.calibrate),
            "pictures": settings.calibration_count,
            "samples": settings.calibration_samples,
        },
        "directions": sorted(bench.instruments.edits),
        "versions": run_versions(),
        "machine": machine_name(),
    }


def _sum(digests: np.ndarray) -> str:
    """SHA-256 of the digests [N, 32] of the single items in their order."""
    return hashlib.sha256(digests.astype(np.uint8).tobytes()).hexdigest()
