"""How many pictures go through the generator at once, and compiled passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.backbones import passes
from ganinv.backbones.passes import compile_passes, free_bytes, pass_size, picture_bytes
from ganinv.backbones.tuning import with_difference
from ganinv.errors import UsageError


def test_as_many_as_fit(tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone.backbone
    each = picture_bytes(backbone)
    assert each == 3 * 8 * 16 * 16 * 4
    for free, expected in ((10**12, 8), (each * 2 * 5 + 1, 5), (each, 1), (0, 1), (None, 8)):
        monkeypatch.setattr(passes, "free_bytes", lambda device, free=free: free)
        assert pass_size(backbone) == expected
    assert pass_size(backbone, 20) == 20
    backbone.chunk = 3
    assert pass_size(backbone) == 3 and pass_size(backbone, 2) == 2
    backbone.chunk = 0
    with pytest.raises(UsageError, match="a chunk of 0 pictures is not possible; give 1 or more"):
        pass_size(backbone)
    backbone.compute_dtype = torch.bfloat16
    assert picture_bytes(backbone) == each / 2


def test_free_memory_is_that_of_the_system() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("no /proc/meminfo")
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    free = free_bytes(torch.device("cpu"))
    assert free is not None and 0 < free <= total


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, by PyTorch
def test_compiled_passes_draw_the_same(tiny_backbone: Any) -> None:
    backbone = tiny_backbone.backbone
    ws = torch.randn(2, backbone.num_ws, backbone.w_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        inject = {8: lambda f: f + 0.5}
        plain = backbone.synthesize(ws, inject=inject).images
        compile_passes(backbone)
        torch.testing.assert_close(backbone.synthesize(ws, inject=inject).images, plain)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
        # a changed copy draws with its own weights
        name = "synthesis.b16.torgb.bias"
        changed = with_difference(backbone, {name: torch.full((3,), 0.25).half()})
        moved = changed.synthesize(ws, inject=inject).images - plain
        torch.testing.assert_close(moved, torch.full_like(moved, 0.25), rtol=0, atol=1e-4)


def test_no_compiler(tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    text = "compiling needs a C[+]{2} compiler, and no-such-compiler is not on the PATH: drop --compile"
    with pytest.raises(UsageError, match=text):
        compile_passes(tiny_backbone.backbone)
    assert "synthesize" not in vars(tiny_backbone.backbone)
