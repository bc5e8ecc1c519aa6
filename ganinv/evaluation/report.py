"""The report that people read: report.md, and report.html, which holds its pictures itself."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganinv.evaluation import tables
from ganinv.evaluation.measure import Bench
from ganinv.evaluation.plots import write_plots
from ganinv.evaluation.sheets import write_sheets
from ganinv.files import write_bytes

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; color: #222 }
body { margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #888 } img { max-width: 100%; image-rendering: auto }
pre { background: #f5f5f5; padding: 1rem; font-size: 12px; overflow-x: auto }
"""


def write_report(report: Mapping[str, Any], bench: Bench, out: Path) -> list[Path]:
    """Writes plots/, sheets/, report.md and report.html; returns the two last."""
    found = {"Plots": write_plots(report, out / "plots"), "Sheets": write_sheets(bench, out / "sheets")}
    beside = {
        heading: {title: path.relative_to(out).as_posix() for title, path in pictures.items()}
        for heading, pictures in found.items()
    }
    text = markdown(report, beside)
    return [
        write_bytes(out / "report.md", text.encode()),
        write_bytes(out / "report.html", page(text, out).encode()),
    ]


def markdown(report: Mapping[str, Any], pictures: Mapping[str, Mapping[str, str]]) -> str:
    """The report as Markdown; pictures: heading -> title -> path beside it."""
    card = report["card"]
    share, known = report["hole_share"], card["protocol"]
    lines = [
        f"# {card['method']['name']}, measured",
        "",
        f"{known['count']} pictures ({known['data']}), {known['samples']} samples each, holes "
        f"{', '.join(known['masks'])} (mean share {share['mean']:.0%}), backbone {card['backbone']['name']}. "
        f"Known pixels of composites exact: {'yes' if report['exact'] else 'NO'}. "
        f"Peak memory {report['memory']['peak_bytes'] / 2**20:.0f} MB.",
        "",
        *tables.figures_table(report["figures"]),
    ]
    sections = {
        "By family of holes": ("by_family", lambda x: tables.groups_table(x, "family")),
        "By size of the hole": ("by_hole_size", lambda x: tables.groups_table(x, "hole")),
        "Hidden attributes": ("calibration", tables.calibration_table),
        "Edits": ("edits", tables.edits_table),
    }
    for title, (key, make) in sections.items():
        if report.get(key):
            lines += ["", f"## {title}", "", *make(report[key])]
    for heading, found in pictures.items():
        lines += ["", f"## {heading}", ""]
        for title, path in found.items():
            lines += [f"**{title}**", "", f"![{title}]({path})", ""]
    if report.get("attributes"):  # long, so after the pictures
        lines += ["", "## Attributes", "", *tables.attributes_table(report["attributes"]), ""]
    lines += ["## Protocol", "", "Every choice that moves a number:", "", "```json"]
    return "\n".join([*lines, json.dumps(card, indent=1), "```", ""])


def page(text: str, folder: Path) -> str:
    """The Markdown as one HTML page, pictures of `folder` inside it."""
    from markdown import markdown as to_html

    def inline(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / html.unescape(match[1])).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="([^":]+\.png)"', inline, to_html(text, extensions=["tables", "fenced_code"]))
    title = html.escape(text.partition("\n")[0].lstrip("# "))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
    )
