"""Data of the passes, the schedule, exact resume, and both stages end to end on a tiny random generator."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.editing.store import keep_direction
from ganinv.errors import CheckpointError, ConfigError, InputError, UsageError
from ganinv.parts import (
    Backbone,
    Direction,
    Discriminator,
    DiscriminatorConfig,
    load_backbone,
    load_config,
    load_directions,
)
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training import common, data, entry, settings
from plugin_ganinpaint.training.edits import Edits
from plugin_ganinpaint.training.state import load_state, state_path
from plugin_ganinpaint.weights import load_networks

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")
from plugin_ganinpaint.training import loop

SMOKE = entry.CONFIGS / "smoke.yaml"


@pytest.fixture
def backbone(tiny_backbone: Any) -> Backbone:
    return tiny_backbone.backbone


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(1)
    config = DiscriminatorConfig(resolution=16, channel_base=128, channel_max=8)
    return Discriminator(config).eval().requires_grad_(False)


def make_sampler(
    backbone: Backbone, reals: torch.Tensor | None = None, edits: Edits | None = None, **changes: Any
) -> data.Sampler:
    config = replace(settings.TrainConfig(), **changes)
    return data.Sampler(backbone, config, 8, torch.Generator().manual_seed(0), reals=reals, edits=edits)


def short(**changes: Any) -> settings.TrainConfig:
    """A run of six steps of 4 pictures a stage that touches every kind of step."""
    stage = settings.StageSettings(images=24, batch=4, warmup_images=8, decay_from=0.5)
    config = settings.TrainConfig(
        backbone="tiny",
        network=settings.NetworkSettings(preset="tiny"),
        losses=settings.LossSettings(r1_every=2, adversarial_every=2),
        stage1=replace(stage, code_images=4),
        stage2=replace(stage, edit_share=0.5, thaw_from=0.5),
        log_every=2,
        sheet_every=16,
        save_every=1000,
    )
    return replace(config, **changes)


# ------------------------------------------------------------------------------------------------ data


def test_full_pass_feeds_the_true_code_and_expects_everything(backbone: Backbone) -> None:
    batch = make_sampler(backbone, data=settings.DataSettings(layer_range=0.0)).draw()
    assert batch.passes == 2 and torch.equal(batch.w_rand[:8], batch.w_true)
    assert batch.where[:8].min() == 1
    drawn = backbone.synthesize(batch.w_rand[:8]).images.clamp(-1, 1)
    assert torch.allclose(drawn, batch.image, atol=1e-5)


def test_partial_pass_feeds_fresh_codes_and_expects_the_visible(backbone: Backbone) -> None:
    batch = make_sampler(backbone, data=settings.DataSettings(layer_range=0.0)).draw()
    assert torch.equal(batch.where[8:], batch.visible)
    assert not (batch.w_rand[8:] == batch.w_true).all(dim=2).any()


def test_layer_range_keeps_some_true_layers(backbone: Backbone) -> None:
    batch = make_sampler(backbone, data=settings.DataSettings(layer_range=1.0)).draw()
    same = (batch.w_rand[8:] == batch.w_true).all(dim=2)
    assert same.any(dim=1).all() and not same.all(dim=1).any()
    for row in same.int():  # one range: it begins once
        assert int((row.diff() == 1).sum() + row[0]) == 1


def test_style_mixing_joins_two_codes(backbone: Backbone) -> None:
    sampler = make_sampler(backbone, data=settings.DataSettings(style_mixing=1.0))
    codes = sampler.codes(8)
    assert (codes[:, 0] != codes[:, -1]).any(dim=1).all()
    plain = make_sampler(backbone, data=settings.DataSettings(style_mixing=0.0)).codes(8)
    assert torch.equal(plain[:, 0], plain[:, -1])


@pytest.mark.parametrize(
    ("setup", "passes", "everywhere"),
    [("classic", 2, (True, True)), ("full-only", 1, (True,)), ("partial-only", 2, (False, False))],
)
def test_ablation_setups(backbone: Backbone, setup: str, passes: int, everywhere: tuple[bool, ...]) -> None:
    batch = make_sampler(backbone, setup=setup).draw()
    assert batch.passes == passes
    for p, whole in enumerate(everywhere):
        rows = slice(8 * p, 8 * p + 8)
        assert torch.equal(batch.where[rows], torch.ones_like(batch.visible) if whole else batch.visible)
        fed_true = torch.equal(batch.w_rand[rows], batch.w_true)
        assert fed_true == (setup == "full-only")


def test_real_pictures_take_visible_losses_and_no_true_code(backbone: Backbone) -> None:
    reals = torch.randint(
        0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )
    batch = make_sampler(
        backbone, reals, data=settings.DataSettings(real_fraction=0.5, layer_range=1.0)
    ).draw()
    real = ~batch.has_code
    assert 0 < int(real.sum()) < 8
    known = {r.numpy().tobytes() for r in reals}
    back = ((batch.image[real] + 1) * 127.5).round().to(torch.uint8)
    assert all(picture.numpy().tobytes() in known for picture in back)
    assert torch.equal(batch.where[:8][real], batch.visible[real])
    assert not (batch.w_rand[:8][real] == batch.w_true[real]).any()
    assert not (batch.w_rand[8:][real] == batch.w_true[real]).any()


def test_edited_rows_have_the_truly_edited_picture_as_target(backbone: Backbone) -> None:
    stage = settings.StageSettings(edit_share=0.5, edit_directions="random")
    batch = make_sampler(backbone, edits=Edits(backbone, stage)).draw()
    assert batch.edit is not None and not batch.edit[8:].any()
    rows = batch.edit[:8].flatten(1).any(dim=1)
    assert 0 < int(rows.sum()) < 8
    wanted = backbone.synthesize((batch.w_true + batch.edit[:8])[rows]).images.clamp(-1, 1)
    assert torch.allclose(batch.targets[batch.target_of[:8][rows]], wanted, atol=1e-5)
    assert torch.equal(batch.target_of[:8][~rows], torch.arange(8)[~rows])
    assert torch.equal(batch.target_of[8:], torch.arange(8))


def test_runs_do_not_depend_on_what_their_user_keeps(backbone: Backbone) -> None:
    keep_direction("mine", Direction("mine", torch.eye(backbone.w_dim)[:1]))
    assert "mine" in load_directions(backbone)
    assert Edits(backbone, settings.StageSettings(edit_directions="auto")).kind == "random"


def test_empty_holes_have_their_share() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = settings.HoleSettings(comodgan=0, mat=0, mat_small=0, half=1, centre=0, border=0, empty=1)
    shares = data.draw_holes(400, 8, mix, generator).mean(dim=(1, 2, 3))
    assert set(shares.tolist()) == {0.0, 0.5}
    assert 0.4 < float((shares == 0).float().mean()) < 0.6


def test_real_images_from_folder_and_array(tmp_path: Path) -> None:
    from ganinv.parts import write_png

    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        write_png(tmp_path / "in" / f"{i}.png", picture)
    np.save(tmp_path / "some.npy", pixels)
    for source in (tmp_path / "in", tmp_path / "some.npy"):
        assert np.array_equal(data.load_real_images(source, 16).permute(0, 2, 3, 1).numpy(), pixels)
    with pytest.raises(InputError, match=r"holds uint8 \(3, 16, 16, 3\); uint8 \(M, 32, 32, 3\) is needed"):
        data.load_real_images(tmp_path / "some.npy", 32)
    with pytest.raises(InputError, match=r"give a folder of pictures or a \.npy file"):
        data.load_real_images(tmp_path / "absent", 16)


# ------------------------------------------------------------------------------------------------ parts of
# the loop


def test_rate_rises_stays_and_falls() -> None:
    assert common.rate_factor(0.0, 0, 100, 0.5) == pytest.approx(0.01)
    assert common.rate_factor(0.2, 500, 100, 0.5) == 1
    assert common.rate_factor(0.75, 500, 100, 0.5) == pytest.approx(0.505)
    assert common.rate_factor(1.0, 500, 100, 0.5) == pytest.approx(0.01)
    assert common.rate_factor(1.0, 500, 100, 1.0) == 1


def test_ema_has_the_half_life_it_says(backbone: Backbone) -> None:
    config = NetworkConfig.for_backbone(backbone, preset="tiny")
    networks = common.Networks(config, backbone.w_avg, with_skip=False)
    ema = common.Ema(networks, images=100)
    name, before = next((n, p.detach().clone()) for n, p in networks.named_parameters())
    with torch.no_grad():
        networks.get_parameter(name).add_(1)
    ema.update(networks, batch=100, seen=1_000_000)
    assert torch.allclose(ema.module.get_parameter(name), before + 0.5, atol=1e-6)
    ema.update(networks, batch=100, seen=400)  # 5 % of 400 are 20 pictures: five half-lives
    assert torch.allclose(ema.module.get_parameter(name), before + 1 - 0.5 * 0.5**5, atol=1e-6)


def test_fakes_are_raw_or_pasted_and_no_group_holds_a_picture_twice(
    backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    run = make_run(short(), 1, backbone, discriminator, tmp_path)
    batch = run.sampler.draw()
    target = batch.targets[batch.target_of]
    shown = target + 10
    fakes = run._fakes(shown, target, batch)
    n, p = 4, 2
    for row, fake in enumerate(fakes):
        picture, turn = divmod(row, p)
        pasted = torch.where(batch.visible[picture].bool(), batch.image[picture], shown[turn * n + picture])
        assert torch.equal(fake, shown[turn * n + picture]) or torch.allclose(fake, pasted, atol=1e-5)
    groups = torch.arange(n * p).reshape(
        4, -1
    )  # rows of equal column are compared by the minibatch statistics
    assert all(len(set((groups[:, g] // p).tolist())) == 4 for g in range(groups.shape[1]))


def test_stage_two_freezes_the_codes_until_told(
    backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    run = make_run(short(), 2, backbone, discriminator, tmp_path)
    before = {k: v.clone() for k, v in run.networks.state_dict().items()}
    run.train_step(0.0)
    run.train_step(0.1)
    after = run.networks.state_dict()
    moved = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"skip"}
    run.train_step(0.6)
    run.train_step(0.7)
    moved = {k.split(".")[0] for k in before if not torch.equal(before[k], run.networks.state_dict()[k])}
    assert moved == {"skip", "encoder", "mixing"}


# ------------------------------------------------------------------------------------------------ state


def make_run(
    config: settings.TrainConfig, stage: int, backbone: Backbone, discriminator: Discriminator, out: Path
) -> loop.StageRun:
    networks = NetworkConfig.for_backbone(backbone, preset="tiny")
    fabric = entry.make_fabric(replace(config, accelerator="cpu"))
    return loop.StageRun(
        fabric, config, stage, backbone, discriminator, networks, out, report=lambda line: None
    )


@pytest.mark.parametrize("stage", [1, 2])
def test_resumed_run_equals_the_uninterrupted_one(
    stage: int, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    config = short()
    whole = make_run(config, stage, backbone, discriminator, tmp_path / "whole")
    whole.run(on_save=lambda networks: None)
    first = make_run(config, stage, backbone, discriminator, tmp_path / "parts")
    for _ in range(3):
        first.train_step(first._progress(None))
    first.save(lambda networks: None)
    del first
    torch.manual_seed(99)  # another process would have another global state
    second = make_run(config, stage, backbone, discriminator, tmp_path / "parts")
    second.resume()
    assert second.step == 3 and second.images == 12
    second.run(on_save=lambda networks: None)
    a, b = (load_state(state_path(tmp_path / name, stage), stage=stage) for name in ("whole", "parts"))
    for key in a:
        if key != "seconds":
            assert_same(a[key], b[key], key)


def assert_same(a: Any, b: Any, path: str) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    else:
        assert a == b, path


def test_nan_stops_with_one_line_and_keeps_the_last_state(
    backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    run = make_run(short(), 1, backbone, discriminator, tmp_path)
    run.save(lambda networks: None)
    good = state_path(tmp_path, 1).read_bytes()
    with torch.no_grad():
        next(run.networks.parameters()).fill_(math.nan)
    with pytest.raises(
        common.TrainingError, match=r"stage 1 stopped at step 1: .* not finite; the last good state"
    ) as caught:
        run.run(on_save=lambda networks: None)
    assert "\n" not in str(caught.value)
    assert state_path(tmp_path, 1).read_bytes() == good


def test_a_request_to_stop_saves_and_says_so(
    backbone: Backbone, discriminator: Discriminator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    run = make_run(short(), 1, backbone, discriminator, tmp_path)
    step: Callable[[float], Any] = run.train_step

    def interrupted(progress: float) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return step(progress)

    monkeypatch.setattr(run, "train_step", interrupted)
    ending = run.run(on_save=lambda networks: None)
    assert (ending.reason, ending.images) == ("stopped", 4)
    assert load_state(state_path(tmp_path, 1), stage=1)["step"] == 1


def test_broken_states_are_told(tmp_path: Path) -> None:
    path = state_path(tmp_path, 1)
    with pytest.raises(CheckpointError, match="no training state at"):
        load_state(path, stage=1)
    path.write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="is not a training state or is damaged"):
        load_state(path, stage=1)
    torch.save({"format": "ganinv-training-state-1", "stage": 2}, path)
    with pytest.raises(CheckpointError, match="is a state of stage 2; stage 1 is needed"):
        load_state(path, stage=1)


# ------------------------------------------------------------------------------------------------ end to end


def test_both_stages(backbone: Backbone, discriminator: Discriminator, tmp_path: Path) -> None:
    config = load_config(settings.TrainConfig, SMOKE)
    reals = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    lines: list[str] = []
    result = entry.fit(config, backbone, discriminator, tmp_path, reals=reals, report=lines.append)
    assert {k: v["reason"] for k, v in result["stages"].items()} == {"1": "done", "2": "done"}
    networks = load_networks(tmp_path / entry.RESULT, backbone)
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
    backbone: Backbone, discriminator: Discriminator, tmp_path: Path
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


def test_start_from_a_weight_file(backbone: Backbone, discriminator: Discriminator, tmp_path: Path) -> None:
    config = short()
    entry.fit(config, backbone, discriminator, tmp_path / "a", stage="1")
    start = str(tmp_path / "a" / entry.RESULT)
    result = entry.fit(replace(config, start_from=start), backbone, discriminator, tmp_path / "b", stage="2")
    assert result["stages"]["2"]["reason"] == "done"
    gateless = replace(config, start_from=start, network=settings.NetworkSettings(preset="tiny", gate=False))
    with pytest.raises(ConfigError, match="of another size than `network` asks for"):
        entry.fit(gateless, backbone, discriminator, tmp_path / "c", stage="1")


def test_nothing_to_resume(backbone: Backbone, discriminator: Discriminator, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume in"):
        entry.fit(short(), backbone, discriminator, tmp_path, resume=True)


def test_minutes_end_a_stage(backbone: Backbone, discriminator: Discriminator, tmp_path: Path) -> None:
    result = entry.fit(short(), backbone, discriminator, tmp_path, stage="1", minutes=1e-6)
    assert result["stages"]["1"]["reason"] == "minutes"
    assert load_networks(tmp_path / entry.RESULT, backbone).skip is None


@pytest.mark.parametrize("name", ["smoke", "portraits-64"])
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


def test_bfloat16_runs(tiny_backbone: Any, discriminator: Discriminator, tmp_path: Path) -> None:
    own = load_backbone(tiny_backbone.path)  # its compute type is changed
    run = make_run(short(precision="bfloat16"), 1, own, discriminator, tmp_path)
    for _ in range(3):
        terms = run.train_step(0.0)
    assert all(math.isfinite(float(v)) for v in terms.values())
    assert all(p.dtype == torch.float32 for p in run.networks.parameters())
