"""StyleGAN2 networks of every architecture: classes, truncation, injection, refused configurations."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig, append_minibatch_std
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator

SMALL: dict[str, Any] = {"resolution": 16, "channel_base": 128, "channel_max": 8}
ARCHITECTURES = ["skip", "resnet", "orig"]


def generator(**changes: Any) -> StyleGAN2Generator:
    torch.manual_seed(0)
    settings = {**SMALL, "z_dim": 12, "w_dim": 16, "mapping_layers": 2, **changes}
    g = StyleGAN2Generator(StyleGAN2Config(**settings)).eval().requires_grad_(False)
    g.mapping.w_avg.normal_()
    return g


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_injecting_what_was_captured_changes_nothing(architecture: str) -> None:
    g = generator(architecture=architecture)
    ws = g.map(torch.randn(2, 12))
    sides = list(g.feature_channels)
    plain = g.synthesize(ws, capture=sides)
    again = g.synthesize(ws, inject={s: lambda _, s=s: plain.features[s] for s in sides})  # type: ignore[misc]
    assert torch.equal(plain.images, again.images)
    changed = g.synthesize(ws, inject={8: lambda x: x + 1})
    assert not torch.equal(plain.images, changed.images)
    assert {s: f.shape[1] for s, f in plain.features.items()} == g.feature_channels


def test_truncation_with_a_cutoff() -> None:
    g = generator()
    z = torch.randn(2, 12)
    ws = g.map(z)
    for cutoff in (0, 2, 6, None):
        found = g.map(z, truncation=0.3, truncation_cutoff=cutoff)
        n = 6 if cutoff is None else cutoff
        torch.testing.assert_close(found[:, :n], g.w_avg + 0.3 * (ws[:, :n] - g.w_avg))
        assert torch.equal(found[:, n:], ws[:, n:])


def test_classes_of_a_generator() -> None:
    g = generator(c_dim=3)
    z = torch.randn(1, 12).repeat(3, 1)
    ws = g.map(z, torch.eye(3))
    assert not torch.allclose(ws[0], ws[1])
    with pytest.raises(ValueError, match=r"needs classes c of shape \[N, 3\]; none were given"):
        g.map(z)
    with pytest.raises(ValueError, match=r"of shape \[N, 3\]; not \[3, 2\]"):
        g.map(z, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="has no classes: leave c out"):
        generator().map(z, torch.eye(3))
    assert generator().map(z, torch.zeros(3, 0)).shape == (3, 6, 16)  # how others say "no classes"


def test_classes_of_a_discriminator() -> None:
    torch.manual_seed(0)
    d = Discriminator(DiscriminatorConfig(**SMALL, c_dim=3, minibatch_channels=0)).requires_grad_(False)
    images = torch.randn(1, 3, 16, 16).repeat(3, 1, 1, 1)
    logits = d(images, torch.eye(3))
    assert logits.shape == (3, 1) and logits[0] != logits[1]
    with pytest.raises(ValueError, match="none were given"):
        d(images)
    with pytest.raises(ValueError, match="has no classes: leave c out"):
        Discriminator(DiscriminatorConfig(**SMALL))(images, torch.eye(3))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_of_a_discriminator(architecture: str) -> None:
    d = Discriminator(DiscriminatorConfig(**SMALL, architecture=architecture))  # type: ignore[arg-type]
    features = d.features(torch.randn(2, 3, 16, 16))
    assert [tuple(f.shape) for f in features] == [(2, 8, 8, 8), (2, 8, 4, 4)]


def test_minibatch_deviation_of_several_channels() -> None:
    x = torch.randn(4, 6, 3, 3)
    added = append_minibatch_std(x, 2, 2)[:, 6:]
    for share in range(2):
        part = x[[1, 3], share * 3 : share * 3 + 3]
        wanted = (part.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(added[1, share], wanted.expand(3, 3))
    with pytest.raises(ValueError, match="6 channels cannot be shared among 4"):
        append_minibatch_std(x, 2, 4)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resolution": 20}, "resolution 20 is not a power of two"),
        ({"architecture": "big"}, "architecture 'big' is not one of skip, resnet, orig"),
        ({"widths": (8, 8)}, "2 widths for 3"),
    ],
)
def test_configurations_that_are_refused(changes: dict[str, Any], text: str) -> None:
    for config in (StyleGAN2Config, DiscriminatorConfig):
        with pytest.raises(ValueError, match=text):
            config(**(SMALL | changes))
    with pytest.raises(ValueError, match="mapping_layers 0 is not at least 1"):
        StyleGAN2Config(mapping_layers=0)
