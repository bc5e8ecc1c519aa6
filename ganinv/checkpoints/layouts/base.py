"""What every layout answers with, and checks that several layouts share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.errors import CheckpointError


@dataclass(frozen=True)
class Part:
    """One network of a file, under our names.

    name: as in the file: "G_ema", "g_ema", "d", "encoder". kind: "generator", "discriminator", "encoder", ...
    family: the architecture's registered name. config: of that family's builder, plain data.
    tensors: by the names of our module. missing, unexpected: names in which the file and the module differ.
    """

    name: str
    kind: str
    family: str
    config: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A recognised tree. format: "rosinality", "e4e", ... facts: plain data worth telling."""

    format: str
    parts: tuple[Part, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def tensor_table(tree: Any) -> dict[str, Tensor]:
    """The tensors of a flat dict by name; {} where it is no dict."""
    if not isinstance(tree, Mapping):
        return {}
    return {key: value for key, value in tree.items() if isinstance(key, str) and isinstance(value, Tensor)}


def single(tensor: Tensor) -> Tensor:
    """As float32 and without gaps, if it holds floating-point numbers; unchanged where it is so."""
    return tensor.detach().to(torch.float32).contiguous() if tensor.is_floating_point() else tensor


def shape_of(tensors: Mapping[str, Tensor], name: str, ndim: int) -> tuple[int, ...]:
    """The shape of a tensor that must be there. Raises CheckpointError."""
    found = tensors.get(name)
    if found is None or found.ndim != ndim or 0 in found.shape:
        what = "is missing" if found is None else f"has shape {list(found.shape)}"
        raise CheckpointError(f"its tensor {name} {what}; it needs {ndim} dimensions")
    return tuple(found.shape)


def count_numbered(names: Iterable[str], prefix: str) -> int:
    """n where names start with `prefix`0 to `prefix`n-1, each up to a dot. Gaps raise CheckpointError."""
    digits = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
    numbers = sorted(int(text) for text in digits if text.isascii() and text.isdigit() and len(text) < 6)
    if numbers != list(range(len(numbers))):
        raise CheckpointError(f"its {prefix}* are numbered {numbers}, with a gap")
    return len(numbers)


def check_filter(name: str, kernel: Tensor) -> None:
    """Raises CheckpointError where a resampling filter is not StyleGAN2's [1, 3, 3, 1], whatever its sum."""
    if tuple(kernel.shape) == (4, 4):
        if kernel.is_meta:
            return
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        wanted = torch.outer(taps, taps) / 64
        total = float(kernel.sum())
        if total > 0 and torch.allclose(kernel.float() / total, wanted, rtol=1e-4, atol=1e-6):
            return
    raise CheckpointError(f"its filter {name} is not [1, 3, 3, 1], the only one that is known")


def fit_channels(widths: Mapping[int, int]) -> dict[str, Any]:
    """Configuration keys that give `widths`, side in pixels -> channels: channel_base and channel_max if the
    rule min(channel_base / side, channel_max) gives them, else the list of them.
    """
    most, last = max(widths.values()), max(widths)
    for base in (32768, 16384, widths[last] * last):
        if all(min(base // side, most) == width for side, width in widths.items()):
            return {"channel_base": base, "channel_max": most}
    return {"widths": [widths[side] for side in sorted(widths)]}


def account(
    name: str, kind: str, family: str, module: nn.Module, config: dict[str, Any], named: dict[str, Tensor]
) -> Part:
    """The part with these tensors, compared with the names and shapes of `module` (on the meta device).

    Raises:
        CheckpointError: a tensor of another shape than the module's.
    """
    own = module.state_dict()
    for key in own.keys() & named.keys():
        if own[key].shape != named[key].shape:
            raise CheckpointError(
                f"its {name} has {key} of shape {list(named[key].shape)}; {list(own[key].shape)} was expected"
            )
    missing, unexpected = sorted(own.keys() - named.keys()), sorted(named.keys() - own.keys())
    tensors = {key: single(tensor) for key, tensor in named.items()}
    return Part(name, kind, family, config, tensors, tuple(missing), tuple(unexpected))
