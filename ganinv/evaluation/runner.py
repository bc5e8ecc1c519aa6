"""`evaluate`: measure a method, write what was found, and return it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import find_model
from ganinv.checkpoints import sha256_file
from ganinv.editing.directions import load_directions
from ganinv.errors import UsageError
from ganinv.evaluation import summary
from ganinv.evaluation.card import card, identity
from ganinv.evaluation.completers import Completer, MethodCompleter, generator_pictures
from ganinv.evaluation.hidden import measure_all_hidden
from ganinv.evaluation.measure import Bench, Instruments, look, measure_picture
from ganinv.evaluation.parts import Arrays, Parts, Progress, stacked
from ganinv.evaluation.pictures import HoleSet, as_tensors, open_pictures
from ganinv.evaluation.settings import EvaluationSettings
from ganinv.files import write_bytes
from ganinv.images import to_tensor, to_uint8
from ganinv.method import InversionMethod
from ganinv.metrics.bootstrap import Estimate
from ganinv.metrics.calibration import bin_edges, calibrate, total_variation
from ganinv.metrics.features import judge_features, scripted_features
from ganinv.metrics.judge import JUDGE, Judge, load_judge
from ganinv.metrics.readings import READ_AS
from ganinv.portraits import draws_portraits

REPORT = "report.json"


def evaluate(
    what: InversionMethod | Completer,
    settings: EvaluationSettings | None = None,
    out: str | Path = "out/evaluation",
    *,
    backbone: Backbone | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measures a method, or anything that completes pictures, and writes report.json, .md, .html, plots/ and
    sheets/ into `out`. A run that was stopped goes on from what `out`/parts holds.

    Args:
        what: an inversion method, or a `ganinv.evaluation.completers.Completer`.
        backbone: the generator whose size is used and whose own samples are the yardstick; default: the
            method's.
        fresh: discard the measurements of another run in `out`.

    Returns:
        What report.json holds: `card`, `figures`, `by_family`, `by_hole_size`, `attributes`, `edits`,
        `calibration`, `memory`. A figure is {value, low, high, count}.

    Raises:
        UsageError, InputError: settings or data that cannot be used, or `out` holds another run.
        OutputError: a result that cannot be written.
    """
    from ganinv.evaluation.report import write_report

    bench = open_bench(what, settings or EvaluationSettings(), backbone)
    first = as_tensors(bench.pictures.picture(0), bench.holes.hole(0))  # warms up, and names the weights
    bench.completer.complete(*first, samples=1, seed=0, truncation=1.0)
    out = Path(out)
    parts = Parts(out / "parts", identity(bench), fresh=fresh)
    report = _measured(bench, parts, progress)
    write_bytes(out / REPORT, (json.dumps(report, indent=1, default=_plain) + "\n").encode())
    report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    write_report(report, bench, out)
    return report


def open_bench(
    what: InversionMethod | Completer, settings: EvaluationSettings, backbone: Backbone | None = None
) -> Bench:
    """What `evaluate` measures with. Raises UsageError, InputError."""
    completer = MethodCompleter(what) if isinstance(what, InversionMethod) else what
    generator = backbone or (what.backbone if isinstance(what, InversionMethod) else None)
    if generator is None:
        raise ValueError("give the backbone whose size and samples are to be used")
    pictures = open_pictures(settings, generator.resolution, completer.content)
    if len(pictures) < 2:
        raise UsageError(f"one picture ({pictures.about}) says nothing of a method; give 2 or more")
    holes = HoleSet(settings.masks, settings.seed, generator.resolution, completer.content)
    return Bench(completer, generator, settings, pictures, holes, _instruments(settings, generator))


def _instruments(settings: EvaluationSettings, backbone: Backbone) -> Instruments:
    path = find_model(JUDGE, "judge")
    judge = load_judge(path)
    own = judge_features(judge, sha256_file(path))
    given = scripted_features(settings.features) if settings.features else None
    readable = settings.series is not None or draws_portraits(backbone.name)
    edits = {}
    if readable and settings.edits:
        known = load_directions(backbone, stored=False)
        edits = {name: edit for name, edit in known.items() if name in READ_AS}
    perceptual = own if readable or given is None else given
    return Instruments(given or own, perceptual, judge if readable else None, edits)


