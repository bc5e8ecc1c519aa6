"""Figures of pixels and perceptual distances, against plain loops, NumPy, SciPy and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from ganinv.metrics.perceptual import feature_distance, pairwise_distance
from ganinv.metrics.pixels import (
    border_jump,
    fine_detail,
    hole_difference,
    visible_l1,
    visible_psnr,
    visible_ssim,
)

SIDE = 20


def pictures(seed: int, count: int = 2, side: int = SIDE) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def hole() -> Tensor:
    """Another one in each of two pictures."""
    holes = torch.zeros(2, 1, SIDE, SIDE)
    holes[0, :, :, :7], holes[1, :, 5:12, 4:15] = 1, 1
    return holes


def test_psnr_and_l1_of_known_pixels(hole: Tensor) -> None:
    raw, truth = pictures(0), pictures(1)
    psnr, l1 = visible_psnr(raw, truth, hole), visible_l1(raw, truth, hole)
    for i in range(2):
        known = (hole[i] == 0).expand(3, -1, -1)
        a, b = raw[i][known], truth[i][known]
        assert psnr[i].item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=2.0).item(), rel=1e-5)
        assert l1[i].item() == pytest.approx((a - b).abs().mean().item(), rel=1e-5)


def test_nothing_from_the_hole_counts(hole: Tensor) -> None:
    raw, truth = pictures(0), pictures(1)
    loud = torch.where(hole > 0, torch.full_like(raw, 1e3), raw)
    for figure in (visible_psnr, visible_l1, visible_ssim):
        torch.testing.assert_close(figure(loud, truth, hole), figure(raw, truth, hole))
    assert torch.isnan(visible_psnr(raw, truth, torch.ones_like(hole))).all()


def test_ssim_is_that_of_gaussian_windows(hole: Tensor) -> None:
    raw, truth = pictures(2), pictures(2) * 0.8 + 0.2 * pictures(3)
    found = visible_ssim(raw, truth, hole)
    x = np.where(hole.numpy() > 0, truth.numpy(), raw.numpy()).astype(np.float64)
    y = truth.numpy().astype(np.float64)

    def blur(z: np.ndarray) -> np.ndarray:  # 11 pixels wide
        return scipy.ndimage.gaussian_filter(z, (0, 0, 1.5, 1.5), mode="mirror", truncate=3.5)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    similarity = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    known = np.broadcast_to(hole.numpy() == 0, x.shape)
    for i in range(2):
        assert found[i].item() == pytest.approx(similarity[i][known[i]].mean(), abs=2e-4)


def test_border_jump_is_the_mean_over_crossing_pairs(hole: Tensor) -> None:
    picture = pictures(4)
    found = border_jump(picture, hole)
    for i in range(2):
        jumps = []
        for r in range(SIDE):
            for c in range(SIDE):
                for dr, dc in ((0, 1), (1, 0)):
                    if r + dr < SIDE and c + dc < SIDE and hole[i, 0, r, c] != hole[i, 0, r + dr, c + dc]:
                        jumps.append(
                            (picture[i, :, r, c] - picture[i, :, r + dr, c + dc]).abs().mean().item()
                        )
        assert found[i].item() == pytest.approx(np.mean(jumps), rel=1e-5)
    assert border_jump(picture, torch.zeros_like(hole)).tolist() == [0, 0]


def test_fine_detail_is_the_mean_over_pixels_whose_neighbours_are_in_the_hole(hole: Tensor) -> None:
    picture, inside = pictures(4), hole[:, 0] > 0
    found = fine_detail(picture, hole)
    for i in range(2):
        curved = []
        for r in range(1, SIDE - 1):
            for c in range(1, SIDE - 1):
                around = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
                if all(inside[i, y, x] for y, x in [(r, c), *around]):
                    middle = 4 * picture[i, :, r, c] - sum(picture[i, :, y, x] for y, x in around)
                    curved.append(middle.abs().mean().item())
        assert curved and found[i].item() == pytest.approx(np.mean(curved), rel=1e-5)
    assert fine_detail(picture, torch.zeros_like(hole)).tolist() == [0, 0]
    soft = torch.nn.functional.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
    assert (fine_detail(soft, hole) < found / 2).all()


def test_difference_of_samples_in_the_hole(hole: Tensor) -> None:
    samples, one = pictures(5, 3), hole[:1]
    inside = one[0].expand(3, -1, -1) > 0
    pairs = [
        (samples[i][inside] - samples[j][inside]).abs().mean().item() for i in range(3) for j in range(i)
    ]
    assert hole_difference(samples, one).item() == pytest.approx(np.mean(pairs), rel=1e-5)
    assert torch.isnan(hole_difference(samples[:1], one))


def test_perceptual_distance_is_the_plain_double_sum(hole: Tensor) -> None:
    """Maps of half the size: a place weighs by the share of its four pixels that count."""
    generator = torch.Generator().manual_seed(6)
    a, b = (torch.randn(2, 5, SIDE // 2, SIDE // 2, generator=generator) for _ in range(2))
    u, v = (torch.randn(2, 4, generator=generator) for _ in range(2))
    found = feature_distance([a, u], [b, v], hole)
    for i in range(2):
        total = weight = 0.0
        for r in range(SIDE // 2):
            for c in range(SIDE // 2):
                share = hole[i, 0, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean().item()
                x, y = a[i, :, r, c], b[i, :, r, c]
                total += share * (x / x.norm() - y / y.norm()).square().sum().item()
                weight += share
        assert found[i].item() == pytest.approx(
            total / weight + (u[i] - v[i]).square().sum().item(), rel=1e-4
        )


def test_pairwise_distance_is_the_mean_over_pairs(hole: Tensor) -> None:
    maps = torch.randn(3, 5, 4, 4, generator=torch.Generator().manual_seed(7))
    pairs = [
        feature_distance([maps[i : i + 1]], [maps[j : j + 1]], hole[:1]).item()
        for i in range(3)
        for j in range(i)
    ]
    assert pairwise_distance([maps], hole[:1]).item() == pytest.approx(np.mean(pairs), rel=1e-5)
    assert torch.isnan(pairwise_distance([maps[:1]], hole[:1]))
