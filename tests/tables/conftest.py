"""Rows to work on, and what stands in for the child processes of scripts/tables.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("tables", "table_rows", "table_runs", "table_order", "table_pages", "table_pictures")


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def rows_file(tmp_path: Path) -> Callable[..., Path]:
    """A file of a few rows; keywords change single ones."""

    def write(**changes: dict[str, Any]) -> Path:
        train = {"method": "m", "stage": 1, "set": {"stage1.images": 1000, "stage1.code_images": 600}}
        second = {"method": "m", "stage": 2, "set": {"stage2.images": 50}}
        rows: dict[str, Any] = {
            "start": {"label": "the start", "shared": True, "train": train},
            "ours-1": {
                **{"label": "ours, 1", "tables": ["main"], "seeds": [0, 1], "train": train},
                **{"begins_from": "start", "takes": "encoder", "evaluate": {"main": {}}},
                "measure": {"method": "m", "options": {"stage": 1}},
            },
            "ours-2": {
                **{"label": "ours, 2", "tables": ["main", "groups", "truncation"], "seeds": [0, 1]},
                **{"begins_from": "ours-1", "takes": "state", "train": second},
                **{"measure": {"method": "m"}, "evaluate": {"main": {}, "half": {}}},
            },
            "grey": {
                **{"label": "grey", "tables": ["main"], "pasted": True, "evaluate": {"main": {}}},
                "measure": {"method": "grey", "weights": False},
            },
        }
        for name, change in changes.items():
            rows[name] = {**rows.get(name, {"label": name}), **change}
        evaluations = {"main": {"masks": ["a", "b"], "edits": 20, "samples": 4}}
        evaluations["half"] = {**evaluations["main"], "truncation": 0.5}  # type: ignore[dict-item]
        path = tmp_path / "rows.yaml"
        path.write_text(yaml.safe_dump({"evaluations": evaluations, "rows": rows}, sort_keys=False))
        return path

    return write


@pytest.fixture
def make_shop(rows_file: Callable[..., Path], tmp_path: Path) -> Callable[..., Any]:
    """A workshop of `rows_file` with the rows given, with the options of `read_rows`."""

    def make(rows: dict[str, Any] | None = None, **options: Any) -> Any:
        from table_rows import read_rows
        from table_runs import Workshop

        read = read_rows(rows_file(**(rows or {})), **options)
        return Workshop(read, tmp_path / "out", tmp_path / "docs" / "tables")

    return make


class Calls:
    """In place of child processes: notes the commands, and leaves what they would leave."""

    def __init__(self, shop: Any, codes: dict[str, int] | None = None) -> None:
        self.shop, self.codes, self.made = shop, codes or {}, list[str]()
        shop._child = self

    def __call__(self, row: Any, arguments: list[str], lock: int) -> tuple[int, str, float]:
        which = "train" if arguments[0] == "train" else Path(arguments[arguments.index("--out") + 1]).name
        self.made.append(
            f"{row.name} {which}" + (" again" if {"--resume", "--fresh"} & set(arguments) else "")
        )
        self.arguments = arguments
        code = self.codes.get(row.name, 0)
        (self.shop.out / "logs").mkdir(parents=True, exist_ok=True)
        (self.shop.out / "logs" / f"{row.name}.log").write_text("begun\nError: what was wrong\n")
        if code:
            return code, "", 6.0
        if which == "train":
            folder = self.shop.folder(row)
            (folder / "m.safetensors").write_text(row.name)
            (folder / f"stage{row.train.stage}.state").write_text(row.name)
            (folder / "log.jsonl").touch()
            stages = {
                str(row.train.stage): {
                    "reason": "done",
                    "images": row.train.images,
                    "seconds": 1.0,
                    "probe": 3,
                }
            }
            return 0, json.dumps({"outputs": [], "stages": stages}), 6.0
        out = self.shop.out / "evaluated" / which
        (out / "report.json").write_text(json.dumps(report_of(arguments)))
        return 0, "", 3.0


def report_of(arguments: list[str]) -> dict[str, Any]:
    protocol = {"masks": ["a", "b"], "count": 500, "samples": 4, "edits": 20}
    protocol |= {"picture_sha256": "p", "mask_sha256": "h", "definitions": {}}
    card = {
        "protocol_sha256": "same",
        "protocol": protocol,
        "machine": "a machine",
        "versions": {"torch": "2"},
    }
    card["truncation"] = 0.5 if "--truncation" in arguments else 1.0
    names = ("kid_composite", "kid_raw", "fid_composite", "diversity_hole", "psnr", "jump", "kid_generator")
    figures = {name: {"value": 1.23456789, "low": 1.0, "high": 1.5, "count": 500} for name in names}
    groups = {"a": figures}
    return {
        "card": card,
        "figures": figures,
        "by_family": groups,
        "by_hole_size": groups,
        "hole_share": {"mean": 0.5},
    }


@pytest.fixture
def calls_of() -> type[Calls]:
    """`Calls(shop)` takes the place of a workshop's child processes."""
    return Calls


@pytest.fixture
def work_on() -> Callable[..., dict[str, str]]:
    """Works on the rows named; what failed, and why."""

    def run(shop: Any, only: str | None = None, phase: str = "all") -> dict[str, str]:
        from table_order import work
        from table_rows import select

        failed: dict[str, str] = work(shop, select(shop.rows, only), phase, poll=0.01)
        return failed

    return run
