"""docs/tables.md from the records in KEEP: tables with the best in bold, and what is missing said beneath."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from table_pictures import contact_sheet, sweep_plot
from table_rows import Row, ancestors, evaluation_digest
from table_runs import Workshop

from ganinv.evaluation.summary import FIGURES
from ganinv.evaluation.tables import number, table

Record = dict[str, Any]
REALISM = ("kid_composite", "kid_raw", "fid_composite", "p_ids", "plausible")
FIDELITY = ("perceptual_hole", "diversity_hole", "psnr", "jump", "identity", "edit_accuracy")
GROUPS = ("kid_composite", "perceptual_hole", "diversity_hole")
SWEEP = ("kid_composite", "fid_composite", "kid_raw", "perceptual_hole", "diversity_hole")
OVER_SEEDS = ("kid_composite", "fid_composite", "perceptual_hole", "diversity_hole", "psnr", "edit_accuracy")
RAW = {"kid_raw", "fid_raw", "psnr", "ssim", "l1"}
"""Figures of raw outputs, which say nothing of what pastes the known pixels itself."""


def write_page(shop: Workshop, path: Path) -> Path:
    """Writes the page, and its pictures into images/ beside it, from what is kept."""
    records = {name: shop.record(row) for name, row in shop.rows.items()}
    images = path.parent / "images"
    lines = [*_head(shop, records)]
    for which, title, text in (
        ("main", "Ours and others", _OTHERS),
        ("ablations", "Ablations", _ABLATIONS),
    ):
        lines += ["", f"## {title}", "", text, "", *_comparison(shop, records, which)]
        if which == "main":
            lines += _picture(contact_sheet(shop, _of("main", shop), images / "tables.png"), _CONTACT)
    lines += _hidden(shop, records) + _groups(shop, records)
    lines += _sweep(shop, records, images) + _seeds(shop, records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wrapped(lines), encoding="utf-8")
    return path


_OTHERS = (
    "`psp` and `e4e` are encoders of those designs, trained here on erased pictures; `optimize` searches a "
    "code by gradient descent on the visible pixels; `comod` is a co-modulated network that draws the "
    "picture itself."
)
_ABLATIONS = (
    "What each part of the method does: all else is as in ours of the same stage. Holes are drawn from the "
    "code alone, but in the row that says otherwise and is drawn as in the paper."
)
_CONTACT = "4 pictures: above, truth and erased; then two samples by each row. The first 4 of those measured."


def _head(shop: Workshop, records: Mapping[str, Record]) -> list[str]:
    lines = [
        "# Tables",
        "",
        "Trained and measured by `python scripts/tables.py --out runs/tables`, on 64 px portraits that no "
        "training saw ([what the figures say](evaluation.md)). The rows are in `scripts/tables.yaml`, each "
        "row's settings, digests and figures in `docs/tables/`. Intervals hold 95 %, over pictures; the best "
        "of each column is bold, which says nothing where intervals overlap. Pictures and CPU minutes are "
        "those of the training of a row and of what it begins from, one thread each.",
    ]
    for name, row in shop.rows.items():
        training = records[name]["training"]
        if row.shared and training:
            users = [r for r in shop.rows.values() if any(a.name == name for a in ancestors(r, shop.rows))]
            without = [r.label for r in shop.rows.values() if r.train and r not in users and not r.shared]
            but = f" but {'; '.join(without)}" if without else ""
            lines[-1] += (
                f" Not counted is {row.label} ({training['images']:,} pictures, {_minutes(training)} CPU "
                f"minutes), from which all trained rows begin{but}."
            )
    made = [e for record in records.values() for e in record["evaluations"].values()]
    if made:
        machines, days = sorted({e["machine"] for e in made}), sorted({e["date"] for e in made})
        lines += [
            "",
            f"Machine: {'; '.join(machines)}. Measured {' to '.join(dict.fromkeys((days[0], days[-1])))}.",
        ]
    return lines


# ------------------------------------------------------------------------------------------------ comparisons


def _comparison(shop: Workshop, records: Mapping[str, Record], which: str) -> list[str]:
    """Two tables, budget with realism, and the rest; what was measured; what is missing."""
    rows = _of(which, shop)
    found = {row.name: records[row.name]["evaluations"]["main"] for row in rows if _has(records, row, "main")}
    shown = [row for row in rows if row.name in found]
    lines: list[str] = []
    for part, keys in enumerate((REALISM, FIDELITY)):
        keys = tuple(k for k in keys if any(k in found[r.name]["figures"] for r in shown))
        body = []
        for row in shown:
            budget = list(budget_of(row, shop.rows, records)) if part == 0 else []
            body.append([row.label, *budget, *(_cell(row, found, shown, key) for key in keys)])
        head = [
            "",
            *(["pictures", "CPU minutes"] if part == 0 else []),
            *(FIGURES[key].title for key in keys),
        ]
        lines += [*table(head, body), ""] if body else []
    if shown:
        lines += [_measured(shown, found)]
        lines += [_yardsticks(found[shown[0].name]["figures"])]
    return lines + _left_out(shop, records, rows, "main")


def _cell(row: Row, found: Mapping[str, Record], shown: Sequence[Row], key: str) -> str:
    if row.pasted and key in RAW:
        return "pasted"
    figure = found[row.name]["figures"].get(key)
    comparable = common_protocol(found)
    others = {
        r.name: found[r.name]["figures"].get(key)
        for r in shown
        if found[r.name]["protocol_sha256"] == comparable and not (r.pasted and key in RAW)
    }
    return bold(figure_text(figure)) if row.name in best(others, key) else figure_text(figure)


def figure_text(figure: Mapping[str, Any] | None) -> str:
    """ "0.123 (0.110 to 0.135)"; what has no spread at all, such as the diversity of one answer, without."""
    if (
        figure is not None
        and figure["value"] is not None
        and figure["value"] == figure["low"] == figure["high"]
    ):
        return f"{figure['value']:.3g}"
    return number(figure)


def best(figures: Mapping[str, Mapping[str, Any] | None], key: str) -> set[str]:
    """The names whose figure is the best of its kind; none where there is nothing to compare."""
    told = {name: f["value"] for name, f in figures.items() if f is not None and f["value"] is not None}
    if len(told) < 2:
        return set()
    if key == "jump":
        score: Callable[[float], float] = lambda value: -abs(value - 1)  # noqa: E731
    elif FIGURES[key].better == 0:
        return set()
    else:
        score = lambda value: FIGURES[key].better * value  # noqa: E731
    top = max(map(score, told.values()))
    return {name for name, value in told.items() if score(value) == top}


def bold(text: str) -> str:
    """ "**0.1** (0.0 to 0.2)"."""
    value, _, rest = text.partition(" ")
    return f"**{value}** {rest}".strip()


def common_protocol(found: Mapping[str, Record]) -> str:
    """The protocol of most of the evaluations: only those of one protocol compare."""
    return Counter(e["protocol_sha256"] for e in found.values()).most_common(1)[0][0]


def budget_of(row: Row, rows: Mapping[str, Row], records: Mapping[str, Record]) -> tuple[str, str]:
    """Pictures, and CPU minutes, of a row with what it begins from, shared starts left out."""
    chain = [r for r in [*ancestors(row, rows), row] if r.train is not None and not r.shared]
    if not chain:
        return "none", "0"
    told = [records[r.name]["training"] for r in chain]
    if not all(told):
        return "?", "?"
    codes = sum(t["code_images"] for t in told)
    pictures = f"{sum(t['images'] for t in told):,}" + (f" ({codes:,} as codes alone)" if codes else "")
    total = {"cpu_seconds": sum(t["cpu_seconds"] for t in told), "at_least": any(t["at_least"] for t in told)}
    return pictures, _minutes(total)


def _minutes(training: Mapping[str, Any]) -> str:
    """CPU minutes; "at least" where a killed process was not counted."""
    minutes = training["cpu_seconds"] / 60
    return ("at least " if training["at_least"] else "") + (
        f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}"
    )


def _measured(shown: Sequence[Row], found: Mapping[str, Record]) -> str:
    """What was measured on, and which rows on something else."""
    common = common_protocol(found)
    first = next(e for e in found.values() if e["protocol_sha256"] == common)
    text = (
        f"{first['count']} pictures, {_samples(first)}; holes {', '.join(first['masks'])}, "
        f"{first['hole_share']:.0%} of the picture on average; {first['edits']} of them edited."
    )
    for row in shown:
        other = found[row.name]
        if other["protocol_sha256"] != common:
            text += (
                f" {row.label}: {other['count']} pictures, {_samples(other)}, so it takes no part in what is "
                "best, and its FID does not compare."
            )
    return text


def _samples(evaluation: Record) -> str:
    return f"{evaluation['samples']} sample{'s' if evaluation['samples'] > 1 else ''} each"


def _yardsticks(figures: Mapping[str, Any]) -> str:
    told = [f"{FIGURES[key].title} {figure_text(figures[key])}" for key in
            ("kid_generator", "fid_generator", "kid_truth", "fid_truth") if key in figures]  # fmt: skip
    return f"For comparison: {'; '.join(told)}." if told else ""


def _left_out(shop: Workshop, records: Mapping[str, Record], rows: Sequence[Row], which: str) -> list[str]:
    """One line each on rows that are missing, and on rows measured with other settings than those of now."""
    missing = [row.label for row in rows if not _has(records, row, which)]
    stale = [
        row.label
        for row in rows
        if _has(records, row, which)
        and records[row.name]["evaluations"][which]["spec_sha256"] != evaluation_digest(row, which, shop.rows)
    ]
    lines = [f"Not measured yet, and left out: {'; '.join(missing)}."] if missing else []
    lines += (
        [f"Measured with other settings than `scripts/tables.yaml` has now: {'; '.join(stale)}."]
        if stale
        else []
    )
    return [text for line in lines for text in ("", line)]


# --------------------------------------------------------------------------------------------------- the rest


def _hidden(shop: Workshop, records: Mapping[str, Record]) -> list[str]:
    rows, body = _of("hidden", shop), []
    there = [row for row in rows if _has(records, row, "main")]
    found = {row.name: records[row.name]["evaluations"]["main"].get("calibration", {}) for row in there}
    for attribute in dict.fromkeys(a for calibration in found.values() for a in calibration):
        for row in there:
            told = found[row.name].get(attribute)
            if told:
                varies = [figure_text(told[key]) for key in ("total_variation", "generator")]
                rest = [f"{told['floor']:.2f}", figure_text(told["coverage"]), figure_text(told["spread"])]
                body.append([attribute, row.label, *varies, *rest, str(told["pictures"])])
    head = ["attribute", "", "total variation", "the generator's own samples", "chance", "coverage",
            "spread, 1 is right", "pictures"]  # fmt: skip
    lines = ["", "## Hidden attributes", "", "[What this is](evaluation.md#hidden-attributes).", ""]
    return [*lines, *(table(head, body) if body else []), *_left_out(shop, records, rows, "main")]


def _groups(shop: Workshop, records: Mapping[str, Record]) -> list[str]:
    rows = _of("groups", shop)
    there = [row for row in rows if _has(records, row, "families")]
    lines = ["", "## By family and size of the hole", ""]
    if there:
        found = {row.name: records[row.name]["evaluations"]["families"] for row in there}
        first = found[there[0].name]
        lines += [f"{first['count']} pictures, which take the families in turn; {_samples(first)}.", ""]
        for key in GROUPS:
            body = []
            for kind in ("by_family", "by_hole_size"):
                for group in dict.fromkeys(g for e in found.values() for g in e[kind]):
                    figures = {r.name: found[r.name][kind].get(group, {}).get(key) for r in there}
                    top = best(figures, key)
                    cells = [
                        bold(figure_text(f)) if name in top else figure_text(f) for name, f in figures.items()
                    ]
                    count = max(f["count"] for e in found.values() for f in e[kind].get(group, {}).values())
                    body.append([group, str(count), *cells])
            head = [FIGURES[key].title, "pictures", *(row.label for row in there)]
            lines += [*table(head, body), ""]
        lines.pop()
    return lines + _left_out(shop, records, rows, "families")


def _sweep(shop: Workshop, records: Mapping[str, Record], images: Path) -> list[str]:
    lines = ["", "## Truncation of the random code", ""]
    for row in _of("truncation", shop):
        names = ["main", *(name for name in row.evaluations if name.startswith("truncation"))]
        kept = records[row.name]["evaluations"]
        points = {kept[name]["truncation"]: kept[name] for name in names if name in kept}
        body = [[f"{t:.1f}", *(figure_text(e["figures"].get(k)) for k in SWEEP)] for t, e in points.items()]
        head = [row.label, *(FIGURES[key].title for key in SWEEP)]
        lines += [*table(head, body)] if body else []
        if len(points) > 1:
            plot = sweep_plot({t: e["figures"] for t, e in points.items()}, images / "tables-truncation.png")
            lines += _picture(
                plot, "Distance to the reference set against diversity; beside each point the truncation."
            )
        missing = [name.partition("-")[2] or "1.0" for name in names if name not in kept]
        lines += ["", f"Not measured yet: {row.label} at {', '.join(missing)}."] if missing else []
    return lines


def _seeds(shop: Workshop, records: Mapping[str, Record]) -> list[str]:
    """Mean and range over the seeds of the training."""
    body, missing = [], []
    for base in dict.fromkeys(row.base for row in shop.rows.values() if row.seed):
        rows = [row for row in shop.rows.values() if row.base == base]
        there = [records[row.name]["evaluations"]["main"] for row in rows if _has(records, row, "main")]
        missing += [row.label for row in rows if not _has(records, row, "main")]
        if len(there) > 1:
            values = {k: [e["figures"][k]["value"] for e in there if k in e["figures"]] for k in OVER_SEEDS}
            body.append(
                [shop.rows[base].label, str(len(there)), *(mean_and_range(v) for v in values.values())]
            )
    head = ["mean (range)", "seeds", *(FIGURES[key].title for key in OVER_SEEDS)]
    lines = ["", "## Over seeds of the training", ""]
    lines += [
        "Weights, data and order anew; the shared encoder, the pictures measured and their holes stay.",
        "",
    ]
    lines += table(head, body) if body else []
    return [*lines, *(["", f"Not measured yet: {'; '.join(missing)}."] if missing else [])]


def mean_and_range(values: Sequence[float]) -> str:
    """ "0.12 (0.11 to 0.14)"."""
    if not values:
        return "-"
    return figure_text({"value": sum(values) / len(values), "low": min(values), "high": max(values)})


def wrapped(lines: Sequence[str]) -> str:
    """The page: text in lines of at most 140 characters, the rest as it is, no gaps of two lines."""
    found: list[str] = []
    for line in lines:
        if line.startswith(("|", "![", "#")):
            found.append(line)
        elif line or (found and found[-1]):
            kept = line.replace(" %", "\u00a0%")  # a number and its unit stay on one line
            found += textwrap.wrap(kept, 140, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(found).replace("\u00a0%", " %") + "\n"


def _of(which: str, shop: Workshop) -> list[Row]:
    return [row for row in shop.rows.values() if which in row.tables]


def _has(records: Mapping[str, Record], row: Row, which: str) -> bool:
    return which in records[row.name]["evaluations"]


def _picture(path: Path | None, text: str) -> list[str]:
    return ["", f"![{text}](images/{path.name})", "", text] if path else []
