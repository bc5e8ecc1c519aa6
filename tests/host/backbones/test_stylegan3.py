"""StyleGAN3: geometry of layers, filters, features and injection, moved pictures, refused configurations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.backbones.alias_free import design_lowpass
from ganinv.backbones.loading import load_backbone
from ganinv.backbones.stylegan3 import StyleGAN3Config, StyleGAN3Generator

R: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True}
KINDS = pytest.mark.parametrize("kind", [{}, R], ids=["t", "r"])
LAYOUTS = [f"{kind}_{side}" for kind in "tr" for side in (64, 256, 512, 1024)]


def generator(**changes: Any) -> StyleGAN3Generator:
    torch.manual_seed(0)
    settings = {"resolution": 32, "z_dim": 12, "w_dim": 16, "channel_base": 256, "channel_max": 6} | changes
    g = StyleGAN3Generator(StyleGAN3Config(**settings)).eval().requires_grad_(False)
    g.mapping.w_avg.normal_()
    return g


@pytest.mark.parametrize("name", LAYOUTS)
def test_geometry_of_every_layer(shared: Path, name: str) -> None:
    """All numbers that the original derives for the published sizes, the same to the last bit."""
    data = json.loads((shared / f"fixtures/parity/layouts/sg3_{name}.json").read_text())
    layers = StyleGAN3Config(resolution=data["img_resolution"], **data["kwargs"]).layers
    for i, (wanted, found) in enumerate(zip(data["layers"], layers, strict=True)):
        assert wanted["name"] == f"L{i}_{found.out_size}_{found.out_channels}"
        for key in wanted.keys() - {"name", "use_fp16", "conv_clamp"}:
            value = getattr(found, key)
            if key in ("in_size", "out_size"):
                value = [value, value]
            assert wanted[key] == (list(value) if key == "padding" else value), (name, i, key)
    first = data["input"]
    assert [first["size"][0], first["sampling_rate"]] == [layers[0].in_size, layers[0].in_sampling_rate]
    assert (first["channels"], first["bandwidth"]) == (layers[0].in_channels, layers[0].in_cutoff)


def response(f: Tensor, frequency: float, fs: float) -> float:
    """Of a symmetric filter along x."""
    taps = f.sum(0) if f.ndim == 2 else f
    at = torch.arange(len(taps)) - (len(taps) - 1) / 2
    return float((taps * torch.cos(2 * math.pi * frequency / fs * at)).sum())


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("numtaps", [24, 25])
def test_filters_pass_the_band_and_no_more(radial: bool, numtaps: int) -> None:
    f = design_lowpass(numtaps, cutoff=8.0, width=6.0, fs=64.0, radial=radial)
    assert f is not None and f.shape == (numtaps,) * f.ndim and f.dtype == torch.float32
    assert float(f.sum()) == pytest.approx(1, abs=1e-6)
    for dim in range(f.ndim):
        torch.testing.assert_close(f, f.flip(dim))
    torch.testing.assert_close(f, f.T if radial else f)
    assert response(f, 1, 64) == pytest.approx(1, abs=0.03)
    assert response(f, 8, 64) == pytest.approx(0.5, abs=0.07)
    assert abs(response(f, 16, 64)) < 0.03


@KINDS
@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_injecting_what_was_captured_changes_nothing(kind: dict[str, Any], resolution: int) -> None:
    g = generator(resolution=resolution, num_layers=8, **kind)
    ws = g.map(torch.randn(2, 12))
    sides = list(g.feature_channels)
    assert sides == [2**k for k in range(4, int(math.log2(resolution)) + 1)]
    plain = g.synthesize(ws, capture=sides)
    again = g.synthesize(ws, inject={s: lambda _, s=s: plain.features[s] for s in sides})  # type: ignore[misc]
    assert torch.equal(plain.images, g.synthesize(ws).images)
    assert torch.equal(plain.images, again.images)
    assert {s: f.shape for s, f in plain.features.items()} == {
        s: (2, c, s, s) for s, c in g.feature_channels.items()
    }
    for side in sides:
        changed = g.synthesize(ws, inject={side: lambda x: x + 1}, capture=[side])
        assert not torch.equal(plain.images, changed.images)
        assert torch.equal(changed.features[side], plain.features[side] + 1)


@KINDS
def test_a_side_is_the_last_layer_of_that_rate(kind: dict[str, Any]) -> None:
    """A map is that layer's output without its margin, and a change goes on into the margin."""
    g = generator(**kind)
    ws = g.map(torch.randn(2, 12))
    places = {16: "L4_36_6", 32: "L13_32_6"}
    for side, name in places.items():
        layer = g.synthesis.layer(name)
        seen: list[Tensor] = []
        handle = layer.register_forward_hook(lambda _, __, y, seen=seen: seen.append(y))
        found = g.synthesize(ws, capture=[side]).features[side]
        handle.remove()
        margin = (seen[0].shape[2] - side) // 2
        assert margin == (10 if side == 16 else 0)
        assert torch.equal(found, seen[0][:, :, margin : margin + side, margin : margin + side])
        handle = layer.register_forward_hook(lambda _, __, y: y + 3)
        everywhere = g.synthesize(ws).images
        handle.remove()
        injected = g.synthesize(ws, inject={side: lambda x: x + 3}).images
        torch.testing.assert_close(injected, everywhere)


