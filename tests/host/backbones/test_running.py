"""How a generator is run: precision, chunks that fit free memory, torch.compile."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch

from ganinv.backbones import running
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import load_backbone
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.errors import UsageError
from ganinv.inversion import Inversion, backbone_record
from ganinv.rendering import injection, render
from ganinv.sampling import sample_seeds, sample_z
from ganinv_ops import matrix_unit


def codes(backbone: Backbone, count: int = 2) -> torch.Tensor:
    return backbone.map(sample_z(0, count, backbone.z_dim))


def test_precision_is_that_of_the_convolutions(tiny_backbone: Any) -> None:
    plain = load_backbone(tiny_backbone.path)
    half = load_backbone(tiny_backbone.path, precision="bfloat16")
    exact, rounded = (g.synthesize(codes(g), capture=[16]) for g in (plain, half))
    assert rounded.images.dtype == torch.float32 and rounded.features[16].dtype == torch.bfloat16
    assert not torch.equal(exact.images, rounded.images)
    torch.testing.assert_close(exact.images, rounded.images, atol=0.1, rtol=0.1)


def test_impossible_ways_to_run(tiny_backbone: Any, fake_backbone: Backbone) -> None:
    with pytest.raises(
        UsageError, match="float16 is for CUDA, and the generator is on cpu: type --precision b"
    ):
        load_backbone(tiny_backbone.path, precision="float16")
    with pytest.raises(
        UsageError, match="precision 'int8' is not known; possible: float32, bfloat16, float16"
    ):
        load_backbone(tiny_backbone.path, precision="int8")
    with pytest.raises(UsageError, match="a chunk of 0 pictures is not possible; give 1 or more"):
        load_backbone(tiny_backbone.path, chunk=0)
    running.set_precision(fake_backbone, "float32")
    with pytest.raises(UsageError, match="fake backbones compute in float32 only: drop --precision bfloat16"):
        running.set_precision(fake_backbone, "bfloat16")


def test_float16_stays_finite_where_styles_are_large() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(StyleGAN2Config(resolution=16, channel_max=64)).eval()
    ws = 300 * torch.randn(2, generator.num_ws, generator.w_dim)
    with torch.no_grad():
        exact = generator.synthesize(ws, capture=[8]).features[8]
        generator.compute_dtype = torch.float16
        rounded = generator.synthesize(ws, capture=[8]).features[8]
    assert rounded.dtype == torch.float16 and rounded.isfinite().all()
    assert (rounded.float() - exact).norm() < 0.01 * exact.norm()


# ---- pictures in one pass


def test_chunks_cover_all_once() -> None:
    for count, size in ((7, 3), (6, 3), (2, 5), (0, 4)):
        parts = list(running.chunks(count, size))
        assert [i for part in parts for i in range(count)[part]] == list(range(count))
        assert all(part.stop - part.start <= size for part in parts)


def test_the_cost_of_a_picture_is_measured() -> None:
    costs = {}
    for side, kind in ((32, torch.float32), (64, torch.float32), (64, torch.bfloat16)):
        config = StyleGAN2Config(resolution=side, channel_base=1024, channel_max=32)
        generator = StyleGAN2Generator(config).eval().requires_grad_(False)
        generator.compute_dtype = kind
        costs[side, kind] = running.picture_bytes(generator)
        largest = max(c * s * s for s, c in generator.feature_channels.items()) * kind.itemsize
        assert (
            2 * largest <= costs[side, kind] < 12 * largest
        )  # what goes in and what comes out, at the least
    assert 1.5 < costs[64, torch.float32] / costs[32, torch.float32] < 4
    assert 1.5 < costs[64, torch.float32] / costs[64, torch.bfloat16] < 2.5


def test_the_count_forgets_what_is_freed() -> None:
    with running.LiveBytes() as live:
        for _ in range(5):
            x = torch.ones(1000)
            y = (x.view(10, 100) + 1)[:5]  # views cost nothing
            del x, y
        assert live.live == 0 and 8000 <= live.peak <= 9000


def test_as_many_as_fit(tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone.backbone
    cost = running.picture_bytes(backbone)
    for free, fits in ((0, 1), (2 * cost, 1), (5 * cost, 2), (15 * cost, 4), (1e15, 32)):
        monkeypatch.setattr(running, "free_bytes", lambda device, free=free: free)
        assert running.pass_size(backbone, 100) == fits
        assert running.pass_size(backbone, 3) == min(3, fits)
    monkeypatch.setattr(running, "_CPU_ROOM", 9 * cost)  # large pictures gain nothing from company
    assert running.pass_size(backbone, 100) == 8
    backbone.chunk = 5
    assert running.pass_size(backbone, 100) == 5
    monkeypatch.setattr(running, "free_bytes", lambda device: pytest.fail("one picture needs no measuring"))
    backbone.chunk = None
    assert running.pass_size(backbone, 1) == running.pass_size(backbone, 0) == 1


def test_free_memory_is_that_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    free = running.free_bytes(torch.device("cpu"))
    assert 1e6 < free < 1e14
    monkeypatch.setattr(running, "_container_bytes", lambda: 12345)
    assert running.free_bytes(torch.device("cpu")) == 12345


def test_random_noise_does_not_depend_on_the_chunk(tiny_backbone: Any) -> None:
    backbone = tiny_backbone.backbone
    made = Inversion(
        codes(backbone, 3)[None].contiguous(),
        sample_seeds(0, 3),
        torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        torch.zeros(1, 1, 16, 16, dtype=torch.uint8),
        noise="random",
        backbone=backbone_record(backbone),
    )
    drawn = []
    for backbone.chunk in (1, 2, None):
        drawn.append(render(made, backbone))
        assert torch.equal(drawn[-1], drawn[0])
    assert torch.equal(render(made.sample(1), backbone)[:, 0], drawn[0][:, 1])


# ---- torch.compile


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """The graphs that torch.compile finds; they are run as they are, which takes no compiler."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    return graphs


