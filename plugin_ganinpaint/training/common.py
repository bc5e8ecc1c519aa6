"""What both stages share: the networks as one module, their averaged weights, the schedule, a polite stop."""

from __future__ import annotations

import copy
import hashlib
import math
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.parts import Backbone, GanInvError

from ..config import NetworkConfig
from ..encoder import ErasedEncoder
from ..mixing import GatedMixing
from ..skip import SkipEncoder
from .settings import StageSettings

LAST_RATE = 0.01
"""Where the learning rate ends, as a share of its peak."""


@dataclass(frozen=True)
class Ending:
    """How a stage ended: `reason` is "done", "minutes" or "stopped"."""

    reason: str
    images: int
    seconds: float
    figures: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the answer of a trainer."""
        how = {"reason": self.reason, "images": self.images, "seconds": round(self.seconds, 1)}
        return {**how, **self.figures}


class TrainingError(GanInvError):
    """Training cannot go on; the last good state is kept."""


Draw = Callable[[Tensor, dict[int, Tensor]], Tensor]
"""Codes (N, num_ws, w_dim) and skip features -> pictures (N, 3, R, R). It is handed to what is trained, since
the generator is no part of that."""


class Completing(nn.Module):
    """What a stage trains: it completes erased pictures.

    The loop averages, saves and watches it as a whole. `config`: sizes, for the weight file.
    """

    config: NetworkConfig

    @abstractmethod
    def forward(
        self, erased: Tensor, visible: Tensor, w_rand: Tensor, draw: Draw, edit: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Complete N pictures P times each; row p * N + n is picture n in pass p.

        Args:
            erased, visible: (N, 3, R, R), (N, 1, R, R).
            w_rand: codes to listen to, (P * N, num_ws, w_dim).
            edit: added to the codes before they are drawn, as `w_rand`.

        Returns:
            pictures (P * N, 3, R, R); the codes behind them before the edit, as `w_rand`.
        """

    def figures(self, erased: Tensor, visible: Tensor, w_rand: Tensor) -> dict[str, float]:
        """More to watch of the same rows, by name."""
        return {}


class Stage(ABC):
    """One stage of a method's training: which networks there are, and what of them learns when."""

    number: int = 1

    @abstractmethod
    def build(self, config: NetworkConfig, backbone: Backbone) -> Completing:
        """Fresh networks on the backbone's device, initialised from torch's global generator."""

    def parameter_groups(self, networks: Completing, settings: StageSettings) -> list[dict[str, object]]:
        """What the optimiser moves, with each group's share of the learning rate."""
        return [{"params": list(networks.parameters()), "lr": settings.lr, "share": 1.0}]

    def prepare(self, networks: Completing, settings: StageSettings, progress: float) -> None:  # noqa: B027
        """Called before each step, at this `progress` (0 to 1) of the schedule."""


