"""`ganinv bench`: tables, JSON, plot, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image


def test_synthesis_with_a_peer_that_is_none(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    result = bench.run(
        "bench", "--resolution", 8, "--rounds", 1, "--threads", 1, "--peer", f"nvidia={tmp_path}",
        "--json", out, "--plot", tmp_path / "plot.png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "ceilings: " in result.stdout and "peer-style" in result.stdout
    assert "could not run: " in result.stdout and "PSNR" in result.stdout
    told = json.loads(out.read_text())
    assert [row["name"] for row in told["rows"]] == ["ours", "ours-bfloat16", "peer-style", "nvidia"]
    assert told["rows"][0]["ratio"] == 1 and "cause" in told["rows"][3] and told["what"] == "synthesis"
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.width > 300


def test_what_it_refuses(bench: Any) -> None:
    for arguments, text in (
        (("nothing",), "is not one of"),
        (("--peer", "mine=."), "type nvidia=FOLDER or rosinality=FOLDER"),
        (("--resolution", 10), "--resolution: resolution 10 is not a power of two"),
        (("invert", "--compile"), "invert has no peers to race"),
    ):
        result = bench.run("bench", *arguments)
        assert result.exit_code == 2 and text in result.stderr, result.stderr