def test_compiled_pictures_are_the_same(tiny_backbone: Any, traced: list[torch.fx.GraphModule]) -> None:
    plain = load_backbone(tiny_backbone.path)
    compiled = load_backbone(tiny_backbone.path, compiled=True)
    assert not traced  # loading compiles nothing
    ws = codes(plain)
    with torch.no_grad():
        for shift in (0.0, 0.5):  # another function that adds other features needs no other graph
            inject = injection({8: torch.full((2, 8, 8, 8), shift)})
            expected = plain.synthesize(ws, inject=inject).images
            torch.testing.assert_close(compiled.synthesize(ws, inject=inject).images, expected)
    assert len(traced) == 1
    compiled.synthesize(ws.requires_grad_()).images.sum().backward()
    assert len(traced) == 1 and ws.grad is not None


def test_a_changed_copy_draws_by_its_own_weights(
    tiny_backbone: Any, traced: list[torch.fx.GraphModule]
) -> None:
    compiled = load_backbone(tiny_backbone.path, compiled=True)
    changed = copy.deepcopy(compiled)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.mul_(1.5)
        ws = codes(compiled)
        found, other = changed.synthesize(ws).images, compiled.synthesize(ws).images
        torch.testing.assert_close(found, StyleGAN2Generator.synthesize(changed, ws).images)
    assert traced and not torch.allclose(found, other, atol=1e-2)


def test_without_a_compiler(tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        raise RuntimeError("No working C++ compiler found\nand more lines")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    compiled = load_backbone(tiny_backbone.path, compiled=True)
    with (
        torch.no_grad(),
        pytest.raises(UsageError, match=r"cannot be had here \(.*compiler found\): drop --compile") as caught,
    ):
        compiled.synthesize(codes(compiled))
    assert "\n" not in caught.value.message


def test_packed_weights_are_no_cost_of_a_pass() -> None:
    x, weight = torch.zeros(1, 16, 8, 8), torch.zeros(16, 16, 3, 3)
    with torch.no_grad(), running.LiveBytes() as live:
        matrix_unit.conv2d(x, weight, 1)
        y = matrix_unit.conv2d(x, weight, 1)
    assert live.live == y.numel() * 4
