"""SeFa and style channels, from the affine layers of a generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ganinv.backbones.base import Backbone
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.editing.computed import sefa, style_channels, style_layers
from ganinv.errors import CheckpointError, UsageError
from ganinv.methods.latents import random_codes
from ganinv.sampling import normal


@pytest.fixture
def backbone(tiny_backbone: Any) -> Backbone:
    found: Backbone = tiny_backbone.backbone
    return found


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_each_style_layer_takes_the_row_that_drawing_gives_it(architecture: Any) -> None:
    config = StyleGAN2Config(
        resolution=16, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64, architecture=architecture
    )
    network = StyleGAN2Generator(config).eval()
    layers = style_layers(network)
    ws = torch.zeros(1, network.num_ws, 4)
    ws[0, :, 0] = torch.arange(network.num_ws)
    taken: list[tuple[str, int]] = []
    for layer in layers:
        layer.affine.register_forward_hook(
            lambda _, inputs, __, name=layer.name: taken.append((name, int(inputs[0][0, 0])))
        )
    with torch.no_grad():
        network.synthesize(ws)
    assert taken == [(layer.name, layer.row) for layer in layers]


def test_the_layers_of_1024_px_are_those_of_the_published_statistics() -> None:
    with torch.device("meta"):
        network = StyleGAN2Generator(StyleGAN2Config(resolution=1024))
    widths = [len(layer.weight) for layer in style_layers(network)]
    assert widths == [512] * 15 + [256] * 3 + [128] * 3 + [64] * 3 + [32] * 2
    rgb = [index for index, layer in enumerate(style_layers(network)) if "torgb" in layer.name]
    assert rgb == [1, 4, 7, 10, 13, 16, 19, 22, 25]


def test_layers_by_name_only_as_stylegan3_has_them() -> None:
    class Layered(torch.nn.Module):
        """Each layer takes a row of its own: the Fourier input, then L0, L1, ... in order."""

        def __init__(self) -> None:
            super().__init__()
            self.family, self.num_ws, self.w_dim, self.sha256 = "stylegan3", 12, 4, ""
            self.synthesis = torch.nn.Module()
            for name in ("input", *(f"L{i}_36_8" for i in range(11))):
                inner = torch.nn.Module()
                inner.affine = torch.nn.Linear(4, 8)
                self.synthesis.add_module(name, inner)

    network: Any = Layered()
    assert [layer.row for layer in style_layers(network)] == list(range(12))
    assert sefa(network, 0, (11, 12)).vector.shape == (1, 4)


def test_sefa_is_the_eigen_decomposition(backbone: Backbone) -> None:
    names = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b16.torgb"]
    rows = [backbone.get_parameter(f"synthesis.{name}.affine.weight").double() for name in names]
    rows = [row / row.norm(dim=1, keepdim=True) for row in rows]
    for layers, chosen in ((None, rows), ((1, 3), rows[1:3]), ((5, 6), rows[5:])):
        a = torch.cat(chosen)
        _, _, vh = torch.linalg.svd(a)  # right singular vectors of A, largest first
        for index in (0, 1, 2):
            found = sefa(backbone, index, layers)
            assert found.layers == layers and found.unit == 1.0 and found.backbone_sha256 == backbone.sha256
            vector = found.vector[0].double()
            assert vector[vector.abs().argmax()] > 0
            assert abs(vector @ vh[index]) == pytest.approx(1, abs=1e-6)
            value = (a.T @ a @ vector).norm()
            torch.testing.assert_close(a.T @ a @ vector, value * vector, atol=1e-5, rtol=1e-4)
    stretch = [
        (torch.cat(rows) @ sefa(backbone, index).vector[0].double()).norm().item() for index in range(16)
    ]
    assert stretch == sorted(stretch, reverse=True)


def test_strength_1_is_a_deviation_of_the_channel(backbone: Backbone) -> None:
    layers = style_layers(backbone)
    edit = style_channels(backbone, [(0, 3), (0, 5), (4, 1)])
    assert edit.name == "style:0:3,0:5,4:1"
    assert list(edit.shifts) == [layers[0].name, layers[4].name]
    w = random_codes(backbone, normal(7, 4096, backbone.z_dim))[:, 0]  # other codes than the edit's
    for number, channels in ((0, [3, 5]), (4, [1])):
        shift = edit.shifts[layers[number].name]
        assert shift.nonzero()[:, 0].tolist() == channels
        deviations = layers[number].affine(w).std(0)[channels]
        torch.testing.assert_close(shift[channels], deviations, rtol=0.05, atol=0)


def test_refusals(backbone: Backbone, fake_backbone: Backbone) -> None:
    for call, text in (
        (lambda: sefa(backbone, 16), "SeFa direction 16 is not there: this backbone has 0 to 15"),
        (lambda: sefa(backbone, 0, (2, 9)), "layers 2-8 are not there: this backbone has 0-5"),
        (lambda: style_channels(backbone, [(8, 0)]), "style layer 8 is not there: this backbone has 0 to 7"),
        (
            lambda: style_channels(backbone, [(0, 8)]),
            "channel 8 of style layer 0 is not there: it has 0 to 7",
        ),
    ):
        with pytest.raises(UsageError, match=text):
            call()
    with pytest.raises(CheckpointError, match="a fake generator has no style layers that ganinv knows"):
        sefa(fake_backbone, 0)
