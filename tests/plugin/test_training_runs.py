"""Both stages end to end on a tiny random generator, the settings, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganinv.errors import CheckpointError, ConfigError, UsageError
from ganinv.parts import Backbone, Discriminator, load_config, read_checkpoint
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training import entry, settings
from plugin_ganinpaint.training.methods import DIVERSE_INPAINT
from plugin_ganinpaint.training.reals import Reals
from plugin_ganinpaint.training.state import load_state, state_path
from plugin_ganinpaint.weights import load_networks

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

SMOKE = entry.CONFIGS / "smoke.yaml"
Make = Callable[..., settings.TrainConfig]


def test_both_stages(backbone: Backbone, discriminator: Discriminator, tmp_path: Path) -> None:
    config = load_config(settings.TrainConfig, SMOKE)
    reals = Reals(torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8))
    lines: list[str] = []
    result = entry.fit(config, backbone, discriminator, tmp_path, reals=reals, report=lines.append)
    assert {k: v["reason"] for k, v in result["stages"].items()} == {"1": "done", "2": "done"}
    networks = load_networks(tmp_path / DIVERSE_INPAINT.result, backbone)
    assert networks.skip is not None
    assert networks.provenance["perceptual"] == "frozen-discriminator-features"
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"l2", "perceptual", "adversarial", "r1", "discriminator", "code"} <= {
        k for entry in log for k in entry
    }
    assert all(math.isfinite(v) for entry in log for v in entry.values())
    figures = [entry for entry in log if "probe_diversity" in entry]
    assert {"probe_visible_psnr", "probe_gate_mean"} <= set(figures[0]) and {e["stage"] for e in figures} == {
        1,
        2,
    }
    assert len(list((tmp_path / "sheets").glob("stage?-*.png"))) == 4
    assert list((tmp_path / "tensorboard" / "stage1").iterdir())
    assert str(tmp_path) not in json.dumps(networks.provenance)
    with pytest.raises(UsageError, match="already holds stage 1 of a run; add --resume"):
        entry.fit(config, backbone, discriminator, tmp_path)


def test_stage_two_begins_with_the_averaged_stage_one(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    config = short()
    with pytest.raises(CheckpointError, match="run stage 1 first"):
        entry.fit(config, backbone, discriminator, tmp_path, stage="2")
    entry.fit(config, backbone, discriminator, tmp_path, stage="1")
    ema = load_state(state_path(tmp_path, 1), stage=1)["ema"]
    frozen = replace(config, stage2=replace(config.stage2, thaw_from=1.0))
    entry.fit(frozen, backbone, discriminator, tmp_path, stage="2")
    after = load_state(state_path(tmp_path, 2), stage=2)["networks"]
    assert all(torch.equal(after[key], value) for key, value in ema.items())


def test_start_from_a_weight_file(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    config = short()
    entry.fit(config, backbone, discriminator, tmp_path / "a", stage="1")
    start = str(tmp_path / "a" / DIVERSE_INPAINT.result)
    result = entry.fit(replace(config, start_from=start), backbone, discriminator, tmp_path / "b", stage="2")
    assert result["stages"]["2"]["reason"] == "done"
    gateless = replace(config, start_from=start, network=settings.NetworkSettings(preset="tiny", gate=False))
    with pytest.raises(ConfigError, match="of another size than `network` asks for"):
        entry.fit(gateless, backbone, discriminator, tmp_path / "c", stage="1")


def test_stage_two_after_stage_one_takes_the_skip_encoder_of_the_named_weights(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    """Codes of the stage 1 beside it, skip features of the file that the run began with."""
    config = short()
    entry.fit(config, backbone, discriminator, tmp_path / "a")
    start = tmp_path / "a" / DIVERSE_INPAINT.result
    still = replace(config.stage2, lr=1e-12, images=4)
    again = replace(config, start_from=str(start), seed=1, stage2=still)
    entry.fit(again, backbone, discriminator, tmp_path / "b")
    found = load_networks(start, backbone)
    learn = {f"skip.{key}" for key, _ in found.skip.named_parameters()} if found.skip else set()
    named = {key: value.float() for key, value in read_checkpoint(start).tensors.items()}
    one = load_state(state_path(tmp_path / "b", 1), stage=1)["ema"]
    two = load_state(state_path(tmp_path / "b", 2), stage=2)["networks"]
    for key, value in two.items():
        of = named if key.startswith("skip.") else one
        if not key.startswith("skip.") or key in learn:  # its statistics move
            assert torch.allclose(value.float(), of[key].float(), atol=1e-6), key
    assert any(not torch.allclose(one[key], named[key], atol=1e-6) for key in one)


def test_networks_are_of_the_size_of_the_weights_to_start_from(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    """Skip encoders that are asked for are fresh ones, of the backbone's own size."""
    small = settings.NetworkSettings(preset="small")
    config = replace(short(), network=small, stage2=replace(short().stage2, images=4))
    entry.fit(config, backbone, discriminator, tmp_path / "a")
    start = tmp_path / "a" / DIVERSE_INPAINT.result
    before = load_networks(start, backbone).config
    own = NetworkConfig.for_backbone(backbone)
    assert (before.encoder, before.mixing, before.skip) != (own.encoder, own.mixing, own.skip)
    for resolutions, skip in ((None, before.skip), ((8,), own.skip)):
        network = settings.NetworkSettings(skip_resolutions=resolutions)
        again = replace(config, start_from=str(start), network=network)
        out = tmp_path / f"b{resolutions}"
        entry.fit(again, backbone, discriminator, out, stage="2")
        found = load_networks(out / DIVERSE_INPAINT.result, backbone).config
        assert (found.encoder, found.mixing, found.skip) == (before.encoder, before.mixing, skip)
    start.unlink()  # a run that has a state goes on without the file that it began with
    more = replace(again, stage2=replace(again.stage2, images=8))
    assert entry.fit(more, backbone, discriminator, out, stage="2", resume=True)["stages"]["2"]["images"] == 8


def test_nothing_to_resume(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume in"):
        entry.fit(short(), backbone, discriminator, tmp_path, resume=True)


def test_minutes_end_a_stage(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    result = entry.fit(short(), backbone, discriminator, tmp_path, stage="1", minutes=1e-6)
    assert result["stages"]["1"]["reason"] == "minutes"
    assert load_networks(tmp_path / DIVERSE_INPAINT.result, backbone).skip is None


@pytest.mark.parametrize("name", ["smoke", "portraits-64", "portraits-128"])
def test_shipped_configurations_are_valid(name: str) -> None:
    load_config(settings.TrainConfig, entry.find_config(name, None))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["setup=clasic"], "possible: two-pass, full-only, partial-only, classic"),
        (["stage1.batch=6"], "a multiple of 4"),
        (["losses.r1_every=0"], "at least 1"),
        (["holes.half=-1"], "shares must be 0 or more"),
        (["data.real_fraction=2"], "give a chance from 0 to 1"),
        (["stage1.lrr=1"], "did you mean stage1.lr"),
    ],
)
def test_bad_settings_are_refused(change: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load_config(settings.TrainConfig, None, change)
