"""Renders paired with their z, and the losses that compare G(z) with them. Used by train_portraits.py."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganinv.portraits.attributes import ATTRIBUTE_NAMES, TABLE, attributes_from_normals, sample_normals
from ganinv.portraits.renderer import render as draw

MIRRORED = ("yaw", "roll", "light_az", "part", "asym", "gaze_x")  # attributes whose sign a mirror flips
SHARES = {
    "glasses": 14.0,
    "glass_col": 2.0,
    "smile": 4.0,
    "beard": 4.0,
    "age": 3.0,
    "length": 3.0,
    "curl": 3.0,
}
"""How often a pair is about an attribute; the others 1."""


class Pairs:
    """Renders and their z. Pictures 2i and 2i + 1 are one portrait with one attribute changed."""

    def __init__(self, folder: Path, z_dim: int) -> None:
        self.folder, self.z_dim = folder / "renders", z_dim
        names = json.loads((self.folder / "names.json").read_text())
        self.sign = torch.tensor([-1.0 if name in MIRRORED else 1.0 for name in names])
        self.refresh()

    def refresh(self) -> None:
        """Read the shards that are there now: a renderer may still be adding some."""
        shards = [load_file(path) for path in sorted(self.folder.glob("*.safetensors"))]
        self.images = torch.cat([s["images"] for s in shards])
        self.normals = torch.cat([s["normals"] for s in shards])

    def batch(self, n: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n / 2 pairs side by side, half of them mirrored: pictures [n, 3, side, side] in [-1, 1] and
        z [n, z_dim]; both of a pair share z's free entries.
        """
        first = 2 * torch.randint(len(self.images) // 2, (n // 2,), generator=generator)
        at = torch.stack([first, first + 1], 1).flatten()
        x, u = self.images[at].float() / 127.5 - 1, self.normals[at]
        mirror = (torch.rand(n // 2, generator=generator) < 0.5).repeat_interleave(2)
        x = torch.where(mirror[:, None, None, None], x.flip(3), x)
        u = torch.where(mirror[:, None], u * self.sign, u)
        if x.shape[-1] != side:
            x = F.avg_pool2d(x, x.shape[-1] // side)
        free = torch.randn(n // 2, self.z_dim - u.shape[1], generator=generator).repeat_interleave(2, 0)
        return x, complete(u, free)


def complete(normals: Tensor, free: Tensor) -> Tensor:
    """z of attributes' normals and free entries, these scaled so that z's mean square is 1: the mapping's
    normalisation then changes no attribute.
    """
    room = (normals.shape[1] + free.shape[1] - normals.square().sum(1, keepdim=True)).clamp_min(1.0)
    return torch.cat([normals, free * (room / free.square().sum(1, keepdim=True)).sqrt()], dim=1)


def changed_weight(real: Tensor, most: float = 20.0) -> Tensor:
    """Weight [N, 1, H, W] of each pixel by how far the pair's two pictures differ there, mean about 1:
    glasses weigh in a pair about glasses as much as the whole picture does in one about the light.
    """
    first, second = real[0::2], real[1::2]
    change = (first - second).abs().mean(1, keepdim=True)
    change = F.avg_pool2d(F.pad(change, (1, 1, 1, 1), mode="replicate"), 3, 1)
    weight = change / (change.mean((1, 2, 3), keepdim=True) + 1e-4)
    return weight.clamp_max(most).repeat_interleave(2, 0)


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


class AttributeNetwork(nn.Module):
    """Reads the normals of a render: plain strided convolutions and one hidden layer, another design than
    the judge's residual network. Returns its layers' outputs, the readings [N, A] last.
    """

    def __init__(
        self,
        attributes: int,
        side: int,
        widths: tuple[int, ...] = (32, 48, 96, 128),
        *,
        narrow: bool = False,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, widths[0], 5, 1, 2)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(below, width, 4, 2, 1) for below, width in pairwise((widths[0], *widths))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths)
        self.hidden = nn.Linear(widths[-1] * (side // 2 ** len(widths)) ** 2, 256)
        self.out = nn.Linear(256, attributes)
        self.side, self.narrow = side, narrow
        """The pictures' side, and whether the layers run in bfloat16."""

    def forward(self, images: Tensor) -> list[Tensor]:
        images = F.avg_pool2d(images, images.shape[-1] // self.side)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.narrow):
            x, outputs = F.leaky_relu(self.first(images), 0.1), []
            for convolution, norm in zip(self.convolutions, self.norms, strict=True):
                x = F.leaky_relu(norm(convolution(x)), 0.1)
                outputs.append(x)
            return [*outputs, self.out(F.leaky_relu(self.hidden(x.flatten(1)), 0.1)).float()]


def read_attribute_network(path: Path, *, narrow: bool = False) -> AttributeNetwork:
    """The network of `train_attributes`, for pictures of its side or larger ones; it learns no more."""
    tensors = torch.load(path, weights_only=True)
    norms = [key for key in tensors if key.startswith("norms.") and key.endswith("weight")]
    channels = tensors[norms[-1]].shape[0]
    side = round((tensors["hidden.weight"].shape[1] / channels) ** 0.5) * 2 ** len(norms)
    network = AttributeNetwork(len(tensors["out.bias"]), side, narrow=narrow).requires_grad_(False)
    network.load_state_dict(tensors)
    return network


def feature_distance(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean over layers of the L1 distance, in units of the real features' mean magnitude."""
    total = fake[0].new_zeros(())
    for a, b in zip(fake, real, strict=True):
        scale = b.detach().abs().mean() + 1e-4
        total = total + (a - b.detach()).abs().mean() / scale
    return total / len(fake)


def train_attributes(out: Path, z_dim: int, kimg: float = 120, batch: int = 32, lr: float = 2e-3) -> None:
    """The attribute network, on the same renders: half of the batches noisy, half blurred."""
    pairs, generator = Pairs(out, z_dim), torch.Generator().manual_seed(5)
    torch.manual_seed(4321)
    count = pairs.normals.shape[1]
    network = AttributeNetwork(count, pairs.images.shape[-1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.01)
    steps = int(kimg * 1000 / batch)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, step / 50) * (1 - step / steps)
        x, z = pairs.batch(batch, pairs.images.shape[-1], generator)
        wanted = z[:, :count].clamp(-2.5, 2.5)
        if step % 2:
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        else:
            x = x + 0.05 * torch.rand(batch, 1, 1, 1, generator=generator) * torch.randn(
                x.shape, generator=generator
            )
        readings = network(x)[-1]
        loss = F.smooth_l1_loss(readings, wanted, beta=0.5)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % 200 == 0 or step == steps - 1:
            error = (readings - wanted).square().mean(0) / wanted.var(0)
            print(step, f"loss {loss.item():.4f}  unexplained {error.mean().item():.2f}", flush=True)
    torch.save(network.state_dict(), out / "attributes.pt")


def other_normal(u: Tensor, column: int, generator: torch.Generator) -> Tensor:
    """A fresh value for one attribute of each portrait [N], at least one deviation from the old one and
    visibly another value (bound attributes have ranges where nothing changes).
    """
    distribution = list(TABLE.values())[column]
    draws = torch.randn(len(u), 256, generator=generator)
    old, new = distribution.from_gaussian(u), distribution.from_gaussian(draws)
    good = ((draws - u[:, None]).abs() >= 1) & ((new - old[:, None]).abs() > 1e-3)
    return draws.gather(1, good.int().argmax(1, keepdim=True))[:, 0]


def render(out: Path, count: int, side: int, seed: int, shard: int = 500) -> None:
    """Paired data from the renderer, in shards: pictures uint8 and the normals of their attributes. The
    second picture of each pair is the first one with one attribute changed, its noise the same.
    """
    folder = out / "renders"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names.json").write_text(json.dumps(list(ATTRIBUTE_NAMES)))
    share = torch.tensor([SHARES.get(name, 1.0) for name in ATTRIBUTE_NAMES])
    glasses = ATTRIBUTE_NAMES.index("glasses")
    frames = [i for i, name in enumerate(ATTRIBUTE_NAMES) if name.startswith("glass_")]
    for start in range(0, count, shard):
        path = folder / f"{seed}-{start:06d}.safetensors"
        if path.exists():
            continue
        generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
        first, seeds = sample_normals(shard // 2, seed, start // 2)
        columns = torch.multinomial(share, len(first), replacement=True, generator=generator)
        worn = torch.tensor([int(c) in frames for c in columns])
        first[worn, glasses] = first[worn, glasses].abs() + 0.7  # a frame's shape shows only where one is
        second = first.clone()
        for column in columns.unique().tolist():
            rows = columns == column
            second[rows, column] = other_normal(first[rows, column], column, generator)
        normals = torch.stack([first, second], 1).flatten(0, 1)
        pictures = draw({**attributes_from_normals(normals), "seed": seeds.repeat_interleave(2)}, side)
        images = (pictures * 255).round().clamp(0, 255).byte()
        save_file({"images": images, "normals": normals.float()}, str(path) + ".tmp")
        os.replace(str(path) + ".tmp", path)
