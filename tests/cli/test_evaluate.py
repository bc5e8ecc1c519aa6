"""`ganinv evaluate`: rows, reports, JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

QUICK = ("--count", 12, "--samples", 2, "--replicates", 10, "--edits", 3)


def test_a_method_beside_a_filler(bench: Any) -> None:
    filled = bench.run(
        "evaluate", "--method", "diffusion", *bench.tiny[2:], *QUICK, "--out", "filled", "--json"
    )
    assert filled.exit_code == 0, filled.stderr
    told = bench.printed(filled)
    assert told["outputs"] == [f"filled/report.{kind}" for kind in ("json", "md", "html")]
    assert told["failures"] == [] and told["options"]["count"] == 12
    assert told["figures"]["psnr"]["value"] > 100 and "edit_accuracy" not in told["figures"]
    assert "pictures: 12 of 12" in filled.stderr

    result = bench.run("evaluate", *bench.tiny, *QUICK, "--out", "ours", "--beside", "filled")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["|", "figure", "|", "ours", "|", "filled", "|"]
    assert len({len(line) for line in lines[:-2]}) == 1  # columns in line
    assert lines[2].startswith("| KID, raw outputs ")
    assert "the report is ours/report.html" in lines[-1]
    report = json.loads(Path("ours/report.json").read_text())
    assert set(report["edits"]) == {"age", "smile"} and report["card"]["method"]["name"] == "random-codes"
    assert (
        report["edits"]["age"]["which"] in ("smile, at -1", "smile, at +1")
        and report["figures"]["edit_accuracy"]["count"] == 3
    )
    assert "## Edits" in Path("ours/report.md").read_text()


def test_options_of_the_method_are_in_the_card(bench: Any) -> None:
    options = ("perceptual=pixels", "steps=1", "candidates=2")
    method = ("--method", "optimize", *(part for option in options for part in ("--option", option)))
    result = bench.run("evaluate", *method, *bench.tiny[2:], *QUICK, "--edits", 0, "--out", "o")
    assert result.exit_code == 0, result.stderr
    card = json.loads(Path("o/report.json").read_text())["card"]
    assert card["method"]["options"] == {"perceptual": "pixels", "steps": "1", "candidates": "2"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--method", "psq"), 2, "unknown method or completer 'psq'; did you mean 'psp'? known: comod, diff"),
        (("--masks", "comodgam"), 2, "did you mean 'comodgan'"),
        (("--method", "diffusion", "--option", "a=1"), 2, "completer 'diffusion' has no option 'a'"),
        (("--method", "diffusion", "--weights", "w"), 2, "completer 'diffusion' was given options weights"),
        (("--method", "comod"), 1, "no comod weights are shipped: type --weights FILE"),
        (("--data", "nowhere"), 1, "nowhere is no folder"),
        (("--features", "nowhere.pt"), 2, "nowhere.pt is no file"),
        (("--calibrate", "hat"), 2, "unknown attribute 'hat'"),
        (("--beside", "nowhere"), 1, "cannot read nowhere/report.json"),
        (("--count", "1"), 2, "--count"),
        (("--truncation", "nan"), 2, "is not a finite number"),
    ],
)
def test_what_it_refuses(bench: Any, arguments: tuple[str, ...], code: int, text: str) -> None:
    result = bench.run("evaluate", *bench.tiny, "--out", "o", *arguments)
    assert result.exit_code == code and text in result.stderr and "Traceback" not in result.stderr, (
        result.stderr
    )


def test_a_report_that_is_none(bench: Any) -> None:
    Path("r").mkdir()
    Path("r/report.json").write_text("{}")
    result = bench.run("evaluate", *bench.tiny, "--out", "o", "--beside", "r")
    assert result.exit_code == 1 and "r/report.json is no report of 'ganinv evaluate'" in result.stderr
