"""The pictures that are measured on, their holes, and the pictures that they are compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ganinv.compositing import composite
from ganinv.errors import InputError
from ganinv.evaluation.completers import Completion
from ganinv.evaluation.settings import EvaluationSettings, mask_name
from ganinv.images import EXTENSIONS, read_picture, to_tensor, to_uint8
from ganinv.masks import named_hole
from ganinv.sampling import sample_seed
from ganinv.sizes import embed, fit_shape, middle, resize, resize_hole


class Pictures(Protocol):
    """Numbered pictures uint8 (H, W, 3) at the backbone's size, and a reference set for FID and KID.

    about: what they are, for the record. paired: the reference set is these very pictures.
    """

    about: str
    paired: bool

    def __len__(self) -> int: ...

    def picture(self, index: int) -> np.ndarray:
        """Picture `index`."""
        ...

    def reference(self, indices: range) -> np.ndarray:
        """Those of the reference set, uint8 (n, H, W, 3); it has as many as there are pictures."""
        ...


class Portraits:
    """Portraits 0 .. count-1 of a series; the reference set is of the next series, so of other people."""

    paired = False

    def __init__(self, series: int, count: int, size: int) -> None:
        self.series, self.count, self.size = series, count, size
        self.about = (
            f"portraits 0 to {count - 1} of series {series}, {size} px; reference: series {series + 1}"
        )

    def __len__(self) -> int:
        return self.count

    def picture(self, index: int) -> np.ndarray:
        return self._drawn(self.series, index, 1)[0]

    def reference(self, indices: range) -> np.ndarray:
        return self._drawn(self.series + 1, indices.start, len(indices))

    def _drawn(self, series: int, start: int, count: int) -> np.ndarray:
        from ganinv.portraits.attributes import sample_attributes
        from ganinv.portraits.renderer import render

        return rounded(render(sample_attributes(count, series, start), self.size))


class Folder:
    """The first pictures of a folder in the order of their names, cropped to their middle.

    content: height and width of the middle part of the backbone's pictures that is used; None = all.
    """

    paired = True

    def __init__(self, folder: Path, count: int, size: int, content: tuple[int, int] | None = None) -> None:
        """Raises InputError where there is no picture."""
        if not folder.is_dir():
            raise InputError(
                f"--data {folder} is no folder; give one with pictures, or type --data portraits"
            )
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        if not found:
            raise InputError(f"--data {folder} holds no pictures; looked for {', '.join(EXTENSIONS)}")
        self.paths, self.size, self.shape = found[:count], size, content or (size, size)
        names = hashlib.sha256("\n".join(p.relative_to(folder).as_posix() for p in self.paths).encode())
        self.about = (
            f"{len(self.paths)} of {len(found)} pictures of a folder, middle crop, {size} px, names "
            f"{names.hexdigest()[:12]}; reference: the same pictures"
        )

    def __len__(self) -> int:
        return len(self.paths)

    def picture(self, index: int) -> np.ndarray:
        fitted = fit_shape(read_picture(self.paths[index]), "crop", self.shape)
        return embed(resize(fitted.pixels, self.shape), self.size)

    def reference(self, indices: range) -> np.ndarray:
        return np.stack([self.picture(index) for index in indices])


def open_pictures(settings: EvaluationSettings, size: int, content: tuple[int, int] | None) -> Pictures:
    """The pictures that the settings name, at `size` px. Raises InputError."""
    if settings.series is not None:
        return Portraits(settings.series, settings.count, size)
    return Folder(Path(settings.data).expanduser(), settings.count, size, content)


def rounded(pictures: Tensor) -> np.ndarray:
    """Renders [N, 3, H, W] in [0, 1] as their files would hold them: uint8 (N, H, W, 3)."""
    return (pictures * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


@dataclass(frozen=True)
class HoleSet:
    """A hole for each picture: a function of the families, the seed, the size and the picture's number."""

    families: Sequence[str]
    seed: int
    size: int
    content: tuple[int, int] | None = None

    def family(self, index: int) -> int:
        """Number of the family of picture `index`: they take turns."""
        return index % len(self.families)

    def hole(self, index: int) -> np.ndarray:
        """Bool (H, W), True = erased."""
        name = mask_name(self.families[self.family(index)])
        hole = named_hole(name, self.size, sample_seed(self.seed, index))
        if self.content is None:
            return hole
        middle(self.size, self.content)
        return embed(resize_hole(hole, self.content), self.size)


def digest(array: np.ndarray) -> np.ndarray:
    """SHA-256 of an array's bytes, uint8 [32]."""
    data = np.ascontiguousarray(array).tobytes()
    return np.frombuffer(hashlib.sha256(data).digest(), np.uint8).copy()


def completed(
    settings: EvaluationSettings, done: Completion, picture: np.ndarray, hole: np.ndarray
) -> np.ndarray:
    """Composites uint8 (K, R, R, 3) of one picture (R, R, 3) with its hole (R, R)."""
    drawn = to_uint8(done.raw if done.filling is None else done.filling)
    pictures, holes = (np.repeat(each[None], len(drawn), 0) for each in (picture, hole))
    return composite(drawn, pictures, holes, settings.feather, tones=settings.tones)


def as_tensors(picture: np.ndarray, hole: np.ndarray) -> tuple[Tensor, Tensor]:
    """float32 (1, 3, H, W) in [-1, 1] and (1, 1, H, W), 1 = erased."""
    return to_tensor(picture), torch.from_numpy(hole)[None, None].float()
