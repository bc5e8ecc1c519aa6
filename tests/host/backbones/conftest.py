"""Reference data of others' networks, and how one case of it is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.loading import build_backbone
from ganinv.checkpoints import Checkpoint, Part, load_weights, open_file
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
                self.networks[file, found.name] = self.build(found)
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

    @staticmethod
    def build(part: Part) -> torch.nn.Module:
        found = Checkpoint(Path(part.name), "", part.kind, part.family, part.config, {}, part.tensors)
        with torch.device("meta"):
            if part.kind == "generator":
                module: torch.nn.Module = build_backbone(found)
            else:
                module = Discriminator(build_config(DiscriminatorConfig, part.config))
        load_weights(module, part.tensors, source=part.name, assign=True)
        return module.eval().requires_grad_(False)

    def check_discriminator(self, case: dict[str, Any], d: Any) -> None:
        given = self.inputs(case)
        image = given["image"][: case["args"]["batch"]]
        if not case["kind"].endswith("_r1"):
            c = given["c"][: case["args"]["batch"]] if "c" in given else None
            return self.check(case, logits=d(image, c))
        weight = d.get_submodule(f"b{d.config.resolution}").fromrgb.weight.requires_grad_()
        image.requires_grad_()
        (d_image,) = torch.autograd.grad(d(image).sum(), image, create_graph=True)
        r1 = d_image.square().sum(dim=(1, 2, 3)).mean()
        (d_weight,) = torch.autograd.grad(r1, weight)
        weight.requires_grad_(False)
        self.check(case, d_image=d_image.detach(), r1=r1.detach(), d_first_weight=d_weight)

    def check_nvidia(self, case: dict[str, Any]) -> None:
        args, given = case["args"], self.inputs(case)
        net = self.network(case, args["network"])
        if case["kind"] == "nv_discriminator":
            return self.check_discriminator(case, net)
        noise = args["noise_mode"]
        if case["kind"] == "nv_generator":
            cut = args.get("truncation_cutoff")
            ws = net.map(given["z"], given.get("c"), args.get("truncation_psi", 1), cut)
            return self.check(case, ws=ws, image=net.synthesize(ws, noise=noise).images)
        ws = given["ws"]
        if case["kind"] == "nv_synthesis":
            if "transform" not in given:
                return self.check(case, image=net.synthesize(ws, noise=noise).images)
            net.synthesis.input.transform.copy_(given["transform"])
            image = net.synthesize(ws, noise=noise).images
            net.synthesis.input.transform.copy_(torch.eye(3))
            return self.check(case, image=image)
        ws.requires_grad_()
        (d_ws,) = torch.autograd.grad((net.synthesize(ws, noise=noise).images * given["v"]).sum(), ws)
        return self.check(case, d_ws=d_ws)


@pytest.fixture
def parity(shared: Path) -> Callable[[str], Group]:
    """A group of reference data by its name, "nvidia/ada" say."""
    return lambda name: Group(shared, name)
