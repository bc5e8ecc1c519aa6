"""What the tests of the plugin's training share: a tiny generator, its discriminator, short runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.parts import Backbone, Discriminator, DiscriminatorConfig, write_checkpoint
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training import data, entry, settings
from plugin_ganinpaint.training.edits import Edits
from plugin_ganinpaint.training.reals import Reals


@pytest.fixture
def backbone(tiny_backbone: Any) -> Backbone:
    return tiny_backbone.backbone


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(1)
    config = DiscriminatorConfig(resolution=16, channel_base=128, channel_max=8)
    return Discriminator(config).eval().requires_grad_(False)


@pytest.fixture
def tiny_pair(tiny_backbone: Any, discriminator: Discriminator) -> Path:
    """The generator's file, with its discriminator's beside it."""
    path: Path = tiny_backbone.path
    write_checkpoint(
        path.with_name(f"{path.stem}-discriminator.safetensors"),
        discriminator.state_dict(),
        kind="discriminator",
        family="stylegan2",
        config=discriminator.config.to_json(),
    )
    return path


@pytest.fixture
def make_sampler(backbone: Backbone) -> Callable[..., data.Sampler]:
    """Sampler of batches of 8, from real pictures, edits and changes to the configuration."""

    def make(reals: Reals | None = None, edits: Edits | None = None, **changes: Any) -> data.Sampler:
        config = replace(settings.TrainConfig(), **changes)
        return data.Sampler(backbone, config, 8, torch.Generator().manual_seed(0), reals=reals, edits=edits)

    return make


@pytest.fixture
def short() -> Callable[..., settings.TrainConfig]:
    """A run of six steps of 4 pictures a stage that touches every kind of step, with changes."""

    def make(**changes: Any) -> settings.TrainConfig:
        stage = settings.StageSettings(images=24, batch=4, warmup_images=8, decay_from=0.5)
        config = settings.TrainConfig(
            backbone="tiny",
            network=settings.NetworkSettings(preset="tiny"),
            losses=settings.LossSettings(r1_every=2, adversarial_every=2),
            stage1=replace(stage, code_images=4),
            stage2=replace(stage, edit_share=0.5, thaw_from=0.5),
            log_every=2,
            sheet_every=16,
            save_every=1000,
            choose_by=8,
        )
        return replace(config, **changes)

    return make


@pytest.fixture
def make_run(backbone: Backbone, discriminator: Discriminator) -> Callable[..., Any]:
    """The run of a stage in a folder, on the tiny generator or another."""
    loop = pytest.importorskip("plugin_ganinpaint.training.loop", reason="needs the extra `train`")
    from plugin_ganinpaint.training.methods import DIVERSE_INPAINT

    def make(config: settings.TrainConfig, stage: int, out: Path, generator: Backbone = backbone) -> Any:
        networks = NetworkConfig.for_backbone(generator, preset="tiny")
        fabric = entry.make_fabric(replace(config, accelerator="cpu"))
        return loop.StageRun(
            fabric,
            config,
            DIVERSE_INPAINT.stage(stage),
            generator,
            discriminator,
            networks,
            out,
            report=lambda line: None,
        )

    return make


@pytest.fixture
def assert_same() -> Callable[[Any, Any, str], None]:
    """Compares nested plain data with tensors bit for bit."""

    def same(a: Any, b: Any, path: str) -> None:
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), path
        elif isinstance(a, dict):
            assert a.keys() == b.keys(), path
            for key in a:
                same(a[key], b[key], f"{path}.{key}")
        elif isinstance(a, (list, tuple)):
            assert len(a) == len(b), path
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                same(x, y, f"{path}[{i}]")
        else:
            assert a == b, path

    return same
