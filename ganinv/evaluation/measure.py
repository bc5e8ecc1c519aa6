"""All that is measured of one picture: its completions against its truth, and edits of a completion."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.editing.edits import Edit
from ganinv.evaluation.completers import Completer
from ganinv.evaluation.parts import Arrays
from ganinv.evaluation.pictures import HoleSet, Pictures, as_tensors, completed, digest
from ganinv.evaluation.settings import EvaluationSettings
from ganinv.images import to_tensor, to_uint8
from ganinv.inversion import Inversion
from ganinv.metrics import perceptual, pixels
from ganinv.metrics.features import FeatureNetwork, to_side
from ganinv.metrics.judge import Judge
from ganinv.rendering import render
from ganinv.sampling import sample_seed

SIGNS = (-1, 1)


@dataclass(frozen=True, eq=False)
class Instruments:
    """What pictures are looked at with.

    network: for FID, KID and P-/U-IDS. perceptual: for perceptual distances.
    judge: reads attributes and identity; None where the pictures are none that it knows.
    edits: direction -> edit; empty where none is measured.
    """

    network: FeatureNetwork
    perceptual: FeatureNetwork
    judge: Judge | None
    edits: Mapping[str, Edit]


@dataclass(frozen=True, eq=False)
class Bench:
    """One evaluation's inputs."""

    completer: Completer
    backbone: Backbone
    settings: EvaluationSettings
    pictures: Pictures
    holes: HoleSet
    instruments: Instruments


def measure_picture(bench: Bench, index: int) -> Arrays:
    """Every measurement of picture `index`; K samples, A attributes, D features.

    share: of the hole. seconds: of the K completions. exact: whether known pixels of the composites are the
    picture's. psnr, ssim, l1 [K]: of raw visible pixels. jump [K] and true_jump: over the border, in the
    composite and the truth; detail [K] and true_detail: in the hole of both. perceptual_hole,
    perceptual_whole [K]: of the composite to the truth.
    diversity_*: mean over pairs of composites. identity [K]: cosine of codes of composite and truth.
    read_*: readings [A] of the truth, [K, A] else. feat_*: features, likewise [D]. edited
    [directions, 2, A], edit_identity [directions, 2]: of the first completion, edited either way.
    """
    settings, tools = bench.settings, bench.instruments
    picture, hole = bench.pictures.picture(index), bench.holes.hole(index)
    truth, erased = as_tensors(picture, hole)
    start = time.perf_counter()
    done = bench.completer.complete(
        truth,
        erased,
        samples=settings.samples,
        seed=sample_seed(settings.seed, index),
        truncation=settings.truncation,
    )
    seconds = time.perf_counter() - start
    raw = to_uint8(done.raw)  # as files hold them, like every picture here
    pasted = completed(settings, done, picture, hole)
    found: dict[str, object] = {
        "index": index,
        "family": bench.holes.family(index),
        "share": hole.mean(),
        "seconds": seconds,
        "exact": bool((pasted[:, ~hole] == picture[~hole]).all()),
        "picture_sha": digest(picture),
        "hole_sha": digest(np.packbits(hole)),
        "peak_memory": peak_memory(),
    }
    shown, whole = to_tensor(raw), to_tensor(pasted)
    found |= _of_pixels(shown, whole, truth, erased)
    found |= _of_features(whole, truth, erased, tools.perceptual)
    for name, images in (("true", truth), ("raw", shown), ("composite", whole)):
        features = tools.network.embed(images)
        found[f"feat_{name}"] = features[0] if name == "true" else features
    if tools.judge is not None:
        found |= _of_readings(tools.judge, shown, whole, truth)
        if done.inversion is not None and tools.edits and index < settings.edits:
            found |= _of_edits(bench, tools.judge, done.inversion, shown[:1])
    return {name: np.asarray(value) for name, value in found.items()}


def peak_memory() -> int:
    """Most memory that this process has held, in bytes; with a GPU in use, most of the GPU's."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _of_pixels(shown: Tensor, whole: Tensor, truth: Tensor, hole: Tensor) -> dict[str, object]:
    count = len(shown)
    true, holes = truth.expand(count, -1, -1, -1), hole.expand(count, -1, -1, -1)
    return {
        "psnr": pixels.visible_psnr(shown, true, holes),
        "ssim": pixels.visible_ssim(shown, true, holes),
        "l1": pixels.visible_l1(shown, true, holes),
        "jump": pixels.border_jump(whole, holes),
        "true_jump": pixels.border_jump(truth, hole)[0],
        "detail": pixels.fine_detail(whole, holes),
        "true_detail": pixels.fine_detail(truth, hole)[0],
        "diversity_colour": pixels.hole_difference(shown, hole),
    }


def _of_features(whole: Tensor, truth: Tensor, hole: Tensor, network: FeatureNetwork) -> dict[str, object]:
    true, found = network.maps(truth), network.maps(whole)
    repeated = [x.expand(len(whole), *x.shape[1:]) for x in true]
    everywhere = torch.ones_like(hole)
    return {
        "perceptual_hole": perceptual.feature_distance(found, repeated, hole),
        "perceptual_whole": perceptual.feature_distance(found, repeated, everywhere),
        "diversity_hole": perceptual.pairwise_distance(found, hole),
        "diversity_whole": perceptual.pairwise_distance(found, everywhere),
    }


def look(judge: Judge, images: Tensor) -> tuple[Tensor, Tensor]:
    """Readings [N, A] in the attributes' units and identity codes [N, I] of pictures of any size."""
    with torch.no_grad():
        readings, codes = judge(to_side(images, judge.config.resolution))
    return readings * judge.std + judge.mean, codes


def _of_readings(judge: Judge, shown: Tensor, whole: Tensor, truth: Tensor) -> dict[str, object]:
    true, person = look(judge, truth)
    composite_reading, composite_person = look(judge, whole)
    return {
        "read_true": true[0],
        "read_raw": look(judge, shown)[0],
        "read_composite": composite_reading,
        "identity": (composite_person * person).sum(1),
    }


def _of_edits(bench: Bench, judge: Judge, inversion: Inversion, before: Tensor) -> dict[str, object]:
    first, person = inversion.sample(0), look(judge, before)[1]
    drawn = []
    for edit in bench.instruments.edits.values():
        for sign in SIGNS:
            edited = edit.apply(first, sign * bench.settings.strength)
            drawn.append(render(edited, bench.backbone)[0].clamp(-1, 1))
    readings, codes = look(judge, to_tensor(to_uint8(torch.cat(drawn))))
    shape = (len(bench.instruments.edits), len(SIGNS))
    return {
        "edited": readings.unflatten(0, shape),
        "edit_identity": (codes * person).sum(1).unflatten(0, shape),
    }
