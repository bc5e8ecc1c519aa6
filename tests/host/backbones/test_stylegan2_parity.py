"""StyleGAN2 networks from others' files against the numbers that the originals made."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.checkpoints.layouts.rosinality import generator_part


def rosinality_codes(g: Backbone, args: dict[str, Any], given: dict[str, Tensor]) -> Tensor:
    """W+ codes as the arguments of rosinality's generator mean them."""
    if args.get("input_is_latent"):
        w = given["w0"]
        return w if w.ndim == 3 else w[:, None].repeat(1, g.num_ws, 1)
    if "truncation_latent" in given:
        torch.testing.assert_close(g.w_avg, given["truncation_latent"].reshape(-1))
    ws = g.map(given["z0"], truncation=args.get("truncation", 1))
    if "z1" in given:
        at = args["inject_index"]
        ws = torch.cat([ws[:, :at], g.map(given["z1"])[:, at:]], dim=1)
    return ws


def drawn_with(g: Any, ws: Tensor, given: dict[str, Tensor]) -> Tensor:
    """Pictures with the noise maps `noise0` (4 px), `noise1`, ... of each sample."""
    layers = [g.synthesis.b4.conv1]
    for side in g.synthesis.sides[1:]:
        layers += [g.synthesis.block(side).conv0, g.synthesis.block(side).conv1]
    kept = [layer.noise_const for layer in layers]
    images = []
    for n in range(len(ws)):
        for k, layer in enumerate(layers):
            maps = given[f"noise{k}"]
            layer.noise_const = maps[n % len(maps), 0]
        images.append(g.synthesize(ws[n : n + 1]).images)
    for layer, old in zip(layers, kept, strict=True):
        layer.noise_const = old
    return torch.cat(images)


def check_rosinality(group: Any, case: dict[str, Any], g: Any) -> None:
    args, given = case["args"], group.inputs(case)
    if case["kind"] == "rosinality_generator_grad":
        w = given["w0"].requires_grad_()
        (d_w,) = torch.autograd.grad((g.synthesize(w).images * given["v"]).sum(), w)
        return group.check(case, d_w0=d_w)
    ws = rosinality_codes(g, args, given)
    image = drawn_with(g, ws, given) if args["noise"] == "explicit" else g.synthesize(ws).images
    group.check(case, image=image, latents=ws)


@pytest.mark.parametrize("file", ["conv", "train", "legacy"])
def test_rosinality_file(parity: Any, file: str) -> None:
    """Converted, training and legacy-container files: generators, gradients, discriminators, R1."""
    group = parity("rosinality/rosinality")
    for case in group.of(file):
        net = group.network(case, case["args"]["state_key"])
        if "discriminator" in case["kind"]:
            group.check_discriminator(case, net)
        else:
            check_rosinality(group, case, net)


def test_rosinality_full_size(parity: Any) -> None:
    """A generator of the real widths, its weights by the fixtures' recipe."""
    group = parity("rosinality/rosinality_full")
    args = group.cases[0]["args"]
    mean = group.inputs(group.cases[0])["truncation_latent"]
    g = group.build(generator_part("g_ema", recipe(group.folder / args["keys_file"], args), latent_avg=mean))
    for case in group.cases:
        check_rosinality(group, case, g)


ADA = ("ada_skip_64", "ada_cond_resnet_64", "ada_orig_32", "ada_cond_skipD_32")


@pytest.mark.parametrize("file", ADA)
def test_stylegan2_ada_file(parity: Any, file: str) -> None:
    """Skip, residual and plain; classes; clamps; truncation with a cutoff; protocols 3 and 4."""
    group = parity("nvidia/ada")
    for case in group.of(file):
        group.check_nvidia(case)


def test_every_case_is_run(parity: Any) -> None:
    assert all(case["id"].startswith(ADA) for case in parity("nvidia/ada").cases)
    files = ("conv", "train", "legacy")
    assert all(case["id"].startswith(files) for case in parity("rosinality/rosinality").cases)


def test_stylegan2_of_the_stylegan3_repository(parity: Any) -> None:
    group = parity("nvidia/stylegan3")
    for case in group.of("sg3repo_sg2_64"):
        group.check_nvidia(case)


def test_convert_pair(parity: Any) -> None:
    """The same networks in both layouts: every tensor equal to the last bit, and the originals' numbers."""
    group = parity("nvidia/convert_pair")
    for case in group.cases:
        args, given = case["args"], group.inputs(case)
        theirs = args["layout"] == "rosinality"
        if case["kind"] == "convert_pair_d":
            group.check_discriminator(case, group.network(case, "d" if theirs else "D"))
            continue
        g = group.network(case, "g_ema" if theirs else "G_ema")
        ws = given["ws"] if "ws" in given else g.map(given["z"], truncation=args.get("truncation_psi", 1))
        group.check(case, image=g.synthesize(ws).images)
    for first, second in (("G_ema", "g_ema"), ("D", "d")):
        one = group.networks["nvidia/pair_64.pkl", first].state_dict()
        two = group.networks["nvidia/pair_64.pt", second].state_dict()
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def recipe(keys_file: Path, args: dict[str, Any]) -> dict[str, Tensor]:
    """The weights that the fixtures' README describes, of a rosinality generator."""
    tensors = {}
    for key, shape, _ in json.loads(keys_file.read_text())["state_dict"]:
        name = args.get("recipe_prefix", "") + key
        n = np.random.RandomState(zlib.crc32((args["salt"] + name).encode())).standard_normal(shape)
        if name.endswith(".kernel"):
            n = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
        elif name.startswith("decoder.style."):
            n *= 100 if n.ndim == 2 else 10
        elif name.endswith("modulation.bias"):
            n = 1 + 0.3 * n
        elif name.endswith("noise.weight"):
            n *= 0.3
        elif name.endswith("bias"):
            n *= 0.2
        elif "to_rgb" in name and name.endswith(".conv.weight"):
            n *= 0.1
        tensors[key] = torch.from_numpy(np.asarray(n, dtype=np.float32))
    return tensors
