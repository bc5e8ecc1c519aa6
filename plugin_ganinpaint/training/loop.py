"""The run of one stage: the loop over steps, its log, stopping, saving, going on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganinv.parts import BackboneMismatchError, CheckpointError, ConfigError

from .best import Best, Chooser
from .common import Completing, Ending, PoliteStop, TrainingError, crossed, derive_seed
from .monitor import PROBES, Monitor, Probe
from .spikes import Spikes
from .state import changed_fields, load_state, save_state, state_path
from .steps import StageSteps

OnSave = Callable[[Completing, Best | None], object]
"""Is given the averaged networks whenever a state has been written; and the best ones so far, with what they
are, where they are others than those it was given last."""

CHOICE = {"seed", "holes", "data", "content", "choose_by"}
"""Settings on which the figure depends by which the best networks are chosen: a change begins it anew."""


@dataclass
class Record:
    """What a run has noted so far; part of its state, so that a resumed run notes the same."""

    spikes: Spikes
    sums: dict[str, list[float]] = field(default_factory=dict)
    """Terms since the last line of the log."""
    sheet_at: int = -1
    """Pictures seen at the last sheet."""
    figures: dict[str, float] = field(default_factory=dict)
    """Those of the last sheet."""
    best: Best | None = None

    def to_state(self) -> dict[str, Any]:
        """Plain data for a state file."""
        return {
            "spikes": self.spikes.to_state(),
            "sums": self.sums,
            "sheet_at": self.sheet_at,
            "figures": self.figures,
            "best": self.best and self.best.to_state(),
        }

    def set_state(self, state: dict[str, Any], like: Completing) -> None:
        """Inverse of `to_state`; `like`: networks of the shape of the best ones."""
        self.spikes.set_state(state["spikes"])
        self.sums, self.sheet_at, self.figures = state["sums"], state["sheet_at"], state["figures"]
        self.best = state["best"] and Best.from_state(state["best"], like)


class StageRun(StageSteps):
    """One stage of training: built once, then `run` until done, out of time, or asked to stop."""

    def __init__(self, *arguments: Any, method: str = "diverse-inpaint", **options: Any) -> None:
        """As `StageSteps`; `method`: whose run this is."""
        super().__init__(*arguments, **options)
        self.method = method
        self.record = Record(Spikes(self.config.spike_factor, self.settings.clip))
        self.saved_at: int | None = None
        """Pictures seen at the last state on disk; None: there is none."""
        self.best_written: int | None = None
        self.logged = 0, 0.0

    def run(self, *, minutes: float | None = None, on_save: OnSave) -> Ending:
        """Train until the schedule's end, until `minutes` (those of earlier runs included), or until Ctrl-C.

        Raises:
            TrainingError: a loss is no longer finite or far off its level. The last state on disk is the last
                good one.
        """
        monitor, chooser = self._watchers()
        started, before, due = time.monotonic(), self.seconds, False
        self.logged = self.images, self.seconds
        with PoliteStop() as stop:
            while True:
                # The first rank's clock counts: the rates and the end must be the same on all.
                self.seconds = self.fabric.broadcast(before + time.monotonic() - started)
                reason = self._reason(minutes, stop.asked)
                if reason:
                    break
                seen, phase = self.images, self._phase(minutes)
                terms = self.train_step(self._progress(minutes))
                self._check({name: float(value) for name, value in terms.items()}, phase)
                if self.step % self.config.log_every == 0:
                    self._log(monitor)
                if monitor and crossed(seen, self.images, self.config.sheet_every):
                    self._sheet(monitor, chooser)
                due = due or crossed(seen, self.images, self.config.save_every)
                if due and not self.record.spikes.suspicious:
                    self.save(on_save)
                    due = False
        if monitor and reason != "stopped" and self.record.sheet_at != self.images:
            self._sheet(monitor, chooser)
        self.save(on_save)
        if monitor:
            monitor.close()
        return self.ending(reason)

    def over(self, minutes: float | None) -> str:
        """Why nothing is left to do, "done" or "minutes"; "" where there is."""
        if self.images >= self.settings.images:
            return "done"
        return "minutes" if minutes is not None and self.seconds >= 60 * minutes else ""

    def ending(self, reason: str) -> Ending:
        """How the stage stands."""
        return Ending(reason, self.images, self.seconds, self.record.figures)

    def _watchers(self) -> tuple[Monitor | None, Chooser | None]:
        """What writes log and sheets and what chooses the best networks; the first rank's work."""
        if not self.fabric.is_global_zero:
            return None, None
        probe, choice = (
            torch.Generator().manual_seed(derive_seed(self.config.seed, self.stage, use))
            for use in ("probe", "choice")
        )
        monitor = Monitor(
            self.out,
            self.stage,
            Probe(self._sampler(PROBES, probe, None)),
            images=self.images,
            sheet_at=self.record.sheet_at,
        )
        count = self.config.choose_by
        return monitor, Chooser(self._sampler(PROBES, choice, None), self.distance, count) if count else None

    def _reason(self, minutes: float | None, asked: bool) -> str:
        """Why to stop now, or "". Not where the last step was off: its state is not to be kept."""
        asked = self._anyone(asked)
        reason = self.over(minutes) or ("stopped" if asked else "")
        return "" if self.record.spikes.suspicious and reason != "done" else reason

    def _progress(self, minutes: float | None) -> float:
        """Share of the schedule that is over: pictures, or time where a budget runs out sooner."""
        done = self.images / self.settings.images
        return done if minutes is None else max(done, self.seconds / (60 * minutes))

    def _phase(self, minutes: float | None) -> str:
        """What the next step computes, in a word: levels of its terms compare within one only."""
        if self.in_code_warmup:
            return "codes"
        thawed = self.stage == 2 and self._progress(minutes) >= self.settings.thaw_from
        return "thawed" if thawed else "pictures"

    def _anyone(self, asked: bool) -> bool:
        if self.fabric.world_size == 1:
            return asked
        votes = self.fabric.all_gather(torch.tensor(float(asked), device=self.fabric.device))
        return bool(torch.as_tensor(votes).any())

    def _check(self, terms: dict[str, float], phase: str) -> None:
        """Note the terms of a step. Raises TrainingError where the run has come apart."""
        broken = [name for name, value in terms.items() if not math.isfinite(value)]
        if broken:
            raise self._apart(f"{', '.join(broken)} not finite", broken[0])
        spike = self.record.spikes.look(terms, phase)
        if spike:
            name, text = spike
            raise self._apart(text, name, ", or with spike_factor=0 where this is meant to be")
        for name, value in terms.items():
            self.record.sums.setdefault(name, []).append(value)

    def _apart(self, what: str, term: str, otherwise: str = "") -> TrainingError:
        """The one line on a run that has come apart at `term`: what, what is kept, what to type."""
        of_critic = term.startswith(("discriminator", "r1", "real_", "fake_"))
        rate = "discriminator_lr" if of_critic else "lr"
        setting = f"stage{self.stage}.{rate}={getattr(self.settings, rate) / 2:g}"
        kept = state_path(self.out, self.stage)
        if self.saved_at is None:
            advice = f"no state was saved yet; start again with {setting}"
        else:
            advice = (
                f"the last good state, of {self.saved_at} images, is kept in {kept}; type --resume {setting}"
            )
        return TrainingError(f"stage {self.stage} stopped at step {self.step}: {what}; {advice}{otherwise}")

    def _log(self, monitor: Monitor | None) -> None:
        values = {name: sum(v) / len(v) for name, v in self.record.sums.items()}
        self.record.sums = {}
        if not monitor:
            return
        values["lr"] = float(self.optimiser.param_groups[0]["lr"])
        values["seconds"] = self.seconds
        (images, seconds), self.logged = self.logged, (self.images, self.seconds)
        values["images_per_second"] = (self.images - images) / max(self.seconds - seconds, 1e-6)
        monitor.scalars(self.images, values)
        shown = ", ".join(
            f"{k} {values[k]:.4g}"
            for k in ("code", "l2", "perceptual", "adversarial", "discriminator")
            if k in values
        )
        self.report(
            f"stage {self.stage}: {self.images}/{self.settings.images} images, "
            f"{values['images_per_second']:.1f}/s, {shown}"
        )

    def _sheet(self, monitor: Monitor, chooser: Chooser | None) -> None:
        """A sheet, its figures, and whether the averaged networks are the best so far."""
        networks, more = self.ema.module, {}
        if chooser:
            more["kid"] = distance = chooser.kid(networks)
            if self.record.best is None or distance < self.record.best.kid:
                self.record.best = Best.of(self.images, distance, networks)
        self.record.figures = monitor.sheet(self.images, networks, more)
        self.record.sheet_at = self.images

    # ------------------------------------------------------------------------------------------------ state

    def start_from(self, networks: dict[str, Tensor], discriminator: dict[str, Tensor] | None = None) -> None:
        """Begin with trained weights, those of stage 1 for instance; the skip encoder may be missing.

        Raises:
            ConfigError: they are of other sizes.
        """
        own = self.networks.state_dict()
        wrong = [k for k, v in networks.items() if k not in own or own[k].shape != v.shape]
        wrong += [k for k in own if k not in networks and not k.startswith("skip.")]
        if wrong:
            raise ConfigError(
                f"the weights to start from are of another size than `network` asks for: "
                f"{', '.join(wrong[:3])}"
            )
        for state in (self.networks, self.ema.module):
            state.load_state_dict(networks, strict=False)
        if discriminator is not None:
            self.discriminator.load_state_dict(discriminator)

    def save(self, on_save: OnSave) -> None:
        """Write the state and hand the averaged networks to `on_save`; called on every rank."""
        gathered = self.fabric.all_gather(self.generator.get_state().to(self.fabric.device))
        generators = torch.as_tensor(gathered).reshape(self.fabric.world_size, -1)
        self.saved_at = self.images
        if self.fabric.is_global_zero:
            self._write(generators.cpu(), on_save)
        self.fabric.barrier()  # the next stage reads the state, on every rank

    def _write(self, generators: Tensor, on_save: OnSave) -> None:
        state = {
            "method": self.method,
            "stage": self.stage,
            "config": json.dumps(asdict(self.config), sort_keys=True),
            "backbone_sha256": self.backbone.sha256,
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "networks": self.networks.state_dict(),
            "ema": self.ema.module.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "d_optimiser": self.d_optimiser.state_dict(),
            "generators": generators,
            "global_generator": torch.get_rng_state(),
            "record": self.record.to_state(),
            "critic": self.critic and self.critic.state_dict(),
        }
        save_state(state_path(self.out, self.stage), state)
        best = self.record.best
        on_save(self.ema.module, None)
        if best is not None and best.images != self.best_written:
            on_save(best.networks, best)
            self.best_written = best.images

    def check_origin(self, state: dict[str, Any], path: Path) -> None:
        """Raise CheckpointError where the state read from `path` belongs to another method,
        BackboneMismatchError where it belongs to another generator.
        """
        if state["method"] != self.method:
            raise CheckpointError(f"{path} is a run of {state['method']}; type --method {state['method']}")
        if state["backbone_sha256"] != self.backbone.sha256:
            raise BackboneMismatchError(
                f"{path} was trained on another backbone than {self.backbone.name!r}; give that one"
            )

    def resume(self) -> None:
        """Go on from the stage's last state.

        Raises:
            CheckpointError: there is none, it is damaged, or of another method.
            BackboneMismatchError: it was trained on another generator.
            ConfigError: its networks are of other sizes, or it ran on another number of devices.
        """
        path = state_path(self.out, self.stage)
        state = load_state(path, stage=self.stage)
        self.check_origin(state, path)
        if len(state["generators"]) != self.fabric.world_size:
            ran = len(state["generators"])
            raise ConfigError(f"{path} ran on {ran} devices; resume it with devices={ran}")
        changed = changed_fields(json.loads(state["config"]), json.loads(json.dumps(asdict(self.config))))
        if changed:
            self.report(f"resumed with other settings: {', '.join(changed)}")
        try:
            self.networks.load_state_dict(state["networks"])
            self.ema.module.load_state_dict(state["ema"])
            self.discriminator.load_state_dict(state["discriminator"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.d_optimiser.load_state_dict(state["d_optimiser"])
            self.record.set_state(state["record"], self.ema.module)
            if self.critic is not None and state["critic"] is not None:
                self.critic.load_state_dict(state["critic"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{path} holds networks of other sizes than the configuration asks for: {error}"
            ) from error
        self.generator.set_state(state["generators"][self.fabric.global_rank])
        torch.set_rng_state(state["global_generator"])
        self.step, self.images = int(state["step"]), int(state["images"])
        self.seconds, self.saved_at = float(state["seconds"]), self.images
        if changed:  # terms may have other levels now
            self.record.spikes = Spikes(self.config.spike_factor, self.settings.clip)
        if {name.split(".")[0] for name in changed} & CHOICE:
            self.record.best = None
