"""From a picture file to an inversion: what `invert` and `edit` share when they start from pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.backbones import DEFAULT
from ganinv.cli.inputs import PICTURE_SUFFIXES, Job
from ganinv.cli.options import Finite, Size, mask_polarity_option, options, seed_option
from ganinv.cli.progress import step_bar
from ganinv.cli.run import Report
from ganinv.errors import InputError, UnknownNameError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ganinv.api import Backbone, Inversion, InversionMethod, OpenedPicture

# Below this, in dB, the known pixels are so far off that the picture cannot be of the backbone's kind.
_FOREIGN_PSNR = 12.0

backbone_option = click.option(
    "--backbone",
    metavar="NAME|FILE",
    help=f"Generator; default: the one in the file of --weights, if any, else {DEFAULT}.",
)

picture_options = options(
    click.option("--method", default="diverse-inpaint", show_default=True, help="See 'ganinv plugins'."),
    click.option("--weights", help="Weights of the method, by name or file; default: the bundled ones."),
    click.option(
        "--option", "options", multiple=True, metavar="KEY=VALUE", help="Of the method; repeatable."
    ),
    click.option("--steps", type=click.IntRange(min=1), help="The same as --option steps=N."),
    click.option(
        "--refine",
        metavar="METHOD",
        help="Go on from what --method finds with this one: optimize (the codes) or pti (the generator).",
    ),
    click.option(
        "--refine-option",
        "refine_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Of --refine; repeatable.",
    ),
    click.option(
        "--mask",
        metavar="MASK",
        help="What to erase: a mask file (white = erased), a folder with one of each picture's name, alpha, "
        "half-left|right|top|bottom, centre, border, free-form[:PRESET]. Without one nothing is erased.",
    ),
    mask_polarity_option,
    click.option(
        "--fit",
        type=click.Choice(["refuse", "crop", "pad"]),
        default="refuse",
        show_default=True,
        help="What to do with a picture that is not square (or of other proportions than --content).",
    ),
    click.option(
        "--content",
        type=Size(),
        help="Middle part of the backbone's pictures that is used, 384x512 for cars; default: the method's.",
    ),
    click.option("--samples", type=click.IntRange(min=1), default=1, show_default=True, help="Per picture."),
    seed_option("Of all randomness."),
    click.option(
        "--truncation",
        type=Finite(0, 1),
        default=1.0,
        show_default=True,
        help="From 1, all variety, to 0, the mean.",
    ),
    click.option(
        "--reference",
        type=click.Path(path_type=Path),
        metavar="PICTURE",
        help="Fill after this picture: its code takes the place of the random ones.",
    ),
    click.option(
        "--layers",
        multiple=True,
        metavar="coarse|middle|fine|FIRST-LAST",
        help="Where --reference speaks; random codes elsewhere. Repeatable; default: everywhere.",
    ),
)


@dataclass(frozen=True)
class PictureSettings:
    """The options of `picture_options`, as typed."""

    method: str
    weights: str | None
    options: tuple[str, ...]
    steps: int | None
    refine: str | None
    refine_options: tuple[str, ...]
    mask: str | None
    mask_polarity: str
    fit: str
    content: tuple[int, int] | None
    samples: int
    seed: int
    truncation: float
    reference: Path | None
    layers: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a dict for --json."""
        return {**asdict(self), "reference": None if self.reference is None else str(self.reference)}


def open_generator(settings: PictureSettings, backbone: str | None, device: str, **running: Any) -> Backbone:
    """The backbone asked for; where none is, the generator in the file of --weights, or the default one.

    Raises what `ganinv.cli.machine.open_backbone` raises.
    """
    from ganinv.cli.machine import open_backbone, open_backbone_of

    if backbone is not None:
        return open_backbone(backbone, device, **running)
    return open_backbone_of(settings.weights, device, **running)


