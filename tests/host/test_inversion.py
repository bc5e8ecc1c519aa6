from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.checkpoints import write_checkpoint
from ganinv.errors import CheckpointError, OutputError, UsageError
from ganinv.inversion import Inversion, run_versions
from ganinv.rendering import render


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


def test_an_edit_keeps_what_was_found(inversion: Inversion, tmp_path: Path) -> None:
    bias = torch.ones(2, 3, 5).half()
    edited = inversion.edited(ws=inversion.ws + 1).edited(tuned={"a.bias": bias})
    assert edited.unedited is inversion and inversion.unedited is None
    edited.save(tmp_path / "a")
    loaded = Inversion.load(tmp_path / "a")
    before = loaded.unedited
    assert torch.equal(loaded.ws, edited.ws) and torch.equal(loaded.tuned["a.bias"], bias)
    assert before is not None and torch.equal(before.ws, inversion.ws) and not before.tuned
    assert before.unedited is None and torch.equal(before.features[4], inversion.features[4])
    one = edited.sample(1).unedited
    assert one is not None and torch.equal(one.ws, inversion.ws[:, 1:2])
    tuned = edited.tuned
    again = replace(edited, unedited=replace(inversion, tuned=tuned))
    again.save(tmp_path / "b")
    before = Inversion.load(tmp_path / "b").unedited
    assert before is not None and torch.equal(before.tuned["a.bias"], bias)
    with pytest.raises(ValueError, match=r"ws is \[2, 3, 4, 6\], and unedited \[2, 1, 4, 6\]"):
        replace(inversion, unedited=inversion.sample(0))


def test_of_samples(inversion: Inversion) -> None:
    parts = [inversion.sample(index) for index in range(3)]
    whole = Inversion.of_samples(parts)
    assert torch.equal(whole.ws, inversion.ws) and whole.seeds == inversion.seeds and whole.unedited is None
    assert torch.equal(whole.features[4], inversion.features[4])
    bare = replace(parts[1], features={}, tuned={"a.bias": torch.ones(2, 1, 5).half()})
    moved = parts[2].edited(ws=parts[2].ws + 1)
    mixed = Inversion.of_samples([parts[0], bare, moved])
    assert not mixed.features[4][:, 1].any() and torch.equal(
        mixed.features[4][:, 2], inversion.features[4][:, 2]
    )
    assert mixed.tuned["a.bias"].sum((0, 2)).tolist() == [0, 10, 0]
    assert torch.equal(mixed.ws[:, 2], inversion.ws[:, 2] + 1)
    assert mixed.unedited is not None and torch.equal(mixed.unedited.ws, inversion.ws)


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
    with pytest.raises(CheckpointError, match="it lacks 'backbone'"):
        Inversion.load(path)
    odd = tensors(inversion) | {"features.x": torch.zeros(1)}
    write_checkpoint(path, odd, kind="inversion", family="f", config=header(inversion))
    with pytest.raises(CheckpointError, match="is not a valid inversion"):
        Inversion.load(path)


def test_unwritable(inversion: Inversion, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        inversion.save(tmp_path)


def test_run_versions() -> None:
    versions = run_versions()
    assert versions.keys() == {"ganinv", "torch", "python", "threads", "ops"}
    assert set(versions["ops"].values()) <= {"native", "reference"}
