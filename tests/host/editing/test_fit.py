"""Fitting directions on codes whose attributes are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ganinv.backbones.base import Backbone, Injection, Noise, Synthesis
from ganinv.editing.attributes import LabelledCodes
from ganinv.editing.fit import Model, fit_boundary, fit_directions, project_out, response, unit_length
from ganinv.errors import InputError, UnknownNameError, UsageError


def known_codes() -> tuple[Tensor, Tensor, Tensor]:
    """Codes that are a linear map of attributes plus noise; the map's rows are correlated on purpose."""
    generator = torch.Generator().manual_seed(0)
    attributes = torch.randn(3000, 3, generator=generator)
    rows = torch.randn(3, 16, generator=generator)
    rows[1] = rows[0] + 0.7 * rows[1]
    return attributes @ rows + 0.1 * torch.randn(3000, 16, generator=generator), attributes, rows


def test_response_finds_how_codes_move() -> None:
    codes, attributes, rows = known_codes()
    cosine = torch.cosine_similarity(response(codes, attributes), rows, dim=1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("model", ["svm", "logistic"])
def test_a_boundary_separates_and_points_to_larger_labels(model: Model) -> None:
    codes, attributes, _ = known_codes()
    found = fit_boundary(codes, attributes[:, 2], model=model, share=0.1)
    assert found.normal.norm() == pytest.approx(1, abs=1e-5)
    side = codes @ found.normal
    assert torch.corrcoef(torch.stack([side, attributes[:, 2]]))[0, 1] > 0.9
    assert (found.used, found.held_out) == (600, 180)  # a tenth from each end, 30 % of it held out
    assert found.accuracy > 0.98
    again = fit_boundary(codes, attributes[:, 2], model=model, share=0.1)
    assert torch.equal(again.normal, found.normal) and again.accuracy == found.accuracy


@pytest.mark.parametrize("model", ["svm", "logistic"])
def test_two_values_are_two_classes_of_any_size(model: Model) -> None:
    codes, attributes, _ = known_codes()
    rare = (attributes[:, 2] > 1.5).float() * 7 - 3  # 7 % of the codes; the values themselves do not matter
    found = fit_boundary(codes, rare, model=model)
    assert (found.used, found.held_out) == (3000, 901)
    assert found.accuracy > 0.9
    assert torch.corrcoef(torch.stack([codes @ found.normal, attributes[:, 2]]))[0, 1] > 0.9


def test_labels_of_chance_are_told_by_the_held_out_codes() -> None:
    codes, _, _ = known_codes()
    chance = torch.randn(3000, generator=torch.Generator().manual_seed(9))
    assert 0.35 < fit_boundary(codes, chance).accuracy < 0.65


@pytest.mark.parametrize(
    ("labels", "share", "text"),
    [
        (torch.arange(10.0), 0.2, "10 codes are too few to fit a direction from 20% at each end"),
        (torch.ones(30), 0.2, "all 30 codes have one value; a direction needs at least two"),
        (torch.cat([torch.ones(3), torch.zeros(27)]), 0.2, "3 codes of one of two values are too few"),
        (torch.cat([torch.tensor([-1.0, 2.0]), torch.zeros(38)]), 0.2, "0 is the value at both ends, 20% of"),
    ],
)
def test_labels_that_no_direction_can_be_fitted_to(labels: Tensor, share: float, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        fit_boundary(torch.randn(len(labels), 4), labels, share=share)


class TestDirections:
    """`fit_directions`, on codes that the attributes "a", "b" and "c" make."""

    def labelled(self) -> LabelledCodes:
        codes, attributes, _ = known_codes()
        columns = dict(zip("abc", attributes.unbind(1), strict=True))
        columns["c"] = columns["c"].clone()
        columns["c"][::2] = float("nan")  # a cell that was left empty
        return LabelledCodes(codes, columns, {"notes": "d.csv, line 2: notes is 'x', which is no number"})

    def test_one_for_each_attribute(self, fake_backbone: Backbone) -> None:
        labelled = self.labelled()
        fitted = fit_directions(labelled, fake_backbone)
        assert [direction.name for direction, _ in fitted] == ["a", "b", "c"]
        for direction, boundary in fitted:
            normal = direction.vector[0]
            assert torch.equal(normal, boundary.normal)
            assert direction.unit == pytest.approx((labelled.codes @ normal).std().item())
            assert direction.backbone_sha256 == fake_backbone.sha256
            assert direction.safe_range == (-3.0, 3.0)
        assert [boundary.used for _, boundary in fitted] == [1200, 1200, 600]

    def test_orthogonal_to_all_others(self, fake_backbone: Backbone) -> None:
        plain = {d.name: d.vector[0] for d, _ in fit_directions(self.labelled(), fake_backbone)}
        ((found, _),) = fit_directions(self.labelled(), fake_backbone, ["a"], orthogonal=True)
        assert abs(plain["a"] @ plain["b"]) > 0.05
        assert abs(found.vector[0] @ plain["b"]) < 1e-5 and abs(found.vector[0] @ plain["c"]) < 1e-5

    def test_refusals(self, fake_backbone: Backbone) -> None:
        labelled = self.labelled()
        with pytest.raises(UnknownNameError, match="unknown attribute 'd'; known: a, b, c"):
            fit_directions(labelled, fake_backbone, ["d"])
        with pytest.raises(InputError, match="line 2: notes is 'x', which is no number"):
            fit_directions(labelled, fake_backbone, ["notes"])
        one = labelled._replace(attributes={"a": labelled.attributes["a"]})
        with pytest.raises(UsageError, match="one attribute has no others to be orthogonal to"):
            fit_directions(one, fake_backbone, orthogonal=True)
        flat = labelled._replace(attributes={"flat": torch.ones(3000)})
        with pytest.raises(UsageError, match="attribute 'flat': all 3000 codes have one value"):
            fit_directions(flat, fake_backbone)


def test_projection_leaves_nothing_along_the_others() -> None:
    generator = torch.Generator().manual_seed(1)
    vector, others = torch.randn(8, generator=generator), torch.randn(3, 8, generator=generator)
    left = project_out(vector, others)
    assert (others @ left).abs().max() < 1e-5
    assert left.norm() == pytest.approx(1, abs=1e-5)


class Shows(Backbone):
    """Draws the first entry of every layer's code as a flat picture."""

    resolution, num_ws, w_dim, z_dim = 8, 2, 4, 4

    @property
    def feature_channels(self) -> dict[int, int]:
        return {}

    def map(self, z: Tensor, c: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        return z[:, None].repeat(1, 2, 1)

    def synthesize(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        inject: Injection | None = None,
        capture: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> Synthesis:
        return Synthesis(ws[:, :, 0].mean(1)[:, None, None, None].expand(-1, 3, 8, 8))


def test_unit_is_one_deviation_of_the_reading() -> None:
    ws = torch.randn(500, 1, 4, generator=torch.Generator().manual_seed(2)).repeat(1, 2, 1) * 0.8
    vector = torch.tensor([[1.0, 0, 0, 0]])

    def read(images: Tensor) -> Tensor:
        return 3 * images[:, 0, 0, 0]

    assert unit_length(Shows(), ws, vector, read) == pytest.approx(ws[:, 0, 0].std().item(), rel=0.02)
    both = unit_length(Shows(), ws, vector, read, layers=(0, 1))
    assert both == pytest.approx(2 * ws[:, 0, 0].std().item(), rel=0.02)


def test_a_direction_of_no_effect_is_refused() -> None:
    ws = torch.randn(50, 1, 4).repeat(1, 2, 1)
    with pytest.raises(UsageError, match="never moves the reading"):
        unit_length(Shows(), ws, torch.tensor([[0.0, 1, 0, 0]]), lambda images: images[:, 0, 0, 0])
