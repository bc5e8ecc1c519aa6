"""Train the bundled portraits generator and discriminator. Resumable; a page of plain steps.

    # paired data: pictures and their normals
    python scripts/train_portraits.py render --out runs/portraits --count 44000
    python scripts/train_portraits.py attributes --out runs/portraits                 # a network for a loss
    python scripts/train_portraits.py train  --out runs/portraits --config scripts/train_portraits.yaml
    python scripts/train_portraits.py export --out runs/portraits --to ganinv/bundled

train_portraits_sharp.yaml goes on with the result, to be sharp, and train_portraits_128.yaml grows one of
twice the side; train_portraits_told.yaml goes on from there (docs/history.md has the figures).

The renderer knows every attribute of a portrait as a quantile of a standard normal, so the first entries of z
ARE those normals: beside the adversarial loss, G(z) is compared with the render of z, so that samples carry
the attributes (how truly, docs/results.md says). The free entries of z carry what the attributes leave open.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from grown_portraits import freeze_below, grow, take_over, write_networks
from paired_portraits import (
    AttributeNetwork,
    Pairs,
    changed_weight,
    face_weight,
    feature_distance,
    read_attribute_network,
    regression,
    render,
    train_attributes,
)
from PIL import Image
from portraits_critic import CriticTrainer
from portraits_phases import Config, Phase, read_config
from torch import Tensor

from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.loading import load_backbone, load_discriminator
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator


def networks(config: Config, side: int) -> tuple[StyleGAN2Generator, Discriminator]:
    torch.manual_seed(config.seed)
    g = StyleGAN2Generator(
        StyleGAN2Config(
            side, config.z_dim, config.w_dim, config.mapping_layers, config.channel_base, config.channel_max
        )
    )
    return g, Discriminator(DiscriminatorConfig(side, config.d_channel_base, config.d_channel_max))


def discriminator_of(start: str) -> Discriminator:
    """The discriminator of a generator's name, or beside its file, as `export` writes the two."""
    path = Path(start)
    return load_discriminator(
        path.with_name(f"{path.stem}-discriminator.safetensors") if path.suffix else start
    )


