"""Train the judge on its own renders: pairs of pictures of one person under another pose, light, expression
and clothes.

python scripts/train_judge.py render --out runs/judge --count 8000      # people; two pictures each
python scripts/train_judge.py train  --out runs/judge --kimg 150
python scripts/train_judge.py export --out runs/judge --to ganinv/bundled/portraits-64-judge.safetensors
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganinv.metrics.judge import Judge, JudgeConfig
from ganinv.metrics.readings import r2_and_auc

# What may differ between two pictures of one person.
CIRCUMSTANCES = (
    "yaw", "pitch", "roll", "smile", "gaze_x", "gaze_y", "brow_up", "light_az", "light_el", "light_warm",
    "light_ratio", "bg_hue", "bg_sat", "bg_val", "cloth_hue", "cloth_sat", "cloth_val", "cloth_type",
)  # fmt: skip
HELD_OUT = 500  # pairs at the end of the data, never trained on


def render(out: Path, count: int, side: int, seed: int, shard: int = 250) -> None:
    """Shards of `[shard, 2, 3, side, side]` uint8 pictures and `[shard, 2, A]` attribute values."""
    from ganinv.portraits.attributes import ATTRIBUTE_NAMES, sample_attributes
    from ganinv.portraits.renderer import render as draw

    folder = out / "renders"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names.json").write_text(json.dumps(list(ATTRIBUTE_NAMES)))
    for start in range(0, count, shard):
        path = folder / f"{start:06d}.safetensors"
        if path.exists():
            continue
        first = sample_attributes(shard, seed, start=start)
        other = sample_attributes(shard, seed + 1, start=start)
        second = {k: other[k] if k in CIRCUMSTANCES or k == "seed" else v for k, v in first.items()}
        pictures = torch.stack([draw(first, side), draw(second, side)], 1)
        values = torch.stack([torch.stack([v[k] for k in ATTRIBUTE_NAMES], 1) for v in (first, second)], 1)
        data = {"images": (pictures * 255).round().clamp(0, 255).byte(), "values": values.float()}
        save_file(data, str(path) + ".tmp")
        os.replace(str(path) + ".tmp", path)


def load(out: Path) -> tuple[Tensor, Tensor, list[str]]:
    shards = [load_file(path) for path in sorted((out / "renders").glob("*.safetensors"))]
    names = json.loads((out / "renders" / "names.json").read_text())
    return torch.cat([s["images"] for s in shards]), torch.cat([s["values"] for s in shards]), names


def identity_loss(codes: Tensor) -> Tensor:
    """InfoNCE over the batch: a code `[N, 2, D]` is nearest to the other picture of the same person
    (temperature 0.1).
    """
    a, b = codes.unbind(1)
    logits = a @ b.T / 0.1
    target = torch.arange(len(a))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Small shifts, brightness and noise, so that the judge reads pictures of a generator as it reads
    renders.
    """
    n = len(x)
    shift = torch.zeros(n, 2, 3)
    shift[:, 0, 0] = shift[:, 1, 1] = 1
    shift[:, :, 2] = (torch.rand(n, 2, generator=generator) - 0.5) * 0.06
    x = F.grid_sample(
        x,
        F.affine_grid(shift, list(x.shape), align_corners=False),
        padding_mode="border",
        align_corners=False,
    )
    x = x * (0.9 + 0.2 * torch.rand(n, 1, 1, 1, generator=generator))
    return x + 0.04 * torch.rand(n, 1, 1, 1, generator=generator) * torch.randn(x.shape, generator=generator)


def train(out: Path, kimg: float, batch: int = 24, lr: float = 2e-3) -> None:
    images, values, names = load(out)
    fit = len(images) - HELD_OUT
    torch.manual_seed(1234)
    generator = torch.Generator().manual_seed(99)
    judge = Judge(JudgeConfig(resolution=images.shape[-1], names=tuple(names)))
    flat = values[:fit].flatten(0, 1)
    judge.mean.copy_(flat.mean(0))
    judge.std.copy_(flat.std(0).clamp_min(1e-6))
    average = torch.optim.swa_utils.AveragedModel(
        judge, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998)
    )
    optimiser = torch.optim.AdamW(judge.parameters(), lr=lr, weight_decay=0.02)
    step, steps = 0, int(kimg * 1000 / (2 * batch))
    while step < steps:
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1, step / 100) * (1 - step / steps) ** 0.5
        at = torch.randint(fit, (batch,), generator=generator)
        x = augment(images[at].flatten(0, 1).float() / 127.5 - 1, generator)
        readings, codes = judge(x)
        target = (values[at].flatten(0, 1) - judge.mean) / judge.std
        loss = F.smooth_l1_loss(readings, target, beta=0.5) + 0.1 * identity_loss(codes.reshape(batch, 2, -1))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update_parameters(judge)
        step += 1
        if step % 100 == 0:
            with open(out / "log.jsonl", "a") as log:
                log.write(
                    json.dumps({"step": step, "kimg": step * batch * 2 / 1000, "loss": round(loss.item(), 4)})
                    + "\n"
                )
        if step % 500 == 0:
            torch.save({"judge": average.module.state_dict(), "steps": step}, out / "state.pt")
    torch.save({"judge": average.module.state_dict(), "steps": step}, out / "state.pt")
    print(json.dumps(score(average.module, images[fit:], values[fit:], names), indent=1))


@torch.no_grad()
def score(judge: Judge, images: Tensor, values: Tensor, names: list[str]) -> dict[str, float]:
    """R2 / AUC of every attribute and the share of people found again among all held-out ones."""
    x = images.flatten(0, 1).float() / 127.5 - 1
    result = r2_and_auc(judge.read(x), values.flatten(0, 1), names)
    codes = torch.cat([judge(part)[1] for part in x.split(256)]).reshape(len(images), 2, -1)
    nearest = (codes[:, 0] @ codes[:, 1].T).argmax(1)
    result["same person found first"] = (nearest == torch.arange(len(images))).float().mean().item()
    return {k: round(v, 3) for k, v in result.items()}


def export(out: Path, to: Path) -> None:
    from ganinv.checkpoints import write_checkpoint

    images, values, names = load(out)
    state = torch.load(out / "state.pt", weights_only=True)
    judge = Judge(JudgeConfig(resolution=images.shape[-1], names=tuple(names)))
    judge.load_state_dict(state["judge"])
    scores = score(judge, images[-HELD_OUT:], values[-HELD_OUT:], names)
    provenance = {"script": "scripts/train_judge.py", "steps": state["steps"], "held_out": scores}
    write_checkpoint(
        to, judge.state_dict(), kind="judge", family="judge", config=judge.config.to_json(),
        provenance=provenance, dtype=torch.float16,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["render", "train", "export"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seed", type=int, default=77_000)
    parser.add_argument("--kimg", type=float, default=150, help="thousands of pictures shown")
    parser.add_argument("--to", type=Path, default=Path("ganinv/bundled/portraits-64-judge.safetensors"))
    args = parser.parse_args()
    if args.verb == "render":
        render(args.out, args.count, args.side, args.seed)
    elif args.verb == "train":
        train(args.out, args.kimg)
    else:
        export(args.out, args.to)


if __name__ == "__main__":
    main()
