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
from ganinv_ops.upfirdn2d import setup_filter, upsample2d


class Block(nn.Module):
    """A convolution, an upsampling and an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.randn(8))
        self.register_buffer("taps", setup_filter([1, 3, 3, 1]))

    def forward(self, x: Tensor) -> Tensor:
        return bias_act(upsample2d(self.conv(x), self.taps), self.bias, act="lrelu", clamp=2.0)


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


def test_compiled_training_step_holds_the_operators() -> None:
    torch.manual_seed(0)
    block, x = Block(), torch.randn(2, 4, 8, 8)
    graphs: list[Counter[str]] = []

    def keep(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        graphs.append(operators(module.graph))
        return module

    def step(call: Any) -> list[Tensor]:
        y = call(x)
        return [y, *torch.autograd.grad(y.square().sum(), list(block.parameters()))]

    expected = step(block)
    torch.testing.assert_close(step(torch.compile(block, backend=keep, fullgraph=True)), expected)
    assert graphs == [Counter({"ganinv_ops.upfirdn2d": 1, "ganinv_ops.bias_act": 1})]
    torch.testing.assert_close(step(torch.compile(block, backend="aot_eager", fullgraph=True)), expected)


def test_compiled_with_sizes_that_change() -> None:
    block = Block()
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=True)
    for size in (8, 10, 13):
        x = torch.randn(2, 4, size, size)
        torch.testing.assert_close(compiled(x), block(x))


def test_exported_program_holds_the_operators() -> None:
    block, x = Block().eval(), torch.randn(2, 4, 8, 8)
    program = torch.export.export(
        block, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1, max=64)}}
    )
    assert operators(program.graph) == Counter({"ganinv_ops.upfirdn2d": 1, "ganinv_ops.bias_act": 1})
    more = torch.randn(5, 4, 8, 8)
    torch.testing.assert_close(program.module()(more), block(more))


def test_exported_program_runs_in_a_new_process(tmp_path: Path) -> None:
    block, x = Block().eval(), torch.randn(2, 4, 8, 8)
    torch.export.save(torch.export.export(block, (x,)), tmp_path / "block.pt2")
    torch.save((x, block(x).detach()), tmp_path / "numbers.pt")
    script = (
        "import sys, torch, ganinv_ops.bias_act, ganinv_ops.upfirdn2d\n"
        "program = torch.export.load(sys.argv[1] + '/block.pt2').module()\n"
        "x, y = torch.load(sys.argv[1] + '/numbers.pt')\n"
        "torch.testing.assert_close(program(x), y)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)
