"""The network through which sets of pictures are compared: the judge, or a TorchScript file of the user's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganinv.checkpoints import sha256_file
from ganinv.errors import UsageError
from ganinv.metrics.judge import Judge


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """Pictures float32 [N, 3, H, W] in [-1, 1] -> features.

    embed: -> [N, D], for distances of distributions. maps: -> what perceptual distances take.
    name, sha256, about: for the record.
    """

    name: str
    sha256: str
    about: str
    embed: Callable[[Tensor], Tensor]
    maps: Callable[[Tensor], Sequence[Tensor]]

    def to_json(self) -> dict[str, str]:
        """What a record says of it."""
        return {"name": self.name, "sha256": self.sha256, "about": self.about}


def judge_features(judge: Judge, sha256: str) -> FeatureNetwork:
    """The judge's. Pictures of another size are brought to its own."""
    side = judge.config.resolution

    @torch.no_grad()
    def embed(images: Tensor) -> Tensor:
        return judge.features(to_side(images, side))

    @torch.no_grad()
    def maps(images: Tensor) -> Sequence[Tensor]:
        return judge.maps(to_side(images, side))

    about = f"hidden layer of 384 and maps of the judge, at {side} px"
    return FeatureNetwork("judge", sha256, about, embed, maps)


def scripted_features(path: str | Path, *, device: torch.device | str = "cpu") -> FeatureNetwork:
    """A TorchScript network of the user's, such as the Inception of stylegan3 (inception-2015-12-05.pt).

    It is given uint8 [N, 3, H, W], RGB, with `return_features=True` if it knows that, as that file wants
    them; else float32 in [-1, 1]. It resizes as it likes. It runs as a program: open only what you trust.

    Raises:
        UsageError: no such file, or not one that gives features [N, D] (or [N, D, 1, 1]) of pictures.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UsageError(
            f"--features {path} is no file; give a TorchScript file, or leave it out for the judge"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the format itself, in newer PyTorch
            network: Any = torch.jit.load(str(path), map_location=device).eval()
        as_bytes = "return_features" in str(network.forward.schema)
        found = _run(network, torch.zeros(2, 3, 64, 64, device=device), as_bytes)
    except Exception as cause:  # a program of the user's may raise anything
        raise UsageError(f"--features {path} cannot be used on pictures: {cause}") from cause
    if found.ndim != 2 or len(found) != 2 or not found.is_floating_point():
        raise UsageError(
            f"--features {path} gives {found.dtype} {list(found.shape)} of 2 pictures; expected float [2, D]"
        )

    def embed(images: Tensor) -> Tensor:
        return _run(network, images.to(device), as_bytes).float().cpu()

    about = f"TorchScript, {found.shape[1]} features, given " + ("uint8" if as_bytes else "[-1, 1]")
    return FeatureNetwork(
        path.name, sha256_file(path), about, embed, lambda images: [F.normalize(embed(images), dim=1)]
    )


def to_side(images: Tensor, side: int) -> Tensor:
    """Pictures [N, 3, H, W] at `side`: down by area means, up bilinearly."""
    if images.shape[-1] == side and images.shape[-2] == side:
        return images
    if images.shape[-1] > side:
        return F.interpolate(images, size=(side, side), mode="area")
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


@torch.no_grad()
def _run(network: Any, images: Tensor, as_bytes: bool) -> Tensor:
    if as_bytes:
        levels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        found = network(levels, return_features=True)
    else:
        found = network(images)
    return found.flatten(1) if found.ndim == 4 and found.shape[2:] == (1, 1) else found
