from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.checkpoints import read_checkpoint, write_checkpoint
from ganinv.completing import complete
from ganinv.compositing import joined
from ganinv.errors import BackboneMismatchError, CheckpointError, OutputError, UsageError
from ganinv.images import to_uint8
from ganinv.inversion import Inversion, backbone_record, render, run_versions


def header(inversion: Inversion, **changes: Any) -> dict[str, Any]:
    fields = ("noise", "backbone", "method", "options", "versions")
    return {k: getattr(inversion, k) for k in fields} | {"seeds": list(inversion.seeds)} | changes


def tensors(inversion: Inversion, **changes: Tensor) -> dict[str, Tensor]:
    own = {"ws": inversion.ws, "working": inversion.working, "hole": inversion.hole}
    return own | {"features.4": inversion.features[4]} | changes


def test_round_trip(inversion: Inversion, tmp_path: Path) -> None:
    digest = inversion.save(tmp_path / "a.inversion.safetensors")
    loaded = Inversion.load(tmp_path / "a.inversion.safetensors")
    for name in ("ws", "working", "hole"):
        assert torch.equal(getattr(loaded, name), getattr(inversion, name))
        assert getattr(loaded, name).dtype == getattr(inversion, name).dtype
    assert loaded.seeds == inversion.seeds and loaded.noise == "const"
    assert loaded.features.keys() == {4} and torch.equal(loaded.features[4], inversion.features[4])
    for name in ("backbone", "method", "options", "versions"):
        assert getattr(loaded, name) == getattr(inversion, name)
    assert loaded.features_in_holes
    assert loaded.save(tmp_path / "again") == digest
    replace(inversion, features_in_holes=False).save(tmp_path / "b.inversion.safetensors")
    assert not Inversion.load(tmp_path / "b.inversion.safetensors").features_in_holes


def test_file_holds_no_path_and_no_clock(inversion: Inversion, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    inversion.save(tmp_path / "a")
    inversion.save(tmp_path / "elsewhere" / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "elsewhere" / "b").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "a").read_bytes()


def test_sample(inversion: Inversion, fake_backbone: Backbone) -> None:
    one = inversion.sample(2)
    assert one.samples == 1 and one.seeds == inversion.seeds[2:]
    alone, among = render(one, fake_backbone)[:, 0], render(inversion, fake_backbone)[:, 2]
    torch.testing.assert_close(alone, among, atol=1e-5, rtol=0)  # batches round differently on some CPUs
    for index in (3, -1):
        with pytest.raises(UsageError, match=f"no sample {index}; this inversion has samples 0 to 2"):
            inversion.sample(index)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ws": torch.zeros(2, 3, 4)}, "expected float32"),
        ({"ws": torch.zeros(2, 3, 4, 6).double()}, "expected float32"),
        ({"seeds": (1, 2)}, "2 seeds for 3 samples"),
        ({"working": torch.zeros(2, 3, 8, 8)}, "expected uint8"),
        ({"hole": torch.zeros(2, 8, 8, dtype=torch.uint8)}, r"expected uint8 \[2, 1, 8, 8\]"),
        (
            {"features": {4: torch.zeros(2, 3, 5, 8, 8).half()}},
            r"features of 4 px are .*; expected float16 \[2, 3, C, 4, 4\]",
        ),
        (
            {"features": {4: torch.zeros(2, 3, 5, 4, 4)}},
            r"features of 4 px are torch.float32 \[2, 3, 5, 4, 4\]; expected float16",
        ),
    ],
)
def test_shapes_are_checked(inversion: Inversion, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        replace(inversion, **changes)


# ---- files that are none


def test_foreign_and_truncated_files(inversion: Inversion, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    inversion.save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="is truncated"):
        Inversion.load(path)
    path.write_bytes(b"not one at all")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        Inversion.load(path)
    write_checkpoint(path, {}, kind="judge", family="f", config={})
    with pytest.raises(CheckpointError, match="holds a judge; an inversion is needed here"):
        Inversion.load(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seeds": None}, "is not a valid inversion"),
        ({"seeds": [1]}, "is not a valid inversion: 1 seeds for 3 samples"),
        ({"noise": "loud"}, "is not a valid inversion: noise 'loud'"),
        ({"backbone": 3}, "is not a valid inversion"),
    ],
)
def test_headers_that_do_not_fit(inversion: Inversion, tmp_path: Path, changes: Any, text: str) -> None:
    path = tmp_path / "a"
    write_checkpoint(
        path, tensors(inversion), kind="inversion", family="f", config=header(inversion, **changes)
    )
    with pytest.raises(CheckpointError, match=text):
        Inversion.load(path)


def test_missing_parts(inversion: Inversion, tmp_path: Path) -> None:
    path = tmp_path / "a"
    for missing in ("ws", "hole"):
        kept = {k: v for k, v in tensors(inversion).items() if k != missing}
        write_checkpoint(path, kept, kind="inversion", family="f", config=header(inversion))
        with pytest.raises(CheckpointError, match=f"it lacks '{missing}'"):
            Inversion.load(path)
    write_checkpoint(path, tensors(inversion), kind="inversion", family="f", config={"noise": "const"})
    with pytest.raises(CheckpointError, match="it lacks 'seeds'"):
        Inversion.load(path)
    odd = tensors(inversion) | {"features.x": torch.zeros(1)}
    write_checkpoint(path, odd, kind="inversion", family="f", config=header(inversion))
    with pytest.raises(CheckpointError, match="is not a valid inversion"):
        Inversion.load(path)


