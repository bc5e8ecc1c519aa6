"""`ganinv edit` on photos: whose faces are inverted first, or that a saved inversion was cut out of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ganinv.cli.inputs import Job
from ganinv.cli.photos import SIDECAR_SUFFIX, alignment, open_faces, open_recorded, paste_photos, record_of

if TYPE_CHECKING:
    from ganinv.align.photo import Result
    from ganinv.api import Backbone, Inversion
    from ganinv.cli.editor import Editor


def edit_photo(editor: Editor, job: Job) -> list[Path]:
    """Inverts and edits the faces of one photo, and pastes each sample back if asked; the files written."""
    from ganinv.cli.editor import write_all

    method, photos = editor.method(), editor.photos
    editor.edits(method.backbone)  # a wrong name is told before the photo is searched
    aligned, faces = open_faces(job, method, editor.pictures, photos, editor.report)
    written: list[Path] = []
    samples: list[dict[int, Result]] = []
    for face in faces:
        inversion = editor.inverted(face.job, face.opened, alignment=alignment(job, face.index))
        written += write_all(editor.edit(face.job, inversion, method.backbone))
        results = _results(editor, inversion, method.backbone) if photos.paste_back else []
        samples = samples or [{} for _ in results]
        for changed, result in zip(samples, results, strict=True):
            changed[face.index] = result
    paths = _paths(editor, job, len(samples))
    pasted = paste_photos(aligned.picture, aligned.sidecar, samples, paths, photos.blend)
    # the last to be written, since it says that all of it is there
    sidecar = aligned.sidecar.save(editor.out / f"{job.name}{SIDECAR_SUFFIX}")
    return [sidecar, *written, *pasted]


def paste_saved(editor: Editor, job: Job, inversion: Inversion, backbone: Backbone) -> list[Path]:
    """The photo that a saved inversion was cut out of, with each edited sample; the files written."""
    sidecar, index = record_of(inversion, job.path)
    changed = [{index: result} for result in _results(editor, inversion, backbone)]
    picture = open_recorded(sidecar, editor.photo)
    return paste_photos(picture, sidecar, changed, _paths(editor, job, len(changed)), editor.photos.blend)


def _results(editor: Editor, inversion: Inversion, backbone: Backbone) -> list[Result]:
    """The edited crops as they are pasted: with --keep-known only what they fill the hole with, with
    --change-only the crop with what the edit changed in it.
    """
    import numpy as np

    from ganinv.align.photo import Result
    from ganinv.api import edit, render, to_uint8

    settings = editor.settings
    if not settings.strengths:
        return []
    chosen = inversion if settings.sample is None else inversion.sample(settings.sample)
    edits = editor.chosen(backbone)
    edited = edit(chosen, backbone, edits)
    if settings.change_only:  # features that give way would count as a change
        edited = replace(edited, unedited=None)
    drawn = to_uint8(render(edited.for_holes() if settings.keep_known else edited, backbone).flatten(0, 1))
    if settings.change_only:
        change = drawn.astype(int) - to_uint8(render(chosen, backbone).flatten(0, 1))
        crop = chosen.working[0].permute(1, 2, 0).cpu().numpy()
        hole = chosen.hole[0, 0].bool().cpu().numpy()
        drawn = np.where(hole[..., None], drawn, (crop + change).clip(0, 255).astype(np.uint8))
    return [Result(pixels, whole=not settings.keep_known) for pixels in drawn]


def _paths(editor: Editor, job: Job, count: int) -> list[Path]:
    names = editor.settings.sample_names(job.name, 1, count)
    return [editor.out / f"{name}-edit-photo.png" for name in names]