class Trainer:
    def __init__(self, config: Config, out: Path) -> None:
        self.config, self.out = config, out
        self.pairs = Pairs(out, config.z_dim)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.phase, self.seen, self.steps, self.in_phase = 0, 0, 0, 0
        self.seer: AttributeNetwork | None = None
        if any(phase.attributes for phase in config.phases):
            self.seer = read_attribute_network(out / "attributes.pt", narrow=config.narrow)
        self.critic: CriticTrainer | None = None
        if any(phase.critic for phase in config.phases):
            self.critic = CriticTrainer(
                config.phases[-1].side, config.critic_lr, config.critic_r1_gamma, narrow=config.narrow
            )
        self.build(config.phases[0])

    def build(self, phase: Phase) -> None:
        """Networks of the phase's size; grown from the present ones where the size changed."""
        before = getattr(self, "g", None), getattr(self, "ema", None), getattr(self, "d", None)
        if before[0] is None and self.config.start is not None:
            small = load_backbone(self.config.start)
            before = small, small, discriminator_of(self.config.start)
        if not hasattr(self, "g") or self.g.resolution != phase.side:
            self.g, self.d = networks(self.config, phase.side)
            self.ema = copy.deepcopy(self.g)
            if before[0] is None:  # the attributes speak first, the free entries of z softly
                self.g.mapping.get_submodule("fc0").weight.data[:, self.pairs.normals.shape[1] :] *= 0.1
                self.ema.load_state_dict(self.g.state_dict())
            else:
                grow(self.g, before[0])
                grow(self.ema, before[1])
                take_over(self.d, before[2])
        self.g.compute_dtype = self.d.compute_dtype = torch.bfloat16 if self.config.narrow else torch.float32
        freeze_below(self.g, phase.frozen_below)
        self.silence()
        parts = (self.g.synthesis, 1.0), (self.g.mapping, self.config.mapping_lr)
        learning = [([p for p in part.parameters() if p.requires_grad], factor) for part, factor in parts]
        groups = [{"params": part, "factor": factor} for part, factor in learning if part]
        beta1 = 0.5 if phase.critic else 0.0 if phase.adversarial else 0.9
        self.opt_g = torch.optim.Adam(groups, phase.lr, betas=(beta1, 0.99))
        self.opt_d = torch.optim.Adam(self.d.parameters(), lr=phase.lr, betas=(0.0, 0.99))
        self.weight = face_weight(phase.side)

    def silence(self) -> None:
        """Without noise, where the configuration wants none."""
        for network in () if self.config.noise else (self.g, self.ema):
            for name, p in network.named_parameters():
                if name.endswith("noise_strength"):
                    p.data.zero_().requires_grad_(False)

    def step(self) -> dict[str, float]:
        phase = self.config.phases[self.phase]
        real, z = self.pairs.batch(phase.batch, phase.side, self.generator)
        real = self.sharpened(phase, real).contiguous(memory_format=torch.channels_last)
        fake = self.g(z, noise="random" if self.config.noise else "none")
        self.set_rates(phase)
        terms = self.paired_terms(phase, fake, real)
        penalise = self.steps % self.config.r1_every == 0
        if phase.adversarial:
            reals = self.d.features(
                real.requires_grad_(penalise)
            )  # serves both steps: D changes only after them
            self.d.requires_grad_(False)
            fakes = self.d.features(fake)
            terms["adversarial"] = phase.adversarial, F.softplus(-self.d.b4(fakes[-1])).mean()
            if phase.features:
                terms["features"] = phase.features, feature_distance(fakes, reals)
        verdict = None
        if self.critic is not None and phase.critic:
            verdict = self.critic.judge(fake, real)
            if self.critic.steps >= self.config.critic_head_start:
                terms["critic_adversarial"] = phase.critic, verdict.adversarial
                terms["critic_features"] = phase.critic_features, verdict.features
        if terms:
            self.opt_g.zero_grad(set_to_none=True)
            sum(weight * value for weight, value in terms.values()).backward()
            self.opt_g.step()
        report = {name: value.item() for name, (_, value) in terms.items()}
        if self.critic is not None and verdict is not None:
            report.update(self.critic.learn(verdict, fake))
        if phase.adversarial:
            self.d.requires_grad_(True)
            report.update(self.step_d(real, reals, fake.detach(), penalise))
        half_life = min(self.config.ema_kimg * 1000, 0.05 * self.seen + 1)
        beta = 0.5 ** (phase.batch / half_life)
        with torch.no_grad():
            for a, b in zip(self.ema.parameters(), self.g.parameters(), strict=True):
                a.lerp_(b, 1 - beta)
        self.seen += phase.batch
        self.in_phase += phase.batch
        self.steps += 1
        return report

    def sharpened(self, phase: Phase, real: Tensor) -> Tensor:
        """Renders as sharp as they are by now, see `Phase.sharpen_kimg`."""
        if self.in_phase >= phase.sharpen_kimg * 1000:
            return real
        soft = F.interpolate(F.avg_pool2d(real, 2), scale_factor=2, mode="bilinear")
        return soft.lerp(real, self.in_phase / (phase.sharpen_kimg * 1000))

    def paired_terms(self, phase: Phase, fake: Tensor, real: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Weights and values of the losses that compare G(z) with the render of z."""
        terms: dict[str, tuple[float, Tensor]] = {}
        if phase.pixels:
            terms["pixels"] = phase.pixels, regression(fake, real, self.weight + changed_weight(real))
        for name, factor, side in (("coarse", phase.coarse, 32), ("halved", phase.halved, phase.side // 2)):
            if factor:
                distance = F.adaptive_avg_pool2d(fake - real, side).abs()
                weight = F.adaptive_avg_pool2d((self.weight + changed_weight(real)) / 2, side)
                terms[name] = factor, (distance * weight).mean()
        if phase.attributes:
            assert self.seer is not None
            with torch.no_grad():
                seen = self.seer(real)
            terms["attributes"] = phase.attributes, feature_distance(self.seer(fake), seen)
        return terms

    def set_rates(self, phase: Phase) -> None:
        """Learning rates from the configuration, which a restart may have changed."""
        rate = phase.lr_at(self.in_phase)
        for group in self.opt_g.param_groups:
            group["lr"] = rate * group["factor"]
        self.opt_d.param_groups[0]["lr"] = rate * self.config.d_lr

    def step_d(self, real: Tensor, reals: list[Tensor], fake: Tensor, penalise: bool) -> dict[str, float]:
        logits_real, logits_fake = self.d.b4(reals[-1]), self.d(fake)
        loss = F.softplus(-logits_real).mean() + F.softplus(logits_fake).mean()
        report = {"d": loss.item(), "d_real": logits_real.mean().item(), "d_fake": logits_fake.mean().item()}
        if penalise:
            (gradient,) = torch.autograd.grad(logits_real.sum(), real, create_graph=True)
            r1 = gradient.square().sum((1, 2, 3)).mean()
            loss = loss + self.config.r1_gamma / 2 * self.config.r1_every * r1
            report["r1"] = r1.item()
        self.opt_d.zero_grad(set_to_none=True)
        loss.backward()
        self.opt_d.step()
        return report

    def run(self, minutes: float) -> None:
        until, last_save, start, seen = time.time() + minutes * 60, time.time(), time.time(), self.seen
        while self.phase < len(self.config.phases) and time.time() < until:
            phase = self.config.phases[self.phase]
            report = self.step()
            if (self.steps - 1) % (3 * self.config.r1_every) == 0:  # those with a penalty, so that r1 is told
                rate = (self.seen - seen) / (time.time() - start)
                line = {"kimg": round(self.seen / 1000, 2), "side": phase.side, "per_s": round(rate, 1)}
                line |= {k: round(v, 4) for k, v in report.items()}
                with open(self.out / "log.jsonl", "a") as log:
                    log.write(json.dumps(line) + "\n")
            if time.time() - last_save > 120:
                self.save()
                self.sheet()
                self.pairs.refresh()
                last_save = time.time()
            if self.in_phase >= phase.kimg * 1000:
                self.phase, self.in_phase = self.phase + 1, 0
                if self.phase < len(self.config.phases):
                    self.build(self.config.phases[self.phase])
                self.save()
                self.sheet()
        self.save()
        self.sheet()

    def save(self) -> None:
        state = {
            "g": self.g.state_dict(), "ema": self.ema.state_dict(), "d": self.d.state_dict(),
            "opt_g": self.opt_g.state_dict(), "opt_d": self.opt_d.state_dict(),
            "rng": torch.get_rng_state(), "generator": self.generator.get_state(),
            "critic": None if self.critic is None else self.critic.state(),
            "at": [self.phase, self.seen, self.steps, self.in_phase],
        }  # fmt: skip
        temporary = self.out / "state.pt.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.out / "state.pt")

    def load(self) -> None:
        state = torch.load(self.out / "state.pt", weights_only=True)
        self.phase, self.seen, self.steps, self.in_phase = state["at"]
        self.build(self.config.phases[min(self.phase, len(self.config.phases) - 1)])
        for name in ("g", "ema", "d"):
            getattr(self, name).load_state_dict(state[name])
        self.silence()  # a state that had noise can go on without
        if self.critic is not None and state.get("critic"):
            self.critic.restore(state["critic"])
        try:
            self.opt_g.load_state_dict(state["opt_g"])
            self.opt_d.load_state_dict(state["opt_d"])
        except (KeyError, ValueError):  # another size, or a state to start from: fresh optimisers
            pass
        torch.set_rng_state(state["rng"])
        self.generator.set_state(state["generator"])

    @torch.no_grad()
    def sheet(self) -> None:
        """Renders, the network's answer to their z, and samples of fresh z."""
        chooser = torch.Generator().manual_seed(7)
        side = self.config.phases[min(self.phase, len(self.config.phases) - 1)].side
        side = min(side, self.ema.resolution)
        real, z = self.pairs.batch(24, side, chooser)
        fresh = torch.randn(24, self.config.z_dim, generator=chooser)
        rows = torch.cat([real, self.ema(z), self.ema(fresh)])
        grid = rows.reshape(6, 12, 3, side, side).permute(0, 3, 1, 4, 2).reshape(6 * side, 12 * side, 3)
        picture = Image.fromarray(((grid + 1) * 127.5).round().clamp(0, 255).byte().numpy())
        temporary = self.out / "sheet.tmp.png"
        picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST).save(temporary)
        os.replace(temporary, self.out / "sheet.png")


