"""torch.compile, torch.export and fake tensors see the operators as single nodes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv_ops.bias_act import bias_act
from ganinv_ops.filtered_lrelu import Settings, filtered_lrelu
from ganinv_ops.filters import setup_filter
from ganinv_ops.upfirdn2d import upsample2d


class Block(nn.Module):
    """A convolution, an upsampling and an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.randn(8))
        self.register_buffer("taps", setup_filter([1, 3, 3, 1]))

    def forward(self, x: Tensor) -> Tensor:
        return bias_act(upsample2d(self.conv(x), self.taps), self.bias, act="lrelu", clamp=2.0)


class Filtered(nn.Module):
    """A convolution and the activation of StyleGAN3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=2, bias=False)
        self.bias = nn.Parameter(torch.randn(8))
        self.register_buffer("taps", setup_filter(torch.hann_window(14)[1:-1]))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return filtered_lrelu(
            y, self.taps, self.taps, self.bias, up=2, down=2, padding=(9, 8, 9, 8), clamp=2.0
        )


HOLDS = {
    Block: Counter({"ganinv_ops.upfirdn2d": 1, "ganinv_ops.bias_act": 1}),
    Filtered: Counter({"ganinv_ops.filtered_lrelu": 1}),
}
BLOCKS = pytest.mark.parametrize("block_type", HOLDS)


def operators(graph: torch.fx.Graph) -> Counter[str]:
    names = (str(node.target) for node in graph.nodes if node.op == "call_function")
    return Counter(name.removesuffix(".default") for name in names if name.startswith("ganinv_ops"))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_registration_is_sound(layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, 5, 6).to(memory_format=layout)
    f = setup_filter([1, 3, 3, 1])
    kinds = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    arguments = (x.clone().requires_grad_(True), f, [2, 2], [1, 1], [2, 1, 2, 1], False, 4.0)
    torch.library.opcheck(torch.ops.ganinv_ops.upfirdn2d.default, arguments, test_utils=kinds)
    b = torch.randn(3, requires_grad=True)
    torch.library.opcheck(
        torch.ops.ganinv_ops.bias_act.default,
        (x.clone().requires_grad_(True), b, 1, 2, 0.2, 1.4, 0.5),
        test_utils=kinds,
    )
    torch.library.opcheck(
        torch.ops.ganinv_ops.bias_act_grad.default,
        (torch.randn_like(x).requires_grad_(True), x.clone().requires_grad_(True), b, 1, 3, 0.0, 1.0, -1.0),
        test_utils=kinds,
    )


@pytest.mark.parametrize("clamp", [-1.0, 0.5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_registration_of_filtered_lrelu_is_sound(layout: torch.memory_format, clamp: float) -> None:
    x = torch.randn(2, 3, 9, 8).to(memory_format=layout).requires_grad_(True)
    f, b = setup_filter(torch.hann_window(12)), torch.randn(3, requires_grad=True)
    s = Settings(2, 2, (9, 8, 9, 8), (0, 0, 0, 0), 4.0, 1.0, 1.4, 0.2, clamp, False)
    kinds = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    ops = torch.ops.ganinv_ops
    torch.library.opcheck(ops.filtered_lrelu.default, (x, f, f, b, *s, True), test_utils=kinds)
    _, mask = ops.filtered_lrelu(x, f, None, b, *s, True)
    torch.library.opcheck(ops.filtered_lrelu_masked.default, (x, mask, f, None, *s), test_utils=kinds)


@BLOCKS
def test_compiled_training_step_holds_the_operators(block_type: type[nn.Module]) -> None:
    torch.manual_seed(0)
    block, x = block_type(), torch.randn(2, 4, 8, 8)
    graphs: list[Counter[str]] = []

    def keep(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        graphs.append(operators(module.graph))
        return module

    def step(call: Any) -> list[Tensor]:
        y = call(x)
        return [y, *torch.autograd.grad(y.square().sum(), list(block.parameters()))]

    expected = step(block)
    torch.testing.assert_close(step(torch.compile(block, backend=keep, fullgraph=True)), expected)
    assert graphs == [HOLDS[block_type]]
    torch.testing.assert_close(step(torch.compile(block, backend="aot_eager", fullgraph=True)), expected)


@BLOCKS
def test_compiled_with_sizes_that_change(block_type: type[nn.Module]) -> None:
    block = block_type()
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=True)
    for size in (8, 10, 13):
        x = torch.randn(2, 4, size, size)
        torch.testing.assert_close(compiled(x), block(x))


@BLOCKS
def test_exported_program_holds_the_operators(block_type: type[nn.Module]) -> None:
    block, x = block_type().eval(), torch.randn(2, 4, 8, 8)
    program = torch.export.export(
        block, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1, max=64)}}
    )
    assert operators(program.graph) == HOLDS[block_type]
    more = torch.randn(5, 4, 8, 8)
    torch.testing.assert_close(program.module()(more), block(more))


@BLOCKS
def test_exported_program_runs_in_a_new_process(tmp_path: Path, block_type: type[nn.Module]) -> None:
    block, x = block_type().eval(), torch.randn(2, 4, 8, 8)
    torch.export.save(torch.export.export(block, (x,)), tmp_path / "block.pt2")
    torch.save((x, block(x).detach()), tmp_path / "numbers.pt")
    script = (
        "import sys, torch, ganinv_ops.filtered_lrelu\n"
        "program = torch.export.load(sys.argv[1] + '/block.pt2').module()\n"
        "x, y = torch.load(sys.argv[1] + '/numbers.pt')\n"
        "torch.testing.assert_close(program(x), y)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)
