"""The result of an inversion, and its file.

The file is one safetensors file with a JSON header. It holds no clock and no absolute path, so equal results
are equal files.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ganinv import __version__
from ganinv.checkpoints import read_checkpoint, write_checkpoint
from ganinv.checkpoints.container import read_header
from ganinv.errors import BackboneMismatchError, CheckpointError, UsageError

if TYPE_CHECKING:
    from ganinv.backbones.base import Backbone, Noise

K = TypeVar("K")
KIND = "inversion"
_FEATURES = "features."
_TUNED = "tuned."
_UNEDITED = "unedited."


@dataclass(frozen=True, eq=False)
class Inversion:
    """Codes of N pictures, K samples each, with all that is needed to draw or make them again.

    Its tensors stay where they were made, on the generator's device; those of a file are on the CPU.

    ws: float32 (N, K, num_ws, w_dim). seeds: one per sample.
    working: uint8 (N, 3, H, W), the pictures at backbone size. hole: uint8 (N, 1, H, W), 1 = erased.
    content: height and width of the middle part that holds the picture, black being around it; None = all.
    noise: which noise the generator is run with; "random" is drawn from each sample's seed.
    features: side -> float16 (N, K, C, side, side), added to the generator's features of that side.
    features_in_holes: whether they also draw what is in holes, see `for_holes`.
    tuned: name in the generator's state dict -> float16 (N, K, ...), added to that weight for this picture.
    backbone: `name`, `sha256`. method: `name`, `version`, `sha256` (of its weights, or None).
    options: what the method was asked for. versions: of the programs, with the number of threads.
    unedited: of an edited inversion what was found, which its features belong to, see `rendering.render`.

    Raises:
        ValueError: shapes that do not go together.
    """

    ws: Tensor
    seeds: tuple[int, ...]
    working: Tensor
    hole: Tensor
    content: tuple[int, int] | None = None
    noise: Noise = "const"
    features: Mapping[int, Tensor] = field(default_factory=dict)
    features_in_holes: bool = True
    tuned: Mapping[str, Tensor] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    unedited: Inversion | None = None

    def __post_init__(self) -> None:
        ws, working, hole = self.ws, self.working, self.hole
        if ws.ndim != 4 or ws.dtype != torch.float32:
            raise ValueError(f"ws is {ws.dtype} {list(ws.shape)}; expected float32 [N, K, num_ws, w_dim]")
        n, k = ws.shape[:2]
        if len(self.seeds) != k:
            raise ValueError(f"{len(self.seeds)} seeds for {k} samples")
        if working.dtype != torch.uint8 or working.ndim != 4 or working.shape[:2] != (n, 3):
            raise ValueError(
                f"working is {working.dtype} {list(working.shape)}; expected uint8 [{n}, 3, H, W]"
            )
        if hole.dtype != torch.uint8 or hole.shape != (n, 1, *working.shape[2:]):
            raise ValueError(
                f"hole is {hole.dtype} {list(hole.shape)}; expected uint8 {[n, 1, *working.shape[2:]]}"
            )
        if self.content and not all(
            0 < part <= whole for part, whole in zip(self.content, working.shape[2:], strict=True)
        ):
            raise ValueError(f"content {self.content} does not fit into {list(working.shape[2:])}")
        for side, feature in self.features.items():
            fits = feature.ndim == 5 and feature.shape[:2] == (n, k) and feature.shape[3:] == (side, side)
            if feature.dtype != torch.float16 or not fits:
                raise ValueError(
                    f"features of {side} px are {feature.dtype} {list(feature.shape)}; "
                    f"expected float16 [{n}, {k}, C, {side}, {side}]"
                )
        for name, change in self.tuned.items():
            if change.dtype != torch.float16 or change.shape[:2] != (n, k):
                raise ValueError(
                    f"tuned {name} is {change.dtype} {list(change.shape)}; expected float16 [{n}, {k}, ...]"
                )
        if self.unedited is not None and self.unedited.ws.shape != ws.shape:
            raise ValueError(f"ws is {list(ws.shape)}, and unedited {list(self.unedited.ws.shape)}")

    @property
    def samples(self) -> int:
        """K, the number of samples of each picture."""
        return len(self.seeds)

    def sample(self, index: int) -> Inversion:
        """The inversion with that sample only (K = 1). Raises UsageError where there is no such sample."""
        if not 0 <= index < self.samples:
            raise UsageError(f"no sample {index}; this inversion has samples 0 to {self.samples - 1}")
        one = slice(index, index + 1)
        features = {side: f[:, one] for side, f in self.features.items()}
        tuned = {name: t[:, one] for name, t in self.tuned.items()}
        found = replace(
            self, ws=self.ws[:, one], seeds=self.seeds[one], features=features, tuned=tuned, unedited=None
        )
        return found if self.unedited is None else replace(found, unedited=self.unedited.sample(index))

    @classmethod
    def of_samples(cls, parts: Sequence[Inversion]) -> Inversion:
        """The samples of all `parts`, found for the same pictures, in one inversion; what else it tells is of
        the first. Features and tuned weights that a part lacks are 0.
        """
        found = replace(
            parts[0],
            ws=torch.cat([part.ws for part in parts], dim=1),
            seeds=tuple(seed for part in parts for seed in part.seeds),
            features=_in_a_row([(part.features, part.samples) for part in parts]),
            tuned=_in_a_row([(part.tuned, part.samples) for part in parts]),
            unedited=None,
        )
        if all(part.unedited is None for part in parts):
            return found
        return replace(found, unedited=cls.of_samples([part.unedited or part for part in parts]))

    def edited(self, *, ws: Tensor | None = None, tuned: Mapping[str, Tensor] | None = None) -> Inversion:
        """An edit of it, with other codes or other tuned weights; edits of an edit are one edit."""
        return replace(
            self,
            ws=self.ws if ws is None else ws,
            tuned=self.tuned if tuned is None else tuned,
            unedited=self.unedited or self,
        )

    def for_holes(self) -> Inversion:
        """What is drawn inside the holes: the inversion itself, or without its features where these only
        bring back what is known.
        """
        if self.features_in_holes or not self.features:
            return self
        return replace(self, features={})

    def save(self, path: str | Path) -> str:
        """Writes the file, whole or not at all. Returns its SHA-256. Raises OutputError."""
        tensors = {"ws": self.ws, "working": self.working, "hole": self.hole}
        tensors |= {f"{_FEATURES}{side}": feature for side, feature in self.features.items()}
        tensors |= {f"{_TUNED}{name}": change for name, change in self.tuned.items()}
        if self.unedited is not None:  # all else of it is as here
            tensors[f"{_UNEDITED}ws"] = self.unedited.ws
            tensors |= {f"{_UNEDITED}{_TUNED}{name}": t for name, t in self.unedited.tuned.items()}
        header = {
            "seeds": list(self.seeds),
            "content": None if self.content is None else list(self.content),
            "noise": self.noise,
            "features_in_holes": self.features_in_holes,
            "backbone": dict(self.backbone),
            "method": dict(self.method),
            "options": dict(self.options),
            "versions": dict(self.versions),
        }
        return write_checkpoint(path, tensors, kind=KIND, family=KIND, config=header)

    @classmethod
    def load(cls, path: str | Path) -> Inversion:
        """Reads a file of `save`. Raises CheckpointError for any other, damaged or truncated file."""
        found = read_checkpoint(path, kind=KIND)
        header, tensors = found.config, found.tensors
        try:
            if header["noise"] not in ("const", "random", "none"):
                raise ValueError(f"noise {header['noise']!r}")
            records: dict[str, Any] = {
                key: dict(header[key]) for key in ("backbone", "method", "options", "versions")
            }
            loaded = cls(
                ws=tensors["ws"],
                seeds=tuple(int(seed) for seed in header["seeds"]),
                working=tensors["working"],
                hole=tensors["hole"],
                content=_size(header.get("content")),
                noise=header["noise"],
                # read as float32; the file holds half precision, so nothing is lost
                features={int(side): feature.half() for side, feature in _named(tensors, _FEATURES)},
                features_in_holes=bool(header.get("features_in_holes", True)),
                tuned={name: change.half() for name, change in _named(tensors, _TUNED)},
                **records,
            )
            if f"{_UNEDITED}ws" not in tensors:
                return loaded
            tuned = {name: change.half() for name, change in _named(tensors, f"{_UNEDITED}{_TUNED}")}
            before = replace(loaded, ws=tensors[f"{_UNEDITED}ws"], tuned=tuned)
            return replace(loaded, unedited=before)
        except KeyError as cause:
            raise CheckpointError(
                f"{path} is not a complete inversion: it lacks {cause.args[0]!r}"
            ) from cause
        except (TypeError, ValueError) as cause:
            raise CheckpointError(f"{path} is not a valid inversion: {cause}") from cause

    @staticmethod
    def counts(path: str | Path) -> tuple[int, int]:
        """How many pictures and samples a file of `save` holds, from its header alone.

        Raises:
            CheckpointError: no such file, or another one.
        """
        path = Path(path)
        try:
            with open(path, "rb") as stream:
                _, entries = read_header(stream, path)
        except OSError as cause:
            raise CheckpointError(f"cannot read {path}: {cause.strerror or cause}") from cause
        shape = entries["ws"].shape if "ws" in entries else ()
        if len(shape) != 4:
            raise CheckpointError(f"{path} is not a complete inversion: it lacks codes")
        return shape[0], shape[1]


def _named(tensors: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors whose names begin so, by the rest of their names."""
    return ((name[len(prefix) :], tensor) for name, tensor in tensors.items() if name.startswith(prefix))


