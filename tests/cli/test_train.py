"""`ganinv train`: a short run, its outputs, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from ganinv.cli.main import main

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

QUICK = ["stage1.images=8", "stage1.batch=4", "stage2.images=8", "stage2.batch=4", "sheet_every=8"]


@pytest.fixture
def tiny(tiny_backbone: Any) -> Path:
    """A backbone file with its discriminator beside it."""
    from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
    from ganinv.checkpoints import write_checkpoint

    config = DiscriminatorConfig(resolution=16, channel_base=128, channel_max=8)
    torch.manual_seed(0)
    tensors = Discriminator(config).state_dict()
    path: Path = tiny_backbone.path
    beside = path.with_name(f"{path.stem}-discriminator.safetensors")
    write_checkpoint(beside, tensors, kind="discriminator", family="stylegan2", config=config.to_json())
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_both_stages_then_resume(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = ("--method", "diverse-inpaint", "--config", "smoke", "--backbone", tiny, "--out", out, *QUICK)
    result = run(*asked, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert set(said) >= {"outputs", "inputs", "options", "failures"}
    assert {k: v["images"] for k, v in said["stages"].items()} == {"1": 8, "2": 8}
    assert Path(said["outputs"][0]) == out / "diverse-inpaint.safetensors"
    assert (out / "diverse-inpaint.safetensors").is_file() and (out / "log.jsonl").is_file()
    assert list((out / "sheets").glob("*.png")) and (out / "tensorboard").is_dir()
    again = run(*asked)
    assert again.exit_code == 2 and "add --resume" in again.stderr
    further = run(*asked, "stage2.images=12", "--stage", "2", "--resume")
    assert further.exit_code == 0 and "stage 2: done after 12 images" in further.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["stage1.lr_=1"], 2, "did you mean stage1.lr"),
        (["stage1.lr=fast"], 2, "expected a number"),
        (["nonsense"], 2, "not of the form key=value"),
        (
            ["--config", "smokey"],
            2,
            "no configuration 'smokey': give a YAML file, or one of comod-portraits-64, e4e-portraits-64, ",
        ),
        (["--method", "diverse-inpant"], 2, "did you mean 'diverse-inpaint'"),
        (["--stage", "3"], 2, "--stage"),
        (["--minutes", "0"], 2, "0.0 minutes are not enough"),
        (["--resume"], 1, "nothing to resume"),
        (["--stage", "2"], 1, "run stage 1 first"),
        (["discriminator=absent.safetensors"], 1, "absent.safetensors"),
    ],
)
def test_mistakes_are_one_line(
    tiny: Path, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    result = run("--backbone", tiny, "--config", "smoke", "--out", tmp_path / "run", *arguments)
    assert result.exit_code == code
    assert text in result.stderr and "Traceback" not in result.output
    assert not (tmp_path / "run" / "diverse-inpaint.safetensors").exists()


def test_unknown_backbone_offers_the_nearest(tmp_path: Path) -> None:
    result = run("--backbone", "portrait-64", "--out", tmp_path / "run")
    assert result.exit_code == 2 and "unknown backbone 'portrait-64'" in result.stderr