def test_a_changed_border_is_continued() -> None:
    g = generator()
    slope = torch.linspace(-1, 1, 16).expand(16, 16)
    layer = g.synthesis.layer("L5_52_6")
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    ws = g.map(torch.randn(1, 12))
    g.synthesize(ws)
    g.synthesize(ws, inject={16: lambda x: x + slope})
    handle.remove()
    change = given[1] - given[0]
    torch.testing.assert_close(change[0, 0, 0], torch.cat([-torch.ones(10), slope[0], torch.ones(10)]))
    torch.testing.assert_close(change, change[:, :1, :1].expand_as(change))


def test_what_is_injected_must_fit() -> None:
    g = generator()
    ws = g.map(torch.randn(1, 12))
    with pytest.raises(ValueError, match=r"at 16 px has shape \[1, 6, 1, 1\]; expected \[1, 6, 16, 16\]"):
        g.synthesize(ws, inject={16: lambda x: x.mean((2, 3), keepdim=True)})
    with pytest.raises(ValueError, match="no block of 8 px in this generator; its blocks: 16, 32 px"):
        g.synthesize(ws, capture=[8])
    with pytest.raises(ValueError, match=r"codes of shape \(1, 14, 16\); expected \[N, 16, 16\]"):
        g.synthesize(ws[:, :14])


def test_noise_is_nothing() -> None:
    g = generator()
    ws = g.map(torch.randn(1, 12))
    plain = g.synthesize(ws).images
    assert torch.equal(plain, g.synthesize(ws, noise="none").images)
    seeded = torch.Generator().manual_seed(1)
    assert torch.equal(plain, g.synthesize(ws, noise="random", generator=seeded).images)


@KINDS
def test_gradients_reach_every_code(kind: dict[str, Any]) -> None:
    g = generator(**kind)
    torch.nn.init.normal_(g.synthesis.input.affine.weight)
    ws = g.map(torch.randn(2, 12)).requires_grad_()
    features = g.synthesize(ws, inject={16: torch.sin}, capture=[16, 32])
    total = features.images.square().sum() + features.features[16].square().sum()
    (found,) = torch.autograd.grad(total, ws)
    assert (found.norm(dim=2) > 0).all()


@KINDS
def test_a_picture_does_not_depend_on_the_others(kind: dict[str, Any]) -> None:
    g = generator(**kind)
    ws = g.map(torch.randn(3, 12))
    ws[1] *= 50  # the original scales styles over the whole batch, which must cancel
    together = g.synthesize(ws).images
    apart = torch.cat([g.synthesize(one[None]).images for one in ws])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)
    assert g.synthesize(ws[:0]).images.shape == (0, 3, 32, 32)


