"""Terms that leave their level stop a run, with a line that says what to do and a good state on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ganinv.errors import ConfigError
from plugin_ganinpaint.training import settings
from plugin_ganinpaint.training.common import TrainingError
from plugin_ganinpaint.training.spikes import FLOORS, LEAST, STEPS, WINDOW, Spikes
from plugin_ganinpaint.training.state import load_state, state_path

Make = Callable[..., Any]


def fed(spikes: Spikes, *values: float, name: str = "l2", phase: str = "pictures") -> list[Any]:
    return [spikes.look({name: value}, phase) for value in values]


def test_a_term_that_stays_off_is_named() -> None:
    spikes = Spikes(10, clip=10)
    assert not any(fed(spikes, *[0.1, 0.2, 0.3] * LEAST))
    found = fed(spikes, *[2.5] * STEPS)
    assert not any(found[:-1]) and spikes.suspicious
    assert found[-1] == ("l2", f"l2 is 2.5, over 10 times its level of 0.2 for {STEPS} steps")


def test_single_steps_and_slow_growth_are_let_be() -> None:
    spikes = Spikes(10, clip=10)
    fed(spikes, *[0.2] * LEAST)
    assert not any(fed(spikes, *([5.0] * (STEPS - 1) + [0.2]) * 10)) and not spikes.suspicious
    assert not any(fed(spikes, *[0.2 * 1.01**n for n in range(600)]))


def test_what_is_near_nothing_or_young_or_of_another_phase_does_not_count() -> None:
    spikes = Spikes(10, clip=10)
    fed(spikes, *[1e-6] * WINDOW)
    assert not any(fed(spikes, *[10 * FLOORS["l2"]] * 20))
    assert not any(fed(spikes, *[1e6] * LEAST, phase="thawed"))
    fed(spikes, *[0.1] * WINDOW, name="gradient")
    assert not any(fed(spikes, *[9.9] * 20, name="gradient"))
    assert any(fed(spikes, *[10.1] * STEPS, name="gradient"))
    assert not any(fed(Spikes(0, clip=10), *[0.1] * WINDOW, *[1e9] * 20))


def test_it_goes_on_from_its_state() -> None:
    spikes, other = Spikes(10, clip=10), Spikes(10, clip=10)
    fed(spikes, *[0.2] * LEAST, *[9.0] * (STEPS - 1))
    other.set_state(spikes.to_state())
    assert other.suspicious and fed(other, 9.0)[0][0] == "l2"


@pytest.mark.parametrize("saved", [True, False])
def test_a_run_stops_and_keeps_the_state_before(
    saved: bool, short: Make, make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off from step LEAST + 3 on; states are due at every step."""
    stage = settings.StageSettings(images=4000, batch=4)
    config = short(stage1=stage, save_every=4 if saved else 10**6, sheet_every=10**6, choose_by=0)
    run = make_run(config, 1, tmp_path)
    good = LEAST + 2

    def step(progress: float) -> dict[str, float]:
        run.step, run.images = run.step + 1, run.images + 4
        return {"l2": 0.1, "discriminator": 1.0 if run.step <= good else 20.0}

    monkeypatch.setattr(run, "train_step", step)
    with pytest.raises(TrainingError) as caught:
        run.run(on_save=lambda networks, best: None)
    text = str(caught.value)
    assert "\n" not in text
    assert (
        f"stage 1 stopped at step {good + STEPS}: discriminator is 20, over 10 times its level of 1" in text
    )
    assert text.endswith("stage1.discriminator_lr=0.0005, or with spike_factor=0 where this is meant to be")
    if saved:
        assert f"the last good state, of {4 * good} images, is kept in {state_path(tmp_path, 1)}" in text
        assert load_state(state_path(tmp_path, 1), stage=1)["step"] == good
    else:
        assert "no state was saved yet; start again with" in text and not state_path(tmp_path, 1).exists()


@pytest.mark.parametrize("change", [{"spike_factor": 0.5}, {"spike_factor": -1}, {"choose_by": -8}])
def test_bad_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="0 switches them off"):
        replace(settings.TrainConfig(), **change)
