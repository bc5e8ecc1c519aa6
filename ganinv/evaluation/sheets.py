"""Sheets of pictures for the report: completions by family of holes, and calibrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganinv.evaluation.hidden import filled, sweep
from ganinv.evaluation.measure import Bench
from ganinv.evaluation.pictures import as_tensors, completed
from ganinv.images import sheet, write_png
from ganinv.sampling import sample_seed
from ganinv.sizes import resize

_ROWS = 6
_SHOWN = 96  # px, for pictures that are smaller
_MOST = 6  # samples in a row


def write_sheets(bench: Bench, folder: Path) -> dict[str, Path]:
    """Writes a sheet for each family of holes and each calibrated attribute; title -> file."""
    written = {}
    families = bench.settings.masks
    for number, family in enumerate(families):
        indices = range(number, len(bench.pictures), len(families))[:_ROWS]
        rows = [_row(bench, index) for index in indices]
        if rows:
            title = f"{family}: truth, erased, {len(rows[0]) - 2} composites"
            written[title] = _write(folder / f"{family.replace(':', '-')}.png", rows)
    for name in bench.settings.calibrate:
        pairs = [_hidden_rows(bench, name, i) for i in range(min(_ROWS, bench.settings.calibration_count))]
        title = f"{name} hidden: truth, erased, composites; below each, renders with {name} drawn afresh"
        rows = [row for pair in pairs for row in pair]
        written[title] = _write(folder / f"calibration-{name}.png", rows)
    return written


def _row(bench: Bench, index: int) -> list[np.ndarray]:
    picture, hole = bench.pictures.picture(index), bench.holes.hole(index)
    truth, erased = as_tensors(picture, hole)
    settings = bench.settings
    done = bench.completer.complete(
        truth,
        erased,
        samples=settings.samples,
        seed=sample_seed(settings.seed, index),
        truncation=settings.truncation,
    )
    pasted = completed(settings, done, picture, hole)
    return [picture, _erased(picture, hole), *pasted[:_MOST]]


def _hidden_rows(bench: Bench, attribute: str, index: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    settings, series = bench.settings, bench.settings.series
    assert series is not None
    count = min(_MOST, settings.calibration_samples)
    swept = sweep(
        attribute, series, index, bench.backbone.resolution, settings.calibration_samples, settings.seed
    )
    blank = np.full_like(swept.picture, 255)
    above = [swept.picture, _erased(swept.picture, swept.hole), *filled(bench, swept, count, index)]
    return above, [blank, blank, *swept.redrawn[:count]]


def _erased(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None], np.uint8(128), picture)


def _write(path: Path, rows: list[list[np.ndarray]]) -> Path:
    side = max(_SHOWN, rows[0][0].shape[0])
    return write_png(path, sheet([[resize(pixels, side) for pixels in row] for row in rows]))
