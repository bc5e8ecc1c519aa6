"""Real pictures that are mixed in with generated ones, and their latents where these are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from ganinv.parts import Backbone, InputError, embed, fit_shape, read_picture, resize

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True, eq=False)
class Reals:
    """Pictures uint8 (M, 3, R, R) on the CPU; z: (M, z_dim) from which the generator draws about the same
    pictures, or None where that is not known.
    """

    images: Tensor
    z: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)


def load_reals(source: str | Path, backbone: Backbone, content: tuple[int, int] | None = None) -> Reals:
    """Real pictures for a backbone of side R.

    Args:
        source: a folder (pictures are cropped, resized, and in the middle of black where `content` is not
            all), a .npy file of uint8 (M, R, R, 3), or a .npz file with such `images` and their `z`, float
            (M, z_dim).

    Raises:
        InputError: no such folder or file, no picture in it, or arrays of other shapes.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return Reals(_tensor(_of_folder(path, backbone.resolution, content), path, backbone.resolution))
    if path.suffix not in (".npy", ".npz") or not path.is_file():
        raise InputError(
            f"real images {path}: give a folder of pictures, a .npy file of uint8 (M, R, R, 3) or a .npz "
            "file with such `images` and their `z`"
        )
    try:
        found = np.load(path, allow_pickle=False)
        arrays = (
            {"images": found} if path.suffix == ".npy" else {name: found[name] for name in ("images", "z")}
        )
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    images = _tensor(arrays["images"], path, backbone.resolution)
    return Reals(images, _latents(arrays["z"], len(images), path, backbone) if "z" in arrays else None)


def _of_folder(folder: Path, resolution: int, content: tuple[int, int] | None) -> np.ndarray:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_ENDINGS)
    if not files:
        raise InputError(f"no pictures in {folder} (looked for {', '.join(PICTURE_ENDINGS)})")
    shape = content or (resolution, resolution)
    fitted = (fit_shape(read_picture(path), "crop", shape).pixels for path in files)
    return np.stack([embed(resize(pixels, shape), resolution) for pixels in fitted])


def _tensor(array: np.ndarray, path: Path, side: int) -> Tensor:
    """(M, 3, R, R) from (M, R, R, 3)."""
    if array.dtype != np.uint8 or array.shape[1:] != (side, side, 3) or not len(array):
        wanted = f"uint8 (M, {side}, {side}, 3)"
        raise InputError(f"{path} holds {array.dtype} {array.shape}; {wanted} is needed")
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def _latents(z: np.ndarray, count: int, path: Path, backbone: Backbone) -> Tensor:
    if backbone.c_dim:
        raise InputError(f"{path} holds z, which say nothing without classes; {backbone.name} has classes")
    if z.dtype.kind != "f" or z.shape != (count, backbone.z_dim):
        wanted = f"float ({count}, {backbone.z_dim})"
        raise InputError(f"{path} holds z of {z.dtype} {z.shape}; {wanted} is needed")
    return torch.from_numpy(z).float()
