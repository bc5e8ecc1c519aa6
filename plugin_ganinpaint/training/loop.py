"""The run of one stage: the loop over steps, its log, stopping, saving, going on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ganinv.parts import BackboneMismatchError, ConfigError

from .common import Ending, Networks, PoliteStop, TrainingError, crossed, derive_seed
from .monitor import PROBES, Monitor, Probe
from .state import changed_fields, load_state, save_state, state_path
from .steps import StageSteps


class StageRun(StageSteps):
    """One stage of training: built once, then `run` until done, out of time, or asked to stop."""

    def run(self, *, minutes: float | None = None, on_save: Callable[[Networks], object]) -> Ending:
        """Train until the schedule's end, until `minutes` (those of earlier runs included), or until Ctrl-C.

        `on_save` is called with the averaged networks whenever a state has been written.

        Raises:
            TrainingError: a loss is no longer finite. The last state on disk is the last good one.
        """
        probe_seed = derive_seed(self.config.seed, self.stage, "probe")
        probe = Probe(self._sampler(PROBES, torch.Generator().manual_seed(probe_seed), None))
        monitor = (
            Monitor(self.out, self.stage, probe, images=self.images) if self.fabric.is_global_zero else None
        )
        started, before, figures = time.monotonic(), self.seconds, {}
        self.logged = self.images, self.seconds
        sums: dict[str, list[float]] = {}
        reason = "done"
        with PoliteStop() as stop:
            while self.images < self.settings.images:
                # The first rank's clock counts: the rates and the end must be the same on all.
                self.seconds = self.fabric.broadcast(before + time.monotonic() - started)
                if minutes is not None and self.seconds >= 60 * minutes:
                    reason = "minutes"
                    break
                if self._anyone(stop.asked):
                    reason = "stopped"
                    break
                seen = self.images
                terms = {
                    name: float(value) for name, value in self.train_step(self._progress(minutes)).items()
                }
                self._check(terms)
                for name, value in terms.items():
                    sums.setdefault(name, []).append(value)
                if monitor and self.step % self.config.log_every == 0:
                    self._log(monitor, sums)
                    sums = {}
                if monitor and crossed(seen, self.images, self.config.sheet_every):
                    figures = monitor.sheet(self.images, self.ema.module)
                if crossed(seen, self.images, self.config.save_every):
                    self.save(on_save)
        self.seconds = before + time.monotonic() - started
        self.save(on_save)
        if monitor:
            figures = monitor.sheet(self.images, self.ema.module)
            monitor.close()
        return Ending(reason, self.images, self.seconds, figures)

    def _progress(self, minutes: float | None) -> float:
        """Share of the schedule that is over: pictures, or time where a budget runs out sooner."""
        done = self.images / self.settings.images
        return done if minutes is None else max(done, self.seconds / (60 * minutes))

    def _anyone(self, asked: bool) -> bool:
        if self.fabric.world_size == 1:
            return asked
        votes = self.fabric.all_gather(torch.tensor(float(asked), device=self.fabric.device))
        return bool(torch.as_tensor(votes).any())

    def _check(self, terms: dict[str, float]) -> None:
        broken = [name for name, value in terms.items() if not math.isfinite(value)]
        if broken:
            kept = state_path(self.out, self.stage)
            advice = (
                f"the last good state is kept in {kept}; resume with a lower lr"
                if kept.exists()
                else "no state was saved yet; start again with a lower lr"
            )
            raise TrainingError(
                f"stage {self.stage} stopped at step {self.step}: {', '.join(broken)} not finite; {advice}"
            )

    def _log(self, monitor: Monitor, sums: dict[str, list[float]]) -> None:
        values = {name: sum(v) / len(v) for name, v in sums.items()}
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

    def save(self, on_save: Callable[[Networks], object]) -> None:
        """Write the state and hand the averaged networks to `on_save`; called on every rank."""
        gathered = self.fabric.all_gather(self.generator.get_state().to(self.fabric.device))
        generators = torch.as_tensor(gathered).reshape(self.fabric.world_size, -1)
        if not self.fabric.is_global_zero:
            return
        state = {
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
            "generators": generators.cpu(),
            "global_generator": torch.get_rng_state(),
        }
        save_state(state_path(self.out, self.stage), state)
        on_save(self.ema.module)

    def check_backbone(self, sha256: str, path: Path) -> None:
        """Raise BackboneMismatchError where the state at `path` belongs to another generator."""
        if sha256 != self.backbone.sha256:
            raise BackboneMismatchError(
                f"{path} was trained on another backbone than {self.backbone.name!r}; give that one"
            )

    def resume(self) -> None:
        """Go on from the stage's last state.

        Raises:
            CheckpointError: there is none, or it is damaged.
            BackboneMismatchError: it was trained on another generator.
            ConfigError: its networks are of other sizes, or it ran on another number of devices.
        """
        path = state_path(self.out, self.stage)
        state = load_state(path, stage=self.stage)
        self.check_backbone(state["backbone_sha256"], path)
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
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{path} holds networks of other sizes than the configuration asks for: {error}"
            ) from error
        self.generator.set_state(state["generators"][self.fabric.global_rank])
        torch.set_rng_state(state["global_generator"])
        self.step, self.images, self.seconds = (
            int(state["step"]),
            int(state["images"]),
            float(state["seconds"]),
        )
