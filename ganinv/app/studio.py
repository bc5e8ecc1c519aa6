"""The page's operations on one visitor's work: open, erase, fill, edit, take away; without Gradio."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ganinv import images
from ganinv.align.crop import crop_hole
from ganinv.align.faces import Face, in_order
from ganinv.align.geometry import face_quad, own_preset
from ganinv.align.regions import PARTS
from ganinv.app.limits import Deadline, Limits
from ganinv.app.work import SHAPES, Filling, Frame, Work, middle_frame
from ganinv.compositing import composite
from ganinv.editing.directions import apply_edits, load_directions
from ganinv.editing.edits import Edit
from ganinv.errors import GanInvError, InputError, UnknownNameError, UsageError
from ganinv.guidance import LAYER_GROUPS, reference_codes
from ganinv.images import Bools, Bytes, Picture
from ganinv.inversion import Inversion, check_backbone
from ganinv.mask_files import read_mask
from ganinv.method import GuidedMethod, InversionMethod
from ganinv.methods import optimize
from ganinv.plugins import registry
from ganinv.sampling import sample_seeds

if TYPE_CHECKING:
    from torch import Tensor

    from ganinv.align.faces import Detector

_AT_ONCE = 2  # fillings made between two looks at the clock, and shown together


@dataclass(frozen=True)
class FillSettings:
    """How holes are filled.

    count: how many more fillings. seed: of the run; truncation: 0 (the mean) to 1 (all variety).
    diversity: 1 = each filling has a code of its own; below, codes move towards the first one's; 0 = all
    alike.
    reference: uint8 (H, W, 3), a picture whose code takes the random ones' place in `layers` (coarse,
    middle, fine; none named = all).
    """

    count: int = 6
    seed: int = 0
    truncation: float = 1.0
    diversity: float = 1.0
    reference: Bytes | None = None
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.truncation <= 1 or not 0 <= self.diversity <= 1:
            raise UsageError("truncation and diversity go from 0 to 1")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed {self.seed} is not possible; give a whole number of 0 or more")
        for name in self.layers:
            if name not in LAYER_GROUPS:
                raise UnknownNameError("layer group", name, LAYER_GROUPS)


class Studio:
    """One method, loaded once, for all visitors; one of them is served at a time.

    Args:
        method: with its backbone.
        limits: of requests.
        stored: whether the directions in the user's own store are offered.
    """

    def __init__(self, method: InversionMethod, limits: Limits | None = None, *, stored: bool = True) -> None:
        self.method, self.backbone, self.limits = method, method.backbone, limits or Limits()
        size = self.backbone.resolution
        if method.content not in (None, (size, size)):
            raise UsageError("the page works on square pictures, and this method's are not")
        self.preset = own_preset(self.backbone.name, size)
        self.directions: dict[str, Edit] = load_directions(self.backbone, stored=stored)
        self.detector = _detector()
        self._busy = threading.Lock()

    @torch.no_grad()
    def warm_up(self) -> None:
        """Draw once: operations that are not compiled yet are, before a visitor waits for them."""
        self.backbone.synthesize(self.backbone.w_avg.expand(1, self.backbone.num_ws, -1))

    # ------------------------------------------------------------------------------------------ opening

    def open(self, path: Path, *, name: str = "") -> Work:
        """A picture of a file, its largest face chosen where faces can be found.

        Raises:
            InputError: a file that is no picture, or too large a one.
        """
        return self.begin(self.read(path), name or path.stem)

    def read(self, path: Path) -> Picture:
        """A picture file. Raises InputError: no picture, or too large a one."""
        self.limits.check_size(path)
        return images.read_picture(path)

    def begin(self, picture: Picture, name: str, face: Face | None = None) -> Work:
        """A picture as read; `face`: the one in it, if known already."""
        shape = picture.pixels.shape[:2]
        if face is not None or shape == (self.preset.size, self.preset.size):
            found = [face] if face is not None else self._faces(picture.pixels)
            frames: tuple[Frame, ...] = (middle_frame(shape, found[0] if found else None),)
        else:
            faces = self._faces(picture.pixels)
            frames = tuple(
                Frame(f"face {number + 1}", face_quad(face.points, self.preset, face.layout), face, True)
                for number, face in enumerate(faces)
            )
            frames += (middle_frame(shape),)
        return Work.begin(name, picture, frames, 0, self.preset)

    def choose(self, work: Work, frame: int) -> Work:
        """Another face of the picture, or its middle; what was erased goes."""
        return Work.begin(work.name, work.picture, work.frames, frame, self.preset)

    def reopen(self, path: Path) -> Work:
        """The work of a saved inversion: its picture, hole and fillings.

        Raises:
            CheckpointError: no inversion. BackboneMismatchError: one of another backbone. UsageError: one of
            more fillings than are kept.
        """
        saved = Inversion.load(path)
        check_backbone(self.backbone, saved.backbone.get("sha256"), "this inversion")
        if saved.samples > self.limits.kept or len(saved.ws) != 1:
            raise UsageError(
                f"this inversion holds {len(saved.ws)} pictures with {saved.samples} fillings; the page "
                f"opens one picture with up to {self.limits.kept}"
            )
        pixels = np.ascontiguousarray(saved.working[0].permute(1, 2, 0).numpy())
        work = self.begin(Picture(pixels), path.name.split(".")[0])
        work = work.erased(saved.hole[0, 0].bool().numpy())
        with self._busy:
            made = self._fillings(work, saved)
        return replace(work, fillings=tuple(made), kept=0 if saved.samples == 1 else None)

    def _faces(self, pixels: Bytes) -> list[Face]:
        return [] if self.detector is None else in_order(self.detector.find(pixels, thorough=True))

    # ------------------------------------------------------------------------------------------ erasing

    def clicks(self, work: Work) -> tuple[str, ...]:
        """What one click can erase of this picture."""
        return (*(PARTS if work.frames[work.frame].face is not None else ()), *SHAPES)

    def shape_hole(self, work: Work, name: str, side: int) -> Bools:
        """What such a click erases, on the crop at `side` px. Raises UnknownNameError, InputError."""
        if name not in (*PARTS, *SHAPES):
            raise UnknownNameError("shape", name, (*PARTS, *SHAPES))
        return work.shape_hole(name, side)

    def mask(self, work: Work, path: Path) -> Bools:
        """A mask file for the picture (all of it, or the crop), on the crop: white is erased.

        Raises InputError: a file that is no mask, or of other proportions.
        """
        self.limits.check_size(path)
        shape = work.picture.pixels.shape
        hole = read_mask(path, (shape[0], shape[1])).hole
        if work.is_whole:
            return hole
        return crop_hole(hole, work.frames[work.frame].quad, work.size)

    # ------------------------------------------------------------------------------------------ filling

    def fill(self, work: Work, settings: FillSettings) -> Iterator[Work]:
        """The work with more fillings, a few at a time; those before stay.

        Raises:
            UsageError: too many, too slow, or a reference that the method does not listen to.
            InputError: nothing is erased.
        """
        self.limits.check_samples(settings.count)
        if not work.crop_hole.any():
            raise InputError("nothing is erased yet: paint over what should be filled anew")
        first = len(work.fillings)
        self.limits.check_kept(first + settings.count)
        deadline = Deadline(self.limits.seconds)
        for start in range(first, first + settings.count, _AT_ONCE):
            stop = min(start + _AT_ONCE, first + settings.count)
            with self._busy:
                inversion = self._inverted(work, settings, start, stop, deadline)
                made = self._fillings(work, inversion)
            work = replace(work, fillings=(*work.fillings, *made))
            yield work
            deadline.check()

    def refine(self, work: Work) -> Work:
        """The work with one more filling, which is kept: the kept one, its code moved by `optimize` until it
        shows more of what was not erased.

        Raises:
            UsageError: none is kept, too many are there, it takes too long, or the generator was tuned.
        """
        chosen, deadline = work.chosen(), Deadline(self.limits.seconds)
        self.limits.check_kept(len(work.fillings) + 1)
        with self._busy:
            self.refiner.progress = lambda doing, done, total: deadline.check()
            (made,) = self._fillings(work, self.refiner.refine(chosen.inversion))
        refined = replace(made, label=f"{chosen.label} refined")
        return self.keep(replace(work, fillings=(*work.fillings, refined)), len(work.fillings))

    @cached_property
    def refiner(self) -> optimize.Optimize:
        """What brings codes nearer to the picture."""
        return optimize.build(self.backbone, embedder=self.method)

    def _inverted(
        self, work: Work, settings: FillSettings, start: int, stop: int, deadline: Deadline
    ) -> Inversion:
        """Samples `start` to `stop` of the run: the same bits whatever was asked for at once."""
        image, hole = images.to_tensor(work.crop), torch.tensor(work.crop_hole)[None, None].float()
        count, seeds = stop - start, sample_seeds(settings.seed, stop)[start:]
        self.method.progress = lambda doing, done, total: deadline.check()
        try:
            if isinstance(self.method, GuidedMethod):
                codes = self._codes(self.method, settings, stop)[start:]
                found = self.method.invert(image, hole, samples=count, seed=settings.seed, w_rand=codes)
            else:
                found = self.method.invert(
                    image, hole, samples=count, seed=settings.seed + start, truncation=settings.truncation
                )
        finally:
            self.method.progress = None
        asked = {
            "seed": settings.seed,
            "truncation": settings.truncation,
            "diversity": settings.diversity,
            "first": start,
        }
        guided = {} if settings.reference is None else {"layers": ",".join(settings.layers) or "all"}
        return replace(found, seeds=seeds, options={**found.options, **asked, **guided})

    def _codes(self, method: GuidedMethod, settings: FillSettings, count: int) -> Tensor:
        if settings.reference is None:
            codes = method.random_codes(count, settings.seed, settings.truncation)
        else:
            seen = self.begin(Picture(settings.reference), "reference").crop
            codes = reference_codes(
                method,
                images.to_tensor(seen),
                layers=settings.layers,
                samples=count,
                seed=settings.seed,
                truncation=settings.truncation,
            )
        return codes if settings.diversity == 1 else torch.lerp(codes[:1], codes, settings.diversity)

    def _fillings(self, work: Work, inversion: Inversion) -> list[Filling]:
        drawn = images.to_uint8(self.method.render(inversion.for_holes())[0])  # (K, S, S, 3)
        told = (inversion.options.get(key, 0) for key in ("seed", "first"))  # a file may say anything
        seed, first = (value if isinstance(value, int) else 0 for value in told)
        return [
            Filling(f"{seed}:{first + index}", pixels, self._pasted(work, pixels), inversion.sample(index))
            for index, pixels in enumerate(drawn)
        ]

    @staticmethod
    def _pasted(work: Work, drawn: Bytes) -> Bytes:
        if not work.crop_hole.any():
            return drawn
        return composite(drawn[None], work.crop[None], work.crop_hole[None])[0]

    # ------------------------------------------------------------------------------------------ editing

    def keep(self, work: Work, index: int) -> Work:
        """The filling to edit and to take away. Raises UsageError where there is none of that number."""
        if not 0 <= index < len(work.fillings):
            raise UsageError(f"no filling {index}; there are {len(work.fillings)}")
        return replace(work, kept=index, edits={}, edited=None)

    def edit(self, work: Work, strengths: Mapping[str, float], *, keep_known: bool = False) -> Work:
        """The kept filling, moved along directions; strengths of 0 leave it as it is.

        Raises:
            UsageError: none is kept, or a strength beyond the limits. UnknownNameError: no such direction.
        """
        chosen = work.chosen()
        for name, strength in strengths.items():
            if name not in self.directions:
                raise UnknownNameError("direction", name, self.directions)
            if not abs(strength) <= self.limits.strength:
                raise UsageError(
                    f"{name} {strength:g}: strengths go from -{self.limits.strength:g} to as much"
                )
        moved = {name: float(strength) for name, strength in strengths.items() if strength != 0}
        if not moved:
            return replace(work, edits={}, edited=None, keep_known=keep_known)
        edits = [(self.directions[name], strength) for name, strength in moved.items()]
        with self._busy:
            changed = apply_edits(chosen.inversion, edits, self.backbone)
            drawn = images.to_uint8(self.method.render(changed.for_holes() if keep_known else changed)[0])[0]
        shown = self._pasted(work, drawn) if keep_known else drawn
        return replace(work, edits=moved, edited=shown, keep_known=keep_known)

    # ------------------------------------------------------------------------------------------ results

    def result(self, work: Work) -> Bytes:
        """The picture as it stands, uint8 (S, S, 3): edited, filled, or as it came."""
        if work.kept is None:
            return work.crop
        return work.fillings[work.kept].shown if work.edited is None else work.edited

    def photo(self, work: Work) -> Picture:
        """The same, put back into the picture at its full size."""
        if work.kept is None:
            return work.picture
        drawn = work.fillings[work.kept].drawn if work.edited is None else work.edited
        whole = (work.edited is not None and not work.keep_known) or not work.crop_hole.any()
        return work.photo(self.result(work), drawn, whole=whole)

    @staticmethod
    def joined(work: Work) -> Inversion:
        """One inversion of all fillings of a work that has some."""
        return Inversion.of_samples([filling.inversion for filling in work.fillings])

    def inversion(self, work: Work) -> Inversion:
        """The kept filling's, edited as it stands. Raises UsageError where none is kept."""
        chosen = work.chosen()
        edits = [(self.directions[name], strength) for name, strength in work.edits.items()]
        return apply_edits(chosen.inversion, edits, self.backbone)


def _detector() -> Detector | None:
    """dlib's, where the extra `align` is installed."""
    try:
        found: Detector = registry("aligners").get("dlib")(model=None)
    except GanInvError:
        return None
    return found
