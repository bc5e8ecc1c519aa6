"""Options that say which face of a photo is meant and how it is cut out; what commands on photos share."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.options import Decorator, options
from ganinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from ganinv.align.faces import Detector
    from ganinv.align.geometry import Preset
    from ganinv.align.photo import MaskRequest
    from ganinv.cli.inputs import Job

face_options = options(
    click.option(
        "--face",
        default="largest",
        show_default=True,
        metavar="N|all|largest",
        help="Which; 0 is the largest, see 'ganinv align --list'.",
    ),
    click.option(
        "--detector", default="dlib", show_default=True, help="What finds landmarks; see 'ganinv plugins'."
    ),
    click.option(
        "--landmark-model", metavar="NAME|FILE", help="Of dlib, 68 or 5 points; default: the installed one."
    ),
    click.option(
        "--points",
        type=click.Path(path_type=Path, dir_okay=False),
        help="JSON of landmarks, instead of a detector.",
    ),
    click.option(
        "--preset",
        metavar="ffhq|psp|portraits",
        help="How the square is cut out: ffhq (1024 px, as the data set), psp (256 px, as pSp and e4e), "
        "portraits (128 px, as the bundled models).",
    ),
)
blend_option = click.option(
    "--blend",
    type=click.Choice(["feather", "seamless"]),
    default="feather",
    show_default=True,
    help="How seams are closed: faded and matched in tone, or cloned by gradients.",
)
photo_options = options(
    click.option("--align", is_flag=True, help="The pictures are photos: find the face and cut it out."),
    click.option("--paste-back", is_flag=True, help="Also write the photo with the result in its place."),
    face_options,
    blend_option,
)


def photo_option(text: str) -> Decorator:
    """--photo, a file or a folder that is there; `text` says when it is needed."""
    return click.option("--photo", type=click.Path(path_type=Path, exists=True), help=text)


@dataclass(frozen=True)
class FaceSettings:
    """The options of `face_options`, as typed."""

    face: str = "largest"
    detector: str = "dlib"
    landmark_model: str | None = None
    points: Path | None = None
    preset: str | None = None

    def check(self) -> None:
        """Raises UsageError or UnknownNameError for what no photo could meet."""
        from ganinv.align.faces import check_which
        from ganinv.align.geometry import preset
        from ganinv.plugins import registry

        check_which(self.face)
        if self.preset is not None:
            preset(self.preset)
        registry("aligners").origin(self.detector)

    def to_json(self) -> dict[str, Any]:
        """As a dict for --json."""
        return {**asdict(self), "points": None if self.points is None else str(self.points)}


def open_detector(settings: FaceSettings) -> Detector:
    """The detector asked for, opened once a process (or again, where a file of points was changed).

    Raises what its builder raises: PluginError, CheckpointError, UsageError, InputError.
    """
    points = settings.points
    return _opened(settings, points.stat().st_mtime_ns if points and points.is_file() else 0)


@functools.lru_cache(maxsize=4)
def _opened(settings: FaceSettings, changed: int) -> Detector:
    if settings.points is not None:
        from ganinv.align.points import GivenPoints

        return GivenPoints(settings.points)
    from ganinv.plugins import registry

    found: Detector = registry("aligners").get(settings.detector)(model=settings.landmark_model)
    return found


def preset_for(settings: FaceSettings, backbone_name: str, resolution: int) -> Preset:
    """The preset asked for, or the backbone's own, at its size. Raises UnknownNameError, UsageError."""
    from ganinv.align.geometry import own_preset, preset

    if settings.preset is None:
        return own_preset(backbone_name, resolution)
    return preset(settings.preset, resolution)


def mask_request(spec: str | None, job: Job, polarity: str, seed: int) -> MaskRequest | None:
    """The mask of one photo; those of a folder are found by name.

    Raises:
        InputError: none of that name. UnknownNameError, UsageError: a mask that is not possible.
    """
    from ganinv.align.photo import MaskRequest
    from ganinv.cli.pictures import mask_of, mask_source

    if spec is None:
        return None
    kind, path = mask_source(spec)
    if kind == "folder" and path is not None:
        path = mask_of(job, path)
    return MaskRequest(spec, path, polarity, seed)


def check_aligned(align: bool, paste_back: bool, asked: FaceSettings) -> None:
    """Raises UsageError for options of photos without --align."""
    if align:
        return asked.check()
    if paste_back:
        raise UsageError("--paste-back puts an aligned face back into its photo: type --align as well")
    if asked != FaceSettings():
        raise UsageError("--face, --detector, --points and --preset are for photos: type --align as well")


def check_photo_mask(spec: str | None) -> None:
    """Raises what `mask_source` raises, and UsageError or UnknownNameError for a region; InputError for a
    mask file that is absent.
    """
    from ganinv.cli.pictures import mask_source

    if spec is not None and mask_source(spec)[0] == "folder" and not any(Path(spec).iterdir()):
        raise InputError(f"the mask folder {spec} is empty")
