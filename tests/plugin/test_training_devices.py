"""Two processes together, and a batch in parts, take the step that one process takes on the whole batch."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.parts import Discriminator, write_checkpoint
from plugin_ganinpaint.training import settings
from plugin_ganinpaint.training.data import Batch
from plugin_ganinpaint.training.micro import parts_of

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")

Make = Callable[..., Any]
DEVICES, EACH = 2, 8


def configuration(batch: int, **changes: Any) -> settings.TrainConfig:
    """Every term, no limit to the gradient's length, real pictures among the others."""
    stage = settings.StageSettings(batch=batch, clip=1e9, thaw_from=0.5, warmup_images=0)
    config = settings.TrainConfig(
        network=settings.NetworkSettings(preset="tiny"),
        losses=settings.LossSettings(mode_seeking=0.1, latent=0.1, delta=0.1),
        data=settings.DataSettings(real_fraction=0.3),
        stage1=stage,
        stage2=stage,
        accelerator="cpu",
    )
    return replace(config, **changes)


CASES = {
    "codes-1": lambda config: replace(config, stage1=replace(config.stage1, code_images=1000)),
    "both-passes-1": lambda config: config,
    "parts-1": lambda config: replace(config, stage1=replace(config.stage1, accumulate=2)),
    "edits-2": lambda config: config,
}


