"""The method on generators of others: trained, used and edited from the command line; started from pSp or
e4e; content that is not square.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
import torch
from PIL import Image

from ganinv.cli.main import main
from ganinv.errors import CheckpointError, ConfigError, UsageError
from ganinv.inversion import Inversion
from ganinv.parts import load_backbone, load_discriminator, load_encoder
from ganinv.testing import check_method
from plugin_ganinpaint.config import EncoderOptions, NetworkConfig
from plugin_ganinpaint.encoder import ErasedEncoder, options_like
from plugin_ganinpaint.method import DiverseInpaint, DiverseInpaintConfig
from plugin_ganinpaint.training import data, entry, settings
from plugin_ganinpaint.training.reals import Reals, load_reals
from plugin_ganinpaint.weights import load_networks

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

FAST = (
    "--config",
    "smoke",
    "stage1.images=16",
    "stage1.code_images=8",
    "stage2.images=8",
    "log_every=1",
    "sheet_every=100",
)
FILES = {
    "stylegan2-ada": "nvidia/ada_skip_64.pkl",
    "with-classes": "nvidia/ada_cond_resnet_64.pkl",
    "rosinality": "rosinality/train_000100.pt",
    "stylegan3": "nvidia/sg3_t_64.pkl",
}


def run(*arguments: object) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, [str(a) for a in arguments], prog_name="ganinv")
    assert result.exit_code == 0, result.stderr
    return result


def picture(path: Path, width: int, height: int) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", FILES)
def test_trained_used_and_edited(shared: Path, tmp_path: Path, name: str) -> None:
    """Both stages on a file with its own discriminator; then completions and an edit."""
    file = shared / "fixtures/parity" / FILES[name]
    out = tmp_path / "run"
    run("train", *FAST, "--backbone", file, "--out", out)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in log} == {1, 2} and "code" in log[0]
    weights, backbone = out / "diverse-inpaint.safetensors", load_backbone(file)
    side = backbone.resolution
    me = picture(tmp_path / "me.png", side, side)
    common = ("--backbone", file, "--weights", weights, "--out", tmp_path / "out")
    run("invert", me, *common, "--mask", "half-left", "--samples", 3)
    path = tmp_path / "out" / "me.inversion.safetensors"
    found = Inversion.load(path)
    assert found.ws.shape == (1, 3, backbone.num_ws, backbone.w_dim) and found.features
    assert not torch.equal(found.ws[:, 0], found.ws[:, 1])
    torch.save(torch.nn.functional.normalize(torch.ones(1, backbone.w_dim)), tmp_path / "up.pt")
    run(
        "edit",
        path,
        "--backbone",
        file,
        "--direction",
        tmp_path / "up.pt",
        "--strength",
        2,
        "--out",
        tmp_path,
    )
    assert (tmp_path / "me-02-edit.png").is_file()


def test_keeps_the_contract_with_classes(shared: Path, tmp_path: Path) -> None:
    file = shared / "fixtures/parity" / FILES["with-classes"]
    run("train", *FAST, "--stage", 1, "--backbone", file, "--out", tmp_path)
    backbone = load_backbone(file)
    networks = load_networks(tmp_path / "diverse-inpaint.safetensors", backbone)
    check_method(DiverseInpaint(backbone, networks))
    third = DiverseInpaint(backbone, networks, DiverseInpaintConfig(label=2))
    in_turn = DiverseInpaint(backbone, networks)
    assert torch.equal(third.random_codes(3, 0)[2], in_turn.random_codes(3, 0)[2])
    assert not torch.equal(third.random_codes(3, 0)[0], in_turn.random_codes(3, 0)[0])
    with pytest.raises(UsageError, match=r"label 3 is not possible: the backbone .* has classes 0 to 2"):
        DiverseInpaint(backbone, networks, DiverseInpaintConfig(label=3))


def test_classes_of_codes_and_of_the_discriminator_agree(shared: Path) -> None:
    backbone = load_backbone(shared / "fixtures/parity" / FILES["with-classes"])
    config = settings.TrainConfig(data=settings.DataSettings(real_fraction=0.5))
    reals = Reals(torch.zeros(4, 3, 64, 64, dtype=torch.uint8))
    batch = data.Sampler(backbone, config, 16, torch.Generator().manual_seed(0), reals=reals).draw()
    assert batch.labels is not None and batch.labels.shape == (16, 3)
    assert torch.equal(batch.labels.sum(dim=1) == 1, batch.has_code)
    assert len(batch.labels[batch.has_code].argmax(dim=1).unique()) > 1


# -------------------------------------------------------------------------------------------- discriminators


def test_where_the_discriminator_is_looked_for(shared: Path, tiny_backbone: Any, tmp_path: Path) -> None:
    file = shared / "fixtures/parity" / FILES["stylegan2-ada"]
    config = settings.TrainConfig(backbone=str(file))
    found = entry.find_discriminator(config, load_backbone(file))
    assert found.sha256 == load_discriminator(file).sha256
    alone = settings.TrainConfig(backbone=str(tiny_backbone.path))
    with pytest.raises(
        CheckpointError, match=r"tiny-16.safetensors holds none, and there is no tiny-16-discr.*new"
    ):
        entry.find_discriminator(alone, tiny_backbone.backbone)
    fresh = [entry.new_discriminator(tiny_backbone.backbone, seed) for seed in (0, 0, 1)]
    assert fresh[0].config.resolution == 16 and fresh[0].config.channel_max == 8
    first, again, other = (d.state_dict()["b4.out.weight"] for d in fresh)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_fresh_discriminator_trains(tiny_backbone: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("train", *FAST, "--stage", 1, "discriminator=new", "--backbone", tiny_backbone.path, "--out", out)
    assert load_networks(out / "diverse-inpaint.safetensors", tiny_backbone.backbone).provenance


def test_a_discriminator_of_other_classes_is_refused(shared: Path, tmp_path: Path) -> None:
    folder = shared / "fixtures/parity"
    backbone = load_backbone(folder / FILES["stylegan2-ada"])
    other = load_discriminator(folder / FILES["with-classes"])
    with pytest.raises(ConfigError, match="knows 3 classes, the backbone 0: give the discriminator"):
        entry.fit(settings.TrainConfig(), backbone, other, tmp_path)


# ---------------------------------------------------------------------------------------------- encoder_from


@pytest.mark.parametrize("name", ["psp_tiny_64", "e4e_tiny_64"])
def test_a_published_encoder_starts_with_its_own_answers(shared: Path, name: str) -> None:
    file = shared / f"fixtures/parity/encoders/{name}.pt"
    backbone, published = load_backbone(file), load_encoder(file)
    config = NetworkConfig.for_backbone(backbone, preset="tiny", encoder=options_like(published))
    assert NetworkConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    encoder = ErasedEncoder(config, backbone.w_avg).eval()
    encoder.adopt(published)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        wanted = published(published.prepare(x)) + published.latent_avg
        found = encoder(x, torch.ones(2, 1, 64, 64))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_training_starts_from_e4e(shared: Path, tmp_path: Path) -> None:
    file = shared / "fixtures/parity/encoders/e4e_tiny_64.pt"
    start = (
        f"network.encoder_from={file}",
        "discriminator=new",
        "--backbone",
        file,
        "--out",
        tmp_path / "run",
    )
    run("train", *FAST, *start)
    backbone = load_backbone(file)
    networks = load_networks(tmp_path / "run" / "diverse-inpaint.safetensors", backbone)
    assert networks.config.encoder.codes == "offsets" and networks.skip is not None
    assert networks.provenance["encoder_from"] == {"name": "e4e_tiny_64", "sha256": backbone.sha256}
    assert str(file.parent) not in json.dumps(networks.provenance)
    me = picture(tmp_path / "me.png", 64, 64)
    arguments = ("--mask", "centre", "--samples", 2, "--out", tmp_path / "out")
    run(
        "invert",
        me,
        "--backbone",
        file,
        "--weights",
        tmp_path / "run" / "diverse-inpaint.safetensors",
        *arguments,
    )


def test_encoders_that_cannot_be_started_from(shared: Path) -> None:
    restyle = load_encoder(shared / "fixtures/parity/encoders/restyle_psp_tiny_64.pt")
    with pytest.raises(ConfigError, match="of restyle cannot be started from: give one of pSp or e4e"):
        options_like(restyle)
    with pytest.raises(ConfigError, match=r"start_from and network.encoder_from both name weights"):
        settings.TrainConfig(start_from="a", network=settings.NetworkSettings(encoder_from="b"))


# ------------------------------------------------------------------------------------------------ content


def test_content_that_is_not_square(shared: Path, tmp_path: Path) -> None:
    """The middle 48 of 64 rows hold the picture: completions and edits are 64 x 48."""
    file, out = shared / "fixtures/parity" / FILES["stylegan2-ada"], tmp_path / "run"
    run("train", *FAST, "content=[48,64]", "--backbone", file, "--out", out)
    weights = out / "diverse-inpaint.safetensors"
    car = picture(tmp_path / "car.png", 128, 96)
    common = ("--backbone", file, "--out", tmp_path / "out", "--mask", "half-left")
    run("invert", car, *common, "--weights", weights, "--samples", 2, "--raw")
    shown = {path.name: pixels(path) for path in (tmp_path / "out").glob("car-*.png")}
    assert shown.pop("car-sheet.png").shape[0] < 128
    assert {array.shape[:2] for array in shown.values()} == {(48, 64)} and len(shown) == 6
    mask = shown["car-mask.png"]
    assert (mask[:, :32] == 255).all() and not mask[:, 32:].any()
    found = Inversion.load(tmp_path / "out" / "car.inversion.safetensors")
    assert found.content == (48, 64) and not found.hole[0, 0, :8].any() and not found.working[0, :, :8].any()
    assert (shown["car-00.png"][:, 32:] == shown["car-input.png"][:, 32:]).all()
    torch.save(torch.nn.functional.normalize(torch.ones(1, found.ws.shape[3])), tmp_path / "up.pt")
    edit = ("--backbone", file, "--direction", tmp_path / "up.pt", "--strength", 1, "--out", tmp_path)
    run("edit", tmp_path / "out" / "car.inversion.safetensors", *edit, "--strip=-1:1:3", "--keep-known")
    assert pixels(tmp_path / "car-00-edit.png").shape == (48, 64, 3)


def test_content_told_on_the_command_line(shared: Path, tmp_path: Path) -> None:
    file = shared / "fixtures/parity" / FILES["stylegan2-ada"]
    car = picture(tmp_path / "car.png", 128, 96)
    common = ("--backbone", file, "--out", tmp_path / "out", "--method", "optimize", "--steps", 1)
    run("invert", car, *common, "--content", "48x64")
    assert pixels(tmp_path / "out" / "car-00.png").shape == (48, 64, 3)
    runner = click.testing.CliRunner()
    for content, text, code in (
        ("48", "not of the form HEIGHTxWIDTH", 2),
        ("64x65", "does not fit into pictures of 64 px", 2),
        ("32x64", "the picture is 128 x 96, not 2 : 1; type --fit crop", 1),
    ):
        arguments = ["invert", str(car), *map(str, common), "--content", content]
        result = runner.invoke(main, arguments, prog_name="ganinv")
        assert result.exit_code == code and text in result.stderr, result.stderr


def test_holes_of_training_lie_in_the_content() -> None:
    mix = settings.HoleSettings(empty=0.0)
    holes = data.draw_holes(64, 32, mix, torch.Generator().manual_seed(0), (24, 32))
    assert not holes[:, :, :4].any() and not holes[:, :, 28:].any() and holes[:, :, 4:28].any()


def test_real_pictures_keep_their_proportions(tmp_path: Path, tiny_backbone: Any) -> None:
    picture(tmp_path / "car.png", 64, 48)
    bank = load_reals(tmp_path, tiny_backbone.backbone, (12, 16)).images
    assert bank.shape == (1, 3, 16, 16) and not bank[:, :, :2].any() and bank[:, :, 2:14].any()


def test_encoders_of_cars(shared: Path) -> None:
    """Their encoder sees the middle rows only, and keeps its own answers as the start of ours."""
    from ganinv.checkpoints.door import recognise
    from ganinv.checkpoints.restricted import read_foreign
    from ganinv.encoders.published import build_published
    from ganinv.methods.encode import Encode

    file = shared / "fixtures/parity/encoders/psp_tiny_64.pt"
    tree = read_foreign(file)
    found = recognise({**tree, "opts": {**tree["opts"], "dataset_type": "cars_encode"}}, "cars.pt")
    published = build_published(found.parts[1].config)
    published.load_state_dict(found.parts[1].tensors)
    backbone = load_backbone(file)
    assert Encode(backbone, published.eval()).content == (48, 64)
    shape = options_like(published)
    config = NetworkConfig.for_backbone(backbone, preset="tiny", encoder=shape, content=(48, 64))
    encoder = ErasedEncoder(config, backbone.w_avg).eval()
    encoder.adopt(published)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        wanted = published(published.prepare(x)) + published.latent_avg
        torch.testing.assert_close(encoder(x, torch.ones(1, 1, 64, 64)), wanted, atol=1e-4, rtol=1e-4)
    with pytest.raises(ConfigError, match="does not fall on whole pixels of the encoder"):
        NetworkConfig.for_backbone(backbone, encoder=EncoderOptions(input_size=16), content=(45, 64))
