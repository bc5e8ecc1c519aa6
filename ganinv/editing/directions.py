"""Directions: what to add to codes so that one attribute of the picture changes.

Edited codes are ws + strength * unit * vector on the direction's layers. Vectors have rows of norm 1; `unit`
is the length that one step of strength goes, for bundled directions one standard deviation of the attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import bundled_models
from ganinv.checkpoints import read_checkpoint, write_checkpoint
from ganinv.errors import CheckpointError, PluginError, UnknownNameError, UsageError
from ganinv.inversion import check_backbone
from ganinv.plugins import registry

KIND = "directions"


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction.

    vector: float32 (rows, w_dim), rows = 1 (the same for every layer) or num_ws; each row of norm 1 or 0.
    unit: length of one step of strength. layers: (first, last), last excluded; None = all.
    backbone_sha256: of the generator it was fitted on; None = usable with any of the same width.
    origin: the file or plugin it comes from. about: one line for a list.
    """

    name: str
    vector: Tensor
    unit: float = 1.0
    layers: tuple[int, int] | None = None
    backbone_sha256: str | None = None
    origin: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        if self.vector.ndim != 2 or not self.vector.isfinite().all():
            raise ValueError(
                f"direction {self.name!r}: a vector of shape {list(self.vector.shape)}; "
                "expected finite [rows, w_dim]"
            )
        norms = self.vector.double().norm(dim=1)
        if not (((norms - 1).abs() < 1e-3) | (norms == 0)).all():
            raise ValueError(
                f"direction {self.name!r}: rows of norm {norms.min():.4g} to {norms.max():.4g}; expected 1"
            )


def apply(ws: Tensor, direction: Direction, strength: float) -> Tensor:
    """Codes moved along a direction: ws + strength * unit * vector on its layers.

    Args:
        ws: float32 (..., num_ws, w_dim), left unchanged.
        strength: steps; negative ones go the other way.

    Returns:
        As `ws`.

    Raises:
        CheckpointError: the direction is of another width or number of layers.
    """
    num_ws, w_dim = ws.shape[-2:]
    rows, width = direction.vector.shape
    if width != w_dim or rows not in (1, num_ws):
        raise CheckpointError(
            f"direction {direction.name!r} from {direction.origin or 'an unnamed source'} "
            f"is for codes of {rows} x {width}, these are {num_ws} x {w_dim}: use one fitted on this backbone"
        )
    first, last = direction.layers or (0, num_ws)
    if not 0 <= first < last <= num_ws:
        raise CheckpointError(
            f"direction {direction.name!r} is for layers {first} to {last} and there are {num_ws}"
        )
    step = (strength * direction.unit * direction.vector).to(ws.device, ws.dtype).expand(num_ws, w_dim)
    edited = ws.clone()
    edited[..., first:last, :] += step[first:last]
    return edited


def apply_all(
    ws: Tensor, edits: Iterable[tuple[str, float]], directions: Mapping[str, Direction], backbone: Backbone
) -> Tensor:
    """`apply` for several (name, strength) one after the other.

    Raises:
        UnknownNameError: a name that `directions` lacks.
        BackboneMismatchError, CheckpointError: a direction that does not belong to `backbone`.
    """
    for name, strength in edits:
        if name not in directions:
            raise UnknownNameError("direction", name, directions)
        direction = directions[name]
        if direction.backbone_sha256 is not None:
            check_backbone(backbone, direction.backbone_sha256, f"direction {name!r}")
        ws = apply(ws, direction, strength)
    return ws


def load_directions(backbone: Backbone) -> dict[str, Direction]:
    """Every direction at hand for a backbone: bundled ones fitted on it, then those of plugins.

    A plugin's direction whose name is taken is called "PLUGIN/NAME". A plugin that fails is left out here and
    told by `ganinv plugins`.
    """
    found: dict[str, Direction] = {}
    for model in bundled_models():
        if model.kind == KIND:
            found |= {d.name: d for d in read_directions(model.path).values() if _suits(d, backbone)}
    plugins = registry("directions")
    for plugin in plugins.names():
        try:
            offered = list(_of_plugin(plugins.get(plugin), plugins.origin(plugin)))
        except (PluginError, CheckpointError):
            continue
        for direction in offered:
            if _suits(direction, backbone):
                name = direction.name if direction.name not in found else f"{plugin}/{direction.name}"
                found[name] = replace(direction, name=name)
    return found


def read_directions(path: str | Path) -> dict[str, Direction]:
    """The directions of a file of `write_directions`, by name. Raises CheckpointError."""
    stored = read_checkpoint(path, kind=KIND)
    if stored.config.keys() != stored.tensors.keys():
        raise CheckpointError(f"{path} is damaged: its header and its vectors name different directions")
    try:
        return {
            name: Direction(
                name=name,
                vector=stored.tensors[name].float(),
                unit=float(entry["unit"]),
                layers=(int(entry["layers"][0]), int(entry["layers"][1])) if entry.get("layers") else None,
                backbone_sha256=entry.get("backbone_sha256"),
                origin=Path(path).name,
                about=str(entry.get("about", "")),
            )
            for name, entry in stored.config.items()
        }
    except (KeyError, IndexError, TypeError, ValueError) as cause:
        raise CheckpointError(f"{path} is damaged: {cause}") from cause


def write_directions(
    path: str | Path, directions: Iterable[Direction], *, provenance: Mapping[str, Any] | None = None
) -> str:
    """Writes directions to a file; gives its SHA-256. Raises OutputError, UsageError for two of a name."""
    listed = list(directions)
    if len({d.name for d in listed}) < len(listed):
        raise UsageError(
            f"two directions of one name cannot go into {path}: {', '.join(d.name for d in listed)}"
        )
    config = {
        d.name: {
            "unit": d.unit,
            "layers": list(d.layers) if d.layers else None,
            "backbone_sha256": d.backbone_sha256,
            "about": d.about,
        }
        for d in listed
    }
    vectors = {d.name: d.vector.float() for d in listed}
    return write_checkpoint(path, vectors, kind=KIND, family=KIND, config=config, provenance=provenance)


def _suits(direction: Direction, backbone: Backbone) -> bool:
    """Whether a direction was fitted on this backbone or, fitted on none in particular, has its width."""
    if direction.backbone_sha256 is not None:
        return direction.backbone_sha256 == backbone.sha256
    rows, width = direction.vector.shape
    return width == backbone.w_dim and rows in (1, backbone.num_ws)


def _of_plugin(builder: Any, origin: str) -> Iterator[Direction]:
    """A plugin's builder gives a file of directions or the directions themselves."""
    try:
        offered = builder()
        items = read_directions(offered).values() if isinstance(offered, (str, Path)) else list(offered)
    except CheckpointError:
        raise
    except Exception as cause:  # a plugin may raise anything, and must break only itself
        raise PluginError(f"directions from {origin} cannot be loaded: {cause}") from cause
    for item in items:
        if isinstance(item, Direction):
            yield replace(item, origin=origin)
