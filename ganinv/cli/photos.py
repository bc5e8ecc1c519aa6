"""`--align` and `--paste-back`: what `invert` and `edit` do before and after a method sees faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ganinv.cli.faces import FaceSettings, check_aligned, mask_request, open_detector, preset_for
from ganinv.cli.folder import shown
from ganinv.cli.inputs import Job
from ganinv.cli.paste import find_photo
from ganinv.cli.run import Report
from ganinv.errors import InputError

if TYPE_CHECKING:
    from ganinv.align.paste import Blend
    from ganinv.align.photo import AlignedPhoto, Result
    from ganinv.align.sidecar import Sidecar
    from ganinv.api import Inversion, InversionMethod, OpenedPicture
    from ganinv.cli.pictures import PictureSettings
    from ganinv.images import Picture

SIDECAR_SUFFIX = ".align.json"


@dataclass(frozen=True)
class PhotoSettings:
    """The options of `photo_options`, as typed."""

    align: bool
    paste_back: bool
    blend: Blend
    faces: FaceSettings

    def check(self, *, made_before: bool = False) -> None:
        """Raises UsageError for options that need --align, unless the input was aligned before."""
        check_aligned(self.align, self.paste_back and not made_before, self.faces)

    def to_json(self) -> dict[str, object]:
        """As a dict for --json."""
        return {
            "align": self.align,
            "paste_back": self.paste_back,
            "blend": self.blend,
            **self.faces.to_json(),
        }


@dataclass(frozen=True, eq=False)
class OpenedFace:
    """A face at backbone size. job: the photo, and the name of this face's results; index: of the face."""

    job: Job
    opened: OpenedPicture
    index: int


def open_faces(
    job: Job, method: InversionMethod, settings: PictureSettings, photo: PhotoSettings, report: Report
) -> tuple[AlignedPhoto, list[OpenedFace]]:
    """The faces of a photo as the method takes them, with a warning for all that a user should know.

    Raises:
        InputError: a photo that cannot be used, no face, ...; see `align_photo`. UsageError: a backbone whose
        pictures are not square.
    """
    import torch

    from ganinv.align.photo import align_photo, with_crops
    from ganinv.api import OpenedPicture, to_tensor

    content, size = settings.content or method.content, method.backbone.resolution
    if content not in (None, (size, size)):
        raise InputError(
            "--align makes square crops, and this method's pictures are not square; leave it out"
        )
    request = mask_request(settings.mask, job, settings.mask_polarity, settings.seed)
    preset = preset_for(photo.faces, method.backbone.name, size)
    aligned = align_photo(job.path, open_detector(photo.faces), preset, photo.faces.face, request)
    for note in aligned.notes:
        report.note(f"Warning: {shown(job.path)}: {note}")
    faces = []
    for face in aligned.faces:
        hole = torch.tensor(face.crop_hole)[None, None].float()
        opened = OpenedPicture(to_tensor(face.crop), hole, face.crop[None], ())
        index = face.record.index
        faces.append(OpenedFace(Job(job.path, face_name(job, index, photo.faces.face)), opened, index))
    names = [crop_file(face.job.name) for face in faces]
    return replace(aligned, sidecar=with_crops(aligned.sidecar, names)), faces


def face_name(job: Job, index: int, which: str) -> str:
    """Of a face's results; which: `--face`."""
    return f"{job.name}-{index}" if which == "all" else job.name


def crop_file(name: str) -> str:
    """What 'ganinv invert' calls the crop of a face whose results have that name."""
    return f"{Path(name).name}-input.png"


def alignment(job: Job, index: int) -> dict[str, object]:
    """What an inversion keeps of its alignment: the sidecar's name, beside it, and the face's number."""
    return {"sidecar": f"{Path(job.name).name}{SIDECAR_SUFFIX}", "face": index}


def record_of(inversion: Inversion, path: Path) -> tuple[Sidecar, int]:
    """The sidecar and face that an inversion file was made from. Raises InputError."""
    from ganinv.align.sidecar import Sidecar

    kept = inversion.options.get("alignment")
    if not isinstance(kept, dict) or not {"sidecar", "face"} <= set(kept):
        raise InputError(f"{path} was not made with --align, so there is no photo to paste back into")
    return Sidecar.load(path.parent / Path(str(kept["sidecar"])).name), int(kept["face"])


def open_recorded(sidecar: Sidecar, given: Path | None) -> Picture:
    """The photo of a sidecar, from --photo or where it was. Raises InputError."""
    from ganinv.images import read_picture

    return read_picture(find_photo(sidecar.photo, sidecar.sha256, given))


def paste_photos(
    picture: Picture,
    sidecar: Sidecar,
    results: Sequence[dict[int, Result]],
    paths: Sequence[Path],
    blend: Blend,
) -> list[Path]:
    """Writes the photo once for each of `results`, which are by number of the face.

    Raises:
        InputError: see `paste_results`. OutputError.
    """
    from ganinv.align.photo import paste_results
    from ganinv.images import write_photo

    written = []
    for changed, path in zip(results, paths, strict=True):
        pasted = paste_results(picture, sidecar, changed, blend)
        written.append(write_photo(path, pasted.colours, pasted))
    return written
