"""`ganinv directions list | add | remove | sample | fit`, and what they keep used by `ganinv edit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.api import edit, load_backbone, load_direction, render, to_uint8
from ganinv.editing.manifest import read_directions
from ganinv.inversion import Inversion


@pytest.fixture
def made(bench: Any) -> Path:
    """An inversion of one sample."""
    assert bench.invert(bench.picture("me.png"), "--mask", "half-right").exit_code == 0
    path: Path = bench.folder / "out" / "me.inversion.safetensors"
    return path


@pytest.fixture
def tall(bench: Any) -> Path:
    """An InterFaceGAN file for the tiny backbone."""
    torch.save(torch.nn.functional.normalize(torch.ones(1, 16)), bench.folder / "tall.pt")
    return bench.folder / "tall.pt"  # type: ignore[no-any-return]


def rows(bench: Any, *arguments: object) -> dict[str, Any]:
    result = bench.run("directions", "list", "--backbone", bench.backbone, "--json", *arguments)
    return {row["name"]: row for row in json.loads(result.stdout)}


# ---- the store


def test_an_added_direction_is_listed_and_used_by_name(
    bench: Any, made: Path, tall: Path, home: Path
) -> None:
    facts = ("--unit", -2, "--range", "-4:4", "--licence", "MIT", "--about", "shorter")
    result = bench.run("directions", "add", "short", f"{tall}:1-2", "--backbone", bench.backbone, *facts)
    assert result.exit_code == 0, result.stderr
    assert str(home / "directions" / "short.safetensors") in result.stdout
    row = rows(bench)["short"]
    assert row == {
        "name": "short",
        "form": "linear",
        "space": "w+",
        "unit": -2.0,
        "layers": [1, 3],
        "backbone_sha256": load_backbone(bench.backbone).sha256,
        "safe_range": [-4.0, 4.0],
        "licence": "MIT",
        "origin": "tall.pt",
        "about": "shorter",
    }
    text = bench.run("directions", "list", "--backbone", bench.backbone).stdout
    assert (
        "short  shorter\n    linear, w+, unit -2, layers 1 to 2, strengths -4 to 4, from tall.pt, licence MIT"
        in text
    )
    assert bench.edit(made, "--direction", "short", "--strength", 3).exit_code == 0
    backbone, inversion = load_backbone(bench.backbone), Inversion.load(made)
    ws = inversion.ws.clone()
    ws[..., 1:3, :] -= 3 * 2 / 4
    drawn = bench.pixels(bench.folder / "edits/me-00-edit.png")
    assert np.array_equal(drawn, to_uint8(render(inversion, backbone, ws)[0])[0])
    assert bench.run("directions", "remove", "short").stdout == "short is removed\n"
    assert "short" not in rows(bench)
    assert bench.run("directions", "remove", "short").exit_code == 2


def test_a_name_of_others_is_told_apart(bench: Any, tall: Path) -> None:
    """The bench has a plugin's "age"; one's own comes first."""
    assert bench.run("directions", "add", "age", tall).exit_code == 0
    found = rows(bench)
    assert found["age"]["origin"] == "tall.pt" and found["tiny/age"]["origin"] == "tests"
    assert found["age"]["backbone_sha256"] is None
    text = bench.run("directions", "list", "--backbone", bench.backbone).stdout
    assert "all layers, for any backbone of its width, from tall.pt, licence not told" in text


def test_those_of_other_backbones_are_named_at_the_end(bench: Any) -> None:
    torch.save(torch.eye(512)[:1], bench.folder / "wide.pt")
    assert bench.run("directions", "add", "wide", "wide.pt").exit_code == 0
    assert "wide" not in rows(bench)
    text = bench.run("directions", "list", "--backbone", bench.backbone).stdout
    assert text.endswith("in your store, for other backbones: wide\n")


def test_every_kind_can_be_kept_and_used(bench: Any, made: Path) -> None:
    pca = {"mean": torch.zeros(1, 16), "comp": torch.eye(16)[:, None], "std": torch.ones(16)}
    torch.save(pca, "pca.pt")
    mapper = {
        f"mapper.{group}_mapping.mapping.{i}.{kind}": torch.ones(shape)
        for group in ("course", "medium")
        for i in range(1, 5)
        for kind, shape in (("weight", (16, 16)), ("bias", (16,)))
    }
    torch.save({"state_dict": mapper, "opts": {}}, "hair.pt")
    np.save("fringe.npy", torch.nn.functional.normalize(torch.ones(1, 96)).numpy())  # 6 rows of 16
    sources = {"eyes": "pca.pt:2:0-1", "hair": "hair.pt", "fringe": "fringe.npy", "s": "sefa:0:2-3"}
    sources["lips"] = "style:1:2,4:0"
    for name, source in sources.items():
        result = bench.run("directions", "add", name, source, "--backbone", bench.backbone)
        assert result.exit_code == 0, result.stderr
    forms = {name: row["form"] for name, row in rows(bench).items() if name in sources}
    expected = {"eyes": "coordinate", "hair": "mapper", "fringe": "linear", "s": "linear", "lips": "styles"}
    assert forms == expected
    backbone, inversion = load_backbone(bench.backbone), Inversion.load(made)
    plain = to_uint8(render(inversion, backbone)[0])[0]
    for name, source in sources.items():
        pictures = []
        for asked in (name, source):
            result = bench.edit(made, "--direction", asked, "--strength", 2)
            assert result.exit_code == 0, result.stderr
            pictures.append(bench.pixels(bench.folder / "edits/me-00-edit.png"))
        assert np.array_equal(*pictures), name
        assert not np.array_equal(pictures[0], plain), name


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (("a/b", "tall.pt"), "'a/b' is no direction name; use letters, digits, - and _", 2),
        (("mine", "tall.pt", "--unit", 0), "--unit 0 would make every strength do nothing", 2),
        (("mine", "tall.pt", "--range", "5:-5"), "is no range; type the lower strength first", 2),
        (("mine", "tall.pt", "--range", "5"), "'' is not a valid float", 2),
        (("mine", "sefa:0"), "'sefa:0' is computed from a generator: type --backbone as well", 2),
        (("mine", "age"), "'age' is no direction file; known: an InterFaceGAN boundary", 2),
        (("mine", "absent.pt"), "no such file: absent.pt", 1),
        (("mine", "stylegan_ffhq_age_w_boundary.npy"), "is a boundary of StyleGAN1", 1),
    ],
)
def test_add_refuses(
    bench: Any, tall: Path, home: Path, arguments: tuple[object, ...], text: str, code: int
) -> None:
    np.save("stylegan_ffhq_age_w_boundary.npy", np.eye(1, 16))
    result = bench.run("directions", "add", *arguments)
    assert result.exit_code == code and text in result.stderr, result.stderr
    assert not (home / "directions").exists()


def test_add_refuses_another_width(bench: Any) -> None:
    torch.save(torch.eye(512)[:1], "wide.pt")
    result = bench.run("directions", "add", "wide", "wide.pt", "--backbone", bench.backbone)
    assert result.exit_code == 1
    assert "wide.pt is for codes of 1 x 512, this backbone has 6 x 16: use one made" in result.stderr


# ---- fitting


@pytest.fixture
def labelled(bench: Any) -> Path:
    """Samples of the tiny backbone with the first entry of their codes as "first", its sign as "positive"."""
    where = ("--backbone", bench.backbone, "--out", "samples")
    result = bench.run("directions", "sample", *where, "--count", 120, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "120 pictures and samples.csv are in samples\n"
    from ganinv.editing.attributes import codes_of_seeds

    path = Path("samples/samples.csv")
    head, *lines = path.read_text().splitlines()
    first = codes_of_seeds(load_backbone(bench.backbone), range(3, 123))[:, 0, 0]
    values = [f"{v:.5f},{int(v > first.median())},seen" for v in first.tolist()]
    filled = [f"{line},{value}" for line, value in zip(lines, values, strict=True)]
    path.write_text("\n".join([f"{head},first,positive,remarks", *filled]) + "\n")
    return path


def test_fit_keeps_a_direction_for_each_attribute(bench: Any, labelled: Path, made: Path, home: Path) -> None:
    arguments = ("--backbone", bench.backbone, "--attributes", labelled, "--licence", "CC0")
    result = bench.run("directions", "fit", *arguments)
    assert result.exit_code == 0, result.stderr
    assert "remarks is 'seen', which is no number; its column is left out" in result.stderr
    assert "% of 16 held-out codes on the right side; fitted on 48" in result.stdout
    assert f"positive -> {home / 'directions' / 'positive.safetensors'}" in result.stdout
    row = rows(bench)["first"]
    assert (row["about"], row["origin"], row["licence"]) == ("more first", "svm on samples.csv", "CC0")
    assert row["safe_range"] == [-3.0, 3.0] and row["space"] == "w" and row["unit"] > 0
    result = bench.edit(made, "--direction", "first", "--strength", 4, "--strip=-3:3:3")
    assert result.exit_code == 0
    assert "Warning: first: strength 4 is beyond its safe range, -3 to 3" in result.stderr
    result = bench.run("directions", "fit", *arguments)
    assert result.exit_code == 2 and "the store has a direction 'first' already" in result.stderr


def test_fit_to_a_file_or_a_name(bench: Any, labelled: Path, home: Path) -> None:
    arguments = ("--backbone", bench.backbone, "--attributes", labelled)
    several = ("--model", "logistic", "--orthogonal", "--out", "mine.safetensors")
    result = bench.run("directions", "fit", *arguments, *several)
    assert result.exit_code == 0 and "mine.safetensors holds first, positive" in result.stdout, result.stderr
    found = read_directions("mine.safetensors")
    assert found["first"].origin == "orthogonal logistic on samples.csv"
    result = bench.run("directions", "fit", *arguments, "--attribute", "positive", "--name", "good")
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in (home / "directions").iterdir()] == ["good.safetensors"]
    assert "left out" not in result.stderr


def test_fit_warns_of_a_guess(bench: Any, labelled: Path) -> None:
    text = labelled.read_text().splitlines()
    rng = np.random.default_rng(0)
    lines = [f"{line},{rng.normal():.4f}" for line in text[1:]]
    labelled.write_text("\n".join([text[0] + ",dice", *lines]))
    arguments = ("--backbone", bench.backbone, "--attributes", labelled, "--attribute", "dice")
    result = bench.run("directions", "fit", *arguments, "--seed", 1)
    assert result.exit_code == 0
    assert "Warning: dice: little better than a guess, which gets 50%; label more rows" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (("--attribute", "frist"), "unknown attribute 'frist'; did you mean 'first'?", 2),
        (("--attribute", "remarks"), "line 2: remarks is 'seen', which is no number", 1),
        (("--name", "mine"), "--name mine is for one attribute, and there are first, positive", 2),
        (("--name", "mine", "--attribute", "first", "--out", "a.safetensors"), "exclude each other", 2),
        (("--out", "a.pt"), "--out a.pt must be a new file that ends in .safetensors", 2),
        (("--share", 0.02), "attribute 'first': 120 codes are too few to fit a direction from 2%", 2),
        (("--share", 0.7), "0.7 is not in the range 0.005 to 0.5", 2),
        (("--attributes", "absent.csv"), "cannot read absent.csv: No such file", 1),
    ],
)
def test_fit_refuses(
    bench: Any, labelled: Path, home: Path, arguments: tuple[object, ...], text: str, code: int
) -> None:
    base = ("--backbone", bench.backbone, "--attributes", labelled)
    result = bench.run("directions", "fit", *base, *arguments)
    assert result.exit_code == code and text in result.stderr, result.stderr
    assert not (home / "directions").exists()


# ---- from Python


def test_an_edited_inversion_is_saved_and_edited_again(bench: Any, made: Path) -> None:
    backbone = load_backbone(bench.backbone)
    inversion = Inversion.load(made)
    style = load_direction("style:4:1", backbone)
    edited = edit(inversion, backbone, [("sefa:0", 1.0), (style, 2.0)])
    edited.save(bench.folder / "edited.inversion.safetensors")
    again = Inversion.load(bench.folder / "edited.inversion.safetensors")
    assert torch.equal(render(again, backbone), render(edited, backbone))
    result = bench.edit("edited.inversion.safetensors", "--direction", "style:4:1", "--strength", -2)
    assert result.exit_code == 0, result.stderr
    back = to_uint8(render(edit(inversion, backbone, [("sefa:0", 1.0)]), backbone)[0])[0].astype(int)
    assert np.abs(bench.pixels(bench.folder / "edits/edited-00-edit.png").astype(int) - back).max() <= 1
