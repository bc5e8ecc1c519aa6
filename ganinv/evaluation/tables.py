"""Tables of a report, and of several reports side by side, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ganinv.errors import UsageError
from ganinv.evaluation.summary import FIGURES

ROWS = ("kid_raw", "kid_composite", "fid_composite", "p_ids", "u_ids", "perceptual_hole", "diversity_hole",
        "psnr", "ssim", "jump", "detail", "plausible", "identity", "edit_accuracy", "seconds")  # fmt: skip
"""Figures of a comparison."""

Figure = Mapping[str, Any]


def number(figure: Figure | None) -> str:
    """ "0.123 (0.110 to 0.135)", with as many digits as the interval is worth."""
    if figure is None or figure["value"] is None:
        return "-"
    value, low, high = figure["value"], figure["low"], figure["high"]
    if low is None or high is None:
        return f"{value:.4g}"
    digits = _digits(high - low, value)
    told = [f"{round(x, digits) + 0.0:.{digits}f}" for x in (value, low, high)]  # + 0.0: no "-0.00"
    return f"{told[0]} ({told[1]} to {told[2]})"


def _digits(width: float, value: float) -> int:
    for digits in range(1, 6):
        if width * 10**digits >= 3 or (width == 0 and abs(value) * 10**digits >= 100):
            return digits
    return 3 if width == 0 else 6


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table as lines, its columns in line."""
    rows = list(rows)
    widths = [max(3, *(len(row[i]) for row in (head, *rows))) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)]


def figures_table(figures: Mapping[str, Figure]) -> list[str]:
    """Every figure with its interval and what it is."""
    better = {1: "higher", -1: "lower", 0: ""}
    return table(
        ["figure", "value (95 % interval)", "better", "of what"],
        [
            [told.title, number(figures[key]), better[told.better], told.about]
            for key, told in FIGURES.items()
            if key in figures
        ],
    )


def groups_table(groups: Mapping[str, Mapping[str, Figure]], what: str) -> list[str]:
    """Groups of pictures as rows."""
    keys = [key for key in FIGURES if any(key in figures for figures in groups.values())]
    rows = []
    for name, figures in groups.items():
        count = max((f["count"] for f in figures.values()), default=0)
        rows.append([name, str(count), *(number(figures.get(key)) for key in keys)])
    return table([what, "pictures", *(FIGURES[key].title for key in keys)], rows)


def attributes_table(attributes: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    """What the judge reads in composites."""
    return table(
        ["attribute", "realism", "off the truth's, s.d.", "correlation with the truth's"],
        [
            [name, *(number(f[key]) for key in ("plausible", "agreement", "correlation"))]
            for name, f in attributes.items()
        ],
    )


def edits_table(edits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each direction did."""
    return table(
        [
            "direction",
            "asked way",
            "left out",
            "own move, s.d.",
            "largest other, s.d.",
            "which",
            "identity kept",
        ],
        [
            [
                name,
                number(row["accuracy"]),
                str(row["left_out"]),
                number(row["own_move"]),
                number(row["worst_other"]),
                row["which"] or "-",
                number(row["identity"]),
            ]
            for name, row in edits.items()
        ],
    )


def calibration_table(calibration: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Hidden attributes."""
    return table(
        [
            "attribute",
            "total variation",
            "generator's own samples",
            "floor",
            "coverage",
            "spread",
            "hole",
            "pictures",
        ],
        [
            [
                name,
                number(row["total_variation"]),
                number(row["generator"]),
                f"{row['floor']:.3f}",
                number(row["coverage"]),
                number(row["spread"]),
                f"{row['hole_share']:.0%}",
                str(row["pictures"]),
            ]
            for name, row in calibration.items()
        ],
    )


def comparison(reports: Mapping[str, Mapping[str, Any]], keys: Sequence[str] = ROWS) -> list[str]:
    """Reports of one protocol side by side: a column each, a row for each figure.

    Raises:
        UsageError: two that were not measured on the same pictures, holes and networks.
    """
    names = list(reports)
    for name in names[1:]:
        ours, theirs = (reports[n]["card"] for n in (names[0], name))
        if ours["protocol_sha256"] != theirs["protocol_sha256"]:
            one, other = ours["protocol"], theirs["protocol"]
            apart = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
            raise UsageError(
                f"{names[0]} and {name} do not compare: they differ in {', '.join(apart) or 'their protocol'}"
            )
    shown = [key for key in keys if any(key in report["figures"] for report in reports.values())]
    rows = [[FIGURES[key].title, *(number(r["figures"].get(key)) for r in reports.values())] for key in shown]
    return table(["figure", *names], rows)