def test_unwritable(inversion: Inversion, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        inversion.save(tmp_path)


# ---- drawing


def test_render_adds_features(inversion: Inversion, fake_backbone: Backbone) -> None:
    images = render(inversion, fake_backbone)
    assert images.shape == (2, 3, 3, 8, 8) and images.dtype == torch.float32
    plain = render(replace(inversion, features={}), fake_backbone)
    added = inversion.features[4].repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    assert torch.allclose(images, plain + added, atol=1e-6)


def test_features_may_stay_out_of_holes(inversion: Inversion, fake_backbone: Backbone) -> None:
    hole = torch.zeros_like(inversion.hole)
    hole[:, :, 2:5, 1:6] = 1
    erased = replace(inversion, hole=hole)
    assert erased.for_holes() is erased
    filled = replace(erased, features_in_holes=False).for_holes()
    assert torch.equal(render(filled, fake_backbone), render(replace(inversion, features={}), fake_backbone))
    nothing = replace(inversion, hole=torch.zeros_like(hole), features_in_holes=False)
    assert torch.equal(render(nothing, fake_backbone), render(inversion, fake_backbone))


def test_render_joins_what_is_around_a_hole_and_in_it(inversion: Inversion, fake_backbone: Backbone) -> None:
    hole = torch.zeros_like(inversion.hole)
    hole[:, :, 2:5, 1:6] = 1
    uneven = torch.rand(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(2)).half()
    inversion = replace(inversion, features={4: uneven})
    erased = replace(inversion, hole=hole, features_in_holes=False)
    shown, whole = render(erased, fake_backbone), render(inversion, fake_backbone)
    alone = render(replace(inversion, features={}), fake_backbone)
    known = 1 - hole[:, None].float().expand(-1, inversion.samples, -1, -1, -1)
    assert torch.equal(shown * known, whole * known)
    expected = joined(alone.flatten(0, 1), whole.flatten(0, 1), known.flatten(0, 1))
    assert torch.equal(shown.flatten(0, 1), expected)
    assert not torch.equal(shown, whole)
    moved = render(erased, fake_backbone, erased.ws + 1)  # edited codes likewise
    assert torch.equal(moved * known, render(inversion, fake_backbone, erased.ws + 1) * known)


def test_complete_pastes_what_is_drawn_for_holes(inversion: Inversion, fake_backbone: Backbone) -> None:
    hole = torch.zeros_like(inversion.hole)
    hole[0, :, 2:5, 1:6] = 1
    erased = replace(inversion, hole=hole, features_in_holes=False)
    pictures = complete(erased, fake_backbone, tones=False)
    drawn = to_uint8(render(replace(inversion, features={}), fake_backbone))
    working = inversion.working.permute(0, 2, 3, 1).numpy()[:, None]
    assert np.array_equal(pictures, np.where(hole.numpy()[..., None][:, 0][:, None] > 0, drawn, working))
    assert not np.array_equal(complete(erased, fake_backbone), pictures)  # tones


def test_render_in_chunks(inversion: Inversion, fake_backbone: Backbone) -> None:
    whole = render(inversion, fake_backbone)
    assert torch.equal(whole, render(inversion, fake_backbone))
    for fake_backbone.chunk in (1, 4):
        assert torch.allclose(render(inversion, fake_backbone), whole, atol=1e-5)


def test_render_edited_codes(inversion: Inversion, fake_backbone: Backbone) -> None:
    edited = render(inversion, fake_backbone, inversion.ws + 1)
    assert not torch.equal(edited, render(inversion, fake_backbone))
    with pytest.raises(
        UsageError, match=r"codes of shape \[1, 3, 4, 6\] cannot be drawn; expected \[2, 3, 4, 6\]"
    ):
        render(inversion, fake_backbone, inversion.ws[:1])


def test_render_of_nothing(inversion: Inversion, fake_backbone: Backbone) -> None:
    nothing = replace(
        inversion,
        ws=inversion.ws[:0],
        working=inversion.working[:0],
        hole=inversion.hole[:0],
        features={4: inversion.features[4][:0]},
    )
    assert render(nothing, fake_backbone).shape == (0, 3, 3, 8, 8)


def test_another_backbone_is_refused(inversion: Inversion, fake_backbone: Backbone) -> None:
    fake_backbone.sha256 = "cd" * 32
    with pytest.raises(BackboneMismatchError) as caught:
        render(inversion, fake_backbone)
    text = str(caught.value)
    assert "abababababab" in text and "cdcdcdcdcdcd" in text and "--backbone FILE" in text
    fake_backbone.sha256 = ""
    with pytest.raises(BackboneMismatchError, match="unsaved weights"):
        render(inversion, fake_backbone)


def test_render_with_stylegan2(tiny_backbone: Any, tmp_path: Path) -> None:
    backbone = tiny_backbone.backbone
    generator = torch.Generator().manual_seed(0)
    inversion = Inversion(
        ws=torch.randn(1, 2, backbone.num_ws, backbone.w_dim, generator=generator),
        seeds=(1, 2),
        working=torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        hole=torch.zeros(1, 1, 16, 16, dtype=torch.uint8),
        features={8: torch.randn(1, 2, 8, 8, 8, generator=generator).half()},
        backbone=backbone_record(backbone),
        versions=run_versions(),
    )
    images = render(inversion, backbone)
    inversion.save(tmp_path / "a")
    assert torch.equal(render(Inversion.load(tmp_path / "a"), backbone), images)
    assert not torch.allclose(render(replace(inversion, features={}), backbone), images)
    noisy = replace(inversion, noise="random")
    assert torch.equal(render(noisy, backbone), render(noisy, backbone))
    assert not torch.equal(render(noisy, backbone), images)
    assert read_checkpoint(tmp_path / "a").config["backbone"]["name"] == "tiny-16"


def test_run_versions() -> None:
    versions = run_versions()
    assert versions.keys() == {"ganinv", "torch", "python", "threads", "ops"}
    assert set(versions["ops"].values()) <= {"native", "reference"}
