"""What can be measured: inversion methods, two simple fillers that set the floor, and what plugins register
in `ganinv.completers`, a feed-forward inpainting network for instance.

A completer's builder is `build(backbone, *, weights=None, ...)`, its keyword arguments being its options.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.errors import PluginError, UnknownNameError
from ganinv.images import to_tensor, to_uint8
from ganinv.inversion import Inversion
from ganinv.method import InversionMethod
from ganinv.plugins import registry
from ganinv.sampling import normal, sample_seed

DIFFUSION_RADIUS = 3


@dataclass(frozen=True, eq=False)
class Completion:
    """raw: float32 (K, 3, R, R), whole pictures. inversion: what can be edited, or None.
    filling: what is pasted into the hole where that is not `raw`, likewise.
    """

    raw: Tensor
    inversion: Inversion | None = None
    filling: Tensor | None = None


class Completer(Protocol):
    """Fills holes in pictures.

    name: for the report. content: as `InversionMethod.content`.
    """

    name: str
    content: tuple[int, int] | None

    def complete(
        self, image: Tensor, hole: Tensor, *, samples: int, seed: int, truncation: float
    ) -> Completion:
        """K completions of one picture (1, 3, R, R) with its hole (1, 1, R, R), a function of these only."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What a record says of it, digests of weights included."""
        ...


class MethodCompleter:
    """An inversion method, asked for one picture at a time: each picture then has random codes of its own,
    and its completions do not depend on the others measured.
    """

    def __init__(self, method: InversionMethod, options: dict[str, Any] | None = None) -> None:
        """`options`: what the method was built with, for the record."""
        self.method, self.name, self.content = method, method.name, method.content
        self.options, self._told = options or {}, dict[str, Any]()

    def complete(
        self, image: Tensor, hole: Tensor, *, samples: int, seed: int, truncation: float
    ) -> Completion:
        """See `Completer`."""
        device = next(self.method.backbone.parameters()).device
        inversion = self.method.invert(
            image.to(device), hole.to(device), samples=samples, seed=seed, truncation=truncation
        )
        self._told = dict(inversion.method)
        raw = self.method.render(inversion)[0].clamp(-1, 1)
        of_hole = inversion.for_holes()
        filling = None if of_hole is inversion else self.method.render(of_hole)[0].clamp(-1, 1)
        return Completion(raw, inversion, filling)

    def to_json(self) -> dict[str, Any]:
        """See `Completer`; digests of weights are known after the first picture."""
        named = {"name": self.name, "version": self.method.version, **self._told}
        return {**named, "options": {k: str(v) for k, v in self.options.items()}}


class Filler:
    """A function uint8 (H, W, 3), hole bool (H, W) -> the filled picture; all samples are alike."""

    content: tuple[int, int] | None = None

    def __init__(self, name: str, fill: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        self.name, self.fill = name, fill

    def complete(
        self, image: Tensor, hole: Tensor, *, samples: int, seed: int, truncation: float
    ) -> Completion:
        """See `Completer`."""
        filled = self.fill(to_uint8(image)[0], hole[0, 0].bool().numpy())
        return Completion(to_tensor(filled).repeat(samples, 1, 1, 1))

    def to_json(self) -> dict[str, Any]:
        """See `Completer`."""
        about = (self.fill.__doc__ or "").strip()
        return {"name": self.name, "about": about}


def mean_colour(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The mean of the known pixels, mid-grey where nothing is known."""
    known = picture[~hole]
    colour = np.rint(known.mean(0)) if len(known) else np.full(3, 128)
    return np.where(hole[..., None], colour.astype(np.uint8), picture)


def diffusion(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """OpenCV's inpaint (Navier-Stokes, Bertalmio et al. 2001), radius 3."""
    import cv2

    mask = hole.astype(np.uint8)
    erased = np.where(hole[..., None], np.uint8(0), picture)
    filled: np.ndarray = cv2.inpaint(erased, mask, DIFFUSION_RADIUS, cv2.INPAINT_NS)
    return filled


def build_mean_colour(backbone: Backbone) -> Filler:
    """The completer `mean-colour`."""
    return Filler("mean-colour", mean_colour)


def build_diffusion(backbone: Backbone) -> Filler:
    """The completer `diffusion`."""
    return Filler("diffusion", diffusion)


def completer_group(name: str) -> str:
    """The registry that knows what is to be measured: "methods" or "completers".

    Raises:
        UnknownNameError: neither; lists what both know. PluginError: both.
    """
    found = [group for group in ("methods", "completers") if name in registry(group).names()]
    if not found:
        known = (*registry("methods").names(), *registry("completers").names())
        raise UnknownNameError("method or completer", name, known)
    if len(found) > 1:
        origins = " and a completer from ".join(registry(group).origin(name) for group in found)
        raise PluginError(f"{name!r} is a method from {origins}; uninstall or rename one")
    return found[0]


@torch.no_grad()
def generator_pictures(backbone: Backbone, seed: int, indices: range) -> Tensor:
    """Samples of the generator itself (n, 3, R, R) in [-1, 1]: row i depends on (seed, i) only, but for
    rounding."""
    z = torch.stack([normal(sample_seed(seed, i), backbone.z_dim) for i in indices])
    classes = backbone.classes(indices.stop)
    labels = None if classes is None else classes[indices.start :]
    return backbone(z.to(backbone.w_avg.device), labels).float().clamp(-1, 1).cpu()
