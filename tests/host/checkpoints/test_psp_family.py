"""Files of pSp, e4e, ReStyle and their descendants through the checkpoint door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.backbones.loading import load_backbone, load_discriminator
from ganinv.checkpoints import open_file, read_checkpoint
from ganinv.checkpoints.door import recognise
from ganinv.checkpoints.restricted import read_foreign
from ganinv.encoders.loading import load_encoder
from ganinv.errors import CheckpointError

ENCODERS = "fixtures/parity/encoders"


def tree_of(shared: Path, name: str) -> dict[str, Any]:
    found = read_foreign(shared / ENCODERS / f"{name}.pt")
    assert isinstance(found, dict)
    return found


def layout(shared: Path, name: str) -> dict[str, Tensor]:
    entries = json.loads((shared / f"fixtures/parity/layouts/{name}.json").read_text())["entries"]
    dtypes = {"float32": torch.float32, "int64": torch.int64}
    return {k: torch.empty(s, dtype=dtypes[d], device="meta") for k, s, d in entries}


@pytest.mark.parametrize(
    ("name", "family", "codes", "iterations", "channels"),
    [
        ("psp_tiny_64", "psp", "absolute", 1, 3),
        ("e4e_tiny_64", "e4e", "offsets", 1, 3),
        ("restyle_psp_tiny_64", "restyle", "absolute", 2, 6),
        ("restyle_e4e_tiny_32", "restyle", "offsets", 3, 6),
    ],
)
def test_files_of_the_originals(
    shared: Path, name: str, family: str, codes: str, iterations: int, channels: int
) -> None:
    path = shared / ENCODERS / f"{name}.pt"
    contents = open_file(path)
    assert contents.format == family
    assert [(part.name, part.kind) for part in contents.parts] == [
        ("decoder", "generator"),
        ("encoder", "encoder"),
    ]
    assert all(part.missing == part.unexpected == () for part in contents.parts)
    encoder, backbone = load_encoder(path), load_backbone(path)
    assert (encoder.family, encoder.config.codes, encoder.config.iterations) == (family, codes, iterations)
    assert encoder.config.body.in_channels == channels and encoder.config.input_rows is None
    assert encoder.latent_avg.shape == (backbone.num_ws, backbone.w_dim)
    assert torch.equal(encoder.latent_avg[0], backbone.w_avg)
    assert encoder.sha256 == backbone.sha256 == contents.sha256
    assert read_checkpoint(path).kind == "generator"  # the network that most commands are after
    with pytest.raises(CheckpointError, match=r"holds decoder \(generator\), encoder \(encoder\); no disc"):
        load_discriminator(path)


@pytest.mark.parametrize(
    ("name", "encoder_type", "size"),
    [
        ("e4e_64", "Encoder4Editing", 64),
        ("e4e_1024", "Encoder4Editing", 1024),
        ("psp_64", "GradualStyleEncoder", 64),
        ("psp_1024", "GradualStyleEncoder", 1024),
        ("restyle_BackboneEncoder_64", "BackboneEncoder", 64),
        ("restyle_BackboneEncoder_1024", "BackboneEncoder", 1024),
    ],
)
def test_whole_layouts(shared: Path, name: str, encoder_type: str, size: int) -> None:
    """Names and shapes of real files, generator and encoder, agree in both directions."""
    state = layout(shared, name)
    mean = torch.empty(2 * size.bit_length() - 4, 512, device="meta")
    opts = {"encoder_type": encoder_type, "stylegan_size": size, "input_nc": 6}
    found = recognise({"state_dict": state, "opts": opts, "latent_avg": mean}, name)
    assert [part.kind for part in found.parts] == ["generator", "encoder"]
    assert all(part.missing == part.unexpected == () for part in found.parts)
    assert found.parts[0].config["resolution"] == size


def test_layout_of_styleres(shared: Path) -> None:
    groups: dict[str, Any] = {"e4e": {}, "generator_smooth": {}}
    for key, tensor in layout(shared, "styleres_1024").items():
        group, colon, name = key.partition(": ")
        if colon:
            groups[group][name] = tensor
    found = recognise({**groups, "latent_avg": torch.empty(18, 512, device="meta")}, "styleres.pt")
    generator, encoder = found.parts
    assert found.format == "styleres" and generator.config["resolution"] == 1024
    assert (encoder.kind, encoder.family, encoder.config["codes"]) == ("encoder", "e4e", "offsets")
    assert all(part.missing == part.unexpected == () for part in found.parts)
    assert found.facts["not_used"] == [
        "modify_feature_alignment",
        "modify_feature_extraction",
        "modify_feature_gates",
    ]


def test_mean_codes_of_several_shapes(shared: Path, tmp_path: Path) -> None:
    """[n, w] normally, [w] where pSp estimated it, [1, w] for learn_in_w; absent, codes count from zero."""
    tree = tree_of(shared, "psp_tiny_64")
    rows = tree["latent_avg"][:1].repeat(10, 1)
    for given in (rows, rows[0], rows[:1]):
        torch.save({**tree, "latent_avg": given}, tmp_path / "a.pt")
        assert torch.equal(load_encoder(tmp_path / "a.pt").latent_avg, rows)
    torch.save({k: v for k, v in tree.items() if k != "latent_avg"}, tmp_path / "a.pt")
    contents = open_file(tmp_path / "a.pt")
    assert contents.facts["latent_avg"] == "not in the file; codes count from zero"
    assert not load_encoder(tmp_path / "a.pt").latent_avg.any()
    torch.save({**tree, "latent_avg": rows[:3]}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"its latent_avg is \[3, 12\]; its encoder answers 10 x 12"):
        open_file(tmp_path / "a.pt")


def test_what_only_their_programs_run_is_named(shared: Path) -> None:
    """HFGI's and HyperStyle's extra networks, and training states, are told and left."""
    tree = tree_of(shared, "e4e_tiny_64")
    extra = {"residue.conv.weight": torch.zeros(2), "grid_align.conv.weight": torch.zeros(2)}
    training = {"global_step": 3, "optimizer": {}, "discriminator_state_dict": {}}
    hfgi = recognise({**tree, **training, "state_dict": {**tree["state_dict"], **extra}}, "hfgi.pt")
    assert [part.name for part in hfgi.parts] == ["decoder", "encoder"]
    assert hfgi.facts["not_used"] == ["residue", "grid_align"]
    assert hfgi.facts["training_state"] == ["optimizer", "discriminator_state_dict"]
    decoder = {k: v for k, v in tree["state_dict"].items() if k.startswith("decoder.")}
    hyper = recognise({**tree, "state_dict": {**decoder, "hypernet.a": torch.zeros(1)}}, "hyperstyle.pt")
    assert [part.name for part in hyper.parts] == ["decoder"] and hyper.facts["not_used"] == ["hypernet"]


@pytest.mark.parametrize("prefixed", [True, False])
def test_ganinverter_keeps_a_table_for_each_network(shared: Path, prefixed: bool) -> None:
    tree = tree_of(shared, "e4e_tiny_64")
    tables: dict[str, dict[str, Tensor]] = {"encoder": {"latent_avg": tree["latent_avg"]}, "decoder": {}}
    for key, tensor in tree["state_dict"].items():
        prefix, _, name = key.partition(".")
        tables[prefix][key if prefixed else name] = tensor
    found = recognise({**tables, "opts": tree["opts"], "global_step": 1}, "last.pt")
    expected = recognise(tree, "e4e.pt")
    for one, other in zip(found.parts, expected.parts, strict=True):
        assert one.config == other.config and one.tensors.keys() == other.tensors.keys()
        assert all(torch.equal(tensor, other.tensors[key]) for key, tensor in one.tensors.items())


def test_encoders_of_cars_look_at_the_middle_rows(shared: Path) -> None:
    tree = tree_of(shared, "e4e_tiny_64")
    found = recognise({**tree, "opts": {**tree["opts"], "dataset_type": "cars_encode"}}, "cars.pt")
    assert found.parts[1].config["input_rows"] == 192


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"encoder_type": "Transformer"}, "opts.encoder_type is 'Transformer'; known: BackboneEncoder, "),
        ({"encoder_type": None}, "opts.encoder_type is 'None'"),
        ({"encoder_type": "BackboneEncoder", "n_iters_per_batch": "x"}, "n_iters_per_batch is 'x'"),
    ],
)
def test_options_that_tell_too_little(shared: Path, changes: dict[str, Any], text: str) -> None:
    tree = tree_of(shared, "e4e_tiny_64")
    with pytest.raises(CheckpointError, match=text):
        recognise({**tree, "opts": {**tree["opts"], **changes}}, "a.pt")


def test_encoders_of_drawings_are_refused(shared: Path) -> None:
    tree = tree_of(shared, "psp_tiny_64")
    wide = {"encoder.input_layer.0.weight": torch.zeros(4, 19, 3, 3)}
    with pytest.raises(CheckpointError, match="takes 19 channels; possible are 3, 4 and 6"):
        recognise({**tree, "state_dict": {**tree["state_dict"], **wide}}, "seg.pt")
