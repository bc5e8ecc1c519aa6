"""One stage's networks and optimisers, and what a step does with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ganinv.parts import Backbone, Discriminator

from .. import losses
from ..config import NetworkConfig
from . import stage1, stage2
from .common import Ema, derive_seed, rate_factor
from .data import Batch, Sampler
from .edits import Edits
from .settings import TrainConfig

Report = Callable[[str], None]


class StageSteps:
    """Networks, discriminator, averages and data of one stage; `train_step` moves them on by one step."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        stage: int,
        backbone: Backbone,
        discriminator: Discriminator,
        network_config: NetworkConfig,
        out: Path,
        *,
        reals: Tensor | None = None,
        report: Report,
    ) -> None:
        self.fabric, self.config, self.stage, self.out, self.report = fabric, config, stage, out, report
        self.settings, self.part = config.stage(stage), stage1 if stage == 1 else stage2
        device = fabric.device
        self.backbone = backbone.to(device).eval().requires_grad_(False)
        if config.precision == "bfloat16":
            for network in (self.backbone, discriminator):
                network.compute_dtype = torch.bfloat16
        torch.manual_seed(
            derive_seed(config.seed, stage, "weights")
        )  # initial weights come from the global generator
        self.networks = self.part.build(network_config, self.backbone).train()
        discriminator = copy.deepcopy(discriminator).to(device)
        self.distance = losses.FeatureDistance(discriminator).to(device)
        self.discriminator = discriminator.train().requires_grad_(True)
        for module in (self.networks, self.discriminator):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimisers()
        self.ema = Ema(self.networks, config.ema_images)
        self.generator = torch.Generator().manual_seed(
            derive_seed(config.seed, stage, f"data-{fabric.global_rank}")
        )
        self.edits = (
            Edits(self.backbone, self.settings) if stage == 2 and self.settings.edit_share > 0 else None
        )
        self.reals = reals
        self.sampler = self._sampler(self.settings.batch, self.generator, self.edits)
        self.step, self.images, self.seconds = 0, 0, 0.0
        self.r1_gamma = config.losses.r1_gamma
        if self.r1_gamma is None:
            self.r1_gamma = losses.default_r1_gamma(self.backbone.resolution, self.settings.batch)

    def _sampler(self, count: int, generator: torch.Generator, edits: Edits | None) -> Sampler:
        return Sampler(self.backbone, self.config, count, generator, reals=self.reals, edits=edits)

    def _optimisers(self) -> None:
        settings = self.settings
        groups = self.part.parameter_groups(self.networks, settings)
        optimiser = torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas)
        d_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=settings.discriminator_lr, betas=settings.discriminator_betas
        )
        self.wrapped, self.optimiser = self.fabric.setup(self.networks, optimiser)
        self.wrapped_d, self.d_optimiser = self.fabric.setup(self.discriminator, d_optimiser)
        self.wrapped_d.mark_forward_method("features")

    def autocast(self) -> torch.autocast:
        """The context in which networks compute."""
        enabled = self.config.precision == "bfloat16"
        return torch.autocast(self.fabric.device.type, dtype=torch.bfloat16, enabled=enabled)

    # ------------------------------------------------------------------------------------------------ one
    # step

    def train_step(self, progress: float) -> dict[str, Tensor]:
        """One step of the networks and one of the discriminator on the same pictures; the terms, detached."""
        if self.stage == 2:
            stage2.set_frozen(self.networks, self.settings, progress)
        self._set_rates(progress)
        batch = self.sampler.draw()
        if self.stage == 1 and self.images < self.settings.code_images:
            terms, fakes = self._codes_step(batch), None
        else:
            terms, fakes = self._networks_step(batch)
        if fakes is not None:
            terms |= self._discriminator_step(batch, fakes)
        self.step += 1
        self.images += self.settings.batch * self.fabric.world_size
        self.ema.update(self.networks, self.settings.batch * self.fabric.world_size, self.images)
        return terms

    def _networks_step(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor | None]:
        weights = self.config.losses
        self.discriminator.requires_grad_(False)
        with self.autocast():
            shown, w_out = self.part.outputs(self.wrapped, self.backbone, batch)
            target = batch.targets[batch.target_of]
            terms = {"l2": losses.visible_l2(shown, target, batch.where)}
            total = weights.l2 * terms["l2"]
            if weights.perceptual > 0:
                with torch.no_grad():
                    wanted = self.distance.features(batch.targets)
                known = losses.blend(shown, target, batch.where)
                terms["perceptual"] = self.distance(known, [f[batch.target_of] for f in wanted])
                total = total + weights.perceptual * terms["perceptual"]
            if weights.code > 0:
                terms["code_out"] = self._code_distance(w_out, batch)
                total = total + weights.code * terms["code_out"]
            fakes = None
            if weights.adversarial > 0 and self.step % weights.adversarial_every == 0:
                fakes = self._fakes(shown, target, batch)
                logits = self._judged(self.discriminator, fakes, batch)
                terms["adversarial"] = losses.generator_loss(logits, weights.adversarial_kind)
                total = total + weights.adversarial * weights.adversarial_every * terms["adversarial"]
            if self.stage == 1 and weights.mode_seeking > 0 and batch.passes > 1:
                terms["mode_seeking"] = self._mode_seeking(shown, batch)
                total = total + weights.mode_seeking * terms["mode_seeking"]
        terms["gradient"] = self._descend(total)
        self.discriminator.requires_grad_(True)
        terms["loss"], terms["moved"] = total, (w_out - batch.w_rand).abs().mean()
        return {
            name: value.detach() for name, value in terms.items()
        }, None if fakes is None else fakes.detach()

    def _codes_step(self, batch: Batch) -> dict[str, Tensor]:
        """The warm-up of stage 1: the encoder alone, against true codes."""
        with self.autocast():
            loss = stage1.code_distance(self.wrapped, self.backbone, batch)
        return {"code": loss.detach(), "gradient": self._descend(loss)}

    def _descend(self, loss: Tensor) -> Tensor:
        """One optimiser step; returns the gradient's length before clipping."""
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.networks, self.optimiser, max_norm=self.settings.clip, error_if_nonfinite=False
        )
        self.optimiser.step()
        return torch.as_tensor(norm).detach()

    def _code_distance(self, w_out: Tensor, batch: Batch) -> Tensor:
        whole = (batch.where.amin(dim=(1, 2, 3)) == 1) & batch.has_code.repeat(batch.passes)  # (P * N,)
        true = batch.w_true.repeat(batch.passes, 1, 1)
        return losses.code_distance(w_out, true, whole, self.backbone.w_avg)

    def _mode_seeking(self, shown: Tensor, batch: Batch) -> Tensor:
        (first, second), (a, b) = shown.chunk(2), batch.w_rand.chunk(2)
        return losses.mode_seeking(first, second, a, b, 1 - batch.visible)

    def _fakes(self, shown: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """Outputs as the discriminator sees them, raw or with the known pixels pasted in.

        Rows are ordered picture by picture, so that no group of the minibatch statistics holds one picture
        twice, which would tell the fakes by their sameness.
        """
        p, n = batch.passes, len(batch.image)
        pasted = losses.blend(target, shown, batch.visible.repeat(p, 1, 1, 1))
        if self.config.losses.judge_both:
            rows = torch.stack([shown, pasted]).reshape(2 * p, n, *shown.shape[1:])
        else:
            raw = (
                torch.arange(n, device=shown.device) + torch.arange(p, device=shown.device)[:, None]
            ) % 2 == 0
            rows = torch.where(raw.reshape(-1, 1, 1, 1), shown, pasted).reshape(p, n, *shown.shape[1:])
        return rows.transpose(0, 1).flatten(0, 1)

    def _discriminator_step(self, batch: Batch, fakes: Tensor) -> dict[str, Tensor]:
        with self.autocast():
            real_logits = self._judged(self.wrapped_d, batch.reals, batch)
            fake_logits = self._judged(self.wrapped_d, fakes, batch)
            loss = losses.discriminator_loss(real_logits, fake_logits, self.config.losses.adversarial_kind)
        terms = {"discriminator": loss, "real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        every = self.config.losses.r1_every
        if self.step % (every * self.config.losses.adversarial_every) == 0:
            with self.autocast():
                terms["r1"] = losses.r1_penalty(
                    lambda reals: self._judged(self.wrapped_d, reals, batch), batch.reals
                )
            assert self.r1_gamma is not None
            loss = loss + terms["r1"] * (self.r1_gamma * every)
        self.d_optimiser.zero_grad()
        self.fabric.backward(loss)
        self.d_optimiser.step()
        return {name: value.detach() for name, value in terms.items()}

    def _judged(self, discriminator: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """Logits of pictures that are ordered as `batch.image` is, each once or several times in a row."""
        if not self.discriminator.config.c_dim:
            logits: Tensor = discriminator(images)
            return logits
        assert batch.labels is not None
        logits = discriminator(
            images, batch.labels.repeat_interleave(len(images) // len(batch.labels), dim=0)
        )
        return logits

    def _set_rates(self, progress: float) -> None:
        settings = self.settings
        factor = rate_factor(progress, self.images, settings.warmup_images, settings.decay_from)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.lr * group["share"] * factor
        for group in self.d_optimiser.param_groups:
            group["lr"] = settings.discriminator_lr * factor

    # ------------------------------------------------------------------------------------------------ the
    # whole run
