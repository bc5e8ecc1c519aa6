"""The run list for a card: skips what is done, bounds what is not, says what ended how."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_list", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_list", module)
    spec.loader.exec_module(module)
    return module


def start(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
    gpu.main()


def test_runs_each_step_once(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = tmp_path / "count"
    code = f"open({str(counter)!r}, 'a').write('x'); print('said')"
    listed = [
        gpu.Step("works", [sys.executable, "-c", code], 1),
        gpu.Step("fails", [sys.executable, "-c", f"{code}; raise SystemExit(3)"], 1),
        gpu.Step("absent", ["no-such-program"], 1),
        gpu.Step("hangs", [sys.executable, "-c", "import time; time.sleep(60)"], 0.01),
    ]
    monkeypatch.setattr(gpu, "steps", lambda out, peers: iter(listed))
    out = tmp_path / "out"
    for runs in (2, 3):  # the second time only what failed
        start(gpu, monkeypatch, "--out", str(out), "--minutes", "2")
        assert len(counter.read_text()) == runs
    ended = json.loads((out / "state.json").read_text())
    assert ended == {
        "works": "done",
        "fails": "failed with 3",
        "absent": "left out: there is no no-such-program",
        "hangs": "too slow: ended after 0.01 minutes",
    }
    assert "said" in (out / "works.log").read_text()
    told = capsys.readouterr().out
    assert "fails              failed with 3" in told


def test_no_time_no_step(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "run", lambda step, out: pytest.fail("begun"))
    start(gpu, monkeypatch, "--out", str(tmp_path), "--minutes", "0")


def test_every_command_of_the_list_exists(gpu: ModuleType, tmp_path: Path) -> None:
    """What the list calls is there: scripts, and options of `ganinv`."""
    from click.testing import CliRunner

    from ganinv.cli.main import main

    for step in [*gpu.steps(tmp_path, ["nvidia=x"]), gpu.training(tmp_path, 10.0)]:
        words = step.command[1:]
        if words[:2] == ["-m", "ganinv"]:
            options = [word for word in words if word.startswith("--")]
            text = CliRunner().invoke(main, [words[2], "--help"]).output
            assert all(option in text for option in options), step.name
        elif words[0].startswith("scripts/"):
            assert (SCRIPT.parent.parent / words[0]).is_file()
            text = (SCRIPT.parent.parent / words[0]).read_text()
            assert all(f'"{word}"' in text for word in words if word.startswith("--")), step.name
