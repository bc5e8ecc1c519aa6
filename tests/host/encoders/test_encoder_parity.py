"""Encoders against numbers made by the originals, and against every published layout of tensors."""

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

from ganinv.checkpoints.layouts.encoder_shapes import encoder_config
from ganinv.checkpoints.restricted import read_foreign
from ganinv.encoders.published import PublishedEncoder, PublishedEncoderConfig
from ganinv.errors import CheckpointError

OFFSETS = ("Encoder4Editing", "ProgressiveBackboneEncoder")


def only_encoder(state: dict[str, Any]) -> dict[str, Tensor]:
    return {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}


def recipe(keys_file: Path, salt: str) -> dict[str, Tensor]:
    """The weights that the fixtures' README describes, of the encoder only."""
    tensors = {}
    for key, shape, _ in json.loads(keys_file.read_text())["state_dict"]:
        if not key.startswith("encoder."):
            continue
        rs = np.random.RandomState(zlib.crc32((salt + key).encode()))
        if key.endswith("num_batches_tracked"):
            tensors[key] = torch.zeros((), dtype=torch.int64)
            continue
        var = key.endswith("running_var")
        n = 0.5 + rs.random_sample(shape) if var else rs.standard_normal(shape)
        if key.endswith("running_mean"):
            n = 0.1 * n
        elif len(shape) >= 2:
            n = n if key.endswith("linear.weight") else n * np.sqrt(2 / np.prod(shape[1:]))
        elif not var:
            n = 0.6 + 0.1 * n if key.endswith(".weight") else 0.1 * n
        tensors[key] = torch.from_numpy(n.astype(np.float32))
    return only_encoder(tensors)


def check_codes(folder: Path, group: str) -> None:
    arrays = load_file(folder / f"encoders/{group}.safetensors")
    for case in json.loads((folder / f"encoders/{group}.json").read_text())["cases"]:
        args = case["args"]
        if args["weights"] == "file":
            state = only_encoder(read_foreign(folder / case["files"]["checkpoint"])["state_dict"])
        else:
            state = recipe(folder / args["keys_file"], args["salt"] or "")
        codes = "offsets" if args["encoder_type"] in OFFSETS else "absolute"
        config = encoder_config(state, codes=codes, num_ws=args["n_styles"], w_dim=args["style_dim"])
        encoder = PublishedEncoder(config).eval()
        encoder.net.load_state_dict(state)
        x = (arrays[case["inputs"]["image_u8"]].float() / 255 - 0.5) / 0.5
        with torch.no_grad():
            found = encoder(encoder.prepare(x), stage=args.get("progressive_stage"))
        limits = case["tol"]["per_output"]["codes"]
        expected = arrays[case["expected"]["codes"]]
        torch.testing.assert_close(found, expected, atol=limits["atol"], rtol=limits["rtol"], msg=case["id"])


@pytest.mark.parametrize("group", ["psp_tiny", "e4e_tiny"])
def test_codes_of_small_encoders(shared: Path, group: str) -> None:
    check_codes(shared / "fixtures/parity", group)


@pytest.mark.slow
@pytest.mark.parametrize("group", ["psp_full", "e4e_full"])
def test_codes_of_full_encoders(shared: Path, group: str) -> None:
    check_codes(shared / "fixtures/parity", group)


@pytest.mark.parametrize(
    ("name", "heads", "channels"),
    [
        ("e4e_64", "pyramid", 3),
        ("e4e_1024", "pyramid", 3),
        ("psp_64", "pyramid", 3),
        ("psp_1024", "pyramid", 3),
        ("psp_BackboneEncoderUsingLastLayerIntoW_encoder_only", "mean", 3),
        ("psp_BackboneEncoderUsingLastLayerIntoWPlus_encoder_only", "vector", 3),
        ("restyle_BackboneEncoder_64", "heads", 6),
        ("restyle_BackboneEncoder_1024", "heads", 6),
        ("restyle_GradualStyleEncoder_encoder_only", "pyramid", 6),
        ("restyle_ResNetBackboneEncoder_encoder_only", "heads", 6),
        ("styleres_1024", "pyramid", 3),
    ],
)
def test_every_tensor_of_a_published_layout_has_its_place(
    shared: Path, name: str, heads: str, channels: int
) -> None:
    entries = json.loads((shared / f"fixtures/parity/layouts/{name}.json").read_text())["entries"]
    prefix = "e4e: " if name.startswith("styleres") else "encoder."
    with torch.device("meta"):
        state = {k.removeprefix(prefix): torch.empty(s) for k, s, _ in entries if k.startswith(prefix)}
        config = encoder_config(state, codes="absolute", num_ws=18, w_dim=512)
        own = PublishedEncoder(config).net.state_dict()
    assert (config.heads, config.body.in_channels) == (heads, channels)
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in state.items()}


def test_codes_that_add_to_the_first_stop_at_the_stage() -> None:
    encoder = PublishedEncoder(PublishedEncoderConfig(num_ws=4, w_dim=2, codes="offsets"))
    encoder.net = torch.nn.Identity()
    codes = torch.arange(8.0).reshape(1, 4, 2)
    assert torch.equal(encoder(codes)[0, 1:], codes[0, :1] + codes[0, 1:])
    assert torch.equal(encoder(codes, stage=1)[0, 2:], codes[0, :1].expand(2, 2))


def test_an_unknown_body_is_refused() -> None:
    with pytest.raises(CheckpointError, match="body has 2 units; known: IR-SE with 24, 49 or 50"):
        encoder_config({"body.1.x": torch.zeros(1)}, codes="absolute", num_ws=4, w_dim=2)