def gradients(run: Any, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """Those of one step on a batch, with batch normalisation at rest."""
    run.networks.eval()
    run.sampler.draw = lambda: batch
    terms = run.train_step(0.9)
    found = {
        name: {k: p.grad for k, p in getattr(run, name).named_parameters()}
        for name in ("networks", "discriminator")
    }
    return {**found, "terms": terms}


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Gradients to 1e-5 of the largest one of their network, terms to 1e-5 of themselves."""
    assert found["terms"].keys() == expected["terms"].keys()
    for name, value in expected["terms"].items():
        if name in ("latent_discriminator", "latent_r1"):
            continue  # each process draws true codes of its own
        assert float(found["terms"][name]) == pytest.approx(float(value), rel=1e-5, abs=1e-6), name
    for network in ("networks", "discriminator"):
        assert found[network].keys() == expected[network].keys()
        missing = {k for k, g in expected[network].items() if g is None}
        assert missing == {k for k, g in found[network].items() if g is None}
        known = {k: g for k, g in expected[network].items() if g is not None}
        largest = max((float(g.abs().max()) for g in known.values()), default=0.0)
        for key, gradient in known.items():
            torch.testing.assert_close(found[network][key], gradient, rtol=0, atol=1e-5 * largest, msg=key)


def joined(batches: list[Batch]) -> Batch:
    """The batch of one process that holds those of several, the groups of the minibatch statistics whole."""
    first, n = batches[0], len(batches[0].image)

    def pictures(name: str) -> Tensor:
        return torch.stack([getattr(b, name).unflatten(0, (4, -1)) for b in batches], dim=1).flatten(0, 2)

    def rows(values: list[Tensor]) -> Tensor:
        return torch.stack([v.unflatten(0, (first.passes, 4, -1)) for v in values], dim=2).flatten(0, 3)

    number = torch.arange(len(batches) * n).reshape(len(batches), 4, -1).transpose(0, 1).flatten()
    place, edited, target_of = number.argsort(), len(number), []
    for r, batch in enumerate(batches):
        own = batch.target_of
        target_of.append(torch.where(own < n, place[r * n + own.clamp_max(n - 1)], edited + own - n))
        edited += len(batch.targets) - n
    return replace(
        first,
        **{name: pictures(name) for name in ("image", "visible", "reals", "w_true", "has_code")},
        **{name: rows([getattr(b, name) for b in batches]) for name in ("w_rand", "where")},
        edit=None if first.edit is None else rows([b.edit for b in batches if b.edit is not None]),
        targets=torch.cat([pictures("image"), *(b.targets[n:] for b in batches)]),
        target_of=rows(target_of),
    )


@pytest.fixture
def models(tiny_backbone: Any, discriminator: Discriminator, tmp_path: Path) -> Path:
    """A folder with the tiny generator, its discriminator and some real pictures."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(tiny_backbone.path, folder / "tiny.safetensors")
    write_checkpoint(
        folder / "tiny-discriminator.safetensors",
        discriminator.state_dict(),
        kind="discriminator",
        family="stylegan2",
        config=discriminator.config.to_json(),
    )
    np.save(folder / "reals.npy", np.random.default_rng(0).integers(0, 256, (9, 3, 16, 16), dtype=np.uint8))
    return folder


def test_two_processes_take_the_step_of_one(models: Path, make_run: Make, tmp_path: Path) -> None:
    cases = {name: CASES[name] for name in ("codes-1", "parts-1", "edits-2")}
    for name, change in cases.items():
        config = replace(change(configuration(EACH)), devices=DEVICES)
        (models / f"{name}.yaml").write_text(json.dumps(asdict(config)))
    launch(models)
    for name, change in cases.items():
        kept = [torch.load(models / f"{name}-{rank}.pt", weights_only=True) for rank in range(DEVICES)]
        batches = [Batch(**entry["batch"]) for entry in kept]
        assert not torch.equal(batches[0].image, batches[1].image)
        config = change(configuration(DEVICES * EACH))
        config = replace(config, stage1=replace(config.stage1, accumulate=1))
        expected = gradients(make_run(config, int(name[-1]), tmp_path), joined(batches))
        for entry in kept:
            assert_close(entry, expected)


def launch(folder: Path) -> None:
    """Run one_of_two.py twice, as torchrun would, to its end."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "TORCHELASTIC_RUN_ID": "test"}
    shared |= {"WORLD_SIZE": str(DEVICES), "LOCAL_WORLD_SIZE": str(DEVICES), "GROUP_RANK": "0"}
    shared |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(Path(__file__).with_name("one_of_two.py")), str(folder)]
    running = [
        subprocess.Popen(
            command,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(DEVICES)
    ]
    try:
        for process in running:
            process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        pass  # what they said until then tells more
    finally:
        for process in running:
            process.kill()
        said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * DEVICES, "\n".join(said)


def free_port() -> int:
    """A port that nobody listens at, below those that the system hands out: tests that run beside this one
    open connections all the time, and one of theirs could take it before rank 0 does.
    """
    for port in range(20_000, 30_000):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@pytest.mark.parametrize("name", ["codes-1", "both-passes-1", "edits-2"])
@pytest.mark.parametrize("batch", [8, 16])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(
    name: str, batch: int, make_run: Make, tmp_path: Path
) -> None:
    config = CASES[name](configuration(batch))
    stage = int(name[-1])
    run = make_run(config, stage, tmp_path)
    drawn = run.sampler.draw()
    whole = gradients(run, drawn)
    key = f"stage{stage}"
    for parts in (2, batch // 4):
        cut = replace(config, **{key: replace(getattr(config, key), accumulate=parts)})
        assert_close(gradients(make_run(cut, stage, tmp_path), drawn), whole)


def test_parts_hold_every_picture_once(make_run: Make, tmp_path: Path) -> None:
    batch = make_run(configuration(8), 2, tmp_path).sampler.draw()
    parts = parts_of(batch, 2)
    assert sorted(torch.cat([part.number for part in parts]).tolist()) == list(range(8))
    for part in parts:
        inside, n = part.batch, 4
        assert torch.equal(inside.image, batch.image[part.number])
        for p in range(batch.passes):
            rows, whole = slice(p * n, p * n + n), p * 8 + part.number
            assert torch.equal(inside.targets[inside.target_of[rows]], batch.targets[batch.target_of[whole]])
        for field, value in vars(inside).items():  # none of the whole batch's size is left
            if isinstance(value, Tensor):
                limit = 2 * n if field == "targets" else batch.passes * n if len(value) > n else n
                assert len(value) <= limit, field


@pytest.mark.parametrize("parts", [0, 3, 4])
def test_a_batch_is_cut_into_whole_groups(parts: int) -> None:
    with pytest.raises(ConfigError, match=r"a batch of 8 cannot be cut into \d parts .*possible: 1, 2"):
        settings.StageSettings(batch=8, accumulate=parts)
