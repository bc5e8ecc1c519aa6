"""A generator and a method of a few lines each, for tests of everything around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from ganinv import plugins
from ganinv.backbones.base import Backbone, Injection, Noise, Synthesis
from ganinv.images import to_uint8
from ganinv.inversion import Inversion, backbone_record, run_versions
from ganinv.method import InversionMethod
from ganinv.sampling import sample_seeds, sample_z


class FakeBackbone(Backbone):
    """8 px pictures: a linear map of the code, tiled, with one feature block of 4 px."""

    family, name, sha256 = "fake", "fake-8", "ab" * 32
    resolution, num_ws, w_dim, z_dim = 8, 4, 6, 6

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w_avg", torch.zeros(self.w_dim))
        weight = torch.randn(self.w_dim, 3 * 16, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight * 0.2, requires_grad=False)

    @property
    def feature_channels(self) -> dict[int, int]:
        return {4: 3}

    def map(self, z: Tensor, c: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        return (z * truncation)[:, None].repeat(1, self.num_ws, 1)

    def synthesize(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        inject: Injection | None = None,
        capture: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> Synthesis:
        features = (ws.mean(1) @ self.weight).reshape(-1, 3, 4, 4)
        if inject and 4 in inject:
            features = inject[4](features)
        images = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return Synthesis(images, {4: features} if 4 in capture else {})


class FakeMethod(InversionMethod):
    """Keeps the contract: the known pixels' mean moves one code, the rest is random."""

    name, version, diverse = "fake", "1.0", True

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> Inversion:
        holes = self.check_inputs(images, holes, samples)
        known = torch.where(holes > 0, torch.zeros_like(images), images)
        ws = self.backbone.map(sample_z(seed, samples, self.backbone.z_dim), truncation=truncation)
        ws = ws[None].repeat(len(images), 1, 1, 1)  # [N, K, num_ws, w_dim]
        ws[:, :, 0, 0] = known.mean(dim=(1, 2, 3))[:, None]
        delta = known.mean(dim=(1, 2, 3))[:, None, None, None, None].expand(-1, samples, 3, 4, 4).half()
        return Inversion(
            ws=ws,
            seeds=sample_seeds(seed, samples),
            working=torch.tensor(to_uint8(images)).permute(0, 3, 1, 2).contiguous(),
            hole=holes.to(torch.uint8),
            features={4: delta},
            backbone=backbone_record(self.backbone),
            method={"name": self.name, "version": self.version, "sha256": None},
            options={"samples": samples, "seed": seed, "truncation": truncation},
            versions=run_versions(),
        )


@pytest.fixture
def fake_backbone() -> FakeBackbone:
    return FakeBackbone()


@pytest.fixture
def fake_method(fake_backbone: FakeBackbone) -> FakeMethod:
    return FakeMethod(fake_backbone)


@pytest.fixture
def inversion(fake_method: FakeMethod) -> Inversion:
    """Two pictures, three samples each, left half erased."""
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    holes = torch.zeros(2, 1, 8, 8)
    holes[..., :4] = 1
    return fake_method.invert(images, holes, samples=3, seed=5)


@pytest.fixture
def forget_plugins() -> Iterator[Callable[[], None]]:
    """Registries are filled once a process; a test that changes what there is must leave none behind."""
    plugins.registry.cache_clear()
    yield plugins.registry.cache_clear
    plugins.registry.cache_clear()
