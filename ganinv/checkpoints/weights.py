"""Tensors into modules, strictly, with every disagreement in one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from ganinv.errors import CheckpointError


def load_weights(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    source: object,
    strict: bool = True,
    assign: bool = False,
) -> None:
    """Copies tensors into a module's parameters and buffers of the same names.

    Args:
        module: receives them; its dtype and device stay.
        source: named in the message, usually the file.
        strict: refuse missing and unexpected names; wrong shapes are always refused.
        assign: take the tensors themselves instead of copying them, for a module built on the meta device.

    Raises:
        CheckpointError: names or shapes disagree; the module is unchanged then.
    """
    own = module.state_dict()
    complaints = []
    if strict:
        complaints += _names("missing", own.keys() - tensors.keys())
        complaints += _names("unexpected", tensors.keys() - own.keys())
    shared = sorted(own.keys() & tensors.keys())
    shapes = [
        f"{k} {list(tensors[k].shape)}, not {list(own[k].shape)}"
        for k in shared
        if own[k].shape != tensors[k].shape
    ]
    complaints += _names("of another shape", shapes)
    if complaints:
        raise CheckpointError(f"{source} does not fit {type(module).__name__}: {'; '.join(complaints)}")
    module.load_state_dict({k: tensors[k] for k in shared}, strict=False, assign=assign)


def _names(what: str, names: Iterable[str], most: int = 6) -> list[str]:
    listed = sorted(names)
    if not listed:
        return []
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return [f"{len(listed)} {what} ({', '.join(listed[:most])}{more})"]
