"""A photo, the faces meant in it, their crops and their holes: what the commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ganinv import mask_files, masks
from ganinv.align.crop import crop_face, crop_hole
from ganinv.align.faces import Detector, Face, cut_note, in_order, pick
from ganinv.align.geometry import Points, Preset, face_quad, side
from ganinv.align.paste import Blend, paste_face
from ganinv.align.regions import box_hole, hole_in_photo, is_region, part_hole
from ganinv.align.sidecar import FaceRecord, Sidecar, photo_digest
from ganinv.errors import InputError
from ganinv.images import Bools, Bytes, Picture, read_picture
from ganinv.sizes import resize


@dataclass(frozen=True)
class MaskRequest:
    """What to erase: `spec` as `--mask` takes it, or the mask file in `path`; seed: of a free-form one."""

    spec: str
    path: Path | None = None
    polarity: str = "erase-white"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """crop: uint8 (S, S, 3). crop_hole: bool (S, S), nothing where no mask was asked for."""

    record: FaceRecord
    crop: Bytes
    crop_hole: Bools


@dataclass(frozen=True, eq=False)
class AlignedPhoto:
    """A photo as read, with the faces meant. notes: what a user should know of them."""

    picture: Picture
    sidecar: Sidecar
    faces: tuple[AlignedFace, ...]
    notes: tuple[str, ...]


def find_faces(path: Path, detector: Detector, *, thorough: bool) -> tuple[Picture, list[Face]]:
    """A photo and its faces, the largest first. Raises InputError: a photo that cannot be used."""
    picture = read_picture(path)
    return picture, in_order(detector.find(picture.pixels, name=path.name, thorough=thorough))


def align_photo(
    path: Path, detector: Detector, preset: Preset, which: str = "largest", mask: MaskRequest | None = None
) -> AlignedPhoto:
    """Reads a photo, and crops the faces meant.

    Args:
        which: "largest", "all", or a number, the largest face being 0.

    Raises:
        InputError: a photo, mask or points file that cannot be used; no such face; a mask that erases nothing
        of a face. UsageError: a word or region that is not possible.
    """
    picture, found = find_faces(path, detector, thorough=which != "largest")
    height, width = picture.pixels.shape[:2]
    shape, notes, faces = (height, width), list(picture.notes), []
    missed: list[int] = []
    shared = None if mask is None else _photo_hole(mask, picture, shape, notes)
    for index, face in pick(found, which, shape):
        quad = face_quad(face.points, preset, face.layout)
        if note := cut_note(index, quad, shape):
            notes.append(note)
        if side(quad) > 2 * preset.size:
            notes.append(
                f"face {index} is {side(quad):.0f} px wide in the photo and {preset.size} px in the crop: "
                "what is changed in it will look soft in the photo"
            )
        hole = None
        if mask is not None:
            hole = _face_hole(mask, shared, face, quad, preset.size, shape, notes, index)
            if hole is None:  # nothing of this face is erased
                missed.append(index)
                continue
        empty = np.zeros((preset.size, preset.size), bool)
        inside = empty if hole is None else crop_hole(hole, quad, preset.size)
        record = FaceRecord(index, face, quad, None, hole)
        faces.append(AlignedFace(record, crop_face(picture.pixels, quad, preset), inside))
    if missed and not faces:
        raise InputError(
            f"the mask erases nothing of face {missed[0]}: all of it lies outside the face's square; choose "
            "another --face, or see --list"
        )
    notes += [f"the mask erases nothing of face {index}, which is left out" for index in missed]
    records = tuple(face.record for face in faces)
    told = None if mask is None else (mask.path.name if mask.path else mask.spec)
    sidecar = Sidecar(path, photo_digest(path), shape, preset, detector.about(), told, records)
    return AlignedPhoto(picture, sidecar, tuple(faces), tuple(notes))


def with_crops(sidecar: Sidecar, names: Sequence[str | None]) -> Sidecar:
    """The sidecar with the names of the crops' files, in the order of its faces."""
    pairs = zip(sidecar.faces, names, strict=True)
    return replace(sidecar, faces=tuple(replace(record, crop=name) for record, name in pairs))


