"""The main job with the real method: on a tiny generator with untrained weights, and on the bundled ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.backbones.loading import BUNDLED, bundled_models

AGE = ("--direction", "age", "--strength", 2)


@pytest.fixture
def weights(bench: Any) -> Path:
    """Untrained weights of `diverse-inpaint` for the tiny generator."""
    from ganinv.api import load_backbone
    from plugin_ganinpaint.config import NetworkConfig
    from plugin_ganinpaint.encoder import ErasedEncoder
    from plugin_ganinpaint.mixing import GatedMixing
    from plugin_ganinpaint.skip import SkipEncoder
    from plugin_ganinpaint.weights import TrainedNetworks, save_networks

    torch.manual_seed(5)
    backbone = load_backbone(bench.backbone)
    config = NetworkConfig.for_backbone(backbone)
    encoder, mixing = ErasedEncoder(config, backbone.w_avg), GatedMixing(config, backbone.w_avg)
    networks = TrainedNetworks(config, encoder, mixing, SkipEncoder(config), "tiny", "0", {})
    path: Path = bench.folder / "weights.safetensors"
    save_networks(path, networks, backbone=backbone)
    return path


@pytest.fixture
def bundled() -> None:
    """Skips where the weights are absent."""
    kinds = {model.kind for model in bundled_models()} if BUNDLED.is_dir() else set()
    if not {"generator", "diverse-inpaint", "directions"} <= kinds:
        pytest.skip("weights not in this checkout")


def check_result(bench: Any, out: Path, samples: int) -> None:
    """Known pixels are the working copy's bit for bit, and the samples differ in the hole."""
    working, mask = bench.pixels(out / "me-input.png"), bench.pixels(out / "me-mask.png")
    done = [bench.pixels(out / f"me-{index:02d}.png") for index in range(samples)]
    for pixels in done:
        assert np.array_equal(pixels[mask == 0], working[mask == 0])
    assert len({pixels[mask == 255].tobytes() for pixels in done}) == samples


def test_untrained_weights_run_the_whole_way(bench: Any, weights: Path) -> None:
    picture = bench.picture("me.png", (40, 40))
    common = ("--backbone", bench.backbone, "--weights", weights, "--mask", "half-left", "--samples", 3)
    for out in ("one", "two"):
        result = bench.run("invert", picture, *common, "--seed", 1, "--out", out)
        assert result.exit_code == 0, result.stderr
    check_result(bench, Path("one"), 3)
    for path in Path("one").iterdir():
        assert path.read_bytes() == (Path("two") / path.name).read_bytes(), path.name
    assert bench.edit("one/me.inversion.safetensors", *AGE).exit_code == 0
    result = bench.run("edit", picture, *common, "--seed", 1, *AGE, "--out", "direct")
    assert result.exit_code == 0, result.stderr
    for index in range(3):
        name = f"me-{index:02d}-edit.png"
        assert Path("edits", name).read_bytes() == Path("direct", name).read_bytes()


def test_missing_weights_are_told_in_one_line(bench: Any) -> None:
    picture = bench.picture("me.png")
    result = bench.run("invert", picture, "--backbone", bench.backbone, "--out", "out")
    assert result.exit_code == 1
    assert "--weights FILE" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("bundled")
def test_the_bundled_models_complete_and_edit_a_portrait(bench: Any) -> None:
    from ganinv.api import load_backbone, to_uint8, write_png

    backbone = load_backbone()
    code = backbone.map(torch.randn(1, backbone.z_dim, generator=torch.Generator().manual_seed(0)))
    write_png("me.png", to_uint8(backbone.synthesize(code, noise="const").images)[0])
    for out in ("one", "two"):
        arguments = ("--mask", "half-right", "--samples", 6, "--seed", 0, "--out", out)
        result = bench.run("invert", "me.png", *arguments)
        assert result.exit_code == 0, result.stderr
        assert "Warning" not in result.stderr
    check_result(bench, Path("one"), 6)
    for path in Path("one").iterdir():
        assert path.read_bytes() == (Path("two") / path.name).read_bytes(), path.name
    result = bench.run("edit", "one/me.inversion.safetensors", *AGE, "--strip", "-3:3:7", "--out", "edits")
    assert result.exit_code == 0, result.stderr
    assert len(list(Path("edits").iterdir())) == 12
    rows = bench.run("directions", "list").stdout
    assert all(name in rows for name in ("age", "smile", "yaw", "glasses", "beard"))
