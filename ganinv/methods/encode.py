"""`psp`, `e4e` and `restyle`: one pass, or a few, of a published encoder.

pSp (Richardson et al. 2021, arXiv 2008.00951), e4e (Tov et al. 2021, arXiv 2102.02766) and ReStyle (Alaluf et
al. 2021, arXiv 2104.02699) were trained on whole pictures. Erased pixels are therefore shown to them as the
generator draws them: at first in the picture of the mean code, then in the answer to the pass before. One
that was trained on erased pictures (`ganinv train --method e4e`) needs no such help. These methods have one
answer, so all samples of a picture are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.configs import build_config, check_numbers, takes
from ganinv.encoders.loading import load_encoder
from ganinv.encoders.published import PublishedEncoder
from ganinv.errors import CheckpointError, UsageError
from ganinv.images import from_levels, to_levels
from ganinv.inversion import Inversion, backbone_record, check_backbone, run_versions
from ganinv.method import InversionMethod
from ganinv.sampling import sample_seeds

_ERASED_PASSES = 3


@dataclass(frozen=True)
class EncodeConfig:
    """How an encoder is run."""

    passes: int | None = None
    """How often the picture is encoded. None: as ReStyle was trained; for pSp and e4e 1, or 3 where something
    is erased and they were not trained on that."""

    def __post_init__(self) -> None:
        if self.passes is not None:
            check_numbers(self, counts=("passes",))


class Encode(InversionMethod):
    """A published encoder and the generator it was trained for."""

    version = "1"

    def __init__(
        self, backbone: Backbone, encoder: PublishedEncoder, config: EncodeConfig | None = None
    ) -> None:
        """Raises UsageError where the encoder answers with other codes than the backbone takes, or where one
        of erased pictures is to see its own answer; BackboneMismatchError where it was trained for another
        backbone."""
        self.name = encoder.family
        self.backbone, self.encoder, self.config = backbone, encoder, config or EncodeConfig()
        rows, size = encoder.config.input_rows, encoder.config.input_size
        if rows is not None:
            self.content = (backbone.resolution * rows // size, backbone.resolution)
        if encoder.made_for is not None:
            check_backbone(backbone, encoder.made_for.get("sha256"), f"the encoder {encoder.name}")
        if encoder.config.erased and self.config.passes not in (None, 1):
            raise UsageError(
                f"{self.config.passes} passes: {encoder.name} was trained on erased pictures and reads a "
                "picture once; leave out passes"
            )
        answers, takes = tuple(encoder.latent_avg.shape), (backbone.num_ws, backbone.w_dim)
        if answers != takes:
            raise UsageError(
                f"the {encoder.family} encoder {encoder.name} answers {answers[0]} codes of {answers[1]}, "
                f"the backbone {backbone.name} takes {takes[0]} of {takes[1]}: give the generator that the "
                "encoder was trained for: --backbone FILE (most encoder files hold it)"
            )

    @torch.no_grad()
    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> Inversion:
        """See `InversionMethod.invert`; `truncation` pulls the answer itself towards the mean code."""
        hole = self.check_inputs(images, holes, samples)
        device = self.backbone.w_avg.device
        working, hole = to_levels(images.to(device)), hole.to(device)
        seen = from_levels(working)
        erases = hole.flatten(1).any(dim=1)
        ws = torch.empty(len(seen), self.backbone.num_ws, self.backbone.w_dim, device=seen.device)
        for index in range(len(seen)):  # one by one: a picture's codes do not depend on its neighbours
            one = slice(index, index + 1)
            ws[one] = self.encode(seen[one], hole[one].bool() if erases[index] else None)[-1]
        ws = self.backbone.truncate(ws, truncation)
        return Inversion(
            ws=ws[:, None].repeat(1, samples, 1, 1),
            seeds=sample_seeds(seed, samples),
            working=working,
            hole=hole.to(torch.uint8),
            content=self.content,
            backbone=backbone_record(self.backbone),
            method={"name": self.name, "version": self.version, "sha256": self.encoder.sha256 or None},
            options={"samples": samples, "seed": seed, "truncation": truncation, **asdict(self.config)},
            versions=run_versions(),
        )

    def encode(self, images: Tensor, hole: Tensor | None = None) -> list[Tensor]:
        """The answer to each pass.

        Args:
            images: (N, 3, S, S) in [-1, 1]; any size where there is no hole, else the backbone's.
            hole: bool (N, 1, R, R), True = erased; None erases nothing.

        Returns:
            W+ codes (N, num_ws, w_dim), the last pass last.
        """
        encoder, answers = self.encoder, list[Tensor]()
        if encoder.config.erased:
            visible = torch.ones_like(images[:, :1]) if hole is None else 1 - hole.to(images.dtype)
            return [encoder(encoder.prepare_erased(images, visible)) + encoder.latent_avg]
        previous = encoder.latent_avg.expand(len(images), -1, -1)
        needs_drawing = encoder.config.feedback or hole is not None
        for _ in range(self._passes(hole is not None)):
            drawn = self.backbone.synthesize(previous).images if needs_drawing else images
            seen = images if hole is None else torch.where(hole, drawn, images)
            x = encoder.prepare(seen)
            if encoder.config.feedback:
                x = torch.cat([x, encoder.prepare(drawn)], dim=1)  # (N, 6, rows, input_size)
                previous = encoder(x) + previous
            else:
                previous = encoder(x) + encoder.latent_avg
            answers.append(previous)
        return answers

    def _passes(self, erases: bool) -> int:
        if self.config.passes is not None:
            return self.config.passes
        if self.encoder.config.feedback:
            return self.encoder.config.iterations
        return _ERASED_PASSES if erases else 1


def _builder(family: str) -> Callable[..., Encode]:
    @takes(EncodeConfig)
    def build(backbone: Backbone, *, weights: str | Path | None = None, **options: object) -> Encode:
        config = build_config(EncodeConfig, options)
        encoder = _encoder(family, backbone, weights)
        if encoder.family != family:
            raise UsageError(
                f"{encoder.name} holds an encoder of {encoder.family}, not of {family}; "
                f"type --method {encoder.family}"
            )
        return Encode(backbone, encoder, config)

    build.__doc__ = f"""The method, registered as `{family}`.

    Args:
        weights: the encoder's file or stored name; None: the backbone's own file, which mostly holds both.

    Raises:
        CheckpointError: no encoder in the file. UsageError: one of another method, or of another backbone.
    """
    return build


def _encoder(family: str, backbone: Backbone, weights: str | Path | None) -> PublishedEncoder:
    device = backbone.w_avg.device
    if weights is not None:
        return load_encoder(weights, device=device)
    try:
        if backbone.path is not None:
            return load_encoder(backbone.path, device=device)
        found = f"the backbone {backbone.name!r} comes from no file"
    except CheckpointError as cause:
        found = cause.message
    raise UsageError(f"{family} needs an encoder: type --weights FILE (in Python: weights=FILE); {found}")


build_psp, build_e4e, build_restyle = _builder("psp"), _builder("e4e"), _builder("restyle")