def open_method(settings: PictureSettings, backbone: Backbone, report: Report) -> InversionMethod:
    """The method that the options name, with its refiner if any.

    Raises what `ganinv.api.load_method` raises, and ConfigError; UsageError, where it cannot listen to
    --reference.
    """
    from ganinv.api import load_method

    pairs = settings.options if settings.steps is None else (*settings.options, f"steps={settings.steps}")
    options = _parsed(settings.method, pairs)
    options |= {} if settings.weights is None else {"weights": settings.weights}
    if settings.refine is None and settings.refine_options:
        raise UsageError("--refine-option needs --refine: type --refine optimize or --refine pti as well")
    refine = _parsed(settings.refine, settings.refine_options, refiner=True) if settings.refine else {}
    method = load_method(settings.method, backbone=backbone, **options)
    _check_reference(settings, method, report)
    if settings.samples > 1 and not method.diverse:
        report.note(f"Note: {method.name} has one answer: all {settings.samples} samples are the same")
    if settings.refine is None:
        return method
    return load_method(settings.refine, backbone=backbone, **(refine | {"embedder": method}))


def _check_reference(settings: PictureSettings, method: InversionMethod, report: Report) -> None:
    from ganinv.guidance import layer_rows
    from ganinv.method import GuidedMethod

    if settings.layers and settings.reference is None:
        raise UsageError("--layers says where a reference speaks: type --reference PICTURE as well")
    if settings.reference is None:
        return
    if settings.refine is not None:
        raise UsageError("--reference does not go with --refine: type one of them")
    if not isinstance(method, GuidedMethod):
        raise UsageError(f"method {method.name!r} listens to no reference; type --method diverse-inpaint")
    layer_rows(settings.layers, method.backbone.num_ws)
    if settings.samples > 1 and not settings.layers:
        report.note("Note: the reference speaks everywhere, so all samples are the same; see --layers")


def _parsed(name: str, pairs: Sequence[str], refiner: bool = False) -> dict[str, Any]:
    """Options of a method from "key=value". Raises ConfigError, UnknownNameError; UsageError unless it can go
    on from another method's answer, where a `refiner` is wanted.
    """
    import inspect

    from ganinv.configs import parse_options
    from ganinv.plugins import registry

    builder = registry("methods").get(name)
    if refiner and "embedder" not in inspect.signature(builder).parameters:
        raise UsageError(
            f"method {name!r} takes no other's answer and refines nothing; "
            "type --refine optimize or --refine pti"
        )
    return parse_options(builder, pairs, f"method {name!r}")


def mask_source(spec: str | None) -> tuple[str, Path | None]:
    """What --mask means: ("none" | "alpha" | "named" | "region", None), or ("file" | "folder", its path).

    Raises:
        InputError: a mask file that does not exist. UnknownNameError: neither a name nor a file.
    """
    from ganinv.masks import MASK_NAMES

    if spec is None:
        return "none", None
    if spec == "alpha" or spec in MASK_NAMES:
        return ("alpha" if spec == "alpha" else "named"), None
    if spec.startswith(("box:", "part:")):
        from ganinv.align.regions import check_region

        check_region(spec)
        return "region", None
    path = Path(spec)
    if path.exists():
        return ("folder" if path.is_dir() else "file"), path
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"no such mask file: {spec}")
    raise UnknownNameError("mask", spec, ["alpha", *MASK_NAMES], hint="Or give a mask file.")


def open_job(job: Job, method: InversionMethod, settings: PictureSettings) -> OpenedPicture:
    """The picture and its mask at the size of the method's backbone; its notes are lines for the user, which
    `invert_opened` tells: pictures are opened before their turn.

    Raises:
        InputError: a picture or mask that cannot be used.
    """
    from ganinv.api import open_picture
    from ganinv.sizes import middle

    kind, path = mask_source(settings.mask)
    if kind == "folder":
        path = mask_of(job, Path(settings.mask or ""))
    size, content = method.backbone.resolution, settings.content or method.content
    opened = open_picture(
        job.path,
        size,
        mask=path or settings.mask,
        fit=settings.fit,
        polarity=settings.mask_polarity,
        content=content,
        seed=settings.seed,
    )
    share = opened.hole[0, 0][middle(size, content)].mean().item()
    level = "Warning" if share > 0.95 or (path is not None and share > 0) else "Note"
    notes = [f"{level}: {job.path}: {note}" for note in opened.notes]
    if kind == "none":
        notes.append(f"Note: {job.path}: no mask: plain inversion of the whole picture")
    if path is not None and share > 0.5:
        other = "keep-white" if settings.mask_polarity == "erase-white" else "erase-white"
        notes.append(
            f"Note: {job.path}: {share:.0%} is erased; is your mask inverted? --mask-polarity {other}"
        )
    return replace(opened, notes=tuple(notes))


