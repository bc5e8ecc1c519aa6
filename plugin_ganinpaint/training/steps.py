"""One stage's networks and optimisers, and what a step does with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn

from ganinv.parts import Backbone, Discriminator
from ganinv_ops.dispatch import multiplies_bfloat16

from .. import losses
from ..config import NetworkConfig
from . import stage1
from .codes import CodeDistance, CodeReadout
from .common import Ema, Networks, Stage, derive_seed, rate_factor, render
from .data import Batch, Sampler
from .edits import Edits
from .hidden import ToldEntries
from .latent import LatentCritic, delta_length
from .micro import Part, parts_of
from .reals import Reals
from .settings import TrainConfig

Report = Callable[[str], None]


class StageSteps:
    """Networks, discriminator, averages and data of one stage; `train_step` moves them on by one step."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        stage: Stage,
        backbone: Backbone,
        discriminator: Discriminator,
        network_config: NetworkConfig,
        out: Path,
        *,
        reals: Reals | None = None,
        report: Report,
    ) -> None:
        self.fabric, self.config, self.out, self.report = fabric, config, out, report
        self.part, self.stage = stage, stage.number
        self.settings = config.stage(self.stage)
        device = fabric.device
        self.backbone = backbone.to(device).eval().requires_grad_(False)
        if config.precision == "bfloat16":
            for network in (self.backbone, discriminator):
                network.compute_dtype = torch.bfloat16
        torch.manual_seed(
            derive_seed(config.seed, self.stage, "weights")
        )  # initial weights come from the global generator
        self.networks = self.part.build(network_config, self.backbone).train()
        self.told = ToldEntries(self.backbone) if config.data.hidden_codes > 0 else None
        self.code_distance: CodeDistance | None = None
        if self.told is not None or config.losses.code > 0:
            readout = CodeReadout(self.backbone)
            self.code_distance = CodeDistance(readout, self.told)
            if self.told is not None and isinstance(self.networks, Networks):
                self.networks.mixing.basis.copy_(readout.basis())
        discriminator = copy.deepcopy(discriminator).to(device)
        self.distance = losses.FeatureDistance(discriminator).to(device)
        self.discriminator = discriminator.train().requires_grad_(True)
        for module in (self.networks, self.discriminator):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.w_std = network_config.w_std
        self._optimisers()
        self.ema = Ema(self.networks, config.ema_images)
        self.generator = torch.Generator().manual_seed(
            derive_seed(config.seed, self.stage, f"data-{fabric.global_rank}")
        )
        self.edits = (
            Edits(self.backbone, self.settings) if self.stage == 2 and self.settings.edit_share > 0 else None
        )
        self.reals = reals
        self.sampler = self._sampler(self.settings.batch, self.generator, self.edits)
        self.step, self.images, self.seconds = 0, 0, 0.0
        self.r1_gamma = config.losses.r1_gamma
        if self.r1_gamma is None:
            self.r1_gamma = losses.default_r1_gamma(
                self.backbone.resolution, self.settings.batch * fabric.world_size
            )

    def _sampler(self, count: int, generator: torch.Generator, edits: Edits | None) -> Sampler:
        return Sampler(
            self.backbone, self.config, count, generator, reals=self.reals, edits=edits, told=self.told
        )

    def _optimisers(self) -> None:
        settings = self.settings
        groups = self.part.parameter_groups(self.networks, settings)
        optimiser = torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas)
        d_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=settings.discriminator_lr, betas=settings.discriminator_betas
        )
        self.wrapped, self.optimiser = self.fabric.setup(self.networks, optimiser)
        self.wrapped_d, self.d_optimiser = self.fabric.setup(self.discriminator, d_optimiser)
        for name in ("encode", "codes"):
            if hasattr(self.networks, name):
                self.wrapped.mark_forward_method(name)
        weights, self.critic = self.config.losses, None
        if weights.latent > 0:
            self.critic = LatentCritic(self.fabric, self.backbone, self.w_std, weights.adversarial_kind)

    def autocast(self) -> torch.autocast:
        """The context in which networks compute; in float32 where bfloat16 has no instructions."""
        enabled = self.config.precision == "bfloat16" and multiplies_bfloat16(self.fabric.device)
        return torch.autocast(self.fabric.device.type, dtype=torch.bfloat16, enabled=enabled)

    # ---------------------------------------------------------------------------------------- one step

    def train_step(self, progress: float) -> dict[str, Tensor]:
        """One step of the networks and one of the discriminator on the same pictures; the terms, detached, as
        means over all devices.
        """
        self.part.prepare(self.networks, self.settings, progress)
        self._set_rates(progress)
        batch = self.sampler.draw()
        parts = parts_of(batch, self.settings.accumulate)
        if self.in_code_warmup:
            terms, fakes = self._codes_step(batch, parts), None
        else:
            terms, fakes = self._networks_step(parts)
        if fakes is not None:
            terms |= self._discriminator_step(parts, fakes)
        seen = self.settings.batch * self.fabric.world_size
        self.step += 1
        self.images += seen
        self.ema.update(self.networks, seen, self.images)
        return self._over_devices(terms)

    @property
    def in_code_warmup(self) -> bool:
        """Whether the next step is one of the code warm-up."""
        return self.stage == 1 and self.images < self.settings.code_images

    def _over_devices(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Means over the devices, so that all of them stop where one is off."""
        if self.fabric.world_size == 1:
            return terms
        values = torch.stack([value.float() for value in terms.values()])
        return dict(zip(terms, torch.as_tensor(self.fabric.all_reduce(values)).unbind(), strict=True))

    def _codes_step(self, batch: Batch, parts: list[Part]) -> dict[str, Tensor]:
        """The warm-up of stage 1 against true codes: the encoder alone, or with the mixing network, where
        hidden codes tell it what to listen to.
        """
        if self.told is not None:
            return self._mixed_codes_step(parts)
        scale = stage1.code_scale(self.backbone, batch)
        if self.fabric.world_size > 1:
            scale = torch.as_tensor(self.fabric.all_reduce(scale))
        self.optimiser.zero_grad()
        found = []
        for part in parts:
            with self._adding(self.wrapped, part is parts[-1]):
                with self.autocast():
                    loss = stage1.code_distance(self.wrapped.encode, part.batch, scale)
                self.fabric.backward(loss)
            found.append(loss.detach())
        return {"code": torch.stack(found).sum(), "gradient": self._descend()}

    def _mixed_codes_step(self, parts: list[Part]) -> dict[str, Tensor]:
        self.optimiser.zero_grad()
        found = []
        for part in parts:
            batch = part.batch
            with self._adding(self.wrapped, part is parts[-1]):
                with self.autocast():
                    w_out = self.wrapped.codes(batch.erased, batch.visible, batch.w_rand)
                    loss = self._code_distance(w_out, batch)
                self.fabric.backward(loss / len(parts))
            found.append({"code": loss.detach()})
        return {**_mean(found), "gradient": self._descend()}

    def _networks_step(self, parts: list[Part]) -> tuple[dict[str, Tensor], list[Tensor] | None]:
        """The terms, and the outputs that the discriminator is to learn from, where it is its turn."""
        asked = self.config.losses.adversarial > 0 and self.step % self.config.losses.adversarial_every == 0
        self.discriminator.requires_grad_(False)
        self.optimiser.zero_grad()
        found, fakes, codes = [], [], []
        for part in parts:
            with self._adding(self.wrapped, part is parts[-1]):
                with self.autocast():
                    terms, judged, w_out = self._networks_terms(part, asked)
                self.fabric.backward(terms["loss"] / len(parts))
            found.append({name: value.detach() for name, value in terms.items()})
            codes.append(w_out.detach())
            if judged is not None:
                fakes.append(judged.detach())
        terms = _mean(found)
        terms["gradient"] = self._descend()
        if self.critic is not None:
            true = self.sampler.codes(self.settings.batch)
            terms |= self.critic.step(torch.cat(codes), true, self.step)
        self.discriminator.requires_grad_(True)
        return terms, fakes if asked else None

    def _networks_terms(self, part: Part, asked: bool) -> tuple[dict[str, Tensor], Tensor | None, Tensor]:
        """The terms of a part and, weighted, their sum "loss"; the outputs as the discriminator sees them;
        the codes behind them.
        """
        weights, batch, fakes = self.config.losses, part.batch, None
        given = batch.erased, batch.visible, batch.w_rand, partial(render, self.backbone), batch.edit
        shown, w_out = self.wrapped(*given)
        target = batch.targets[batch.target_of]
        pixels = None
        if weights.balance > 0:
            seen = batch.visible.repeat(batch.passes, 1, 1, 1)
            pixels = losses.hole_weights(batch.where, seen, weights.balance)
        where = batch.where if pixels is None else batch.where * pixels
        terms = {"l2": losses.visible_l2(shown, target, where)}
        total = weights.l2 * terms["l2"]
        if weights.perceptual > 0:
            with torch.no_grad():
                wanted = self.distance.features(batch.targets)
            known = losses.blend(shown, target, batch.where)
            terms["perceptual"] = self.distance(known, [f[batch.target_of] for f in wanted], pixels)
            total = total + weights.perceptual * terms["perceptual"]
        if weights.code > 0:
            terms["code_out"] = self._code_distance(w_out, batch)
            total = total + weights.code * terms["code_out"]
        if self.critic is not None:
            terms["latent"] = self.critic.loss(w_out)
            total = total + weights.latent * terms["latent"]
        if weights.delta > 0:
            terms["delta"] = delta_length(w_out, self.w_std)
            total = total + weights.delta * terms["delta"]
        if asked:
            fakes = self._fakes(shown, target, part)
            logits = self._judged(self.discriminator, fakes, batch)
            terms["adversarial"] = losses.generator_loss(logits, weights.adversarial_kind)
            total = total + weights.adversarial * weights.adversarial_every * terms["adversarial"]
        if self.stage == 1 and weights.mode_seeking > 0 and batch.passes > 1:
            terms["mode_seeking"] = self._mode_seeking(shown, batch)
            total = total + weights.mode_seeking * terms["mode_seeking"]
        terms["loss"], terms["moved"] = total, (w_out - batch.w_rand).abs().mean()
        return terms, fakes, w_out

    def _adding(self, wrapped: _FabricModule, last: bool) -> AbstractContextManager[None]:
        """Gradients of a part are added up; only with the last one do devices exchange them."""
        return self.fabric.no_backward_sync(wrapped, enabled=not last)

    def _descend(self) -> Tensor:
        """One step of the networks' optimiser; returns the gradient's length before clipping."""
        norm = self.fabric.clip_gradients(
            self.networks, self.optimiser, max_norm=self.settings.clip, error_if_nonfinite=False
        )
        self.optimiser.step()
        return torch.as_tensor(norm).detach()

    def _code_distance(self, w_out: Tensor, batch: Batch) -> Tensor:
        """Of w_out, in the rows that must agree on all pixels."""
        assert self.code_distance is not None
        whole = batch.where.amin(dim=(1, 2, 3)) == 1  # (P * N,)
        rows = whole & batch.has_code.repeat(batch.passes)
        told = None if batch.told is None else batch.told.repeat(batch.passes, 1)
        return self.code_distance(w_out, batch.w_true.repeat(batch.passes, 1, 1), rows, told)

    def _mode_seeking(self, shown: Tensor, batch: Batch) -> Tensor:
        (first, second), (a, b) = shown.chunk(2), batch.w_rand.chunk(2)
        return losses.mode_seeking(first, second, a, b, 1 - batch.visible)

    def _fakes(self, shown: Tensor, target: Tensor, part: Part) -> Tensor:
        """Outputs as the discriminator sees them, raw or with the known pixels pasted in.

        Rows are ordered picture by picture, so that no group of the minibatch statistics holds one picture
        twice, which would tell the fakes by their sameness.
        """
        batch = part.batch
        p, n = batch.passes, len(batch.image)
        pasted = losses.blend(target, shown, batch.visible.repeat(p, 1, 1, 1))
        if self.config.losses.judge_both:
            rows = torch.stack([shown, pasted]).reshape(2 * p, n, *shown.shape[1:])
        else:
            raw = (part.number + torch.arange(p, device=shown.device)[:, None]) % 2 == 0
            rows = torch.where(raw.reshape(-1, 1, 1, 1), shown, pasted).reshape(p, n, *shown.shape[1:])
        return rows.transpose(0, 1).flatten(0, 1)

    def _discriminator_step(self, parts: list[Part], fakes: list[Tensor]) -> dict[str, Tensor]:
        every = self.config.losses.r1_every
        with_r1 = self.step % (every * self.config.losses.adversarial_every) == 0
        self.d_optimiser.zero_grad()
        found = []
        for part, judged in zip(parts, fakes, strict=True):
            with self._adding(self.wrapped_d, part is parts[-1]):
                terms = self._discriminator_terms(part.batch, judged, with_r1)
                loss = terms["discriminator"]
                if with_r1:
                    assert self.r1_gamma is not None
                    loss = loss + terms["r1"] * (self.r1_gamma * every)
                self.fabric.backward(loss / len(parts))
            found.append({name: value.detach() for name, value in terms.items()})
        gradients = [p.grad for p in self.discriminator.parameters() if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        self.d_optimiser.step()
        return {**_mean(found), "discriminator_gradient": norm}

    def _discriminator_terms(self, batch: Batch, fakes: Tensor, with_r1: bool) -> dict[str, Tensor]:
        with self.autocast():
            real_logits = self._judged(self.wrapped_d, batch.reals, batch)
            fake_logits = self._judged(self.wrapped_d, fakes, batch)
            loss = losses.discriminator_loss(real_logits, fake_logits, self.config.losses.adversarial_kind)
            terms = {
                "discriminator": loss,
                "real_logit": real_logits.mean(),
                "fake_logit": fake_logits.mean(),
            }
            if with_r1:
                terms["r1"] = losses.r1_penalty(
                    lambda reals: self._judged(self.wrapped_d, reals, batch), batch.reals
                )
        return terms

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
        if self.critic is not None:
            self.critic.set_rate(settings.discriminator_lr * factor)


def _mean(found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Means of the terms over the parts of a batch."""
    return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}
