"""StyleGAN3 networks and their parts against the numbers that the original made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv.backbones.alias_free import LayerGeometry, design_lowpass
from ganinv.backbones.fourier import FourierInput
from ganinv.backbones.layers import EqualLinear
from ganinv.backbones.stylegan3 import SynthesisLayer
from ganinv.checkpoints import load_weights
from ganinv_ops.modulate import modulated_conv2d

FILES = ("sg3_t_64", "sg3_r_64", "sg3_t_cond_32")


@pytest.mark.parametrize("file", FILES)
def test_stylegan3_file(parity: Any, file: str) -> None:
    """T and R: codes, classes, truncation with a cutoff, pictures, gradients, moved pictures, discriminators;
    newer and older pickles.
    """
    group = parity("nvidia/stylegan3")
    for case in group.of(file):
        group.check_nvidia(case)


def test_every_case_is_run(parity: Any) -> None:
    others = ("sg3repo_sg2_64",)  # a StyleGAN2, in test_stylegan2_parity.py
    assert all(case["id"].startswith(FILES + others) for case in parity("nvidia/stylegan3").cases)
    assert {case["kind"] for case in parity("ops/sg3_layers").cases} == CHECKS.keys()


def test_filters(parity: Any) -> None:
    group = parity("ops/sg3_design_lowpass")
    for case in group.cases:
        found = design_lowpass(**case["args"])
        assert found is not None
        group.check(case, f=found)


def test_no_filter_for_one_tap() -> None:
    assert design_lowpass(1, 2.0, 4.0, 32) is None


@pytest.mark.parametrize("kind", ["modulated_conv2d", "synthesis_input", "synthesis_layer", "fc"])
def test_layers(parity: Any, kind: str) -> None:
    group = parity("ops/sg3_layers")
    cases = [case for case in group.cases if case["kind"] == f"sg3_{kind}"]
    assert cases
    for case in cases:
        group.check(case, y=CHECKS[case["kind"]](case["args"], group.inputs(case)))


def filled(module: nn.Module, given: dict[str, Tensor]) -> Any:
    """With the entries of a state dict, which must be all of its own."""
    own = {key.removeprefix("sd."): value for key, value in given.items() if key.startswith("sd.")}
    load_weights(module, own, source="the case")
    return module.requires_grad_(False)


def convolved(args: dict[str, Any], given: dict[str, Tensor]) -> Tensor:
    padding = args["padding"]  # of PyTorch's convolution: along y, then along x
    padding = tuple(reversed(padding)) if isinstance(padding, list) else padding
    return modulated_conv2d(
        given["x"],
        given["w"],
        given["s"],
        input_gain=given.get("input_gain"),
        padding=padding,
        demodulate=args["demodulate"],
    )


def fourier(args: dict[str, Any], given: dict[str, Tensor]) -> Tensor:
    size = args.pop("size")
    size = tuple(size) if isinstance(size, list) else size
    return filled(FourierInput(size=size, **args), given)(given["w"])


def layer(args: dict[str, Any], given: dict[str, Tensor]) -> Tensor:
    args = dict(args)
    w_dim, clamp = args.pop("w_dim"), args.pop("conv_clamp", 256)
    del args["use_fp16"]
    if args["is_torgb"]:
        args["conv_kernel"] = 1
    network = SynthesisLayer(LayerGeometry(**args), w_dim, clamp)
    for name in ("up_filter", "down_filter"):  # which are the same, whether designed here or read
        if f"sd.{name}" in given:
            torch.testing.assert_close(getattr(network, name), given[f"sd.{name}"], rtol=1e-5, atol=1e-7)
    return filled(network, given)(given["x"], given["w"])


def linear(args: dict[str, Any], given: dict[str, Tensor]) -> Tensor:
    args = {key: value for key, value in args.items() if key not in ("weight_init", "bias_init")}
    if not args.pop("bias", True):
        given["sd.bias"] = torch.zeros(args["out_features"])
    return filled(EqualLinear(**args), given)(given["x"])


CHECKS = {
    "sg3_modulated_conv2d": convolved,
    "sg3_synthesis_input": fourier,
    "sg3_synthesis_layer": layer,
    "sg3_fc": linear,
}
