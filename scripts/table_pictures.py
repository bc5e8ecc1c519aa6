"""The pictures of docs/tables.md: a plot of the truncation sweep, and completions by the main rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from table_rows import Row
from table_runs import Workshop

from ganinv.files import atomic_write
from ganinv.images import read_picture

PICTURES, SAMPLES = 4, 2
LARGEST = 600_000
"""Bytes of a picture for the docs."""
SIDE, _GAP = 96, 2
"""Pixels of a picture in the sheets of `ganinv evaluate`, and between two."""
_LABEL = 210  # px


def sweep_plot(points: Mapping[float, Mapping[str, Any]], path: Path) -> Path:
    """KID and FID of composites against diversity, a point for each truncation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2), ("kid_composite", "fid_composite"), strict=True):
        across = [f["diversity_hole"] for f in points.values()]
        up = [f[key] for f in points.values()]
        x, y = [f["value"] for f in across], [f["value"] for f in up]
        axes.errorbar(x, y, xerr=_errors(across), yerr=_errors(up), fmt="o-", capsize=2, color="#35608d")
        for truncation, left, height in zip(points, x, y, strict=True):
            axes.annotate(f"{truncation:g}", (left, height), (5, 5), textcoords="offset points", fontsize=8)
        axes.set_xlabel("diversity, hole", fontsize=8)
        axes.set_ylabel(f"{key[:3].upper()}, composites", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    return atomic_write(
        path, lambda stream: figure.savefig(stream, format="png", metadata={"Software": None})
    )


def _errors(figures: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    return [[f["value"] - f["low"] for f in figures], [f["high"] - f["value"] for f in figures]]


def contact_sheet(shop: Workshop, rows: Sequence[Row], path: Path) -> Path | None:
    """Truth and erased pictures, then two samples of each row, cut from the sheets of the evaluations in OUT.

    A sheet of before stays where OUT lacks one of the rows that are kept. None: there is nothing to show.
    """
    kept = [row for row in rows if "main" in shop.record(row)["evaluations"]]
    sheets = [(row, shop.out / f"evaluated/{row.name}-main/sheets/comodgan.png") for row in kept]
    found = [(row, cells(read_picture(sheet).pixels, SIDE)) for row, sheet in sheets if sheet.is_file()]
    if not found or (len(found) < len(kept) and path.is_file()):
        return path if path.is_file() else None
    first = found[0][1]
    lines = [("truth, erased", [cell for row in first[:PICTURES] for cell in row[:2]])]
    for row, grid in found:
        blank = np.full_like(grid[0][0], 255)
        shown = [[*line[2 : 2 + SAMPLES], *[blank] * SAMPLES][:SAMPLES] for line in grid[:PICTURES]]
        lines.append((row.label, [cell for pair in shown for cell in pair]))
    return _write(labelled(lines), path)


def cells(page: np.ndarray, side: int) -> list[list[np.ndarray]]:
    """The pictures of a sheet uint8 (H, W, 3), by rows: the inverse of `ganinv.images.sheet`."""
    step = side + _GAP
    rows, columns = (page.shape[0] - _GAP) // step, (page.shape[1] - _GAP) // step
    return [
        [page[_GAP + i * step :, _GAP + j * step :][:side, :side] for j in range(columns)]
        for i in range(rows)
    ]


def labelled(lines: Sequence[tuple[str, Sequence[np.ndarray]]]) -> Image.Image:
    """Rows of pictures with a text before each; a wider gap after each two."""
    side = lines[0][1][0].shape[0]
    step, pair = side + _GAP, 2 * (side + _GAP) + 4
    width = _LABEL + pair * (max(len(cells) for _, cells in lines) // 2)
    page = Image.new("RGB", (width, _GAP + step * len(lines)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=14)
    for i, (label, pictures) in enumerate(lines):
        top = _GAP + i * step
        draw.text((4, top + side // 2 - 8), label, fill="black", font=font)
        for j, pixels in enumerate(pictures):
            page.paste(Image.fromarray(pixels), (_LABEL + (j // 2) * pair + (j % 2) * step, top))
    return page


def _write(page: Image.Image, path: Path) -> Path:
    """As a PNG of 256 colours, made smaller until it is small enough."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        page.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < LARGEST:
            return path
        page = page.resize((page.width * 9 // 10, page.height * 9 // 10), Image.Resampling.LANCZOS)