def test_classes_and_truncation() -> None:
    g = generator(c_dim=3)
    z = torch.randn(1, 12).repeat(3, 1)
    ws = g.map(z, torch.eye(3))
    assert ws.shape == (3, 16, 16) and not torch.allclose(ws[0], ws[1])
    found = g.map(z, torch.eye(3), truncation=0.3, truncation_cutoff=5)
    torch.testing.assert_close(found[:, :5], g.w_avg + 0.3 * (ws[:, :5] - g.w_avg))
    assert torch.equal(found[:, 5:], ws[:, 5:])
    with pytest.raises(ValueError, match=r"needs classes c of shape \[N, 3\]; none were given"):
        g.map(z)


@KINDS
def test_bfloat16(kind: dict[str, Any]) -> None:
    g = generator(**kind)
    ws = g.map(torch.randn(2, 12))
    exact = g.synthesize(ws, capture=[16])
    g.compute_dtype = torch.bfloat16
    found = g.synthesize(ws, inject={16: lambda x: x.float() * 1.0}, capture=[16])
    assert found.images.dtype == torch.float32 and found.features[16].dtype == torch.bfloat16
    assert (found.images - exact.images).norm() < 0.03 * exact.images.norm()


def test_turned_by_a_right_angle() -> None:
    """Configuration R is equivariant to rotation: exactly so by 90 degrees, margins and all."""
    g = generator(num_layers=6, **R)
    ws = g.map(torch.randn(1, 12))
    plain = g.synthesize(ws).images
    g.synthesis.input.transform.copy_(torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))
    turned = g.synthesize(ws).images
    torch.testing.assert_close(turned, plain.rot90(1, (2, 3)), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(turned, plain, atol=0.01)


def test_shifted_by_a_coarse_sample() -> None:
    """A shift by a sixteenth of the side is whole samples at every layer; only the canvas' ends differ."""
    g = generator(num_layers=6, **R)
    ws = g.map(torch.randn(1, 12))
    plain = g.synthesize(ws).images
    g.synthesis.input.transform[0, 2] = -1 / 16  # the inverse of the motion: the picture goes right
    shifted = g.synthesize(ws).images
    apart = (shifted[..., 2:] - plain[..., :-2])[..., 10:20, 10:20]
    assert apart.norm() < 0.02 * plain[..., 10:20, 10:20].norm()


def test_a_file_of_our_own(tiny_stylegan3: Any) -> None:
    g, path = tiny_stylegan3
    assert (g.family, g.num_ws, g.feature_channels) == ("stylegan3", 6, {16: 8})
    again = load_backbone(path)
    z = torch.randn(2, 16)
    assert again.sha256 == g.sha256 and torch.equal(again(z), g(z))
    assert again.config == g.config  # type: ignore[attr-defined]
    assert not any(p.requires_grad for p in again.parameters())


def test_channels_that_no_rule_gives() -> None:
    widths = (5, 4, 3, 7, 2, 6)
    config = StyleGAN3Config(resolution=32, z_dim=4, w_dim=4, num_layers=6, widths=widths)
    g = StyleGAN3Generator(config)
    assert tuple(layer.out_channels for layer in config.layers) == (*widths, 3)
    assert g.feature_channels == {16: 4, 32: 6}
    assert g(torch.randn(1, 4)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resolution": 48}, "resolution 48 is not a power of two from 8 to 8192"),
        ({"mapping_layers": 0}, "mapping_layers 0 is not from 1 to 64"),
        ({"num_critical": 14}, "num_critical 14 is not from 0 to 13"),
        ({"filter_size": 33}, "filter_size 33 is not from 1 to 32"),
        ({"widths": (4, 4)}, "2 widths for 14 layers"),
        ({"first_cutoff": 0.0}, "first_cutoff 0.0 is not above 0 and at most first_stopband 4.28"),
        ({"first_cutoff": 5.0}, "first_cutoff 5.0 is not above 0"),
        ({"last_stopband_rel": 0.5}, "last_stopband_rel 0.5 are not possible; both must be at least 1"),
        ({"first_cutoff": 0.1, "first_stopband": 0.5}, "first_stopband 0.5 and last_stopband_rel 1.23"),
        ({"resolution": 8, "first_stopband": 9.0}, "and the first at most 4 times the second"),
        ({"last_stopband_rel": float("nan")}, "last_stopband_rel nan are not possible"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        StyleGAN3Config(**changes)
