"""The usual way draws what ours draws; a race of processes; ceilings and operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.bench import race as racing
from ganinv.bench.contenders import Task, bfloat16_psnr, make
from ganinv.bench.ops import race_ops
from ganinv.bench.peer_style import PeerStyleGenerator, multiplications
from ganinv.bench.race import ceilings, race
from ganinv.bench.timing import warm_up
from ganinv.errors import UnknownNameError, UsageError

CONFIG = StyleGAN2Config(
    resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channel_base=1024, conv_clamp=256.0
)


def test_the_usual_way_draws_the_same() -> None:
    torch.manual_seed(0)
    ours, usual = StyleGAN2Generator(CONFIG), PeerStyleGenerator(CONFIG)
    usual.load_state_dict(ours.state_dict())
    for network in (ours, usual):
        torch.nn.init.constant_(network.synthesis.block(32).conv0.noise_strength, 0.3)
    ws = torch.randn(3, ours.num_ws, 16, requires_grad=True)
    inject = {16: lambda x: x * 1.5}
    gradients = []
    for noise in ("const", "none"):
        a, b = (g.synthesize(ws, noise=noise, inject=inject, capture=[8]) for g in (ours, usual))
        torch.testing.assert_close(a.images, b.images, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(a.features[8], b.features[8], rtol=1e-4, atol=1e-4)
        gradients = [torch.autograd.grad(s.images.square().mean(), ws)[0] for s in (a, b)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError, match="written for skip generators; this is orig"):
        PeerStyleGenerator(StyleGAN2Config(resolution=8, architecture="orig")).synthesize(
            torch.zeros(1, 4, 512)
        )


def test_multiplications_of_the_published_sizes() -> None:
    assert 2 * multiplications(StyleGAN2Config(resolution=1024)) == pytest.approx(149e9, rel=0.02)
    assert 2 * multiplications(StyleGAN2Config(resolution=256)) == pytest.approx(90e9, rel=0.02)


def test_a_race_takes_turns_and_tells_who_cannot_run(tmp_path: Path) -> None:
    results = race(
        ["ours", "nvidia", "peer-style"],
        Task(resolution=8),
        rounds=2,
        threads=1,
        checkouts={"nvidia": str(tmp_path)},
    )
    ours, nvidia, usual = results
    assert [len(result.seconds) for result in results] == [2, 0, 2]
    assert nvidia.cause.endswith("is no such checkout: it has no training/networks.py") and math.isnan(
        nvidia.median
    )
    assert min(ours.seconds) > 0 and usual.peak_bytes > 50e6 and not ours.cause


def test_a_peer_that_fails_is_out_by_its_cause(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("print('hello')\nraise OSError('no card\\nat all')\n")
    (result,) = race(
        ["rosinality"], Task(resolution=8), rounds=1, threads=1, checkouts={"rosinality": str(tmp_path)}
    )
    assert result.cause == "OSError: no card"


@pytest.mark.parametrize("kind", ["synthesis", "train", "invert"])
def test_every_kind_of_work(kind: str) -> None:
    for name in ("ours", "ours-bfloat16", "peer-style"):
        assert make(name, Task(kind, 8, 2))() is None or kind != "train"
    with pytest.raises(UnknownNameError, match="unknown contender 'theirs'"):
        make("theirs", Task(kind, 8))


def test_bfloat16_pictures_are_near() -> None:
    assert 35 < bfloat16_psnr(Task(resolution=16)) < 80


def test_rates_and_operations() -> None:
    rates = ceilings(1)
    assert rates.keys() == {"float32", "bfloat16", "copy", "clone"} and min(rates.values()) > 0
    results = race_ops(1, (1, 16, 16, 16))
    assert {result.dtype for result in results} == {"float32", "bfloat16"} and len(results) == 14
    assert all(result.native > 0 and result.reference > 0 and result.gigabytes > 0 for result in results)


def test_a_slow_processor_is_rated_by_smaller_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that multiplies 1 GFLOP/s, and one of 1,000."""
    sides: list[int] = []

    def timed(rate: float) -> Callable[[Any, int], float]:
        def least(call: Any, repeat: int) -> float:
            sides.append(call.args[0].shape[0])
            return float(2 * sides[-1] ** 3 / rate)

        return least

    monkeypatch.setattr(racing, "least_seconds", timed(1e9))
    assert racing._products(torch.bfloat16, "cpu", 2048) == pytest.approx(1e9) and sides == [256, 512]
    sides.clear()
    monkeypatch.setattr(racing, "least_seconds", timed(1e12))
    assert racing._products(torch.bfloat16, "cpu", 2048) == pytest.approx(1e12)
    assert sides == [256, 512, 1024, 2048]


def test_a_warm_up_ends_by_calls_or_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    warm_up(lambda: made.append(1), calls=5)
    assert len(made) == 5
    monkeypatch.setattr("ganinv.bench.timing.seconds", lambda call: call() or 1.5)
    warm_up(lambda: made.append(1), calls=5, limit=2.0)
    assert len(made) == 7
