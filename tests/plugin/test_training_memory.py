"""What a training says it will need in memory: measured, told, and refused where it cannot be had."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ganinv.errors import ConfigError
from ganinv.parts import Backbone, Discriminator, LiveBytes
from plugin_ganinpaint.config import NetworkConfig
from plugin_ganinpaint.training import entry
from plugin_ganinpaint.training.methods import DIVERSE_INPAINT
from plugin_ganinpaint.training.state import load_state, state_path

pytest.importorskip("lightning_fabric", reason="needs the extra `train`")
from plugin_ganinpaint.training import memory

Make = Callable[..., Any]


@pytest.fixture
def check(backbone: Backbone, discriminator: Discriminator) -> Callable[..., str]:
    """The check of both stages of a configuration."""

    def checked(config: Any) -> str:
        networks = NetworkConfig.for_backbone(backbone, preset="tiny")
        fabric = entry.make_fabric(replace(config, accelerator="cpu"))
        return memory.check_memory(fabric, config, DIVERSE_INPAINT.stages, backbone, discriminator, networks)

    return checked


def wide(short: Make, **changes: Any) -> Any:
    """Batches of 32."""
    config = short()
    stage = replace(config.stage1, batch=32, code_images=0, **changes)
    return replace(config, stage1=stage, stage2=replace(config.stage2, batch=32, **changes))


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("parts", [1, 4])
def test_the_measure_of_four_pictures_tells_of_a_batch(
    stage: int,
    parts: int,
    short: Make,
    make_run: Make,
    discriminator: Discriminator,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    config = wide(short, accumulate=parts)
    networks = NetworkConfig.for_backbone(backbone, preset="tiny")
    fabric = entry.make_fabric(replace(config, accelerator="cpu"))
    of = DIVERSE_INPAINT.stage(stage)
    need = memory.measure(fabric, config, of, backbone, discriminator, networks, limit=1e12)
    with LiveBytes() as live:
        run = make_run(config, stage, tmp_path)
        run.train_step(1.0)
        run.train_step(1.0)  # the optimisers have their moments now
    assert need.of(config.stage(stage)) / memory.BESIDE == pytest.approx(live.peak, rel=0.2)


def test_a_line_tells_what_is_needed_and_free(
    short: Make, check: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 12.4e9)
    text = check(short())
    assert re.fullmatch(
        r"memory: needed are about 0.\d+ GB in stage 1, 0.\d+ GB in stage 2; 12 GB are free", text
    )


def test_what_cannot_fit_is_refused_with_advice(
    short: Make, check: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_free(count: float) -> str:
        monkeypatch.setattr(memory, "free_bytes", lambda device: count)
        with pytest.raises(ConfigError) as caught:
            check(wide(short))
        return str(caught.value)

    limit = 1e12
    fabric_free = {}
    real = memory.measure

    def noted(*arguments: Any, **options: Any) -> Any:
        found = real(*arguments, **{**options, "limit": limit})
        fabric_free[arguments[2].number] = found
        return found

    monkeypatch.setattr(memory, "measure", noted)
    monkeypatch.setattr(memory, "free_bytes", lambda device: limit)
    check(wide(short))
    need = fabric_free[1]
    monkeypatch.setattr(memory, "measure", real)
    text = with_free(need.of(wide(short).stage1) / 1.5)
    assert "type stage1.accumulate=2 (about 0." in text and text.endswith(
        "memory_check=false begins all the same"
    )
    text = with_free(need.fixed / 2)
    assert "for 4 pictures at once" in text and "type network.preset=small (or tiny)" in text


def test_measuring_changes_nothing(
    short: Make, assert_same: Make, backbone: Backbone, discriminator: Discriminator, tmp_path: Path
) -> None:
    states = []
    for name, measured in (("a", True), ("b", False)):
        lines: list[str] = []
        config = short(memory_check=measured)
        entry.fit(config, backbone, discriminator, tmp_path / name, stage="1", report=lines.append)
        assert any(line.startswith("memory: ") for line in lines) == measured
        states.append(load_state(state_path(tmp_path / name, 1), stage=1))
    for key in ("networks", "ema", "discriminator", "optimiser", "generators"):
        assert_same(states[0][key], states[1][key], key)
