"""The order of work: once, resumable, beside other processes, after failures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]


def test_rows_are_done_in_order_and_once(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    shop = make_shop()
    calls = calls_of(shop)
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
    make_shop: Make, calls_of: Make, work_on: Make
) -> None:
    import shutil

    shop = make_shop()
    calls = calls_of(shop)
    work_on(shop, "ours-1")
    shutil.rmtree(shop.out)
    calls.made.clear()
    assert work_on(shop, "ours-1") == {} and calls.made == []
    before = (shop.keep / "ours-1.json").read_bytes()
    assert work_on(shop, "ours-2", "train") == {}
    assert calls.made == ["start train", "ours-1 train", "ours-2 train"]
    assert (shop.keep / "ours-1.json").read_bytes() == before


def test_a_trained_start_is_enough(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    import shutil

    shop = make_shop()
    calls = calls_of(shop)
    work_on(shop, "ours-1", "train")
    shutil.rmtree(shop.out / "start")
    calls.made.clear()
    assert work_on(shop, "ours-2", "train") == {} and calls.made == ["ours-2 train"]


def test_a_row_without_training_is_measured_with_the_weights_of_another(
    make_shop: Make, calls_of: Make, work_on: Make
) -> None:
    drawn = {"begins_from": "ours-2", "takes": "weights", "tables": ["main"], "evaluate": {"main": {}}}
    shop = make_shop({"again": {**drawn, "measure": {"method": "m", "options": {"fill": "features"}}}})
    calls = calls_of(shop)
    assert work_on(shop, "again", "evaluate") == {"again": "it is not trained"} and calls.made == []
    assert work_on(shop, "again") == {}
    assert calls.made == ["start train", "ours-1 train", "ours-2 train", "again again-main"]
    told = " ".join(calls.arguments)
    assert f"--weights {shop.out / 'ours-2' / 'm.safetensors'} --option fill=features" in told
    calls.made.clear()
    assert work_on(shop, "again") == {} and calls.made == []
    assert json.loads((shop.keep / "again.json").read_text())["training"] is None


def test_other_evaluations_are_made_again(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    calls_of(shop := make_shop())
    work_on(shop, "grey")
    calls = calls_of(again := make_shop(count=50))
    assert work_on(again, "grey") == {} and calls.made == ["grey grey-main again"]


def test_a_training_of_other_settings_is_left_alone(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    calls_of(shop := make_shop())
    work_on(shop, "ours-1", "train")
    calls = calls_of(other := make_shop(scale=0.5))
    failed = work_on(other, "ours-1,grey")
    assert "ours-1 holds a training of other settings" in failed["ours-1"]
    assert calls.made == ["grey grey-main"]
    failed = work_on(other, "ours-2", "train")  # what it begins from is looked at as well
    assert "ours-1 holds a training of other settings" in failed["ours-1"]
    assert failed["ours-2"] == "ours-1, from which it begins, could not be trained"


def test_a_failure_ends_what_begins_from_it_alone(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    calls = calls_of(shop := make_shop(), {"ours-1": 1})
    failed = work_on(shop, "ours-2,grey")
    assert failed["ours-1"].startswith("Error: what was wrong (exit code 1; ")
    assert failed["ours-2"] == "ours-1, from which it begins, could not be trained"
    assert calls.made == ["start train", "ours-1 train", "grey grey-main"]


def test_seconds_add_up_over_resumes(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    from table_runs import STOPPED, Stopped

    calls = calls_of(shop := make_shop(), {"start": STOPPED})
    with pytest.raises(Stopped):
        work_on(shop, "start")
    (shop.out / "start" / "log.jsonl").touch()
    calls.codes.clear()
    assert work_on(shop, "start") == {} and calls.made == ["start train", "start train again"]
    training = json.loads((shop.keep / "start.json").read_text())["training"]
    assert training["cpu_seconds"] == 12 and training["at_least"] is False


def test_killed_seconds_are_told_as_lost(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    shop = make_shop()

    def killed(*_: Any) -> Any:
        raise MemoryError

    shop._child = killed
    with pytest.raises(MemoryError):
        work_on(shop, "start")
    calls_of(shop)
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


def test_rows_of_another_process_are_left_to_it(make_shop: Make, calls_of: Make, work_on: Make) -> None:
    calls = calls_of(shop := make_shop())
    with held(shop.out / "locks" / "ours-1.lock") as other:
        assert work_on(shop, "ours-1,grey") == {}
        assert calls.made == ["start train", "grey grey-main"]
        other.kill()
    assert work_on(shop, "ours-1") == {}  # the file is there still, its process is not
    assert calls.made[2:] == ["ours-1 train", "ours-1 ours-1-main"]


def test_a_start_that_another_process_trains_is_waited_for(
    make_shop: Make, calls_of: Make, work_on: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import table_order

    calls = calls_of(shop := make_shop())
    with held(shop.out / "locks" / "start.lock") as other:

        def sleep(_: float) -> None:
            assert calls.made == ["grey grey-main"]  # what need not wait
            other.kill()
            other.wait()

        monkeypatch.setattr(table_order.time, "sleep", sleep)
        assert work_on(shop, "ours-1,grey") == {}
    assert calls.made[1:] == ["start train", "ours-1 train", "ours-1 ours-1-main"]
