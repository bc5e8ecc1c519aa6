"""psp, e4e and restyle: against numbers of the originals, on erased pictures, and their refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganinv.api import load_backbone, load_method
from ganinv.errors import UsageError
from ganinv.methods.encode import Encode
from ganinv.testing import check_method

FILES = ("psp_tiny_64", "e4e_tiny_64", "restyle_psp_tiny_64", "restyle_e4e_tiny_32")


def test_the_backbone_is_found_with_the_weights(shared: Path) -> None:
    path = shared / "fixtures" / "parity" / "encoders" / "e4e_tiny_64.pt"
    method = load_method("e4e", weights=path)
    assert method.backbone.path == path and method.backbone.num_ws == 10
    assert load_method("diverse-inpaint").backbone.name == "portraits-128"


def method_of(path: Path, **options: Any) -> Encode:
    name = path.stem.split("_")[0]
    found = load_method(name, backbone=load_backbone(path), **options)
    assert isinstance(found, Encode) and found.name == name
    return found


def cases(folder: Path, group: str) -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    arrays = load_file(folder / f"encoders/{group}.safetensors")
    found = []
    for case in json.loads((folder / f"encoders/{group}.json").read_text())["cases"]:
        names = {**case["inputs"], **case["expected"]}
        found.append((case, {name: arrays[key] for name, key in names.items() if key is not None}))
    return found


def compare(case: dict[str, Any], name: str, found: Tensor, expected: Tensor) -> None:
    limits = case["tol"]["per_output"][name]
    torch.testing.assert_close(
        found, expected, atol=limits["atol"], rtol=limits["rtol"], msg=f"{case['id']} {name}"
    )


@torch.no_grad()
@pytest.mark.parametrize("group", ["psp_tiny", "e4e_tiny"])
def test_one_pass_of_the_originals(shared: Path, group: str) -> None:
    folder = shared / "fixtures/parity"
    for case, arrays in cases(folder, group):
        if case["args"].get("progressive_stage") is not None:
            continue  # stages exist in training only
        method = method_of(folder / case["files"]["checkpoint"])
        x = (arrays["image_u8"].float() / 255 - 0.5) / 0.5
        (latents,) = method.encode(x)
        compare(case, "latents", latents, arrays["latents"])
        compare(case, "image", method.backbone.synthesize(latents).images, arrays["image"])


@torch.no_grad()
def test_every_pass_of_restyle(shared: Path) -> None:
    folder = shared / "fixtures/parity"
    for case, arrays in cases(folder, "restyle_tiny"):
        method = method_of(folder / case["files"]["checkpoint"], passes=case["args"]["n_iters"])
        x = (arrays["image_u8"].float() / 255 - 0.5) / 0.5
        mean = method.backbone.synthesize(method.encoder.latent_avg[None]).images
        small = arrays["avg_image_small"]
        average = adaptive_avg_pool2d(method.encoder.prepare(mean)[0], small.shape[-1])
        compare(case, "avg_image_small", average, small)
        latents = method.encode(x)
        compare(case, "latents", torch.stack(latents, dim=1), arrays["latents"])
        images = [method.backbone.synthesize(ws).images for ws in latents]
        compare(case, "images", torch.stack(images, dim=1), arrays["images"])


@pytest.mark.parametrize("name", FILES)
def test_keeps_the_contract(shared: Path, name: str) -> None:
    check_method(method_of(shared / f"fixtures/parity/encoders/{name}.pt"))


def test_the_hole_shows_what_was_drawn(shared: Path) -> None:
    """Each pass sees the last answer in the hole; the known pixels are always the picture's."""
    method = method_of(shared / "fixtures/parity/encoders/psp_tiny_64.pt", passes=3)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    hole = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    hole[..., :32] = True
    seen: list[Tensor] = []
    original = method.encoder.prepare
    method.encoder.prepare = lambda images: seen.append(images) or original(images)  # type: ignore[method-assign,func-returns-value]
    with torch.no_grad():
        answers = method.encode(image, hole)
        before = [method.encoder.latent_avg[None], *answers[:-1]]
        drawn = [method.backbone.synthesize(ws).images for ws in before]
    assert len(answers) == len(seen) == 3
    for shown, expected in zip(seen, drawn, strict=True):
        assert torch.equal(shown, torch.where(hole, expected, image))
    assert not torch.equal(answers[0], answers[1])


def test_how_often_a_picture_is_encoded(shared: Path) -> None:
    folder = shared / "fixtures/parity/encoders"
    hole = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    image = torch.zeros(1, 3, 64, 64)
    psp, restyle = method_of(folder / "psp_tiny_64.pt"), method_of(folder / "restyle_psp_tiny_64.pt")
    with torch.no_grad():
        assert [len(psp.encode(image)), len(psp.encode(image, hole))] == [1, 3]
        assert [len(restyle.encode(image)), len(restyle.encode(image, hole))] == [2, 2]
    with pytest.raises(UsageError, match="passes = 0 is not possible; give 1 or more"):
        method_of(folder / "psp_tiny_64.pt", passes=0)


def test_truncation_pulls_the_answer(shared: Path) -> None:
    method = method_of(shared / "fixtures/parity/encoders/e4e_tiny_64.pt")
    image = torch.zeros(1, 3, 64, 64)
    full, mean = (method.invert(image, truncation=psi).ws for psi in (1.0, 0.0))
    assert torch.allclose(mean, method.backbone.w_avg.expand_as(mean)) and not torch.equal(full, mean)


def test_tuned_by_pti(shared: Path) -> None:
    method = method_of(shared / "fixtures/parity/encoders/e4e_tiny_64.pt")
    pti = load_method("pti", backbone=method.backbone, embedder=method, steps=3, perceptual="pixels")
    found = pti.invert(torch.zeros(1, 3, 64, 64), samples=1)
    assert found.tuned and found.method["embedder"]["name"] == "e4e"
    assert torch.equal(found.ws, method.invert(torch.zeros(1, 3, 64, 64)).ws)


def test_refusals(shared: Path, tiny_backbone: Any) -> None:
    folder = shared / "fixtures/parity/encoders"
    backbone = load_backbone(folder / "psp_tiny_64.pt")
    with pytest.raises(
        UsageError, match="psp_tiny_64 holds an encoder of psp, not of e4e; type --method psp"
    ):
        load_method("e4e", backbone=backbone)
    with pytest.raises(
        UsageError, match=r"psp needs an encoder: type --weights FILE .* an encoder is needed"
    ):
        load_method("psp", backbone=tiny_backbone.backbone)
    with pytest.raises(UsageError, match=r"answers 10 codes of 12, the backbone tiny-16 takes 6 of 16"):
        load_method("psp", backbone=tiny_backbone.backbone, weights=folder / "psp_tiny_64.pt")
    backbone.path = None
    with pytest.raises(UsageError, match=r"psp needs an encoder.*comes from no file"):
        load_method("psp", backbone=backbone)
