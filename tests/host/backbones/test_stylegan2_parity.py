"""StyleGAN2 networks from others' files against the numbers that the originals made."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.loading import build_backbone
from ganinv.checkpoints import Checkpoint, Part, load_weights, open_file
from ganinv.checkpoints.layouts.rosinality import generator_part
from ganinv.configs import build_config


class Group:
    """The cases of one group of reference data, and the networks of the files they name."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / "fixtures/parity"
        self.cases: list[dict[str, Any]] = json.loads((self.folder / f"{name}.json").read_text())["cases"]
        self.arrays = load_file(self.folder / f"{name}.safetensors")
        self.networks: dict[tuple[str, str], torch.nn.Module] = {}

    def of(self, *starts: str) -> list[dict[str, Any]]:
        found = [case for case in self.cases if case["id"].startswith(starts)]
        assert found
        return found

    def inputs(self, case: dict[str, Any]) -> dict[str, Tensor]:
        return {k: self.arrays[v].float() for k, v in case["inputs"].items() if v is not None}

    def network(self, case: dict[str, Any], part: str) -> Any:
        file = case["files"]["checkpoint"]
        if (file, part) not in self.networks:
            contents = open_file(self.folder / file)
            for found in contents.parts:
                assert found.missing == found.unexpected == ()
                self.networks[file, found.name] = build(found)
        return self.networks[file, part]

    def check(self, case: dict[str, Any], **outputs: Tensor) -> None:
        assert outputs.keys() == case["expected"].keys()
        for name, found in outputs.items():
            wanted = self.arrays[case["expected"][name]]
            tol = case["tol"].get("per_output", {name: case["tol"]})[name]
            assert found.shape == wanted.shape, (case["id"], name)
            if tol.get("metric") == "rel_l2":
                assert (found - wanted).norm() / wanted.norm() <= tol["max"], (case["id"], name)
            else:
                torch.testing.assert_close(
                    found, wanted, atol=tol["atol"], rtol=tol["rtol"], msg=lambda m, c=case: f"{c['id']}: {m}"
                )


def build(part: Part) -> torch.nn.Module:
    found = Checkpoint(Path(part.name), "", part.kind, part.family, part.config, {}, part.tensors)
    with torch.device("meta"):
        if part.kind == "generator":
            module: torch.nn.Module = build_backbone(found)
        else:
            module = Discriminator(build_config(DiscriminatorConfig, part.config))
    load_weights(module, part.tensors, source=part.name, assign=True)
    return module.eval().requires_grad_(False)


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


def check_rosinality(group: Group, case: dict[str, Any], g: Any) -> None:
    args, given = case["args"], group.inputs(case)
    if case["kind"] == "rosinality_generator_grad":
        w = given["w0"].requires_grad_()
        (d_w,) = torch.autograd.grad((g.synthesize(w).images * given["v"]).sum(), w)
        return group.check(case, d_w0=d_w)
    ws = rosinality_codes(g, args, given)
    image = drawn_with(g, ws, given) if args["noise"] == "explicit" else g.synthesize(ws).images
    group.check(case, image=image, latents=ws)


def check_discriminator(group: Group, case: dict[str, Any], d: Any) -> None:
    given = group.inputs(case)
    image = given["image"][: case["args"]["batch"]]
    if not case["kind"].endswith("_r1"):
        c = given["c"][: case["args"]["batch"]] if "c" in given else None
        return group.check(case, logits=d(image, c))
    weight = d.get_submodule(f"b{d.config.resolution}").fromrgb.weight.requires_grad_()
    image.requires_grad_()
    (d_image,) = torch.autograd.grad(d(image).sum(), image, create_graph=True)
    r1 = d_image.square().sum(dim=(1, 2, 3)).mean()
    (d_weight,) = torch.autograd.grad(r1, weight)
    weight.requires_grad_(False)
    group.check(case, d_image=d_image.detach(), r1=r1.detach(), d_first_weight=d_weight)


def check_nvidia(group: Group, case: dict[str, Any]) -> None:
    args, given = case["args"], group.inputs(case)
    net = group.network(case, args["network"])
    if case["kind"] == "nv_discriminator":
        return check_discriminator(group, case, net)
    noise = args["noise_mode"]
    if case["kind"] == "nv_generator":
        cut = args.get("truncation_cutoff")
        ws = net.map(given["z"], given.get("c"), args.get("truncation_psi", 1), cut)
        return group.check(case, ws=ws, image=net.synthesize(ws, noise=noise).images)
    ws = given["ws"]
    if case["kind"] == "nv_synthesis":
        return group.check(case, image=net.synthesize(ws, noise=noise).images)
    ws.requires_grad_()
    (d_ws,) = torch.autograd.grad((net.synthesize(ws, noise=noise).images * given["v"]).sum(), ws)
    return group.check(case, d_ws=d_ws)


@pytest.mark.parametrize("file", ["conv", "train", "legacy"])
def test_rosinality_file(shared: Path, file: str) -> None:
    """Converted, training and legacy-container files: generators, gradients, discriminators, R1."""
    group = Group(shared, "rosinality/rosinality")
    for case in group.of(file):
        net = group.network(case, case["args"]["state_key"])
        if "discriminator" in case["kind"]:
            check_discriminator(group, case, net)
        else:
            check_rosinality(group, case, net)


def test_rosinality_full_size(shared: Path) -> None:
    """A generator of the real widths, its weights by the fixtures' recipe."""
    group = Group(shared, "rosinality/rosinality_full")
    args = group.cases[0]["args"]
    mean = group.inputs(group.cases[0])["truncation_latent"]
    g = build(generator_part("g_ema", recipe(group.folder / args["keys_file"], args), latent_avg=mean))
    for case in group.cases:
        check_rosinality(group, case, g)


ADA = ("ada_skip_64", "ada_cond_resnet_64", "ada_orig_32", "ada_cond_skipD_32")


@pytest.mark.parametrize("file", ADA)
def test_stylegan2_ada_file(shared: Path, file: str) -> None:
    """Skip, residual and plain; classes; clamps; truncation with a cutoff; protocols 3 and 4."""
    group = Group(shared, "nvidia/ada")
    for case in group.of(file):
        check_nvidia(group, case)


def test_every_case_is_run(shared: Path) -> None:
    assert all(case["id"].startswith(ADA) for case in Group(shared, "nvidia/ada").cases)
    files = ("conv", "train", "legacy")
    assert all(case["id"].startswith(files) for case in Group(shared, "rosinality/rosinality").cases)


def test_stylegan2_of_the_stylegan3_repository(shared: Path) -> None:
    group = Group(shared, "nvidia/stylegan3")
    for case in group.of("sg3repo_sg2_64"):
        check_nvidia(group, case)


def test_convert_pair(shared: Path) -> None:
    """The same networks in both layouts: every tensor equal to the last bit, and the originals' numbers."""
    group = Group(shared, "nvidia/convert_pair")
    for case in group.cases:
        args, given = case["args"], group.inputs(case)
        theirs = args["layout"] == "rosinality"
        if case["kind"] == "convert_pair_d":
            check_discriminator(group, case, group.network(case, "d" if theirs else "D"))
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
