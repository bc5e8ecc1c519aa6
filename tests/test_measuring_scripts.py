"""Scripts that fit directions to the shipped generators, and such that measure the shipped weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in ("fit_directions", "measure_seams", "measure_giving_way"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_judge_tells_units_of_a_generator_larger_than_it_looks_at() -> None:
    from fit_directions import with_units

    from ganinv.api import load_backbone, load_directions
    from ganinv.editing.edits import Direction
    from ganinv.metrics.judge import load_judge

    backbone, judge = load_backbone("portraits-128"), load_judge()
    assert judge.config.resolution < backbone.resolution
    age = load_directions(backbone)["age"]
    assert isinstance(age, Direction)
    ws = backbone.map(torch.randn(16, backbone.z_dim, generator=torch.Generator().manual_seed(2)))
    (found,) = with_units(backbone, judge, {"age": age.vector}, ws)
    assert found.unit == pytest.approx(age.unit, rel=0.35)


def test_what_other_directions_move_is_taken_out() -> None:
    from dataclasses import replace

    from fit_directions import ASIDE, reader, without_side_effects

    from ganinv.api import load_backbone, load_directions
    from ganinv.editing.edits import Direction
    from ganinv.metrics.judge import load_judge

    backbone, judge = load_backbone("portraits-64"), load_judge()
    known = load_directions(backbone)
    skin, smile, glasses, age = (known[name] for name in ("skin-tone", "smile", "glasses", "age"))
    assert isinstance(skin, Direction) and isinstance(smile, Direction)
    assert isinstance(glasses, Direction) and isinstance(age, Direction)
    ws = backbone.map(torch.randn(64, backbone.z_dim, generator=torch.Generator().manual_seed(2)))

    def moved(direction: Direction, name: str) -> float:
        read, step = reader(judge, name), direction.unit * direction.vector
        ends = [read(backbone.synthesize(ws + way * ASIDE * step).images).mean() for way in (1, -1)]
        return float(ends[0] - ends[1])

    step = skin.unit * skin.vector + 0.5 * smile.unit * smile.vector - 0.3 * glasses.unit * glasses.vector
    mixed = replace(skin, vector=step / step.norm(), unit=float(step.norm()))
    *others, found = without_side_effects(backbone, judge, [age, smile, glasses, mixed], ws)
    assert others == [age, smile, glasses] and found.name == "skin-tone"
    for name in ("smile", "glasses"):
        assert abs(moved(found, name)) < 0.2 * abs(moved(mixed, name))
    assert moved(found, "skin-tone") == pytest.approx(moved(skin, "skin-tone"), rel=0.2)


def test_known_directions_lose_side_effects_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import fit_directions

    from ganinv.backbones.loading import find_model
    from ganinv.editing.edits import Direction
    from ganinv.editing.manifest import read_directions

    path, to = find_model("portraits-64", "directions"), tmp_path / "found.safetensors"
    asked = ["--backbone", "portraits-64", "--known", str(path), "--samples", "24", "--to", str(to)]
    monkeypatch.setattr("sys.argv", ["fit_directions.py", *asked])
    fit_directions.main()
    before, after = read_directions(path), read_directions(to)
    assert before.keys() == after.keys()
    for name, edit in before.items():
        found = after[name]
        assert isinstance(edit, Direction) and isinstance(found, Direction)
        assert torch.equal(edit.vector, found.vector) == (name not in fit_directions.SIDE_EFFECTS)


def test_known_directions_of_another_generator_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import fit_directions

    from ganinv.backbones.loading import find_model

    path, to = find_model("portraits-64", "directions"), tmp_path / "found.safetensors"
    monkeypatch.setattr("sys.argv", ["fit_directions.py", "--known", str(path), "--to", str(to)])
    with pytest.raises(SystemExit):
        fit_directions.main()
    assert "of another generator than portraits-128: --backbone" in capsys.readouterr().err
    assert not to.exists()


def test_steps_at_a_seam_are_counted_by_depth() -> None:
    from measure_seams import depths, steps

    hole = np.zeros((1, 8, 16), bool)
    hole[:, :, 8:] = True
    levels = depths(torch.from_numpy(hole)[:, None], 3)
    assert levels[0, 0, 0].tolist() == [0] * 8 + [1, 2, 3, 4, 4, 4, 4, 4]
    pictures = np.zeros((1, 8, 16, 3), np.uint8)
    pictures[:, :, 8:] = 40  # a seam
    pictures[:, :, 10:] = 50  # and a step two pixels further in
    assert steps(pictures, levels, 3).tolist() == [40, 0, 10]
    assert steps(pictures.swapaxes(1, 2), levels.swapaxes(2, 3), 3).tolist() == [40, 0, 10]


def test_seams_of_the_shipped_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import measure_seams

    monkeypatch.setattr(sys, "argv", ["measure_seams.py", "--count", "6", "--depth", "3"])
    measure_seams.main()
    _, *rows = capsys.readouterr().out.splitlines()
    found = {row[:24].strip(): [float(share) for share in row[24:].split()] for row in rows}
    assert len(found) == 5 and all(len(shares) == 3 for shares in found.values())
    assert found["pasted (--no-tones)"][0] > found["a membrane alone"][0] > found["as it is"][0]
    assert found["as it is, --feather 1"][0] < found["as it is"][0]


def test_features_of_the_shipped_weights_give_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import measure_giving_way

    asked = ["measure_giving_way.py", "--count", "3", "--sheet", str(tmp_path / "sheet.png")]
    monkeypatch.setattr(sys, "argv", asked)
    measure_giving_way.main()
    _, *rows = capsys.readouterr().out.splitlines()
    found = {row[:12].strip(): row.split() for row in rows}
    assert list(found) == ["whole", "left out", "giving way"]
    elsewhere = {way: float(row[-1]) for way, row in found.items()}
    assert elsewhere["whole"] > elsewhere["giving way"] > elsewhere["left out"] + 3
    with Image.open(tmp_path / "sheet.png") as opened:
        width, height = opened.size
    assert width >= 3 * 128 and height >= 9 * 3 * 128
