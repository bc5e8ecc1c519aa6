"""Renders paired with their z, and the losses that compare G(z) with them. Used by train_portraits.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganinv.metrics.judge import Judge, JudgeConfig

MIRRORED = ("yaw", "roll", "light_az", "part", "asym", "gaze_x")  # attributes whose sign a mirror flips


class Pairs:
    """Renders and their z: `(pictures [N, 3, side, side] in [-1, 1], z [N, z_dim])`, mirrored half of the
    time.
    """

    def __init__(self, folder: Path, z_dim: int) -> None:
        shards = [load_file(path) for path in sorted((folder / "renders").glob("*.safetensors"))]
        names = json.loads((folder / "renders" / "names.json").read_text())
        self.images = torch.cat([s["images"] for s in shards])
        self.normals = torch.cat([s["normals"] for s in shards])
        self.z_dim = z_dim
        self.sign = torch.tensor([-1.0 if name in MIRRORED else 1.0 for name in names])

    def batch(self, n: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        at = torch.randint(len(self.images), (n,), generator=generator)
        x, u = self.images[at].float() / 127.5 - 1, self.normals[at]
        mirror = torch.rand(n, generator=generator) < 0.5
        x = torch.where(mirror[:, None, None, None], x.flip(3), x)
        u = torch.where(mirror[:, None], u * self.sign, u)
        if x.shape[-1] != side:
            x = F.avg_pool2d(x, x.shape[-1] // side)
        return x, complete(u, self.z_dim, generator)


def complete(normals: Tensor, z_dim: int, generator: torch.Generator) -> Tensor:
    """Fill z with free entries so that its mean square is 1: the mapping's normalisation then changes no
    attribute.
    """
    free = torch.randn(len(normals), z_dim - normals.shape[1], generator=generator)
    room = (z_dim - normals.square().sum(1, keepdim=True)).clamp_min(1.0)
    return torch.cat([normals, free * (room / free.square().sum(1, keepdim=True)).sqrt()], dim=1)


def face_weight(side: int) -> Tensor:
    """Weight of each pixel in the regression: the face counts more than clothes and background. Mean 1."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    weight = 0.4 + 2.5 * torch.exp(-((x / 0.42) ** 4) - ((y - 0.05) / 0.45).abs() ** 4)
    return (weight / weight.mean())[None, None]


def regression(fake: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """L1 and L2 of pixels, L1 of differences between neighbours and of halved pictures: small eyes count
    beside large backgrounds.
    """
    d = fake - real
    loss = ((d.abs() + 4 * d.square()) * weight).mean() + (
        F.avg_pool2d(d, 2).abs() * F.avg_pool2d(weight, 2)
    ).mean()
    dx, dy = d[..., 1:] - d[..., :-1], d[..., 1:, :] - d[..., :-1, :]
    return loss + (dx.abs() * weight[..., 1:]).mean() + (dy.abs() * weight[..., 1:, :]).mean()


def perceive(network: Judge, images: Tensor) -> list[Tensor]:
    """Block outputs of the attribute network, and its readings last."""
    x, outputs = network.stem(images), []
    for block in network.stages:
        x = block(x)
        outputs.append(x)
    return [*outputs, network.attributes(F.silu(network.hidden(F.silu(x).flatten(1))))]


def feature_distance(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    total = fake[0].new_zeros(())
    for a, b in zip(fake, real, strict=True):
        scale = b.detach().abs().mean() + 1e-4
        total = total + (a - b.detach()).abs().mean() / scale
    return total / len(fake)


def attribute_network(pairs: Pairs) -> Judge:
    """A small network that reads the normals of a render; its own seed and widths, apart from the judge's."""
    torch.manual_seed(4321)
    names = tuple(f"u{i}" for i in range(pairs.normals.shape[1]))
    return Judge(JudgeConfig(pairs.images.shape[-1], names, widths=(24, 48, 96, 128), identity_dim=16))


def train_attributes(out: Path, z_dim: int, kimg: float = 60, batch: int = 32, lr: float = 2.5e-3) -> None:
    """The attribute network, on the same renders: half of the batches noisy, half blurred."""
    pairs, generator = Pairs(out, z_dim), torch.Generator().manual_seed(5)
    network = attribute_network(pairs)
    decay = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=decay)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.01)
    steps = int(kimg * 1000 / batch)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1, step / 50) * (1 - step / steps) ** 0.5
        x, z = pairs.batch(batch, pairs.images.shape[-1], generator)
        if step % 2:
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        else:
            x = x + 0.05 * torch.rand(batch, 1, 1, 1, generator=generator) * torch.randn(
                x.shape, generator=generator
            )
        loss = F.smooth_l1_loss(network(x)[0], z[:, : pairs.normals.shape[1]].clamp(-2.5, 2.5), beta=0.5)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update_parameters(network)
    torch.save(average.module.state_dict(), out / "attributes.pt")


def render(out: Path, count: int, side: int, seed: int, shard: int = 500) -> None:
    """Paired data from the renderer, in shards: pictures uint8 and the normals of their attributes."""
    from ganinv.portraits.attributes import ATTRIBUTE_NAMES, attributes_from_normals, sample_normals
    from ganinv.portraits.renderer import render as draw

    folder = out / "renders"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names.json").write_text(json.dumps(list(ATTRIBUTE_NAMES)))
    for start in range(0, count, shard):
        path = folder / f"{start:06d}.safetensors"
        if not path.exists():
            normals, seeds = sample_normals(shard, seed, start)
            pictures = draw({**attributes_from_normals(normals), "seed": seeds}, side)
            images = (pictures * 255).round().clamp(0, 255).byte()
            save_file({"images": images, "normals": normals.float()}, str(path) + ".tmp")
            os.replace(str(path) + ".tmp", path)
