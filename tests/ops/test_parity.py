"""The operators against numbers that the original implementations computed.

A small set lies in tests/data/ops; the whole set, in the same format, beside a development checkout.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ganinv_ops.bias_act import bias_act
from ganinv_ops.conv import conv2d_resample
from ganinv_ops.dispatch import Impl
from ganinv_ops.filtered_lrelu import filtered_lrelu
from ganinv_ops.filters import setup_filter
from ganinv_ops.modulate import modulated_conv2d
from ganinv_ops.upfirdn2d import downsample2d, filter2d, upfirdn2d, upsample2d

Inputs = dict[str, Any]
Results = dict[str, Tensor]
GROUPS = ("upfirdn2d", "bias_act", "filtered_lrelu", "ada_conv", "rosinality_layers")
BUNDLED = Path(__file__).resolve().parents[1] / "data" / "ops"
IMPLS = pytest.mark.parametrize("impl", ["ref", "native"])


@IMPLS
@pytest.mark.parametrize("group", GROUPS)
def test_bundled_cases(group: str, impl: Impl) -> None:
    assert check_group(BUNDLED, group, impl) >= 8


@IMPLS
@pytest.mark.parametrize("group", GROUPS)
def test_all_cases(shared: Path, group: str, impl: Impl) -> None:
    expected = {
        "upfirdn2d": 302,
        "bias_act": 108,
        "filtered_lrelu": 14,
        "ada_conv": 48,
        "rosinality_layers": 19,
    }
    assert check_group(shared / "fixtures" / "parity" / "ops", group, impl) == expected[group]


def check_group(folder: Path, group: str, impl: Impl) -> int:
    """Number of cases that were run; fails with all that differ."""
    tensors = load_file(folder / f"{group}.safetensors")
    failures, count = [], 0
    for case in json.loads((folder / f"{group}.json").read_text())["cases"]:
        runner = RUNNERS.get(case["kind"])
        if runner is None:
            continue
        count += 1
        inputs = {name: None if key is None else tensors[key] for name, key in case["inputs"].items()}
        if "raises" in case:
            with pytest.raises(ValueError, match="smaller than"):
                runner(case["args"], inputs, impl)
            continue
        results = runner(case["args"], inputs, impl)
        for name, key in case["expected"].items():
            limits = case["tol"].get("per_output", {}).get(name, case["tol"])
            problem = differs(results[name], tensors[key], limits)
            if problem:
                failures.append(f"{case['id']} {name}: {problem}")
    assert not failures, "\n".join(failures)
    return count


def differs(result: Tensor, expected: Tensor, limits: dict[str, Any]) -> str:
    if result.dtype != expected.dtype or result.shape != expected.shape:
        return f"{result.dtype} {list(result.shape)} instead of {expected.dtype} {list(expected.shape)}"
    error = (result - expected).abs()
    if limits.get("metric") == "rel_l2":
        relative = float(error.norm() / expected.norm().clamp_min(1e-30))
        return "" if relative <= limits["max"] else f"relative error {relative:.2e}"
    close = bool((error <= limits["atol"] + limits["rtol"] * expected.abs()).all())
    return "" if close else f"largest difference {float(error.max()):.2e}"


def pick(args: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: args[name] for name in names if name in args}


# ---- one runner per kind
# ----------------------------------------------------------------------------------------


def run_setup_filter(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    return {"f": setup_filter(args["f"], **pick(args, "normalize", "flip_filter", "gain", "separable"))}


def run_upfirdn2d(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    x = inputs["x"].requires_grad_(True)
    y = upfirdn2d(x, inputs["f"], impl=impl, **pick(args, "up", "down", "padding", "flip_filter", "gain"))
    if inputs.get("dy") is None:
        return {"y": y}
    dy = inputs["dy"].requires_grad_(True)
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    (d_dy,) = torch.autograd.grad((dx * inputs["v"]).sum(), dy)
    return {"y": y, "dx": dx, "d_dy": d_dy}


def run_resampling(call: Callable[..., Tensor]) -> Callable[[dict[str, Any], Inputs, Impl], Results]:
    def run(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
        options = pick(args, "up", "down", "padding", "flip_filter", "gain")
        return {"y": call(inputs["x"], inputs["f"], impl=impl, **options)}

    return run


def run_bias_act(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    x, b = inputs["x"].requires_grad_(True), inputs["b"]
    dy = inputs["dy"].requires_grad_(True)
    leaves = {"dx": x} if b is None else {"dx": x, "db": b.requires_grad_(True)}
    y = bias_act(x, b, impl=impl, **pick(args, "dim", "act", "alpha", "gain", "clamp"))
    first = dict(
        zip(leaves, torch.autograd.grad(y, list(leaves.values()), dy, create_graph=True), strict=True)
    )
    loss = (first["dx"] * inputs["v"]).sum()
    if b is not None:
        loss = loss + (first["db"] * inputs["u"]).sum()
    leaves = {"d_dy": dy, "d_x": x} | ({} if b is None else {"d_b": b})
    second = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {"y": y, **first, **dict(zip(leaves, second, strict=True))}


def run_filtered_lrelu(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    x, b = inputs["x"].requires_grad_(True), inputs["b"]
    if b is not None:
        b.requires_grad_(True)
    dy = inputs["dy"].requires_grad_(True)
    options = pick(args, "up", "down", "padding", "gain", "slope", "clamp", "flip_filter")
    y = filtered_lrelu(x, inputs["fu"], inputs["fd"], b, impl=impl, **options)
    dx, *db = torch.autograd.grad(y, [x] if b is None else [x, b], dy, create_graph=True)
    (d_dy,) = torch.autograd.grad((dx * inputs["v"]).sum(), dy)
    return {"y": y, "dx": dx, "d_dy": d_dy} | ({"db": db[0]} if db else {})


def run_conv2d_resample(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    options = pick(args, "up", "down", "padding", "groups", "flip_weight", "flip_filter")
    return {"y": conv2d_resample(inputs["x"], inputs["w"], inputs["f"], impl=impl, **options)}


def run_modulated_conv2d(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    options = pick(args, "up", "down", "padding", "demodulate", "flip_weight")
    options |= {"noise": inputs.get("noise"), "resample_filter": inputs.get("resample_filter")}
    return {"y": modulated_conv2d(inputs["x"], inputs["weight"], inputs["styles"], impl=impl, **options)}


def run_rosinality_upfirdn2d(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    pad = args["pad"]
    options = pick(args, "up", "down") | {
        "padding": pad if len(pad) == 4 else [*pad, *pad]
    }  # (before, after), both axes
    return {"y": upfirdn2d(inputs["x"], inputs["kernel"], impl=impl, **options)}


def run_rosinality_leaky_relu(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    options = {"act": "lrelu", "alpha": args["negative_slope"], "gain": args["scale"]}
    return {"y": bias_act(inputs["x"], inputs["bias"], impl=impl, **options)}


def run_rosinality_modulated(args: dict[str, Any], inputs: Inputs, impl: Impl) -> Results:
    weight = inputs["sd.weight"][0]
    weight = weight / weight[0].numel() ** 0.5
    affine = inputs["sd.modulation.weight"]
    styles = inputs["style"] @ affine.t() / affine.shape[1] ** 0.5 + inputs["sd.modulation.bias"]
    options: dict[str, Any] = {
        "padding": args["kernel_size"] // 2,
        "demodulate": args.get("demodulate", True),
    }
    if args.get("upsample"):
        # its upsampling kernel carries the gain that ours adds
        options |= {"up": 2, "resample_filter": inputs["sd.blur.kernel"] / 4}
    if args.get("downsample"):
        options |= {"down": 2, "resample_filter": inputs["sd.blur.kernel"]}
    return {"y": modulated_conv2d(inputs["x"], weight, styles, impl=impl, **options)}


RUNNERS: dict[str, Callable[[dict[str, Any], Inputs, Impl], Results]] = {
    "setup_filter": run_setup_filter,
    "upfirdn2d": run_upfirdn2d,
    "filter2d": run_resampling(filter2d),
    "upsample2d": run_resampling(upsample2d),
    "downsample2d": run_resampling(downsample2d),
    "bias_act": run_bias_act,
    "filtered_lrelu": run_filtered_lrelu,
    "conv2d_resample": run_conv2d_resample,
    "ada_modulated_conv2d": run_modulated_conv2d,
    "rosinality_upfirdn2d": run_rosinality_upfirdn2d,
    "rosinality_fused_leaky_relu": run_rosinality_leaky_relu,
    "rosinality_modulated_conv2d": run_rosinality_modulated,
}
