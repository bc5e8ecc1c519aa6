"""The work of `ganinv edit`: inversions moved along directions and drawn again as whole pictures."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganinv.cli.edit_photos import edit_photo, paste_saved
from ganinv.cli.inputs import Job
from ganinv.cli.photos import PhotoSettings
from ganinv.cli.pictures import (
    PictureSettings,
    invert_opened,
    open_generator,
    open_job,
    open_method,
    warn_if_foreign,
)
from ganinv.cli.run import Report

if TYPE_CHECKING:
    import numpy as np

    from ganinv.api import Backbone, Edit, Inversion, InversionMethod, OpenedPicture


@dataclass(frozen=True)
class EditSettings:
    """What to do with each inversion.

    strengths: one for each direction, or none where only a strip is asked for. strip: (from, to, steps).
    sample: None means all.
    """

    directions: tuple[str, ...]
    strengths: tuple[float, ...]
    strip: tuple[float, float, int] | None
    sample: int | None
    keep_known: bool
    feather: int
    tones: bool
    change_only: bool

    def sample_names(self, name: str, pictures: int, samples: int) -> list[str]:
        """NAME-00, ... for the samples that are edited; with several pictures NAME-p00-00, ..."""
        first = self.sample or 0
        prefixes = [f"{name}-p{index:02d}" for index in range(pictures)] if pictures > 1 else [name]
        return [f"{prefix}-{first + index:02d}" for prefix in prefixes for index in range(samples)]

    def kinds(self, *, photos: bool) -> list[str]:
        """What is written for each sample: edit, strip, edit-photo."""
        found = ["edit"] if self.strengths else []
        found += ["strip"] if self.strip is not None else []
        return found + (["edit-photo"] if photos and self.strengths else [])


class Editor:
    """Edits one input after the other; backbones and methods are opened once."""

    def __init__(
        self,
        settings: EditSettings,
        pictures: PictureSettings,
        backbone: str | None,
        running: Mapping[str, Any],
        report: Report,
        out: Path,
        photos: PhotoSettings,
        photo: Path | None,
    ) -> None:
        self.settings, self.pictures, self.report, self.out = settings, pictures, report, out
        self.photos, self.photo = photos, photo
        self.backbone, self.running = backbone, running
        self.opening = threading.RLock()  # inputs are read in another thread, which must not open twice
        self.opened = functools.cache(self._open)
        self.methods = functools.cache(self._method)
        self.edits = functools.cache(self._edits)
        if backbone is not None:
            self.open(backbone)  # a wrong name or file is told once, before any work

    def open(self, name: str) -> Backbone:
        """The backbone of that name or file, opened once."""
        with self.opening:
            return self.opened(name)

    def method(self) -> InversionMethod:
        """The method that inverts pictures, opened once."""
        with self.opening:
            return self.methods()

    def read(self, job: Job) -> Inversion | OpenedPicture | None:
        """What the input file holds; photos are opened in their turn."""
        from ganinv.api import Inversion

        if job.path.name.endswith(".safetensors"):
            return Inversion.load(job.path)
        return None if self.photos.align else open_job(job, self.method(), self.pictures)

    def run(self, job: Job, found: Inversion | OpenedPicture | None) -> Callable[[], list[Path]]:
        """Edits one inversion, picture or photo; what it returns writes the files and gives their paths."""
        if found is None:
            written = edit_photo(self, job)
            return lambda: written
        inversion, backbone = self._inversion(job, found)
        drawn = self.edit(job, inversion, backbone)
        if not self.photos.paste_back:
            return lambda: write_all(drawn)
        written = write_all(drawn) + paste_saved(self, job, inversion, backbone)
        return lambda: written

    def edit(self, job: Job, inversion: Inversion, backbone: Backbone) -> dict[Path, np.ndarray]:
        """The files of an edited inversion and their pixels."""
        if self.settings.sample is not None:
            inversion = inversion.sample(self.settings.sample)
        drawn: dict[Path, np.ndarray] = {}
        if self.settings.strengths:
            edited = self._draw(inversion, backbone, self.chosen(backbone))
            drawn |= self._named_files(job, inversion, "edit", list(edited))
        if self.settings.strip is not None:
            strips = self._strips(inversion, backbone, self.settings.strip)
            drawn |= self._named_files(job, inversion, "strip", strips)
        return drawn

    def _inversion(self, job: Job, found: Inversion | OpenedPicture) -> tuple[Inversion, Backbone]:
        """The inversion that a file holds, with its backbone, or that of a picture."""
        from ganinv.api import Inversion
        from ganinv.cli.machine import backbone_of
        from ganinv.inversion import check_backbone

        if isinstance(found, Inversion):
            backbone = self.open(self.backbone or backbone_of(found, job.path))
            check_backbone(backbone, found.backbone.get("sha256"), str(job.path))
            self.edits(backbone)
            return found, backbone
        method = self.method()
        self.edits(method.backbone)  # a wrong name is told before the picture is inverted
        return self.inverted(job, found), method.backbone

    def inverted(self, job: Job, opened: OpenedPicture, **kept: Any) -> Inversion:
        """The inversion of an opened picture; `kept` goes into its options."""
        method, kept = self.method(), {"precision": self.running["precision"], **kept}
        inversion = invert_opened(method, opened, self.pictures, self.report, **kept)
        warn_if_foreign(method.render(inversion.for_holes())[0], opened, job, self.report)
        return inversion

    def _open(self, name: str) -> Backbone:
        from ganinv.cli.machine import open_backbone

        return open_backbone(name, **self.running)

    def _method(self) -> InversionMethod:
        if self.backbone:
            return open_method(self.pictures, self.open(self.backbone), self.report)
        generator = open_generator(self.pictures, None, **self.running)
        return open_method(self.pictures, generator, self.report)

    def _edits(self, backbone: Backbone) -> list[Edit]:
        """The directions asked for, in their order; warns of strengths beyond what is safe.

        Raises what `ganinv.api.load_direction` raises.
        """
        from ganinv.api import load_direction

        edits = [load_direction(name, backbone) for name in self.settings.directions]
        ends = list(self.settings.strip[:2]) if self.settings.strip else []
        for index, edit in enumerate(edits):
            beyond = [s for s in (*self.settings.strengths[index : index + 1], *ends) if not edit.is_safe(s)]
            if beyond and edit.safe_range:
                low, high = edit.safe_range
                self.report.note(
                    f"Warning: {edit.name}: strength {max(beyond, key=abs):g} is beyond its safe range, "
                    f"{low:g} to {high:g}"
                )
        return edits

    def chosen(self, backbone: Backbone) -> list[tuple[Edit, float]]:
        """The directions with their strengths; empty where only a strip is asked for."""
        return list(zip(self.edits(backbone), self.settings.strengths, strict=False))

    def _draw(
        self, inversion: Inversion, backbone: Backbone, edits: Sequence[tuple[Edit, float]]
    ) -> np.ndarray:
        """The edited pictures, uint8 (N * K, H, W, 3)."""
        from ganinv.api import complete, edit, render, to_uint8
        from ganinv.sizes import middle

        edited, settings = edit(inversion, backbone, edits), self.settings
        if settings.keep_known:
            drawn = complete(edited, backbone, feather=settings.feather, tones=settings.tones)
        else:
            drawn = to_uint8(render(edited, backbone))
        rows, columns = middle(backbone.resolution, inversion.content)
        return drawn[:, :, rows, columns].reshape(-1, *drawn[0, 0, rows, columns].shape)

    def _strips(
        self, inversion: Inversion, backbone: Backbone, span: tuple[float, float, int]
    ) -> list[np.ndarray]:
        """A strip for each sample: one row a direction, one column a strength of it.

        The other directions keep their own strength; where none was given they are left out.
        """
        import numpy as np

        from ganinv.images import sheet

        chosen = self.chosen(backbone)
        strengths = np.linspace(span[0], span[1], span[2]).tolist()
        rows = []
        for row, varied in enumerate(self.edits(backbone)):
            before, after = chosen[:row], chosen[row + 1 :]
            rows.append([self._draw(inversion, backbone, [*before, (varied, s), *after]) for s in strengths])
        count = len(rows[0][0])
        return [sheet([[tile[index] for tile in row] for row in rows]) for index in range(count)]

    def _named_files(
        self, job: Job, inversion: Inversion, kind: str, pictures: Sequence[np.ndarray]
    ) -> dict[Path, np.ndarray]:
        """The pictures by NAME-00-KIND.png, ..."""
        names = self.settings.sample_names(job.name, inversion.ws.shape[0], inversion.samples)
        paths = [self.out / f"{name}-{kind}.png" for name in names]
        return dict(zip(paths, pictures, strict=True))


def write_all(files: Mapping[Path, np.ndarray]) -> list[Path]:
    """Writes the pictures; returns their paths."""
    from ganinv.api import write_png

    return [write_png(path, pixels) for path, pixels in files.items()]
