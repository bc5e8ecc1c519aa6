"""psp and e4e trained on erased pictures: their encoder, what they add to the loop, the file they end in."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
import torch
from PIL import Image

from ganinv.api import load_completer, load_method
from ganinv.cli.main import main
from ganinv.errors import BackboneMismatchError, CheckpointError, ConfigError, UsageError
from ganinv.parts import Backbone, Discriminator, Inversion, load_backbone, load_encoder, save_encoder
from plugin_ganinpaint.comod.weights import load_comod
from plugin_ganinpaint.config import EncoderOptions, NetworkConfig
from plugin_ganinpaint.encoder import ErasedEncoder
from plugin_ganinpaint.training import entry, latent, methods, settings
from plugin_ganinpaint.training.plain import PlainEncoder
from plugin_ganinpaint.training.start import find_start
from plugin_ganinpaint.training.state import load_state, state_path

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

Make = Callable[..., Any]
CODES = {"psp": "absolute", "e4e": "offsets"}


def encoder_of(backbone: Backbone, preset: str = "tiny", codes: Any = "absolute") -> ErasedEncoder:
    """One whose batch normalisation does something, in evaluation mode."""
    torch.manual_seed(3)
    options = EncoderOptions(preset=preset, input_size=16, codes=codes)
    encoder = ErasedEncoder(NetworkConfig.for_backbone(backbone, encoder=options), backbone.w_avg)
    for _ in range(3):
        encoder(torch.randn(4, 3, 16, 16), torch.ones(4, 1, 16, 16))
    return encoder.eval().requires_grad_(False)


def erased_pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1
    visible = (torch.rand(2, 1, 16, 16, generator=generator) > 0.4).float()
    return image, visible


@pytest.mark.parametrize("preset", ["tiny", "ir-se-50"])  # heads computed together, and one by one
@pytest.mark.parametrize("codes", ["absolute", "offsets"])
def test_the_written_encoder_answers_as_the_trained_one(
    preset: str, codes: str, backbone: Backbone, tmp_path: Path
) -> None:
    encoder = encoder_of(backbone, preset, codes)
    published = encoder.published()
    record = {"name": backbone.name, "sha256": backbone.sha256}
    save_encoder(tmp_path / "e.safetensors", published, backbone=record, provenance={"steps": 3})
    again = load_encoder(tmp_path / "e.safetensors")
    image, visible = erased_pictures()
    wanted = encoder(image, visible)
    shouted = torch.where(visible > 0, image, torch.full_like(image, 1e6))
    found = again(again.prepare_erased(shouted, visible)) + again.latent_avg
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert again.config.erased and again.made_for == record
    # and back: a run that begins with this file begins with these answers
    start = find_start(str(tmp_path / "e.safetensors"), backbone)
    other = ErasedEncoder(NetworkConfig.for_backbone(backbone, encoder=start.options), backbone.w_avg).eval()
    start.fill(other)
    torch.testing.assert_close(other(image, visible), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", ["psp", "e4e"])
def test_trained_from_the_command_line_and_used(method: str, tiny_pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick = ("stage1.images=24", "stage1.batch=4", "stage1.code_images=8", "sheet_every=16", "choose_by=4")
    more = ("losses.latent=0.1", "losses.delta=0.1", "stage1.progressive=0.5") if method == "e4e" else ()
    asked = ("train", "--method", method, "--config", "smoke", "--backbone", tiny_pair, "--out", out, *quick)
    said = run(*asked, *more)
    weights = out / f"{method}.safetensors"
    assert f"weights are in {weights}" in said.stdout and (out / "best.safetensors").is_file()
    log = (out / "log.jsonl").read_text()
    assert ('"latent"' in log and '"delta"' in log) == (method == "e4e") and '"code"' in log
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
        tmp_path / "me.png"
    )
    use = ("invert", tmp_path / "me.png", "--method", method, "--weights", weights, "--mask", "centre")
    run(*use, "--backbone", tiny_pair, "--out", tmp_path / "out")
    found = Inversion.load(tmp_path / "out" / "me.inversion.safetensors")
    assert found.method["name"] == method
    encoder = load_encoder(weights)
    assert encoder.family == method and encoder.config.codes == CODES[method]
    backbone = load_backbone(tiny_pair)
    with pytest.raises(UsageError, match=r"3 passes: .* reads a picture once"):
        load_method(method, backbone=backbone, weights=weights, passes=3)
    with pytest.raises(UsageError, match=f"{out} already holds stage 1 of a run; add --resume"):
        entry.train(
            "smoke", quick, out=out, backbone=str(tiny_pair), method=methods.PSP, report=lambda line: None
        )
    other = methods.E4E if method == "psp" else methods.PSP
    with pytest.raises(CheckpointError, match=f"is a run of {method}; type --method {method}"):
        entry.train("smoke", quick, out=out, backbone=str(tiny_pair), method=other, resume=True)


def test_an_encoder_of_another_backbone_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    published = encoder_of(backbone).published()
    save_encoder(tmp_path / "e.safetensors", published, backbone={"name": "other", "sha256": "0" * 64})
    with pytest.raises(
        BackboneMismatchError,
        match=r"the encoder e belongs to a backbone with digest 0000.* type --backbone FILE",
    ):
        load_method("psp", backbone=backbone, weights=tmp_path / "e.safetensors")


def test_offsets_come_in_one_after_the_other(backbone: Backbone) -> None:
    networks = PlainEncoder(encoder_of(backbone, codes="offsets").config, backbone.w_avg)
    networks.load_state_dict({f"encoder.{k}": v for k, v in encoder_of(backbone).state_dict().items()})
    networks.eval()
    stage, how = methods.E4E.stage(1), settings.StageSettings(progressive=0.5)
    image, visible = erased_pictures()
    differ = []
    for progress in (0.0, 0.2, 0.49, 0.5, 1.0):
        stage.prepare(networks, how, progress)
        codes = networks.encode(image, visible)
        differ.append(sum(not torch.equal(codes[:, 0], codes[:, k]) for k in range(1, codes.shape[1])))
    assert differ[0] == 0 and differ == sorted(differ) and differ[1] > 0
    assert differ[2] == backbone.num_ws - 2 and differ[3:] == [backbone.num_ws - 1] * 2


def test_e4e_begins_with_the_first_code_of_another_encoder(backbone: Backbone) -> None:
    encoder = encoder_of(backbone)
    start = methods.EncoderStart(
        "psp", "", encoder.config.encoder, lambda net: net.load_state_dict(encoder.state_dict())
    )
    assert methods.PSP.encoder_start(start) is start
    taken = methods.E4E.encoder_start(start)
    assert taken.options.codes == "offsets"
    e4e = encoder_of(backbone, codes="offsets")
    taken.fill(e4e)
    image, visible = erased_pictures()
    found, wanted = e4e(image, visible), encoder(image, visible)[:, :1]
    torch.testing.assert_close(found, wanted.expand_as(found))
    with pytest.raises(ConfigError, match="psp answers a code for each layer, the encoder psp offsets"):
        methods.PSP.encoder_start(taken)


def test_a_run_begins_with_the_encoder_of_diverse_inpaint_weights(
    short: Make, discriminator: Discriminator, backbone: Backbone, tmp_path: Path
) -> None:
    entry.fit(short(), backbone, discriminator, tmp_path / "a", stage="1")
    file = tmp_path / "a" / methods.DIVERSE_INPAINT.result
    start = find_start(str(file), backbone)
    config = NetworkConfig.for_backbone(backbone, preset="tiny", encoder=start.options)
    encoder = ErasedEncoder(config, backbone.w_avg).eval()
    start.fill(encoder)
    ema = load_state(state_path(tmp_path / "a", 1), stage=1)["ema"]
    assert all(torch.equal(v, ema[f"encoder.{k}"]) for k, v in encoder.state_dict().items())
    network = settings.NetworkSettings(preset="tiny", encoder_from=str(file), gate=False)
    still = replace(short().stage1, lr=1e-12, images=4, warmup_images=0)
    config_b = short(network=network, stage1=still)
    entry.fit(config_b, backbone, discriminator, tmp_path / "b", stage="1")
    after = load_state(state_path(tmp_path / "b", 1), stage=1)["networks"]
    moved = [k for k, v in after.items() if k.endswith("weight") and k.startswith("encoder.")]
    assert all(torch.allclose(after[k], ema[k], atol=1e-6) for k in moved)


@pytest.mark.parametrize(
    ("method", "changes", "text"),
    [
        (methods.PSP, {"network": settings.NetworkSettings(gate=False)}, "psp has no network.gate: leave it"),
        (methods.E4E, {"data": settings.DataSettings(hidden_codes=0.5)}, "e4e has no data.hidden_codes"),
        (methods.E4E, {"setup": "classic"}, "setup 'classic' does not fit e4e; possible: plain"),
        (
            methods.COMOD,
            {"setup": "full-only", "stage1": settings.StageSettings()},
            "setup 'full-only' does not fit comod; possible: plain, partial-only, classic",
        ),
        (methods.COMOD, {}, "comod has no stage1.code_images"),
        (
            methods.PSP,
            {"stage1": settings.StageSettings(progressive=0.5)},
            "psp has no stage1.progressive",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    method: methods.Trainable, changes: dict[str, Any], text: str, short: Make
) -> None:
    with pytest.raises(ConfigError, match=text):
        method.settle(short(**changes))


def test_comod_trains_and_is_measured_with_what_it_wrote(
    tiny_pair: Path, backbone: Backbone, tmp_path: Path
) -> None:
    quick = ("stage1.images=16", "stage1.batch=4", "stage1.code_images=0", "sheet_every=8", "choose_by=4")
    asked = ("train", "--method", "comod", "--config", "smoke", "--backbone", tiny_pair, "--out", tmp_path)
    said = run(*asked, *quick)
    assert f"weights are in {tmp_path / 'comod.safetensors'}" in said.stdout
    found = load_comod(tmp_path / "comod.safetensors", backbone)
    assert found.provenance["config"]["setup"] == "plain" and found.provenance["images"] == 16
    ema = load_state(state_path(tmp_path, 1), stage=1)["ema"]
    assert all(torch.equal(v, ema[f"net.{k}"]) for k, v in found.network.state_dict().items())
    assert load_completer("comod", backbone=backbone, weights=tmp_path / "comod.safetensors").name == "comod"


def test_there_is_one_stage(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="psp has no stage 2: leave out --stage"):
        entry.fit(short(), backbone, discriminator, tmp_path, stage="2", method=methods.PSP)


def test_the_latent_discriminator_learns_and_is_paid(backbone: Backbone) -> None:
    torch.manual_seed(0)
    fabric = entry.make_fabric(settings.TrainConfig(accelerator="cpu"))
    critic = latent.LatentCritic(fabric, backbone, 0.5, "non-saturating")
    critic.set_rate(5e-3)
    true = backbone.map(torch.randn(64, backbone.z_dim))
    false = (true + 1.5 * torch.randn_like(true)).requires_grad_()
    found = [critic.step(false, true, number) for number in range(80)]
    assert "latent_r1" in found[0] and "latent_r1" not in found[1]
    assert float(found[-1]["latent_discriminator"]) < 0.7 * float(found[0]["latent_discriminator"])
    critic.loss(false).backward()
    assert false.grad is not None and false.grad.abs().sum() > 0
    assert all(p.grad is None or not p.requires_grad for p in critic.network.parameters())
    assert float(critic.loss(true)) < float(critic.loss(false).detach())


def test_delta_length_is_that_of_the_offsets() -> None:
    codes = torch.zeros(2, 3, 4)
    codes[:, 1] = 2.0
    assert float(latent.delta_length(codes, 0.5)) == pytest.approx((2 / 0.5 + 0) / 2, rel=1e-4)
    assert float(latent.delta_length(codes[:, :1], 0.5)) == 0


def test_a_run_with_a_latent_discriminator_resumes_bit_for_bit(
    short: Make, backbone: Backbone, discriminator: Discriminator, assert_same: Make, tmp_path: Path
) -> None:
    losses = settings.LossSettings(latent=0.1, delta=0.1, r1_every=2, adversarial_every=2)
    config = short(losses=losses, stage1=replace(short().stage1, progressive=0.9))

    def stop(line: str) -> None:
        if "/24 images" in line:
            os.kill(os.getpid(), signal.SIGINT)

    entry.fit(config, backbone, discriminator, tmp_path / "whole", method=methods.E4E)
    entry.fit(config, backbone, discriminator, tmp_path / "parts", method=methods.E4E, report=stop)
    done = load_state(state_path(tmp_path / "parts", 1), stage=1)
    assert 0 < done["images"] < 24 and done["critic"]["network"]
    torch.manual_seed(99)
    entry.fit(config, backbone, discriminator, tmp_path / "parts", method=methods.E4E, resume=True)
    a, b = (load_state(state_path(tmp_path / name, 1), stage=1) for name in ("whole", "parts"))
    assert_same(a["critic"], b["critic"], "critic")
    assert_same(a["networks"], b["networks"], "networks")


def run(*arguments: object) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, [str(a) for a in arguments], prog_name="ganinv")
    assert result.exit_code == 0, result.stderr
    return result