@dataclass(frozen=True, eq=False)
class Result:
    """A changed crop of one face: uint8 (S, S, 3), of any side S.

    surround: the picture that the hole is filled from, see `paste_face`. whole: what is outside the hole was
    changed too; False = it is the crop's own.
    """

    pixels: Bytes
    surround: Bytes | None = None
    whole: bool = True


def paste_results(picture: Picture, sidecar: Sidecar, results: dict[int, Result], blend: Blend) -> Picture:
    """The photo with the results pasted, one after the other, each at the face of its number.

    Returns:
        The picture with its changed colours in `original`, and opaque where a hole was filled.

    Raises:
        InputError: no face of that number; a photo of another size; a result that is not square.
    """
    if picture.pixels.shape[:2] != sidecar.shape:
        height, width = sidecar.shape
        raise InputError(f"the photo is not {width} x {height}, as the aligned one was")
    colours, alpha = picture.colours, picture.alpha
    for index, result in results.items():
        record = sidecar.face(index)
        height, width = result.pixels.shape[:2]
        if height != width:
            raise InputError(f"the result for face {index} is {width} x {height}; a crop is square")
        crop = crop_face(picture.pixels, record.quad, sidecar.preset)
        crop = resize(crop, width)
        pixels = result.pixels if result.whole else crop
        surround = result.pixels if result.surround is None else result.surround
        pasted = paste_face(
            colours, pixels, crop, record.quad, hole=record.hole, surround=surround, blend=blend
        )
        colours = pasted.colours
        if alpha is not None and record.hole is not None:
            alpha = np.where(record.hole & pasted.region, np.uint8(255), alpha)
    return replace(picture, original=colours, alpha=alpha)


def _photo_hole(
    mask: MaskRequest, picture: Picture, shape: tuple[int, int], notes: list[str]
) -> Bools | None:
    """The hole that all faces share; None where each has its own."""
    if mask.path is not None:
        found = mask_files.read_mask(mask.path, shape, mask.polarity)
        notes += found.notes
        return found.hole
    if mask.spec == "alpha":
        return mask_files.alpha_mask(picture).hole
    return box_hole(mask.spec, shape) if mask.spec.startswith("box:") else None


def _face_hole(
    mask: MaskRequest,
    shared: Bools | None,
    face: Face,
    quad: Points,
    size: int,
    shape: tuple[int, int],
    notes: list[str],
    index: int,
) -> Bools | None:
    """A face's hole, within its square (or touching its bounds, which tells that it goes on); None where the
    mask erases only what lies outside.
    """
    if shared is not None:
        hole = shared
    elif is_region(mask.spec):
        hole = part_hole(mask.spec, face, shape)
    else:
        hole = hole_in_photo(masks.named_hole(mask.spec, size, mask.seed), quad, shape)
    within = hole_in_photo(np.ones((size, size), bool), quad, shape)
    erased, total = int((hole & within).sum()), int(hole.sum())
    if not total:
        notes.append("the mask erases nothing: plain inversion")
    elif not erased:
        return None
    elif erased < 0.98 * total:
        notes.append(
            f"{1 - erased / total:.0%} of what the mask erases lies outside the square of face {index}, "
            "and stays"
        )
    share = erased / max(int(within.sum()), 1)
    if share > 0.5 and (mask.path is not None or mask.spec == "alpha"):
        other = "keep-white" if mask.polarity == "erase-white" else "erase-white"
        notes.append(
            f"more than half ({share:.0%}) of face {index}'s square is erased: is your mask inverted? "
            f"--mask-polarity {other}"
        )
    low, high = np.floor(quad.min(0)).astype(int) - 1, np.ceil(quad.max(0)).astype(int) + 2
    near = np.zeros(shape, bool)
    near[max(0, low[1]) : max(0, high[1]), max(0, low[0]) : max(0, high[0])] = True
    return hole & near
