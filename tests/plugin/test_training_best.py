"""The best averaged networks of a run: measured on the same pictures each time, kept, and found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv.parts import Backbone, Discriminator
from plugin_ganinpaint.losses import FeatureDistance
from plugin_ganinpaint.training import entry
from plugin_ganinpaint.training.methods import DIVERSE_INPAINT
from plugin_ganinpaint.training.state import BEST, load_state, state_path
from plugin_ganinpaint.weights import load_networks

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")
from plugin_ganinpaint.training.best import Chooser

Make = Callable[..., Any]


def test_true_pictures_are_closer_than_noise(
    make_sampler: Make, make_run: Make, short: Make, discriminator: Discriminator, tmp_path: Path
) -> None:
    distance = FeatureDistance(discriminator)
    first, again = (Chooser(make_sampler(), distance, 20) for _ in range(2))
    assert len(first.truth) == 24
    networks = make_run(short(), 1, tmp_path).ema.module
    near = first.kid(networks)
    assert near == again.kid(networks)
    with torch.no_grad():
        networks.mixing.delta.bias.fill_(30)
    assert first.kid(networks) > 2 * near > 0


def test_the_best_is_kept_beside_the_last(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    config = short(sheet_every=4)
    result = entry.fit(config, backbone, discriminator, tmp_path, stage="1")
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    by_kid = {line["images"]: line["probe_kid"] for line in log if "probe_kid" in line}
    assert list(by_kid) == [4, 8, 12, 16, 20, 24]
    images = min(by_kid, key=lambda n: by_kid[n])
    best, last = (load_networks(tmp_path / name, backbone) for name in (BEST, DIVERSE_INPAINT.result))
    assert str(tmp_path / BEST) in result["outputs"]
    assert best.provenance["images"] == images and last.provenance["images"] == 24
    chosen = {"probe_kid": pytest.approx(by_kid[images], abs=1e-6), "images": images, "file": BEST}
    assert best.provenance["best"] == last.provenance["best"] == chosen
    kept = load_state(state_path(tmp_path, 1), stage=1)["record"]["best"]["networks"]
    for key, value in best.encoder.state_dict().items():
        assert torch.equal(value, kept[f"encoder.{key}"])


def test_nothing_is_chosen_where_nobody_asks(
    short: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    entry.fit(short(choose_by=0), backbone, discriminator, tmp_path, stage="1")
    assert not (tmp_path / BEST).exists() and "probe_kid" not in (tmp_path / "log.jsonl").read_text()
    assert load_networks(tmp_path / DIVERSE_INPAINT.result, backbone).provenance["best"] is None


def test_a_choice_made_otherwise_begins_anew(short: Make, make_run: Make, tmp_path: Path) -> None:
    first = make_run(short(), 1, tmp_path)
    first.run(on_save=lambda networks, best: None)
    for change, kept in (({"choose_by": 16}, False), ({"log_every": 7}, True)):
        again = make_run(replace(short(), **change), 1, tmp_path)
        again.resume()
        assert (again.record.best is not None) == kept
