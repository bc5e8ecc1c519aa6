"""The four kinds of edits: what each does to codes or styles, and what each refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ganinv.backbones.base import Backbone
from ganinv.editing.edits import Coordinate, Direction, Edit
from ganinv.editing.manifest import FORMS
from ganinv.editing.mapper import Mapper
from ganinv.editing.style_shift import StyleShift
from ganinv.errors import BackboneMismatchError, CheckpointError
from ganinv.inversion import Inversion, backbone_record
from ganinv.rendering import render


def axis(index: int, rows: int = 1, width: int = 6) -> torch.Tensor:
    return torch.eye(width)[index].repeat(rows, 1)


def weights(
    width: int = 6, groups: tuple[str, ...] = ("coarse", "medium", "fine")
) -> dict[str, torch.Tensor]:
    """Weights of a mapper, as stored: N(0, 1) / 0.01."""
    generator = torch.Generator().manual_seed(3)
    shapes = {"weight": (width, width), "bias": (width,)}
    return {
        f"{group}.{i}.{kind}": 100 * torch.randn(shape, generator=generator)
        for group in groups
        for i in range(4)
        for kind, shape in shapes.items()
    }


# ---- facts


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"unit": 0.0}, "a unit of 0.0; expected a number other than 0"),
        ({"unit": math.nan}, "a unit of nan"),
        ({"layers": (3, 3)}, r"layers \[3, 3\]; expected first < last"),
        ({"safe_range": (2.0, 1.0)}, "a safe range of 2.0 to 1.0"),
        ({"safe_range": (-math.inf, 1.0)}, "a safe range of -inf to 1.0"),
    ],
)
def test_facts_are_checked(facts: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Direction("age", axis(0), **facts)


def test_safe_range_and_space() -> None:
    edit = Direction("age", axis(0), safe_range=(-1.0, 2.0))
    assert [edit.is_safe(s) for s in (-1.1, -1.0, 2.0, 2.1)] == [False, True, True, False]
    assert Direction("age", axis(0)).is_safe(1e9)
    spaces = [edit, replace(edit, layers=(0, 2)), Direction("yaw", axis(0, 4)), Mapper("m", weights())]
    spaces += [Coordinate("c", axis(0), torch.zeros(6)), StyleShift("s", {"a": torch.ones(3)})]
    assert [e.space for e in spaces] == ["w", "w+", "w+", "w+", "w", "s"]
    assert list(FORMS) == ["linear", "coordinate", "mapper", "styles"]


# ---- along a vector


def test_a_direction_moves_its_layers_only() -> None:
    ws = torch.zeros(2, 3, 4, 6)
    edited = Direction("age", axis(2), unit=0.5, layers=(1, 3)).move(ws, 4.0)
    assert not ws.any()
    assert (edited[..., 1:3, 2] == 2).all() and edited.sum() == 2 * 2 * 3 * 2


def test_a_direction_with_a_row_for_each_layer() -> None:
    direction = Direction("age", torch.eye(6)[[0, 1, 2, 3]])
    edited = direction.move(torch.zeros(4, 6), -1.0)
    assert torch.equal(edited, -direction.vector)
    assert torch.equal(direction.move(edited, 1.0), torch.zeros(4, 6))
    whole = Direction("tall", direction.vector / 2)  # rows of norm 0.5, the whole of norm 1: SFE's
    assert torch.equal(whole.move(torch.zeros(4, 6), 2.0), direction.vector)


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        (torch.ones(6), r"a vector of shape \[6\]"),
        (torch.ones(1, 6), "rows of norm 2.449 to 2.449; expected 1, or 1 over all rows"),
        (torch.zeros(1, 6), "rows of norm 0 to 0"),
        (torch.full((1, 6), float("nan")), "a vector of shape"),
    ],
)
def test_vectors_are_checked(vector: torch.Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Direction("age", vector)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (
            Direction("age", axis(0, width=8), origin="a.file"),
            "'age' from a.file is for codes of 1 x 8, these are 4 x 6: use one made for this backbone",
        ),
        (
            Direction("age", axis(0, rows=3)),
            "from an unnamed source is for codes of 3 x 6, these are 4 x 6",
        ),
        (Direction("age", axis(0), layers=(0, 9)), "is for layers up to 8, and these codes have 0 to 3"),
        (Coordinate("c", axis(0, width=8), torch.zeros(8)), "is for codes of width 8, these have 6"),
        (Mapper("m", weights(8)), "is a mapper of width 8, these codes have 6"),
    ],
)
def test_edits_that_do_not_fit(edit: Edit, text: str, fake_backbone: Backbone, inversion: Inversion) -> None:
    with pytest.raises(CheckpointError, match=text):
        edit.apply(inversion, 1.0)
    with pytest.raises(CheckpointError, match=text):
        edit.check(fake_backbone)


def test_an_edit_of_another_backbone(fake_backbone: Backbone) -> None:
    with pytest.raises(BackboneMismatchError, match="direction 'age' belongs to a backbone with digest cdcd"):
        Direction("age", axis(0), backbone_sha256="cd" * 32).check(fake_backbone)
    Direction("age", axis(0), backbone_sha256=fake_backbone.sha256).check(fake_backbone)


# ---- to a place


def test_a_coordinate_is_reached_from_anywhere() -> None:
    edit = Coordinate("eyes", axis(1, width=8), torch.ones(8), unit=3.0, layers=(1, 3))
    ws = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(0)).repeat(1, 4, 1)
    moved = edit.move(ws, 5.0)
    torch.testing.assert_close((moved[:, 1:3, 1] - 1) / 3, torch.full((2, 2), 5.0))
    assert torch.equal(moved[:, [0, 3]], ws[:, [0, 3]])
    torch.testing.assert_close(edit.move(ws, 0.0)[:, 1, 1], torch.ones(2))  # the mean, not "unchanged"


def test_a_coordinate_starts_from_row_0_whatever_its_layers() -> None:
    edit = Coordinate("eyes", axis(1, width=8), torch.zeros(8), unit=2.0, layers=(2, 3))
    ws = torch.zeros(4, 8)
    ws[0, 1], ws[2, 1] = 4.0, 7.0
    assert edit.move(ws, 5.0)[2, 1] == 7.0 + (5.0 - 4.0 / 2.0) * 2.0


def test_coordinates_are_checked() -> None:
    with pytest.raises(ValueError, match=r"an axis \[1, 6\] with a mean \[5\]"):
        Coordinate("c", axis(0), torch.zeros(5))


# ---- by a network


def test_a_mapper_against_a_computation_by_hand() -> None:
    ws = torch.randn(2, 3, 10, 6, generator=torch.Generator().manual_seed(4))
    edit = Mapper("hair", weights(), unit=0.1)
    expected = ws.double()
    for group, (first, last) in {"coarse": (0, 4), "medium": (4, 8), "fine": (8, 10)}.items():
        x = ws[:, :, first:last].double()
        x = x / (x.square().mean(dim=2, keepdim=True) + 1e-8).sqrt()  # over the rows: StyleCLIP, issue 82
        for i in range(4):
            weight, bias = (edit.weights[f"{group}.{i}.{kind}"].double() for kind in ("weight", "bias"))
            x = x @ weight.T * (0.01 / 6**0.5) + 0.01 * bias
            x = torch.where(x > 0, x, 0.2 * x) * 2**0.5
        expected[:, :, first:last] += 2.0 * 0.1 * x
    torch.testing.assert_close(edit.move(ws, 2.0), expected.float())
    assert torch.equal(edit.move(ws, 0.0), ws)


def test_a_mapper_without_a_group_leaves_its_layers_alone() -> None:
    ws = torch.randn(10, 6, generator=torch.Generator().manual_seed(4))
    moved = Mapper("hair", weights(groups=("medium",))).move(ws, 1.0)
    changed = (moved != ws).any(dim=1).tolist()
    assert changed == [False] * 4 + [True] * 4 + [False] * 2
    both = replace(Mapper("hair", weights()), layers=(3, 5)).move(ws, 1.0)
    assert (both != ws).any(dim=1).nonzero()[:, 0].tolist() == [3, 4]


def test_mappers_are_checked() -> None:
    short = {name: tensor for name, tensor in weights().items() if not name.startswith("fine.3")}
    with pytest.raises(ValueError, match="22 weights are no mapper of 4 layers"):
        Mapper("m", short)
    with pytest.raises(ValueError, match="0 weights are no mapper"):
        Mapper("m", {})
    with pytest.raises(ValueError, match=r"fine.1.bias is \[5\]; expected finite \[6\]"):
        Mapper("m", weights() | {"fine.1.bias": torch.zeros(5)})


# ---- in the styles


LAYER = "synthesis.b8.conv1.affine"


@pytest.fixture
def made(tiny_backbone: object) -> Inversion:
    """One picture, two samples, on the tiny generator."""
    backbone: Backbone = tiny_backbone.backbone  # type: ignore[attr-defined]
    ws = backbone.map(torch.randn(2, backbone.z_dim, generator=torch.Generator().manual_seed(5)))[None]
    picture = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    return Inversion(ws, (1, 2), picture, picture[:, :1], backbone=backbone_record(backbone))


def test_a_style_shift_is_drawn_as_another_style(tiny_backbone: object, made: Inversion) -> None:
    backbone: Backbone = tiny_backbone.backbone  # type: ignore[attr-defined]
    shift = torch.zeros(8)
    shift[3] = 0.5
    edit = StyleShift("s", {LAYER: shift}, unit=2.0)
    edit.check(backbone)
    edited = edit.apply(made, 1.5)
    assert torch.equal(edited.ws, made.ws) and made.tuned == {}
    module = backbone.get_submodule(LAYER)
    handle = module.register_forward_hook(lambda _, __, styles: styles + 1.5 * 2.0 * shift)
    expected = backbone.synthesize(made.ws[0]).images
    handle.remove()
    torch.testing.assert_close(render(edited, backbone)[0], expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(render(made, backbone)[0], expected, atol=1e-2)
    assert edit.apply(made, 0.0) is made


def test_a_style_shift_adds_to_weights_tuned_before(made: Inversion) -> None:
    edit = StyleShift("s", {LAYER: torch.ones(8)})
    twice = edit.apply(edit.apply(made, 1.0), 2.0)
    assert torch.equal(twice.tuned[f"{LAYER}.bias"], torch.full((1, 2, 8), 3.0).half())


def test_style_shifts_are_checked(tiny_backbone: object, fake_backbone: Backbone) -> None:
    backbone: Backbone = tiny_backbone.backbone  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match=r"is for 3 channels of .*, and this stylegan2 generator has 8"):
        StyleShift("s", {LAYER: torch.ones(3)}).check(backbone)
    with pytest.raises(CheckpointError, match="and this fake generator has no such layer"):
        StyleShift("s", {LAYER: torch.ones(8)}).check(fake_backbone)
    with pytest.raises(ValueError, match="expected finite shifts of styles"):
        StyleShift("s", {})
    with pytest.raises(ValueError, match="drop the range"):
        StyleShift("s", {LAYER: torch.ones(8)}, layers=(0, 2))
