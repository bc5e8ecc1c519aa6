"""Fitting directions on codes whose attributes are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ganinv.backbones.base import Backbone, Injection, Noise, Synthesis
from ganinv.editing.fit import project_out, response, svm_normal, unit_length
from ganinv.errors import UsageError


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


def test_svm_normal_separates_and_points_to_larger_labels() -> None:
    codes, attributes, _ = known_codes()
    normal = svm_normal(codes, attributes[:, 2])
    assert normal.norm() == pytest.approx(1, abs=1e-5)
    side = codes @ normal
    assert torch.corrcoef(torch.stack([side, attributes[:, 2]]))[0, 1] > 0.9


def test_too_few_codes_for_an_svm() -> None:
    with pytest.raises(UsageError, match="10 codes are too few"):
        svm_normal(torch.randn(10, 4), torch.randn(10))


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
