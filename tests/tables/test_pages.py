"""The page, its pictures, and the command line of scripts/tables.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Make = Callable[..., Any]


def page_of(shop: Any, tmp_path: Path) -> str:
    from table_pages import write_page

    text: str = write_page(shop, tmp_path / "docs" / "tables.md").read_text()
    return text


def test_page_of_nothing_lists_what_is_missing(make_shop: Make, tmp_path: Path) -> None:
    text = page_of(make_shop(), tmp_path)
    assert "Not measured yet, and left out: ours, 1; ours, 2; grey." in text
    assert "| " not in text and "nan" not in text


def test_page_has_budgets_and_the_best_in_bold(
    make_shop: Make, calls_of: Make, work_on: Make, tmp_path: Path
) -> None:
    calls_of(shop := make_shop())
    assert work_on(shop, "ours-2,grey") == {}
    kept = json.loads((shop.keep / "grey.json").read_text())
    kept["evaluations"]["main"]["figures"]["kid_composite"]["value"] = 1.1
    (shop.keep / "grey.json").write_text(json.dumps(kept))
    text = page_of(shop, tmp_path)
    lines = {
        line.split("|")[1].strip(): line for line in reversed(text.splitlines()) if line.startswith("| ")
    }
    assert "1,050 (600 as codes alone) | 0.2 " in lines["ours, 2"]
    assert "**1.1** (1.0 to 1.5)" in lines["grey"] and "1.2 (1.0 to 1.5)" in lines["ours, 2"]
    assert "pasted" in lines["grey"] and "| none " in lines["grey"]
    assert "Not counted is the start (1,000 pictures, 0.1 CPU minutes)" in " ".join(text.split())
    assert "Not measured yet, and left out: ours, 1." in text
    assert (tmp_path / "docs" / "images").exists() is False  # no plot of one truncation


def test_a_row_without_training_has_the_budget_of_the_weights_it_takes(
    make_shop: Make, calls_of: Make, work_on: Make
) -> None:
    from table_pages import budget_of

    shop = make_shop({"again": {"begins_from": "ours-2", "takes": "weights", "evaluate": {"main": {}},
                                "measure": {"method": "m"}}})  # fmt: skip
    calls_of(shop)
    work_on(shop, "again")
    records = {name: shop.record(row) for name, row in shop.rows.items()}
    assert budget_of(shop.rows["again"], shop.rows, records) == ("1,050 (600 as codes alone)", "0.2")


def test_best_looks_the_right_way() -> None:
    from table_pages import best, bold

    def of(**values: float | None) -> dict[str, dict[str, Any]]:
        return {name: {"value": value} for name, value in values.items()}

    assert best(of(a=0.1, b=0.2), "kid_composite") == {"a"} and best(of(a=0.1, b=0.2), "p_ids") == {"b"}
    assert best(of(a=2.0, b=0.7, c=0.1), "jump") == {"b"}
    assert best(of(a=1.0, b=None), "psnr") == set() and best(of(a=1.0, b=1.0), "psnr") == {"a", "b"}
    assert bold("0.1 (0.0 to 0.2)") == "**0.1** (0.0 to 0.2)" and bold("0.1") == "**0.1**"


def test_rows_of_another_protocol_are_never_best(
    make_shop: Make, calls_of: Make, work_on: Make, tmp_path: Path
) -> None:
    calls_of(shop := make_shop())
    work_on(shop, "ours-1,ours-2,grey")
    kept = json.loads((shop.keep / "grey.json").read_text())
    kept["evaluations"]["main"] |= {"protocol_sha256": "other", "count": 20, "samples": 1}
    kept["evaluations"]["main"]["figures"]["kid_composite"]["value"] = 0.0
    (shop.keep / "grey.json").write_text(json.dumps(kept))
    text = page_of(shop, tmp_path)
    assert "**0.0**" not in text
    assert "grey: 20 pictures, 1 sample each, so it takes no part" in " ".join(text.split())


def test_text_is_wrapped_and_tables_are_not() -> None:
    from table_pages import figure_text, wrapped

    row = "| " + "x " * 100 + "|"
    page = wrapped(["# Title", "", "word " * 40, "", "", row])
    assert [len(line) <= 140 for line in page.splitlines()] == [True] * 5 + [False]
    assert page.endswith(f"word\n\n{row}\n")
    assert figure_text({"value": 0.0, "low": 0.0, "high": 0.0}) == "0" and figure_text(None) == "-"
    assert figure_text({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.50 (0.40 to 0.60)"


def test_mean_and_range() -> None:
    from table_pages import mean_and_range

    assert mean_and_range([1.0, 2.0, 4.5]) == "2.5 (1.0 to 4.5)" and mean_and_range([]) == "-"


def test_cells_undo_a_sheet() -> None:
    from table_pictures import cells

    from ganinv.images import sheet

    drawn = np.random.default_rng(0).integers(0, 255, (2, 3, 8, 8, 3)).astype(np.uint8)
    assert np.array_equal(np.array(cells(sheet(list(map(list, drawn))), 8)), drawn)


def test_contact_sheet_is_small_and_kept_where_sheets_are_gone(
    make_shop: Make, calls_of: Make, work_on: Make, tmp_path: Path
) -> None:
    from table_pictures import LARGEST, SIDE, contact_sheet

    from ganinv.images import sheet, write_png

    calls_of(shop := make_shop())
    work_on(shop, "grey")
    rows, path = [shop.rows["grey"]], tmp_path / "images" / "tables.png"
    assert contact_sheet(shop, rows, path) is None
    noise = np.random.default_rng(0).integers(0, 255, (6, 4, SIDE, SIDE, 3)).astype(np.uint8)
    page = shop.out / "evaluated" / "grey-main" / "sheets" / "comodgan.png"
    write_png(page, sheet(list(map(list, noise))))
    assert contact_sheet(shop, rows, path) == path and path.stat().st_size < LARGEST
    page.unlink()
    assert contact_sheet(shop, rows, path) == path


def test_list_and_an_unknown_row(rows_file: Callable[..., Path], tmp_path: Path, capsys: Any) -> None:
    import tables

    assert isinstance(tables, ModuleType)
    common = ["--rows", str(rows_file()), "--out", str(tmp_path / "out"), "--count", "9"]
    assert tables.main([*common, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "ours-2         ours, 2 from ours-1, 50 pictures: train, main, half" in listed
    assert tables.main([*common, "--only", "red"]) == 2
    assert "tables.py: no row red; the rows are start" in capsys.readouterr().err
