"""Losses against independent computations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ganinv.parts import ConfigError, Discriminator, DiscriminatorConfig
from plugin_ganinpaint import losses


def pictures(count: int, seed: int, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def some_map(count: int, seed: int, side: int = 16) -> Tensor:
    return (torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def tiny_discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(DiscriminatorConfig(resolution=16, channel_base=128, channel_max=8))


def test_visible_l2_is_the_mean_over_visible_values() -> None:
    output, target, where = pictures(3, 0), pictures(3, 1), some_map(3, 2)
    expected = 0.0
    for n in range(3):
        known = where[n, 0].bool()
        expected += float(((output[n] - target[n])[:, known] ** 2).mean()) / 3
    assert float(losses.visible_l2(output, target, where)) == pytest.approx(expected, rel=1e-5)


def test_visible_l2_ignores_the_hole() -> None:
    output, target, where = pictures(2, 0), pictures(2, 1), some_map(2, 2)
    other = torch.where(where.bool(), output, torch.full_like(output, 1e3)).requires_grad_(True)
    loss = losses.visible_l2(other, target, where)
    assert torch.equal(loss, losses.visible_l2(output, target, where))
    loss.backward()
    assert other.grad is not None and not (other.grad * (1 - where)).any() and other.grad.any()


def test_visible_l2_does_not_shrink_with_the_hole() -> None:
    target = torch.zeros(1, 3, 16, 16)
    small, large = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    small[..., :2] = 1
    for where in (small, large):
        assert float(losses.visible_l2(target + 0.5, target, where)) == pytest.approx(0.25)
    assert float(losses.visible_l2(target + 0.5, target, torch.zeros_like(small))) == 0


def test_hole_weights_let_the_hole_count_as_much_as_the_rest() -> None:
    visible, whole = some_map(3, 2), torch.ones(3, 1, 16, 16)
    weights = losses.hole_weights(whole, visible, 1.0)
    assert torch.allclose((weights * (1 - visible)).sum(dim=(1, 2, 3)), torch.tensor(128.0))
    assert torch.allclose((weights * visible).sum(dim=(1, 2, 3)), torch.tensor(128.0))
    between = losses.hole_weights(whole, visible, 0.25)
    assert torch.allclose(between, 0.25 * weights + 0.75)
    partial = losses.hole_weights(visible, visible, 1.0)
    assert torch.equal(partial, whole)  # the hole need not agree: nothing to balance
    for empty in (whole, 1 - whole):
        assert torch.allclose(losses.hole_weights(whole, empty, 1.0), whole)
    pixel = whole.clone()
    pixel[:, :, 3, 3] = 0
    assert 9 < float(losses.hole_weights(whole, pixel, 1.0).max()) < 19  # not 128


def test_weighted_losses_match_a_plain_computation() -> None:
    output, target, visible = pictures(2, 0), pictures(2, 1), some_map(2, 2)
    weights = losses.hole_weights(torch.ones_like(visible), visible, 1.0)
    error = ((output - target) ** 2).mean(dim=1, keepdim=True)
    expected = [0.5 * (error[n][v].mean() + error[n][~v].mean()) for n, v in enumerate(visible.bool())]
    assert float(losses.visible_l2(output, target, weights)) == pytest.approx(
        float(sum(expected)) / 2, rel=1e-5
    )
    network = tiny_discriminator()
    distance = losses.FeatureDistance(network)
    found = []
    for a, b in zip(distance.features(output), distance.features(target), strict=True):
        small = weights.unflatten(2, (a.shape[2], -1)).unflatten(4, (a.shape[3], -1)).mean(dim=(3, 5))
        found.append(float((((a - b) ** 2).sum(dim=1, keepdim=True) * small).mean()))
    measured = float(distance(output, distance.features(target), weights))
    assert measured == pytest.approx(sum(found) / len(found), rel=1e-5)
    assert measured != pytest.approx(float(distance(output, distance.features(target))), rel=1e-3)


def test_blend_keeps_the_target_outside() -> None:
    output, target, where = pictures(2, 0), pictures(2, 1), some_map(2, 2)
    assert torch.equal(losses.blend(output, target, where), torch.where(where.bool(), output, target))


def test_feature_distance_matches_a_plain_computation() -> None:
    network = tiny_discriminator()
    distance = losses.FeatureDistance(network)
    a, b = pictures(4, 0), pictures(4, 1)
    expected = []
    for fa, fb in zip(network.features(a), network.features(b), strict=True):
        fa, fb = nn.functional.normalize(fa, dim=1), nn.functional.normalize(fb, dim=1)
        expected.append(float(((fa - fb) ** 2).sum(dim=1).mean().detach()))
    assert float(distance(a, distance.features(b))) == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    assert float(distance(a, distance.features(a))) == pytest.approx(0, abs=1e-7)


def test_feature_distance_is_frozen() -> None:
    network = tiny_discriminator()
    distance = losses.FeatureDistance(network)
    before = distance.features(pictures(2, 0))[0].clone()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert torch.equal(before, distance.features(pictures(2, 0))[0])
    assert not any(p.requires_grad for p in distance.parameters())
    assert not distance.train().network.training


def test_adversarial_losses_by_hand() -> None:
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [-3.0]])

    def soft(x: float) -> float:
        return math.log1p(math.exp(x))

    assert float(losses.generator_loss(fake)) == pytest.approx((soft(-0.5) + soft(3)) / 2)
    expected = (soft(-2) + soft(1)) / 2 + (soft(0.5) + soft(-3)) / 2
    assert float(losses.discriminator_loss(real, fake)) == pytest.approx(expected)
    assert float(losses.generator_loss(fake, "hinge")) == pytest.approx(1.25)
    assert float(losses.discriminator_loss(real, fake, "hinge")) == pytest.approx((0 + 2) / 2 + (1.5 + 0) / 2)


def test_unknown_adversarial_loss_names_the_possible_ones() -> None:
    with pytest.raises(ConfigError, match="'wasserstein' is not known; possible: non-saturating, hinge"):
        losses.generator_loss(torch.zeros(1, 1), "wasserstein")


def test_r1_of_a_linear_network() -> None:
    weight = pictures(1, 3)[0]
    penalty = losses.r1_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3))[:, None], pictures(5, 0))
    assert float(penalty) == pytest.approx(float(0.5 * weight.square().sum()), rel=1e-5)


def test_r1_reaches_the_weights() -> None:
    network = tiny_discriminator()
    losses.r1_penalty(network, pictures(4, 0)).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_default_gamma_is_the_rule_for_1024() -> None:
    assert losses.default_r1_gamma(1024, 32) == pytest.approx(0.0002 * 1024**2 / 32)


def test_mode_seeking_rewards_difference_in_the_hole_only() -> None:
    hole, codes = torch.zeros(1, 1, 8, 8), torch.ones(1, 4, 3)
    hole[..., :4] = 1
    first = torch.zeros(1, 3, 8, 8)
    inside, outside = hole.expand(1, 3, 8, 8), (1 - hole).expand(1, 3, 8, 8)

    def value(second: Tensor) -> float:
        return float(losses.mode_seeking(first, second, codes, 0 * codes, hole))

    assert value(inside) == pytest.approx(1 / 1.02)
    assert value(outside) == pytest.approx(1 / 0.02, rel=1e-4)
    assert float(losses.pairwise_difference(first, inside, hole)) == pytest.approx(1)


def test_code_distance_counts_whole_rows_and_averages_over_parts() -> None:
    torch.manual_seed(0)
    codes, true, spread = torch.randn(6, 3, 8), torch.randn(6, 3, 8), torch.tensor(4.0)
    counts = torch.tensor([True, False, True, True, False, True])
    codes[~counts] = 1e6
    expected = (codes[counts] - true[counts]).square().mean().item() * (4 / 6) / 4
    found = losses.code_distance(codes, true, counts, spread)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    halves = [losses.code_distance(codes[i::2], true[i::2], counts[i::2], spread) for i in range(2)]
    assert torch.stack(halves).mean().item() == pytest.approx(found.item(), rel=1e-5)
    assert losses.code_distance(true, true, counts, spread).item() == 0