def invert_opened(
    method: InversionMethod, opened: OpenedPicture, settings: PictureSettings, report: Report, **extra: Any
) -> Inversion:
    """The inversion of an opened picture; what was asked for on the command line, and `extra`, is kept in its
    options. Where it is the only one, a bar shows the steps.
    """
    for note in opened.notes:
        report.note(note)
    with step_bar(method, wanted=len(report.inputs) == 1):
        inversion = method.invert(
            opened.image.to(_device_of(method)),
            opened.hole.to(_device_of(method)),
            samples=settings.samples,
            seed=settings.seed,
            truncation=settings.truncation,
            **_guidance(method, settings),
        )
    asked = {"mask": mask_label(settings.mask), "mask_polarity": settings.mask_polarity, "fit": settings.fit}
    if settings.reference is not None:
        asked |= {"reference": settings.reference.name, "layers": ",".join(settings.layers) or "all"}
    return replace(inversion, content=opened.content, options={**inversion.options, **asked, **extra})


def _guidance(method: InversionMethod, settings: PictureSettings) -> dict[str, Tensor]:
    """What `invert` is given beside the picture: the codes of --reference, if any.

    Raises:
        InputError: a reference that cannot be used.
    """
    from ganinv.api import open_picture, reference_codes
    from ganinv.method import GuidedMethod

    if settings.reference is None or not isinstance(method, GuidedMethod):
        return {}
    content = settings.content or method.content
    shown = open_picture(settings.reference, method.backbone.resolution, fit=settings.fit, content=content)
    codes = reference_codes(
        method,
        shown.image.to(_device_of(method)),
        layers=settings.layers,
        samples=settings.samples,
        seed=settings.seed,
        truncation=settings.truncation,
    )
    return {"w_rand": codes}


def warn_if_foreign(raw: Tensor, opened: OpenedPicture, job: Job, report: Report) -> None:
    """Warns when the known pixels of `raw` (K, 3, H, W) are far from the picture's: it is of another kind.

    Raises InputError where `raw` is not finite.
    """
    import torch

    if not raw.isfinite().all():
        raise InputError(
            f"{job.path}: the method's answer is not finite, so nothing is written: a step that is too large "
            "(lr) does that, and float16 in generators that were not trained for it"
        )
    known = (1 - opened.hole).expand_as(opened.image).bool()[0]
    if not known.any():
        return
    known, image = known.to(raw.device), opened.image.to(raw.device)
    error = (raw.clamp(-1, 1) - image)[:, known].square().mean(dim=1)
    psnr = (10 * torch.log10(4 / error.clamp(min=1e-12))).mean().item()
    if psnr < _FOREIGN_PSNR:
        report.note(
            f"Warning: {job.path}: the known pixels come back at only {psnr:.1f} dB; "
            "the picture seems unlike what the backbone was trained on"
        )


def erased_picture(opened: OpenedPicture) -> np.ndarray:
    """The working copy with erased pixels in mid-grey, uint8 (H, W, 3)."""
    import numpy as np

    hole = opened.hole[0, 0].bool().numpy()
    return np.where(hole[..., None], np.uint8(128), opened.working[0])


def mask_label(spec: str | None) -> str | None:
    """What a saved result says of its mask: the name, or the file's name without its folder."""
    return None if spec is None else Path(spec).name


def mask_of(job: Job, folder: Path) -> Path:
    """The mask of a picture in a folder: of its name, or its name and -mask. Raises InputError."""
    for end in ("", "-mask", "_mask"):
        for suffix in PICTURE_SUFFIXES:
            path = folder / f"{job.name}{end}{suffix}"
            if path.is_file() and path.resolve() != job.path.resolve():
                return path
    raise InputError(
        f"no mask for {job.path}: looked for {folder / job.name}.png (or .jpg, ...), or the same with -mask"
    )


def _device_of(method: InversionMethod) -> Any:
    return next(method.backbone.parameters()).device
