"""The public names for users; `ganinv.parts` has those for plugin authors. All else may change at any time.

from ganinv.api import complete, load_backbone, load_method, open_picture

method = load_method("diverse-inpaint", backbone=load_backbone("portraits-128"))
opened = open_picture("me.png", 128, mask="mask.png")
result = method.invert(opened.image, opened.hole, samples=6, seed=0)
pictures = complete(result, method.backbone)  # uint8 (1, 6, 128, 128, 3)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganinv import mask_files, masks, sizes
from ganinv.align.regions import is_region
from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import bundled_models, load_backbone, load_backbone_of
from ganinv.completing import complete
from ganinv.compositing import composite
from ganinv.configs import check_call
from ganinv.editing.directions import apply_edits, load_direction, load_directions
from ganinv.editing.edits import Direction, Edit
from ganinv.editing.manifest import read_directions
from ganinv.errors import (
    BackboneMismatchError,
    CheckpointError,
    ConfigError,
    GanInvError,
    InputError,
    OutputError,
    PluginError,
    UnknownNameError,
    UsageError,
)
from ganinv.evaluation.completers import Completer, MethodCompleter, completer_group
from ganinv.evaluation.runner import evaluate
from ganinv.evaluation.settings import EvaluationSettings
from ganinv.guidance import morph, reference_codes
from ganinv.images import Bools, Bytes, Picture, read_picture, to_tensor, to_uint8, write_png
from ganinv.inversion import Inversion
from ganinv.method import GuidedMethod, InversionMethod
from ganinv.plugins import plugin_reports, registry
from ganinv.rendering import render

__all__ = [
    "Backbone",
    "BackboneMismatchError",
    "CheckpointError",
    "ConfigError",
    "Direction",
    "Edit",
    "EvaluationSettings",
    "GanInvError",
    "GuidedMethod",
    "InputError",
    "Inversion",
    "InversionMethod",
    "OpenedPicture",
    "OutputError",
    "PluginError",
    "UnknownNameError",
    "UsageError",
    "bundled_models",
    "complete",
    "composite",
    "edit",
    "evaluate",
    "load_backbone",
    "load_completer",
    "load_direction",
    "load_directions",
    "load_method",
    "method_names",
    "morph",
    "open_picture",
    "plugin_reports",
    "read_directions",
    "reference_codes",
    "render",
    "to_tensor",
    "to_uint8",
    "write_png",
]


@dataclass(frozen=True, eq=False)
class OpenedPicture:
    """A picture and its mask at backbone size.

    image: float32 (1, 3, S, S) in [-1, 1]. hole: float32 (1, 1, S, S), 1 = erased.
    content: height and width of the middle part that holds the picture, black being around it; None = all.
    working: uint8 (1, S, S, 3), what known pixels of a composite equal bit for bit. notes: what was done to
    them.
    """

    image: Tensor
    hole: Tensor
    working: Bytes
    notes: tuple[str, ...]
    content: tuple[int, int] | None = None


def method_names() -> tuple[str, ...]:
    """The names that `load_method` knows, sorted."""
    return registry("methods").names()


def load_method(name: str, *, backbone: Backbone | None = None, **options: Any) -> InversionMethod:
    """An inversion method by its registered name.

    Args:
        backbone: the generator to work with, from `load_backbone`; the method runs on its device. None is
            the one that `options["weights"]` holds or names, else the bundled one.
        options: those of the method, such as `weights=FILE`.

    Raises:
        UnknownNameError: no such method; lists the known ones. PluginError: its plugin cannot be loaded.
        UsageError: an option that the method does not have.
        CheckpointError: its weights are absent, damaged or of another backbone.
    """
    builder = registry("methods").get(name)
    backbone = load_backbone_of(options.get("weights")) if backbone is None else backbone
    check_call(builder, options, f"method {name!r}")
    method = builder(backbone, **options)
    if not isinstance(method, InversionMethod):
        origin = registry("methods").origin(name)
        raise PluginError(
            f"method {name!r} from {origin} built a {type(method).__name__}, not an InversionMethod"
        )
    return method


def load_completer(name: str, *, backbone: Backbone, **options: Any) -> Completer:
    """What `evaluate` measures, by its name: an inversion method, or a completer of `ganinv plugins` such as
    "diffusion".

    Args:
        backbone: the generator whose pictures' size is used; hand it to `evaluate` as well.
        options: those of the method or completer, such as `weights=FILE`.

    Raises:
        UnknownNameError: no such method or completer; lists the known ones.
        PluginError, UsageError, CheckpointError: as `load_method`.
    """
    if completer_group(name) == "methods":
        return MethodCompleter(load_method(name, backbone=backbone, **options), options)
    builder = registry("completers").get(name)
    check_call(builder, options, f"completer {name!r}")
    completer = builder(backbone, **options)
    if not callable(getattr(completer, "complete", None)):
        origin = registry("completers").origin(name)
        raise PluginError(
            f"completer {name!r} from {origin} built a {type(completer).__name__}, which cannot complete"
        )
    built: Completer = completer
    return built


def edit(inversion: Inversion, backbone: Backbone, edits: Iterable[tuple[str | Edit, float]]) -> Inversion:
    """The inversion edited; draw it with `method.render` or `render`, save it, or edit it again.

    Args:
        edits: (what, strength), one after the other; what is an `Edit`, or text that `load_direction` takes:
            "age", "age.pt", "sefa:0:4-7".

    Returns:
        The same pictures with other codes, and other tuned weights where styles are edited.

    Raises:
        UnknownNameError, UsageError: no such direction.
        BackboneMismatchError, CheckpointError: one for another backbone, or a file that cannot be used.
    """
    return apply_edits(inversion, edits, backbone)


def _region_hole(spec: str, picture: Picture) -> Bools:
    """The hole "box:x,y,w,h" or "part:NAME" in a picture: of the largest face in it, as dlib finds it.

    Raises:
        InputError: no face, or a box beyond the picture. UsageError: no such region.
    """
    from ganinv.align.faces import in_order, pick
    from ganinv.align.regions import box_hole, check_region, part_hole

    check_region(spec)
    height, width = picture.pixels.shape[:2]
    if spec.startswith("box:"):
        return box_hole(spec, (height, width))
    found = in_order(registry("aligners").get("dlib")().find(picture.pixels))
    return part_hole(spec, pick(found, "largest", (height, width))[0][1], (height, width))


def open_picture(
    path: str | Path,
    size: int,
    *,
    mask: str | Path | None = None,
    fit: str = "refuse",
    polarity: str = "erase-white",
    content: tuple[int, int] | None = None,
    seed: int = 0,
) -> OpenedPicture:
    """Opens a picture, and a mask for it, at backbone size.

    Args:
        size: side in pixels, `backbone.resolution`.
        mask: a file in which white (> 127) means erase; "alpha" for the picture's own transparency; a shape
            by name, as `ganinv invert --mask` takes it: "half-left", "centre", "free-form"; "box:x,y,w,h" in
            the picture's pixels; "part:eyes" of the largest face in it, found by dlib; None for none.
        seed: of a free-form mask.
        fit: what to do with a picture that is not square: "refuse", "crop" or "pad".
        content: for generators whose pictures fill only a middle part (height, width), as those of cars do
            (384, 512): `method.content`, or what you know of the generator. The picture then has these
            proportions, and the rest stays black and known.
        polarity: "erase-white" or "keep-white".

    Raises:
        InputError: a file that cannot be used. UsageError: an unknown fit or polarity.
    """
    picture = read_picture(path)
    shape = picture.pixels.shape[:2]
    if mask is None:
        found = mask_files.Mask(np.zeros(shape, bool))
    elif str(mask) == "alpha":
        found = mask_files.alpha_mask(picture)
    elif mask in masks.MASK_NAMES:
        found = mask_files.Mask(np.zeros(shape, bool))
    elif is_region(str(mask)):
        found = mask_files.Mask(_region_hole(str(mask), picture))
    else:
        found = mask_files.read_mask(mask, (shape[0], shape[1]), polarity)
    shape = content or (size, size)
    sizes.middle(size, content)  # refuses what does not fit
    fitted = sizes.fit_shape(picture, fit, shape)
    working = sizes.embed(sizes.resize(fitted.pixels, shape), size)
    hole = sizes.resize_hole(sizes.fit_array(found.hole, fit, shape), shape)
    if mask in masks.MASK_NAMES:  # drawn at the size at which it is used
        hole = sizes.resize_hole(masks.named_hole(str(mask), size, seed), shape)
    notes = (*fitted.notes, *found.notes, *(mask_files.hole_notes(hole) if mask is not None else ()))
    holes = torch.tensor(sizes.embed(hole, size))[None, None].float()
    return OpenedPicture(to_tensor(working), holes, working[None], notes, content)
