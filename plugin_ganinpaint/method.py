"""`diverse-inpaint`: several believable, editable completions of a partly erased picture (arXiv 2307.15033).

from ganinv.api import load_backbone, load_method

method = load_method("diverse-inpaint", backbone=load_backbone("portraits-128"))
result = method.invert(images, holes, samples=6, seed=0)
pictures = method.render(result)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganinv.parts import (
    Backbone,
    CheckpointError,
    GuidedMethod,
    Inversion,
    UsageError,
    backbone_record,
    check_label,
    chunks,
    from_levels,
    pass_size,
    run_versions,
    sample_seeds,
    to_levels,
)

from .sampling import random_codes
from .weights import TrainedNetworks, find_weights, load_networks

VERSION = "2"
FILLS = ("codes", "features")
_ENCODED = 8  # pictures in one pass of the encoder: not the generator's chunk, so that codes keep their bits


@dataclass(frozen=True)
class DiverseInpaintConfig:
    """How the method is run; its networks are described by their weight file."""

    stage: int | None = None
    """1 leaves the skip features out, 2 demands them, None uses what the weight file has."""
    label: int | None = None
    """Class of the random codes, for generators that have classes; None = each in turn."""
    fill: str = "codes"
    """What draws the inside of holes, pasted or raw: "codes", whose tints are the same inside and around a
    hole, so that tones can be moved to meet the rest; "features", the codes with the skip features."""

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise UsageError(f"fill={self.fill} is not known; possible: {', '.join(FILLS)}")
        if self.stage not in (None, 1, 2):
            raise UsageError(f"stage {self.stage} is not known; diverse-inpaint has stage 1 and stage 2")


class DiverseInpaint(GuidedMethod):
    """Encoder, gated mixing with random codes, skip features; one encoder pass serves all samples."""

    name = "diverse-inpaint"
    version = VERSION
    diverse = True

    def __init__(
        self, backbone: Backbone, networks: TrainedNetworks, config: DiverseInpaintConfig | None = None
    ) -> None:
        """Use `build` to have the weights found.

        Raises:
            CheckpointError: stage 2 is asked of weights of stage 1.
        """
        self.backbone, self.networks = backbone, networks
        self.config = config or DiverseInpaintConfig()
        if self.config.stage == 2 and networks.skip is None:
            raise CheckpointError(
                f"the weight file {networks.name!r} holds stage 1 only; "
                "type stage=1, or train stage 2 from it"
            )
        check_label(backbone, self.config.label)
        self.skip = None if self.config.stage == 1 else networks.skip
        self.content = networks.config.content

    @torch.no_grad()
    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
        w_rand: Tensor | None = None,
    ) -> Inversion:
        """Find `samples` codes and skip features for each picture; see `InversionMethod.invert`.

        Args:
            images: float32 (N, 3, R, R) in [-1, 1]; rounded to 8 bits first, so that results can be repeated.
            holes: (N, 1, R, R), 1 = erased; None erases nothing, all ones gives samples of the generator.
            truncation: of the random codes, 0 to 1.
            w_rand: codes (K, num_ws, w_dim) or (N, K, num_ws, w_dim) to listen to instead of random ones:
                those of a reference picture, a mix, or steps between samples. `truncation` is then ignored.

        Raises:
            UsageError: shapes, samples or a truncation that cannot work.
        """
        hole = self.check_inputs(images, holes, samples)
        # holes on a device are taken to erase something: to look would wait for it
        erases = holes is not None and (holes.device.type != "cpu" or bool(holes.any()))
        if not 0 <= truncation <= 1:
            raise UsageError(f"truncation {truncation} is not possible; give 0 (the mean) to 1 (all variety)")
        seeds, device = sample_seeds(seed, samples), self.backbone.w_avg.device
        working, hole = to_levels(images.to(device)), hole.to(device)
        x, visible = from_levels(working), 1 - hole.float()

        codes = self.random_codes(samples, seed, truncation) if w_rand is None else w_rand.float().to(device)
        codes = self._for_each_picture(codes, len(x), samples)  # (N * K, num_ws, w_dim)
        w_enc = self._encode(x, visible)  # (N, num_ws, w_dim)

        each = w_enc.repeat_interleave(samples, dim=0), codes, visible.repeat_interleave(samples, dim=0)
        w_out = self.networks.mixing(*each)  # all samples at once
        found = Inversion(
            ws=w_out.unflatten(0, (len(x), samples)),
            seeds=seeds,
            working=working,
            hole=hole.to(torch.uint8),
            content=self.content,
            noise="const",
            features_in_holes=self.config.fill == "features" or not erases,
            backbone=backbone_record(self.backbone),
            method={
                "name": self.name,
                "version": self.version,
                "weights": self.networks.name,
                "sha256": self.networks.sha256,
            },
            options=self._options(samples, seed, truncation, pass_size(self.backbone, len(codes)), w_rand),
            versions=run_versions(),
        )
        return self.recoded(found, found.ws)

    @torch.no_grad()
    def recoded(self, inversion: Inversion, ws: Tensor) -> Inversion:
        """See `InversionMethod.recoded`; the skip features are what these codes miss."""
        x, visible = from_levels(inversion.working), 1 - inversion.hole.float()
        features = self._skip_features(x, visible, ws.flatten(0, 1))
        return replace(
            inversion, ws=ws, features={r: f.unflatten(0, ws.shape[:2]) for r, f in features.items()}
        )

    def random_codes(self, samples: int, seed: int, truncation: float = 1.0) -> Tensor:
        """The random codes (samples, num_ws, w_dim) of a run: row i depends on (seed, i) only. Where the
        generator has classes and none is asked for, row i is of class i, counted round.
        """
        return random_codes(self.backbone, seed, samples, truncation, self.config.label)

    def _encode(self, x: Tensor, visible: Tensor) -> Tensor:
        """(N, num_ws, w_dim): each picture is encoded once, for all its samples."""
        rows = [self.networks.encoder(x[part], visible[part]) for part in chunks(len(x), _ENCODED)]
        return torch.cat(rows) if rows else x.new_empty(0, self.backbone.num_ws, self.backbone.w_dim)

    def _skip_features(self, x: Tensor, visible: Tensor, w_out: Tensor) -> dict[int, Tensor]:
        """Block side -> float16 (N * K, C, side, side); {} in stage 1."""
        if self.skip is None:
            return {}
        features: list[dict[int, Tensor]] = []
        for part in chunks(len(w_out), pass_size(self.backbone, len(w_out))):
            of = torch.arange(part.start, part.stop, device=x.device) * len(x) // len(w_out)  # its picture
            y1 = self.backbone.synthesize(w_out[part], noise="const").images.float()
            features.append({r: f.half() for r, f in self.skip(x[of], visible[of], y1).items()})
        return {r: torch.cat([f[r] for f in features]) for r in (features[0] if features else ())}

    def _for_each_picture(self, codes: Tensor, pictures: int, samples: int) -> Tensor:
        """(K, L, D) or (N, K, L, D) -> (N * K, L, D)."""
        one = (samples, self.backbone.num_ws, self.backbone.w_dim)
        if tuple(codes.shape) not in (one, (pictures, *one)):
            raise UsageError(
                f"w_rand is {list(codes.shape)}; {samples} samples of {pictures} pictures need {list(one)} "
                f"or {[pictures, *one]}"
            )
        return codes.expand(pictures, *one).flatten(0, 1)

    def _options(
        self, samples: int, seed: int, truncation: float, size: int, w_rand: Tensor | None
    ) -> dict[str, Any]:
        options: dict[str, Any] = {
            "samples": samples,
            "seed": seed,
            "truncation": truncation,
            "chunk": size,
            "label": self.config.label,
            "stage": 1 if self.skip is None else 2,
            "fill": self.config.fill,
            "device": self.backbone.w_avg.device.type,
        }
        if w_rand is not None:
            data = w_rand.detach().float().cpu().contiguous().numpy().tobytes()
            options["w_rand_sha256"] = hashlib.sha256(data).hexdigest()
        return options


def build(
    backbone: Backbone,
    *,
    weights: str | Path | None = None,
    stage: int | None = None,
    label: int | None = None,
    fill: str = "codes",
) -> DiverseInpaint:
    """The method with its trained weights; registered as `diverse-inpaint`.

    Args:
        weights: a weight file, or the name of a shipped one; None finds the shipped one of this backbone.
        stage: 1 leaves the skip features out, 2 demands them, None uses what the file has.
        label: class of the random codes; None = each in turn.
        fill: what draws the inside of holes, "codes" or "features", see `DiverseInpaintConfig`.

    Raises:
        CheckpointError: no weights for this backbone, or a damaged file.
        BackboneMismatchError: weights of another backbone.
    """
    config = DiverseInpaintConfig(stage=stage, label=label, fill=fill)
    return DiverseInpaint(backbone, load_networks(find_weights(backbone, weights), backbone), config)
