"""What a run tells: a JSON line and TensorBoard scalars every few steps, now and then a sheet of samples.

The sheet's pictures, holes and codes are drawn once from the run's seed. They also give the figures to
watch: how much samples differ inside the hole (a network that ignores w_rand falls to 0), and how true the
raw output is to known pixels.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganinv.parts import Backbone, atomic_write, sheet, to_uint8, write_png

from ..losses import pairwise_difference
from .common import Completing, render
from .data import Batch, Sampler
from .state import LOG

PROBES, SAMPLES = 8, 4
_PROBE = "probe_"
"""With this begin the names of a sheet's figures in the log."""


class Probe:
    """A fixed batch of pictures with holes and codes, to compare one moment of training with another."""

    def __init__(self, sampler: Sampler) -> None:
        """`sampler`: one of its own, with a generator of its own; it is drawn from here and not again."""
        self.backbone: Backbone = sampler.backbone
        self.batch: Batch = sampler.draw()
        n = len(self.batch.image)
        self.w_rand = torch.cat([sampler.codes(n) for _ in range(SAMPLES)])  # (SAMPLES * N, num_ws, w_dim)

    @torch.no_grad()
    def look(self, networks: Completing) -> tuple[dict[str, float], Tensor]:
        """Figures, and sample pictures (SAMPLES, N, 3, R, R)."""
        batch = replace(self.batch, w_rand=self.w_rand)
        given = batch.erased, batch.visible, batch.w_rand
        shown, _ = networks(*given, partial(render, self.backbone))
        shown = shown.reshape(SAMPLES, -1, *shown.shape[1:]).clamp(-1, 1)
        figures = {
            "diversity": diversity(shown, 1 - batch.visible),
            "visible_psnr": visible_psnr(shown, batch.image, batch.visible),
            **networks.figures(*given),
        }
        return figures, shown

    def sheet(self, shown: Tensor) -> Any:
        """uint8 (H, W, 3): the pictures, the same erased, then a row for each sample (raw outputs)."""
        rows = [self.batch.image, self.batch.erased, *shown]
        return sheet([list(to_uint8(row.clamp(-1, 1).cpu())) for row in rows])


def diversity(shown: Tensor, hole: Tensor) -> float:
    """Mean absolute difference inside the hole over pairs of samples (K, N, 3, R, R)."""
    erased = hole.sum(dim=(1, 2, 3)) > 0
    pairs = [(i, j) for i in range(len(shown)) for j in range(i)]
    if not pairs or not bool(erased.any()):
        return 0.0
    apart = torch.stack([pairwise_difference(shown[i], shown[j], hole)[erased].mean() for i, j in pairs])
    return float(apart.mean())


def visible_psnr(shown: Tensor, image: Tensor, visible: Tensor) -> float:
    """Mean over pictures and samples of 10 log10(4 / mean squared error on known pixels), in dB."""
    known = visible.sum(dim=(1, 2, 3)) * image.shape[1]
    error = ((shown - image).square() * visible).sum(dim=(2, 3, 4)) / known.clamp_min(1)  # (K, N)
    error = error[:, known > 0].clamp_min(1e-10)
    return float((10 * torch.log10(4 / error)).mean()) if error.numel() else 0.0


class Monitor:
    """Writes OUT/log.jsonl, OUT/tensorboard and OUT/sheets; a run resumed at `images` drops later lines.

    The last sheet may be one of a run that ended at `images` and was killed before its state knew of it:
    figures of sheets after `sheet_at` are dropped too, and drawn again.
    """

    def __init__(self, out: Path, stage: int, probe: Probe, *, images: int, sheet_at: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.out, self.stage, self.probe = out, stage, probe
        out.mkdir(parents=True, exist_ok=True)
        self.log = out / LOG
        self._drop_later_lines(images, sheet_at)
        self.writer: Any = SummaryWriter(str(out / "tensorboard" / f"stage{stage}"), purge_step=images + 1)

    def scalars(self, images: int, values: dict[str, float]) -> None:
        """One line of the log at `images` pictures seen."""
        line = {"stage": self.stage, "images": images, **{k: round(v, 6) for k, v in values.items()}}
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self.writer.add_scalar(name, value, images)
        self.writer.flush()

    def sheet(self, images: int, networks: Completing, more: dict[str, float]) -> dict[str, float]:
        """Write a sheet of the averaged networks, log its figures and `more` of them, and return both."""
        figures, shown = self.probe.look(networks)
        figures |= more
        write_png(self.out / "sheets" / f"stage{self.stage}-{images:08d}.png", self.probe.sheet(shown))
        self.scalars(images, {_PROBE + name: value for name, value in figures.items()})
        return figures

    def close(self) -> None:
        """Finish the TensorBoard file."""
        self.writer.close()

    def _drop_later_lines(self, images: int, sheet_at: int) -> None:
        """Drop this stage's lines after `images`, later stages' where it begins, and what a kill cut off."""
        if not self.log.is_file():
            return
        before = self.log.read_text(encoding="utf-8")
        kept = ""
        for line in before.splitlines(keepends=True):
            if not line.endswith("}\n"):
                continue
            entry = json.loads(line)
            own, last = entry["stage"] == self.stage, sheet_at if _of_a_sheet(entry) else images
            if entry["images"] <= last if own else images or entry["stage"] < self.stage:
                kept += line
        if kept != before:
            atomic_write(self.log, lambda stream: stream.write(kept.encode()))


def _of_a_sheet(entry: dict[str, float]) -> bool:
    """Whether a line of the log tells the figures of a sheet."""
    return any(name.startswith(_PROBE) for name in entry)