def _in_a_row(parts: Sequence[tuple[Mapping[K, Tensor], int]]) -> dict[K, Tensor]:
    """Tensors [N, K, ...] by name, of parts with so many samples, one part after the other along K."""
    known = {name: tensor for tensors, _ in parts for name, tensor in tensors.items()}

    def of(part: Mapping[K, Tensor], name: K, count: int) -> Tensor:
        like = known[name]
        return part[name] if name in part else like.new_zeros(len(like), count, *like.shape[2:])

    return {name: torch.cat([of(part, name, count) for part, count in parts], dim=1) for name in known}


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = value
    return int(height), int(width)


def backbone_record(backbone: Backbone) -> dict[str, Any]:
    """What an Inversion keeps of its backbone."""
    return {"name": backbone.name, "sha256": backbone.sha256 or None}


def run_versions() -> dict[str, Any]:
    """What an Inversion keeps of the programs that made it; with equal ones a machine gives equal bits."""
    from ganinv_ops import dispatch

    return {
        "ganinv": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "ops": {
            name: "native" if verdict.ready else "reference" for name, verdict in dispatch.verdicts().items()
        },
    }


def check_backbone(backbone: Backbone, sha256: str | None, what: str) -> None:
    """Raises BackboneMismatchError unless `what` was made with this very backbone."""
    own = backbone.sha256 or None
    if own != sha256:
        was, now = ((d or "unsaved weights")[: 15 if d is None else 12] for d in (sha256, own))
        raise BackboneMismatchError(
            f"{what} belongs to a backbone with digest {was}, and the one given has {now}: "
            "type --backbone FILE with the file it was made with"
        )