def _measured(bench: Bench, parts: Parts, progress: Progress | None) -> dict[str, Any]:
    """Runs every stage; the report with its figures as `Estimate`."""
    count, paired = len(bench.pictures), bench.pictures.paired
    replicates, judge = bench.settings.replicates, bench.instruments.judge
    measured = parts.run(
        "pictures", count, lambda r: stacked([measure_picture(bench, i) for i in r]), progress
    )
    own = parts.run("generator", count, lambda r: _of_generator(bench, r), progress)
    reference = measured["feat_true"]
    if not paired:
        reference = parts.run("reference", count, lambda r: _of_reference(bench, r), progress)["feat"]
    features = {"reference": torch.from_numpy(reference), "generator": torch.from_numpy(own["feat"])}
    if progress is not None:
        progress("figures and intervals", 0, 1)

    report = _of_pictures(bench, measured, features)
    if judge is not None:
        report["attributes"] = summary.attributes(measured, judge.config.names, replicates=replicates)
        if "edited" in measured:
            names = list(bench.instruments.edits)
            report["edits"] = summary.edits(measured, names, judge.column, replicates=replicates)
            report["figures"] |= summary.of_all_edits(measured, names, judge.column, replicates=replicates)
    if progress is not None:
        progress("figures and intervals", 1, 1)
    if judge is not None:
        report["calibration"] = _calibrations(bench, judge, parts, own["read"], progress)
    return report


def _of_pictures(bench: Bench, measured: Arrays, features: dict[str, torch.Tensor]) -> dict[str, Any]:
    paired, replicates = bench.pictures.paired, bench.settings.replicates

    def grouped(groups: dict[str, np.ndarray]) -> dict[str, summary.Figures]:
        return summary.by_group(measured, features["reference"], groups, paired=paired, replicates=replicates)

    share, peak = measured["share"], measured["peak_memory"]
    return {
        "card": card(bench, measured),
        "figures": summary.summarise(measured, features, paired=paired, replicates=replicates),
        "exact": bool(measured["exact"].all()),
        "hole_share": {"mean": share.mean(), "least": share.min(), "most": share.max()},
        "by_family": grouped(summary.families_of(measured, bench.settings.masks)),
        "by_hole_size": grouped(summary.sizes_of(measured)),
        "memory": {"peak_bytes": peak.max(), "after_first_bytes": peak[0]},
    }


def _of_generator(bench: Bench, indices: range) -> Arrays:
    drawn = to_tensor(to_uint8(generator_pictures(bench.backbone, bench.settings.seed, indices)))
    found = {"feat": bench.instruments.network.embed(drawn).numpy()}
    if bench.instruments.judge is not None:
        found["read"] = look(bench.instruments.judge, drawn)[0].numpy()
    return found


def _of_reference(bench: Bench, indices: range) -> Arrays:
    pictures = to_tensor(bench.pictures.reference(indices))
    return {"feat": bench.instruments.network.embed(pictures).numpy()}


def _calibrations(
    bench: Bench, judge: Judge, parts: Parts, generator: np.ndarray, progress: Progress | None
) -> dict[str, Any]:
    """What is found for each attribute that the settings name."""
    settings, found = bench.settings, {}
    for name in settings.calibrate:
        rows = parts.run(
            f"calibration-{name}",
            settings.calibration_count,
            lambda r, name=name: measure_all_hidden(bench, judge, name, r),  # type: ignore[misc]
            progress,
        )
        shown = np.isfinite(rows["samples"]).all(1)
        samples, redrawn = rows["samples"][shown], rows["redrawn"][shown]
        edges = bin_edges(redrawn, rows["values"][shown])
        result = calibrate(samples, redrawn, edges, replicates=settings.replicates)
        own = total_variation(
            generator[:, judge.column(name)], redrawn, edges, replicates=settings.replicates
        )
        found[name] = {
            **vars(result),
            "edges": edges.tolist(),
            "generator": own,
            "pictures": int(shown.sum()),
            "hole_share": float(rows["share"][shown].mean()),
        }
    return found


def _plain(value: Any) -> Any:
    """For JSON: figures as objects, NumPy numbers as numbers."""
    if isinstance(value, Estimate):
        return value.to_json()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a report")
