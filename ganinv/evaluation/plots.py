"""The report's plots. Figures come from report.json, so that a plot shows what the tables say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganinv.files import atomic_write

_SETS = {
    "kid_truth": "true pictures",
    "kid_generator": "generator's samples",
    "kid_raw": "raw outputs",
    "kid_composite": "composites",
}
_BY_SIZE = {
    "psnr": "PSNR of raw visible pixels, dB",
    "perceptual_hole": "perceptual distance to truth, hole",
    "diversity_hole": "diversity, hole",
    "jump": "colour jump over the border",
}


def write_plots(report: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Writes the plots that the report has figures for; title -> file."""
    written = {"Distance to the reference set": _distances(report["figures"], folder / "kid.png")}
    if len(report["by_hole_size"]) > 1:
        written["By the size of the hole"] = _by_size(report["by_hole_size"], folder / "hole-size.png")
    if report.get("attributes"):
        written["Readings in composites and in their truths"] = _attributes(
            report["attributes"], folder / "attributes.png"
        )
    if report.get("calibration"):
        written["Hidden attributes"] = _calibration(report["calibration"], folder / "calibration.png")
    return written


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> Path:
    # no date and no version in the file: equal figures give equal bytes
    return atomic_write(
        path, lambda stream: figure.savefig(stream, format="png", metadata={"Software": None})
    )


def _errors(figures: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Lengths below and above, as matplotlib takes them; 0 where there is no interval."""
    below = [f["value"] - (f["value"] if f["low"] is None else f["low"]) for f in figures]
    above = [(f["value"] if f["high"] is None else f["high"]) - f["value"] for f in figures]
    return [[max(x, 0) for x in below], [max(x, 0) for x in above]]


def _distances(figures: Mapping[str, Any], path: Path) -> Path:
    shown = {title: figures[key] for key, title in _SETS.items() if _told(figures.get(key))}
    figure = _figure(6.5, 0.6 + 0.4 * len(shown))
    axes = figure.subplots()
    values = [f["value"] for f in shown.values()][::-1]
    axes.barh(list(shown)[::-1], values, xerr=_errors(list(shown.values())[::-1]), color="#7a9cc6", capsize=3)
    axes.set_xlabel("KID")
    return _save(figure, path)


def _by_size(groups: Mapping[str, Any], path: Path) -> Path:
    figure = _figure(9, 2.6)
    for axes, (key, title) in zip(figure.subplots(1, len(_BY_SIZE)), _BY_SIZE.items(), strict=True):
        shown = {name: f[key] for name, f in groups.items() if _told(f.get(key))}
        axes.errorbar(
            range(len(shown)), [f["value"] for f in shown.values()], yerr=_errors(list(shown.values())),
            fmt="o-", capsize=3, color="#35608d",
        )  # fmt: skip
        axes.set_xticks(range(len(shown)), [name.replace(" to ", "\nto ") for name in shown], fontsize=7)
        axes.set_title(title, fontsize=8)
        axes.tick_params(axis="y", labelsize=7)
        axes.grid(alpha=0.3)
    return _save(figure, path)


def _attributes(attributes: Mapping[str, Any], path: Path) -> Path:
    shown = {name: f["correlation"] for name, f in attributes.items() if _told(f["correlation"])}
    names = sorted(shown, key=lambda name: -shown[name]["value"])
    figure = _figure(11, 3)
    axes = figure.subplots()
    found = [shown[name] for name in names]
    axes.bar(names, [f["value"] for f in found], yerr=_errors(found), color="#7a9cc6", capsize=2)
    axes.set_ylabel("correlation")
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.margins(x=0.01)
    return _save(figure, path)


def _calibration(found: Mapping[str, Any], path: Path) -> Path:
    figure = _figure(3.2 * len(found), 2.8)
    for axes, (name, result) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        places = range(len(result["expected"]))
        axes.bar([x - 0.2 for x in places], result["expected"], 0.4, label="redrawn", color="#b9c4d0")
        axes.bar([x + 0.2 for x in places], result["found"], 0.4, label="samples", color="#c6714a")
        axes.set_title(f"{name}: total variation {result['total_variation']['value']:.2f}", fontsize=9)
        axes.set_xlabel(
            "without, with" if len(places) == 2 else "bins, from low readings to high", fontsize=8
        )
        axes.set_xticks([])
        axes.legend(fontsize=7)
    return _save(figure, path)


def _told(figure: Mapping[str, Any] | None) -> bool:
    return figure is not None and figure["value"] is not None