class Networks(Completing):
    """Encoder, mixing network and, in stage 2, skip encoder, as one module to wrap, average and save."""

    def __init__(self, config: NetworkConfig, w_avg: Tensor, *, with_skip: bool) -> None:
        super().__init__()
        self.config = config
        self.encoder = ErasedEncoder(config, w_avg)
        self.mixing = GatedMixing(config, w_avg)
        self.skip = SkipEncoder(config) if with_skip else None
        self.codes_learn = True
        """False in stage 2 while encoder and mixing network are frozen."""

    def train(self, mode: bool = True) -> Networks:
        """In stage 2 encoder and mixing network keep evaluation mode: their statistics are settled."""
        super().train(mode)
        if self.skip is not None:
            self.encoder.eval()
            self.mixing.eval()
        return self

    def codes(self, erased: Tensor, visible: Tensor, w_rand: Tensor) -> Tensor:
        """w_out (P * N, num_ws, w_dim), as `w_rand`, of N erased pictures."""
        with torch.set_grad_enabled(self.codes_learn and torch.is_grad_enabled()):
            w_enc = self.encoder(erased, visible).float()
            with torch.autocast(
                w_enc.device.type, enabled=False
            ):  # codes stay in full precision, and cost nothing
                w_out: Tensor = self.mixing(*_each(w_enc, w_rand, visible))
            return w_out

    def encode(self, erased: Tensor, visible: Tensor) -> Tensor:
        """w_enc (N, num_ws, w_dim) alone: all that the code warm-up needs."""
        return self.encoder(erased, visible).float()

    def forward(
        self, erased: Tensor, visible: Tensor, w_rand: Tensor, draw: Draw, edit: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Completing`. In stage 2 the skip features are those of the unedited picture."""
        w_out = self.codes(erased, visible, w_rand)
        edited = w_out if edit is None else w_out + edit
        if self.skip is None:
            return draw(edited, {}), w_out
        with torch.no_grad():
            first = draw(w_out, {})
        passes = len(w_rand) // len(erased)
        deltas = self.skip(erased.repeat(passes, 1, 1, 1), visible.repeat(passes, 1, 1, 1), first)
        return draw(edited, deltas), w_out

    def figures(self, erased: Tensor, visible: Tensor, w_rand: Tensor) -> dict[str, float]:
        """gate_mean: 1 where the encoder decides everything, 0 where the random code does."""
        _, logits = self.mixing.mix(*_each(self.encode(erased, visible), w_rand, visible))
        return {"gate_mean": 1.0 if logits is None else float(torch.sigmoid(logits).mean())}


def _each(w_enc: Tensor, w_rand: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows for each pass of N pictures: w_enc and visible repeated as often as `w_rand` asks."""
    passes = len(w_rand) // len(w_enc)
    return w_enc.repeat(passes, 1, 1), w_rand, visible.repeat(passes, 1, 1, 1)


def render(backbone: Backbone, ws: Tensor, deltas: dict[int, Tensor] | None = None) -> Tensor:
    """Pictures (N, 3, R, R) float32 of codes, with `deltas` added to the blocks' features."""
    inject = {side: _adder(delta) for side, delta in (deltas or {}).items()}
    return backbone.synthesize(ws, noise="const", inject=inject).images.float()


def _adder(delta: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda features: features + delta.to(features.dtype)


class Ema:
    """Running average of weights and floating statistics; half-life min(`images`, 5 % of the images seen)."""

    def __init__(self, module: Completing, images: int) -> None:
        self.module: Completing = copy.deepcopy(module).eval().requires_grad_(False)
        self.images = images

    @torch.no_grad()
    def update(self, module: Completing, batch: int, seen: int) -> None:
        """Move towards `module` after a step of `batch` pictures, `seen` of them in all."""
        half_life = max(min(self.images, 0.05 * seen), 1e-8)
        weight = 1 - 0.5 ** (batch / half_life)
        live = module.state_dict()
        pairs = [(old, live[key]) for key, old in self.module.state_dict().items()]
        moving = [(old, new.to(old.dtype)) for old, new in pairs if old.is_floating_point()]
        torch._foreach_lerp_([old for old, _ in moving], [new for _, new in moving], weight)
        for old, new in pairs:
            if not old.is_floating_point():
                old.copy_(new)


def rate_factor(progress: float, seen: int, warmup_images: int, decay_from: float) -> float:
    """Share of the peak learning rate: a linear rise at the start, from `decay_from` on a cosine down."""
    rise = min(1.0, (seen + 1) / warmup_images) if warmup_images > 0 else 1.0
    if progress <= decay_from or decay_from >= 1:
        return rise
    down = min(1.0, (progress - decay_from) / (1 - decay_from))
    return rise * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * down)))


class PoliteStop:
    """While active, the first Ctrl-C or SIGTERM only sets `asked`: the step ends and a whole state is saved.

    A second Ctrl-C interrupts at once. Outside the main thread, where Python hands out no signals, it does
    nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> PoliteStop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def derive_seed(seed: int, stage: int, use: str) -> int:
    """A seed for one use, unrelated to those for others."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}/{use}".encode()).digest()[:7], "little")


def crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return before // every != after // every