@torch.no_grad()
def export(out: Path, to: Path, config: Config) -> None:
    """Write generator (EMA) and discriminator of a run."""
    state = torch.load(out / "state.pt", weights_only=True)
    side = max(value.shape[0] for key, value in state["ema"].items() if key.endswith("noise_const"))
    g, d = networks(config, side)
    g.load_state_dict(state["ema"])
    d.load_state_dict(state["d"])
    kimg = round(state["at"][1] / 1000, 1)
    provenance = {
        "script": "scripts/train_portraits.py",
        "kimg": kimg,
        "config": asdict(config),
        "attributes": json.loads((out / "renders" / "names.json").read_text()),  # of the first entries of z
    }
    write_networks(to, g, d, provenance)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["render", "attributes", "train", "export"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--count", type=int, default=44_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--to", type=Path, default=Path("ganinv/bundled"))
    args = parser.parse_args()
    config = read_config(args.config)
    if args.verb == "render":
        render(args.out, args.count, args.side, args.seed)
    elif args.verb == "attributes":
        train_attributes(args.out, config.z_dim)
    elif args.verb == "export":
        export(args.out, args.to, config)
    else:
        trainer = Trainer(config, args.out)
        if (args.out / "state.pt").exists():
            trainer.load()
        trainer.run(args.minutes)


if __name__ == "__main__":
    main()
