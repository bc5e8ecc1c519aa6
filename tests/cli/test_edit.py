"""`ganinv edit`: pairs of direction and strength, strips, known pixels, backbones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.api import edit, load_backbone, load_directions, render, to_uint8
from ganinv.checkpoints import read_checkpoint, write_checkpoint
from ganinv.inversion import Inversion

SIZE = 16
AGE = ("--direction", "age", "--strength", 2)


@pytest.fixture
def made(bench: Any) -> Path:
    """An inversion of two samples, right half erased."""
    result = bench.invert(bench.picture("me.png"), "--mask", "half-right", "--samples", 2, "--seed", 1)
    assert result.exit_code == 0, result.stderr
    path: Path = bench.folder / "out" / "me.inversion.safetensors"
    return path


def test_edits_are_what_the_library_draws(bench: Any, made: Path) -> None:
    result = bench.edit(made, "--direction", "age", "--strength", 2, "--direction", "smile", "--strength", -1)
    assert result.exit_code == 0, result.stderr
    assert sorted(p.name for p in (bench.folder / "edits").iterdir()) == ["me-00-edit.png", "me-01-edit.png"]
    backbone, inversion = load_backbone(bench.backbone), Inversion.load(made)
    assert set(load_directions(backbone)) == {"age", "smile"}
    edited = edit(inversion, backbone, [("age", 2.0), ("smile", -1.0)])
    expected = to_uint8(render(edited, backbone)[0])
    for index in range(2):
        assert np.array_equal(bench.pixels(bench.folder / f"edits/me-0{index}-edit.png"), expected[index])


def test_one_sample_strips_and_json(bench: Any, made: Path) -> None:
    found = bench.printed(bench.edit(made, *AGE, "--strip", "-3:3:7", "--sample", 1, "--json"))
    edits = bench.folder / "edits"
    assert found["outputs"] == [str(edits / "me-01-edit.png"), str(edits / "me-01-strip.png")]
    assert found["inputs"] == [str(made)]
    assert found["failures"] == []
    assert found["options"]["strip"] == "-3:3:7"
    strip = bench.pixels(edits / "me-01-strip.png")
    gap = strip.shape[0] - SIZE  # above and below
    assert 0 <= gap < SIZE
    assert strip.shape[1] == 7 * SIZE + 8 * gap // 2


def test_strip_alone_needs_no_strength_and_its_middle_is_unedited(bench: Any, made: Path) -> None:
    result = bench.edit(made, "--direction", "age", "--direction", "smile", "--strip=-1:1:3")
    assert result.exit_code == 0, result.stderr
    assert sorted(p.name for p in (bench.folder / "edits").iterdir()) == [
        "me-00-strip.png",
        "me-01-strip.png",
    ]
    strip = bench.pixels(bench.folder / "edits/me-00-strip.png")
    gap = (strip.shape[1] - 3 * SIZE) // 4
    plain = to_uint8(render(Inversion.load(made), load_backbone(bench.backbone))[0])[0]
    for row in range(2):
        top, left = gap + row * (SIZE + gap), 2 * gap + SIZE
        assert np.array_equal(strip[top : top + SIZE, left : left + SIZE], plain)


def test_keep_known_pastes_the_known_pixels_back(bench: Any, made: Path) -> None:
    assert bench.edit(made, *AGE, "--keep-known").exit_code == 0
    edited, working = (
        bench.pixels(bench.folder / name) for name in ("edits/me-00-edit.png", "out/me-input.png")
    )
    assert np.array_equal(edited[:, : SIZE // 2], working[:, : SIZE // 2])
    assert not np.array_equal(edited[:, SIZE // 2 :], working[:, SIZE // 2 :])


def test_straight_from_a_picture_equals_the_two_steps(bench: Any, made: Path) -> None:
    assert bench.edit(made, *AGE).exit_code == 0
    arguments = ("--mask", "half-right", "--samples", 2, "--seed", 1, *AGE, "--out", "direct")
    result = bench.run("edit", bench.folder / "me.png", *bench.tiny, *arguments)
    assert result.exit_code == 0, result.stderr
    for index in range(2):
        name = f"me-0{index}-edit.png"
        assert (bench.folder / "direct" / name).read_bytes() == (bench.folder / "edits" / name).read_bytes()


def test_a_folder_of_results_gives_its_inversions(bench: Any, made: Path) -> None:
    found = bench.printed(bench.edit(made.parent, *AGE, "--json"))
    assert found["inputs"] == [str(made)]
    found = bench.printed(bench.edit(f"{made.parent}/*", *AGE, "--json"))
    assert found["inputs"] == [str(made)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--direction", "age"), "1 --direction and 0 --strength"),
        ((*AGE, "--strength", 1), "1 --direction and 2 --strength"),
        ((*AGE, "--direction", "smile", "--strip", "0:1:2"), "2 --direction and 1 --strength"),
        (("--strength", 1), "Missing option '--direction'"),
        (("--direction", "agee", "--strength", 1), "unknown direction 'agee'; did you mean 'age'?"),
        (("--direction", "age", "--strength", "nan"), "not a finite number"),
        ((*AGE, "--strip", "-3:3"), "is not FROM:TO:STEPS"),
        ((*AGE, "--strip", "-3:3:1"), "2 to 99 steps"),
        ((*AGE, "--sample", 2), "no sample 2; this inversion has samples 0 to 1"),
    ],
)
def test_usage_errors(bench: Any, made: Path, arguments: tuple[object, ...], text: str) -> None:
    result = bench.edit(made, *arguments)
    assert result.exit_code == 2, result.stderr
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (bench.folder / "edits").exists()


def test_the_backbone_must_be_at_hand_and_the_right_one(bench: Any, made: Path) -> None:
    result = bench.run("edit", made, *AGE, "--out", "edits")
    assert result.exit_code == 1
    assert (
        "made with the backbone 'tiny-16', which is neither in the package nor in your store" in result.stderr
    )
    stored = read_checkpoint(bench.backbone)
    tensors = {name: tensor * 1.01 for name, tensor in stored.tensors.items()}
    kept = {"kind": stored.kind, "family": stored.family, "config": stored.config}
    write_checkpoint("other.safetensors", tensors, **kept)
    result = bench.run("edit", made, *AGE, "--out", "edits", "--backbone", "other.safetensors")
    assert result.exit_code == 1
    assert "--backbone FILE" in result.stderr
    assert "digest" in result.stderr
    wrong = ("--backbone", "other.safetensors", "--out", "edits")
    result = bench.run("edit", made, "--direction", "no-such", "--strength", 1, *wrong)
    assert "digest" in result.stderr  # that the backbone is wrong comes before what it lacks
    assert result.stderr.count("\n") == 1


def test_a_stored_backbone_is_found_by_its_digest(bench: Any, made: Path) -> None:
    assert bench.run("models", "add", "mine", bench.backbone).exit_code == 0
    result = bench.run("edit", made, "--direction", "sefa:0", "--strength", 5, "--out", "edits")
    assert result.exit_code == 0, result.stderr


def test_one_odd_file_does_not_stop_the_others(bench: Any, made: Path) -> None:
    names = [bench.folder / f"{letter}.inversion.safetensors" for letter in "abc"]
    inversion = Inversion.load(made)
    for name, kept in zip(names, (inversion, inversion.sample(0), inversion), strict=True):
        kept.save(name)
    result = bench.edit(*names, *AGE, "--sample", 1, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert len(told["outputs"]) == 2 and [Path(f["input"]).name for f in told["failures"]] == [names[1].name]
    assert "no sample 1" in told["failures"][0]["error"]


def test_options_of_pictures_are_said_to_do_nothing(bench: Any, made: Path) -> None:
    result = bench.edit(made, *AGE, "--mask", "half-left", "--samples", 3)
    assert result.exit_code == 0
    assert "Note: --mask, --samples: only for pictures; a file of 'ganinv invert'" in result.stderr
    assert "only for pictures" not in bench.edit(made, *AGE).stderr


def test_tones_need_known_pixels(bench: Any, made: Path) -> None:
    result = bench.edit(made, *AGE, "--no-tones")
    assert result.exit_code == 2
    assert "--no-tones is for the known pixels that --keep-known pastes back" in result.stderr


def test_feather_needs_known_pixels(bench: Any, made: Path) -> None:
    result = bench.edit(made, *AGE, "--feather", 3)
    assert result.exit_code == 2 and "that --keep-known pastes back" in result.stderr


def test_files_that_are_no_inversions(bench: Any, made: Path) -> None:
    broken = bench.folder / "broken.inversion.safetensors"
    broken.write_bytes(made.read_bytes()[:1000])
    for path in (broken, bench.backbone, "absent.inversion.safetensors"):
        result = bench.edit(path, *AGE)
        assert result.exit_code == 1, result.stderr
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
    result = bench.edit(broken, made, *AGE)
    assert result.exit_code == 1
    assert "1 of 2 inputs done, 1 failed" in result.stderr
    assert (bench.folder / "edits" / "me-00-edit.png").is_file()


def test_a_direction_from_an_interfacegan_file(bench: Any, made: Path) -> None:
    boundary = torch.nn.functional.normalize(torch.ones(1, 16))
    torch.save(boundary, bench.folder / "tall.pt")
    result = bench.edit(made, "--direction", bench.folder / "tall.pt", "--strength", 3)
    assert result.exit_code == 0, result.stderr
    backbone, inversion = load_backbone(bench.backbone), Inversion.load(made)
    expected = to_uint8(render(inversion, backbone, inversion.ws + 3 * boundary)[0])
    assert np.array_equal(bench.pixels(bench.folder / "edits/me-00-edit.png"), expected[0])
    torch.save(torch.nn.functional.normalize(torch.ones(1, 512)), bench.folder / "wide.pt")
    result = bench.edit(made, "--direction", bench.folder / "wide.pt", "--strength", 3)
    assert result.exit_code == 1 and "is for codes of 1 x 512, this backbone has" in result.stderr


def test_strengths_beyond_the_safe_range_warn_once(bench: Any, made: Path) -> None:
    added = bench.run("directions", "add", "far", "sefa:0", "--backbone", bench.backbone, "--range", "-2:3")
    assert added.exit_code == 0, added.stderr
    for arguments, strength in (
        (("--strength", 3.5), "3.5"),
        (("--strip=-3:3:3",), "-3"),
        (("--strength", 4, "--strip=-1:5:3"), "5"),
    ):
        result = bench.edit(made.parent, "--direction", "far", *arguments)
        assert result.exit_code == 0, result.stderr
        warning = f"Warning: far: strength {strength} is beyond its safe range, -2 to 3\n"
        assert result.stderr.count(warning) == result.stderr.count("Warning") == 1
    result = bench.edit(made, "--direction", "far", "--strength", 3, "--strip=-2:3:3")
    assert result.exit_code == 0 and "Warning" not in result.stderr


def test_a_strip_leaves_other_directions_without_strength_out(bench: Any, made: Path) -> None:
    """A coordinate of 0 is a place, and not "unchanged"."""
    pca = {"mean": torch.full((1, 16), 5.0), "comp": torch.eye(16)[:, None], "std": torch.ones(16)}
    torch.save(pca, "pca.pt")
    alone = bench.edit(made, "--direction", "age", "--strip=-1:1:3")
    assert alone.exit_code == 0, alone.stderr
    row = bench.pixels(bench.folder / "edits/me-00-strip.png")
    both = bench.edit(made, "--direction", "age", "--direction", "pca.pt:0", "--strip=-1:1:3")
    assert both.exit_code == 0, both.stderr
    found = bench.pixels(bench.folder / "edits/me-00-strip.png")
    gap = row.shape[0] - SIZE
    assert np.array_equal(found[: row.shape[0] - gap // 2], row[: row.shape[0] - gap // 2])


def test_a_ganspace_file_needs_a_component(bench: Any, made: Path) -> None:
    pca = {"mean": torch.zeros(1, 16), "comp": torch.eye(16)[:, None], "std": torch.ones(16)}
    torch.save(pca, "pca.pt")
    result = bench.edit(made, "--direction", "pca.pt", "--strength", 3)
    assert result.exit_code == 2
    assert "pca.pt holds GANSpace components 0 to 15; name one of them" in result.stderr
    assert result.stderr.count("\n") == 1


def test_skip_existing(bench: Any, made: Path) -> None:
    def left(*arguments: object) -> list[str]:
        result = bench.edit(*arguments, "--skip-existing", "--json")
        assert result.exit_code == 0, result.stderr
        return [Path(path).name for path in bench.printed(result)["inputs"]]

    strip = ("--strip", "-1:1:3")
    assert left(made, *AGE) == [made.name] and left(made, *AGE) == []
    assert left(made, *AGE, "--sample", 1) == []  # one of those that are there
    assert left(made, *AGE, *strip) == [made.name] and left(made, *AGE, *strip) == []
    assert left(made, "--direction", "age", *strip) == []  # strips alone
    (bench.folder / "edits/me-01-edit.png").unlink()
    assert left(made, *AGE, "--sample", 0) == [] and left(made, *AGE) == [made.name]

    for name in ("people/a.png", "people/b/c.png"):
        bench.picture(name)
    both = ("people", *bench.tiny[:2], *AGE, "--samples", 2)
    assert left(*both) == ["a.png", "c.png"] and left(*both) == []
    (bench.folder / "edits/b/c-01-edit.png").unlink()
    assert left(*both) == ["c.png"] and left(*both) == []
    assert left(*both[:-1], 3) == ["a.png", "c.png"]


def test_skip_existing_leaves_it_to_the_run_to_tell_of_damage(bench: Any, made: Path) -> None:
    assert bench.edit(made, *AGE).exit_code == 0
    for damage, text in ((b"", "is empty"), (made.read_bytes()[:40], "is truncated")):
        made.write_bytes(damage)
        bench.refused(bench.edit(made, *AGE, "--skip-existing"), 1, text)
    made.unlink()
    bench.refused(bench.edit(made, *AGE, "--skip-existing"), 1, "no such file")
