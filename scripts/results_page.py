"""Turn the JSON of scripts/measure.py into the tables of docs/results.md, printed.

python scripts/results_page.py measured.json [ablation.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def inpainting_table(table: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    lines = [
        "| hole | trained | known pixels exact | visible PSNR | border jump / true | difference in hole |",
        "|---|---|---|---|---|---|",
    ]
    for family, methods in table.items():
        for name, row in methods.items():
            exact = "yes" if row["known pixels exact"] else "NO"
            lines.append(
                f"| {family} | {name} | {exact} | {row['visible PSNR']:.2f} "
                f"| {row['border jump / true']:.2f} | {row['difference in hole']:.3f} |"
            )
    return lines


def edits_table(stages: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    lines = [
        "| direction | trained | asked way, % | left out | own move, s.d. | largest other, s.d. | which |",
        "|---|---|---|---|---|---|---|",
    ]
    for direction in next(iter(stages.values())):
        for stage, rows in stages.items():
            row = rows[direction]
            lines.append(
                f"| {direction} | {stage} | {row['asked way %']:.1f} | {row['left out']} "
                f"| {row['moves']:.2f} | {row['worst other']:.2f} | {row['which']} |"
            )
    return lines


def generator_table(figures: dict[str, Any]) -> list[str]:
    carried, judged = figures["attributes carried, R2 or AUC"], figures["judge on renders, R2 or AUC"]
    lines = ["| attribute | judge on renders | judge on samples, against their z |", "|---|---|---|"]
    lines += [f"| {name} | {judged[name]:.2f} | {carried[name]:.2f} |" for name in judged]
    kids = [f"{name}: {value[0]:.4f} +- {value[1]:.4f}" for name, value in figures.items() if "KID" in name]
    return [*lines, "", *(f"- {text}" for text in kids)]


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        report = json.loads(path.read_text())
        lines = inpainting_table(report["inpainting"])
        if "edits" in report:
            lines += ["", *edits_table(report["edits"])]
        if "generator" in report:
            lines += ["", *generator_table(report["generator"])]
        print("\n".join([f"## {path.stem}", "", *lines, ""]))


if __name__ == "__main__":
    main()
