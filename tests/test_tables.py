"""scripts/tables.py: rows, digests, commands, locks, the order of work, and the page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("tables", "table_rows", "table_runs", "table_order", "table_pages", "table_pictures")
SHIPPED = ROOT / "scripts" / "tables.yaml"


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


def shop_of(path: Path, tmp_path: Path, **options: Any) -> Any:
    from table_rows import read_rows
    from table_runs import Workshop

    return Workshop(read_rows(path, **options), tmp_path / "out", tmp_path / "docs" / "tables")


# ---------------------------------------------------------------------------------------------------- rows


def test_shipped_rows_are_whole_and_known_to_the_trainer() -> None:
    from table_rows import read_rows, train_arguments

    from ganinv.parts import load_config
    from plugin_ganinpaint.training.entry import find_config
    from plugin_ganinpaint.training.settings import TrainConfig

    rows = read_rows(SHIPPED)
    names = list(rows)
    assert (
        names[0] == "encoder"
        and names[-1].endswith("-s2")
        and names.index("no-edit") < names.index("ours-1-s1")
    )
    for row in rows.values():
        if row.train and row.train.method == "diverse-inpaint":
            overrides = [a for a in train_arguments(row, Path("out")) if "=" in a]
            settings = load_config(TrainConfig, find_config(row.train.config, None), overrides)
            assert row.train.stage and settings.stage(row.train.stage).images == row.train.images > 0
        assert row.name == "comod" or not row.train or row.begins_from or row.shared


def test_evaluations_of_shipped_rows_are_settings_of_evaluate() -> None:
    from table_rows import read_rows

    from ganinv.evaluation.settings import EvaluationSettings

    settings = {
        (row.name, which): EvaluationSettings(**{**options, "masks": tuple(options["masks"])})
        for row in read_rows(SHIPPED).values()
        for which, options in row.evaluations.items()
    }
    assert settings["ours-2", "main"].calibrate == ["smile", "glasses", "beard"]
    assert settings["ours-2-s1", "main"].calibrate == () and ("ours-2-s1", "families") not in settings
    assert (
        settings["optimize", "main"].count == 100 and settings["ours-2", "truncation-0.5"].truncation == 0.5
    )


def test_scale_and_count(rows_file: Callable[..., Path]) -> None:
    from table_rows import read_rows, scaled

    assert scaled({"stage1.images": 1000, "images": 5, "batch": 8, "stage1.code_images": 0}, 0.1) == {
        "stage1.images": 100, "images": 16, "batch": 8, "stage1.code_images": 0,
    }  # fmt: skip
    row = read_rows(rows_file(), scale=0.1, count=10)["ours-1"]
    assert row.train is not None and (row.train.images, row.train.code_images) == (100, 60)
    assert (row.evaluations["main"]["count"], row.evaluations["main"]["edits"]) == (10, 10)


def test_seeds_begin_from_their_own_seed(rows_file: Callable[..., Path]) -> None:
    from table_rows import ancestors, read_rows

    rows = read_rows(rows_file())
    assert list(rows) == ["start", "ours-1", "ours-2", "grey", "ours-1-s1", "ours-2-s1"]
    assert [row.name for row in ancestors(rows["ours-2-s1"], rows)] == ["start", "ours-1-s1"]
    assert rows["ours-2-s1"].train and rows["ours-2-s1"].train.overrides["seed"] == 1
    assert list(rows["ours-2-s1"].evaluations) == ["main"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"grey": {"colour": 1}}, "row grey in .* has colour; known: begins_from, evaluate"),
        ({"ours-2": {"takes": "all"}}, r"row ours-2 .* begins_from and takes \(encoder, state, weights\)"),
        ({"ours-1": {"begins_from": "ours-2"}}, "row ours-1 begins from ours-2, which comes later"),
        ({"ours-1": {"begins_from": "none"}}, "row ours-1 begins from none, which is no row"),
        ({"grey": {"evaluate": {"night": {}}}}, "row grey has evaluation 'night'; known: main, half"),
    ],
)
def test_rows_that_cannot_be(rows_file: Callable[..., Path], change: dict[str, Any], text: str) -> None:
    from table_rows import TableError, read_rows

    with pytest.raises(TableError, match=text):
        read_rows(rows_file(**change))


def test_select_names_the_rows(rows_file: Callable[..., Path]) -> None:
    from table_rows import TableError, read_rows, select, with_ancestors

    rows = read_rows(rows_file())
    assert [row.name for row in select(rows, "grey, ours-1")] == ["ours-1", "grey"]
    assert [row.name for row in with_ancestors(select(rows, "ours-2"), rows)] == ["start", "ours-1", "ours-2"]
    with pytest.raises(TableError, match=r"no row red; the rows are start, ours-1"):
        select(rows, "grey,red")


def test_digests_follow_what_moves_a_number(rows_file: Callable[..., Path]) -> None:
    from table_rows import evaluation_digest, read_rows, training_digest

    def digests(path: Path, **options: Any) -> tuple[str, str, str]:
        rows = read_rows(path, **options)
        return (
            training_digest(rows["ours-2"], rows),
            evaluation_digest(rows["ours-2"], "main", rows),
            training_digest(rows["grey"], rows),
        )

    one = digests(rows_file())
    assert digests(rows_file(**{"ours-2": {"label": "other", "tables": []}})) == one and one[2] == ""
    measured = digests(rows_file(**{"ours-2": {"measure": {"method": "m", "options": {"stage": 2}}}}))
    assert measured[0] == one[0] and measured[1] != one[1]
    assert digests(rows_file(), count=9)[0] == one[0] and digests(rows_file(), count=9)[1] != one[1]
    first = {"method": "m", "stage": 1, "set": {"stage1.images": 2000}}  # of what ours-2 begins from
    changed = digests(rows_file(start={"train": first}))
    assert changed[0] != one[0] and changed[1] != one[1]


def test_digests_follow_the_configuration_file(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    from table_rows import read_rows, training_digest

    config = tmp_path / "mine.yaml"
    train = {"method": "m", "config": str(config), "stage": 1, "set": {"stage1.images": 2000}}
    config.write_text("seed: 1\n")
    rows = read_rows(rows_file(start={"train": train}))
    before = training_digest(rows["ours-2"], rows)
    config.write_text("# the same, told otherwise\nseed:   1\n")
    assert training_digest(rows["ours-2"], rows) == before
    config.write_text("seed: 2\n")
    assert training_digest(rows["ours-2"], rows) != before


def test_commands(rows_file: Callable[..., Path]) -> None:
    from table_rows import evaluate_arguments, read_rows, train_arguments

    overrides = {"network.gate": False, "network.skip_resolutions": [8, 16]}
    train = {"method": "m", "config": "c", "stage": 1, "set": overrides}
    rows = read_rows(rows_file(**{"ours-1": {"train": train}}))
    assert train_arguments(rows["ours-1"], Path("o"), ["start_from=f"], resume=True) == [
        "train", "--method", "m", "--config", "c", "--stage", "1", "network.gate=false",
        "network.skip_resolutions=[8,16]", "start_from=f", "--out", "o", "--json", "--resume",
    ]  # fmt: skip
    assert evaluate_arguments(rows["ours-1"], "main", Path("w"), Path("o"), fresh=True) == [
        "evaluate", "--method", "m", "--weights", "w", "--option", "stage=1", "--masks", "a", "--masks", "b",
        "--edits", "20", "--samples", "4", "--count", "500", "--out", "o", "--json", "--fresh",
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------- order


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


def work_on(shop: Any, only: str | None = None, phase: str = "all") -> dict[str, str]:
    from table_order import work
    from table_rows import select

    failed: dict[str, str] = work(shop, select(shop.rows, only), phase, poll=0.01)
    return failed


def test_rows_are_done_in_order_and_once(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    shop = shop_of(rows_file(), tmp_path)
    calls = Calls(shop)
    assert work_on(shop, "ours-2,grey") == {}
    assert calls.made == ["start train", "ours-1 train", "ours-2 train", "ours-2 ours-2-main",
                          "ours-2 ours-2-half", "grey grey-main"]  # fmt: skip
    assert (shop.out / "ours-2" / "stage1.state").read_text() == "ours-1"
    kept = json.loads((shop.keep / "ours-2.json").read_text())
    assert kept["training"]["cpu_seconds"] == 6 and kept["training"]["stages"]["2"] == {
        "reason": "done", "images": 50, "seconds": 1.0
    }  # fmt: skip
    assert kept["evaluations"]["half"]["truncation"] == 0.5
    assert kept["evaluations"]["main"]["figures"]["psnr"]["value"] == 1.23457
    assert date.fromisoformat(kept["evaluations"]["main"]["date"])
    calls.made.clear()
    assert work_on(shop, "ours-2,grey") == {} and calls.made == []


def test_what_is_kept_is_done_unless_its_weights_are_needed(
    rows_file: Callable[..., Path], tmp_path: Path
) -> None:
    import shutil

    shop = shop_of(rows_file(), tmp_path)
    calls = Calls(shop)
    work_on(shop, "ours-1")
    shutil.rmtree(shop.out)
    calls.made.clear()
    assert work_on(shop, "ours-1") == {} and calls.made == []
    before = (shop.keep / "ours-1.json").read_bytes()
    assert work_on(shop, "ours-2", "train") == {}
    assert calls.made == ["start train", "ours-1 train", "ours-2 train"]
    assert (shop.keep / "ours-1.json").read_bytes() == before


def test_a_trained_start_is_enough(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    import shutil

    shop = shop_of(rows_file(), tmp_path)
    calls = Calls(shop)
    work_on(shop, "ours-1", "train")
    shutil.rmtree(shop.out / "start")
    calls.made.clear()
    assert work_on(shop, "ours-2", "train") == {} and calls.made == ["ours-2 train"]


def test_other_evaluations_are_made_again(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    Calls(shop := shop_of(rows_file(), tmp_path))
    work_on(shop, "grey")
    calls = Calls(again := shop_of(rows_file(), tmp_path, count=50))
    assert work_on(again, "grey") == {} and calls.made == ["grey grey-main again"]


def test_a_training_of_other_settings_is_left_alone(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    Calls(shop := shop_of(rows_file(), tmp_path))
    work_on(shop, "ours-1", "train")
    calls = Calls(other := shop_of(rows_file(), tmp_path, scale=0.5))
    failed = work_on(other, "ours-1,grey")
    assert "ours-1 holds a training of other settings" in failed["ours-1"]
    assert calls.made == ["grey grey-main"]
    failed = work_on(other, "ours-2", "train")  # what it begins from is looked at as well
    assert "ours-1 holds a training of other settings" in failed["ours-1"]
    assert failed["ours-2"] == "ours-1, from which it begins, could not be trained"


def test_a_failure_ends_what_begins_from_it_alone(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    calls = Calls(shop := shop_of(rows_file(), tmp_path), {"ours-1": 1})
    failed = work_on(shop, "ours-2,grey")
    assert failed["ours-1"].startswith("Error: what was wrong (exit code 1; ")
    assert failed["ours-2"] == "ours-1, from which it begins, could not be trained"
    assert calls.made == ["start train", "ours-1 train", "grey grey-main"]


def test_seconds_add_up_over_resumes(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    from table_runs import STOPPED, Stopped

    calls = Calls(shop := shop_of(rows_file(), tmp_path), {"start": STOPPED})
    with pytest.raises(Stopped):
        work_on(shop, "start")
    (shop.out / "start" / "log.jsonl").touch()
    calls.codes.clear()
    assert work_on(shop, "start") == {} and calls.made == ["start train", "start train again"]
    training = json.loads((shop.keep / "start.json").read_text())["training"]
    assert training["cpu_seconds"] == 12 and training["at_least"] is False


def test_killed_seconds_are_told_as_lost(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    shop = shop_of(rows_file(), tmp_path)

    def killed(*_: Any) -> Any:
        raise MemoryError

    shop._child = killed
    with pytest.raises(MemoryError):
        work_on(shop, "start")
    Calls(shop)
    work_on(shop, "start")
    assert json.loads((shop.keep / "start.json").read_text())["training"]["at_least"] is True


HOLDER = """
import fcntl, sys
stream = open(sys.argv[1], "a+")
fcntl.flock(stream, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def held(path: Path) -> subprocess.Popen[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_rows_of_another_process_are_left_to_it(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    calls = Calls(shop := shop_of(rows_file(), tmp_path))
    with held(shop.out / "locks" / "ours-1.lock") as other:
        assert work_on(shop, "ours-1,grey") == {}
        assert calls.made == ["start train", "grey grey-main"]
        other.kill()
    assert work_on(shop, "ours-1") == {}  # the file is there still, its process is not
    assert calls.made[2:] == ["ours-1 train", "ours-1 ours-1-main"]


def test_a_start_that_another_process_trains_is_waited_for(
    rows_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import table_order

    calls = Calls(shop := shop_of(rows_file(), tmp_path))
    with held(shop.out / "locks" / "start.lock") as other:

        def sleep(_: float) -> None:
            assert calls.made == ["grey grey-main"]  # what need not wait
            other.kill()
            other.wait()

        monkeypatch.setattr(table_order.time, "sleep", sleep)
        assert work_on(shop, "ours-1,grey") == {}
    assert calls.made[1:] == ["start train", "ours-1 train", "ours-1 ours-1-main"]


# ---------------------------------------------------------------------------------------------------- page


def page_of(shop: Any, tmp_path: Path) -> str:
    from table_pages import write_page

    text: str = write_page(shop, tmp_path / "docs" / "tables.md").read_text()
    return text


def test_page_of_nothing_lists_what_is_missing(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    text = page_of(shop_of(rows_file(), tmp_path), tmp_path)
    assert "Not measured yet, and left out: ours, 1; ours, 2; grey." in text
    assert "| " not in text and "nan" not in text


def test_page_has_budgets_and_the_best_in_bold(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    Calls(shop := shop_of(rows_file(), tmp_path))
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


def test_best_looks_the_right_way() -> None:
    from table_pages import best, bold

    def of(**values: float | None) -> dict[str, dict[str, Any]]:
        return {name: {"value": value} for name, value in values.items()}

    assert best(of(a=0.1, b=0.2), "kid_composite") == {"a"} and best(of(a=0.1, b=0.2), "p_ids") == {"b"}
    assert best(of(a=2.0, b=0.7, c=0.1), "jump") == {"b"}
    assert best(of(a=1.0, b=None), "psnr") == set() and best(of(a=1.0, b=1.0), "psnr") == {"a", "b"}
    assert bold("0.1 (0.0 to 0.2)") == "**0.1** (0.0 to 0.2)" and bold("0.1") == "**0.1**"


def test_rows_of_another_protocol_are_never_best(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    Calls(shop := shop_of(rows_file(), tmp_path))
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
    rows_file: Callable[..., Path], tmp_path: Path
) -> None:
    from table_pictures import LARGEST, SIDE, contact_sheet

    from ganinv.images import sheet, write_png

    Calls(shop := shop_of(rows_file(), tmp_path))
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
