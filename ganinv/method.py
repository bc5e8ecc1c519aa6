"""The contract of an inversion method, built in or from a plugin. Imports nothing heavy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ganinv.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from ganinv.backbones.base import Backbone
    from ganinv.inversion import Inversion


Progress = Callable[[str, int, int], None]
"""Called by slow methods with what they do ("optimize"), the steps done and the steps in all."""


def check_label(backbone: Backbone, label: int | None) -> None:
    """Raises UsageError where `label` is not one of the backbone's classes; None always is."""
    if label is not None and not 0 <= label < backbone.c_dim:
        classes = f"classes 0 to {backbone.c_dim - 1}" if backbone.c_dim else "no classes"
        raise UsageError(f"label {label} is not possible: the backbone {backbone.name!r} has {classes}")


class InversionMethod(ABC):
    """Finds codes of pictures.

    A method is registered by a builder `build(backbone, **options) -> InversionMethod` under the entry-point
    group `ganinv.methods`. `ganinv.testing.check_method` checks one against this contract.

    name: the registered name. version: of the method, kept in its results.
    backbone: the generator it works with. diverse: whether the samples of one picture differ inside the hole.
    content: height and width of the middle part of the backbone's pictures that it was made for, where they
        do not fill the square (cars: 384 x 512 of 512); None = all of it. See `ganinv.api.open_picture`.
    progress: told of each step by methods that take many, if it is set.
    """

    name: str = "unnamed"
    version: str = "0"
    diverse: bool = False
    backbone: Backbone
    content: tuple[int, int] | None = None
    progress: Progress | None = None

    @abstractmethod
    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> Inversion:
        """Finds `samples` codes for each picture.

        Args:
            images: float32 (N, 3, R, R), RGB, [-1, 1], R the backbone's resolution. What they hold inside the
                hole must not reach the result's codes.
            holes: (N, 1, R, R), 1 = erased, 0 = known; None erases nothing.
            samples: K >= 1.
            seed: of the run; sample i draws from `sample_seed(seed, i)` and from nothing else.
            truncation: of random codes, 0 (the mean) to 1 (all variety).

        Returns:
            An Inversion on the backbone's device: the same bits for the same arguments on the same machine,
            as long as as many pictures are drawn in one pass (`backbone.chunk`).

        Raises:
            UsageError: shapes, samples or options that cannot work.
        """

    def render(self, inversion: Inversion, ws: Tensor | None = None) -> Tensor:
        """Draws an inversion, or edited codes (N, K, num_ws, w_dim): float32 (N, K, 3, R, R) on the
        backbone's device.

        Raises:
            BackboneMismatchError: the inversion was made with another backbone.
        """
        from ganinv.rendering import render

        return render(inversion, self.backbone, ws)

    def recoded(self, inversion: Inversion, ws: Tensor) -> Inversion:
        """The inversion with other codes (N, K, num_ws, w_dim) found for the same pictures. Features are
        those that the method reads for these codes: none, unless it says otherwise.
        """
        return replace(inversion, ws=ws, features={})

    def reporter(self, before: int, total: int) -> Callable[[int], None]:
        """A function to call with the steps done of one sample; it tells `progress`, if anybody listens, that
        `before` more are done, of `total` in the whole call.
        """

        def tell(done: int) -> None:
            if self.progress is not None:
                self.progress(self.name, before + done, total)

        return tell

    def check_inputs(self, images: Tensor, holes: Tensor | None, samples: int) -> Tensor:
        """Checks the arguments of `invert`; returns the holes, (N, 1, R, R) of 0 and 1 where the images are.

        Raises:
            UsageError: what is wrong and what is expected.
        """
        side = self.backbone.resolution
        if images.ndim != 4 or images.shape[1:] != (3, side, side) or not images.is_floating_point():
            raise UsageError(
                f"pictures are {images.dtype} {list(images.shape)}; "
                f"{self.name} needs float [N, 3, {side}, {side}] in [-1, 1]"
            )
        if samples < 1:
            raise UsageError(f"{samples} samples were asked for; ask for at least 1: --samples 1")
        shape = (images.shape[0], 1, side, side)
        if holes is None:
            return images.new_zeros(shape)
        if tuple(holes.shape) != shape:
            raise UsageError(f"holes are {list(holes.shape)}; {self.name} needs {list(shape)}, 1 = erased")
        return (holes.to(images.device) > 0.5).to(images.dtype)


class GuidedMethod(InversionMethod):
    """A method whose samples listen to random codes, which a caller may replace: by those of a reference
    picture, of another layer range, of a step between samples. See `ganinv.api.reference_codes`.
    """

    @abstractmethod
    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
        w_rand: Tensor | None = None,
    ) -> Inversion:
        """See `InversionMethod.invert`.

        Args:
            w_rand: codes (K, num_ws, w_dim) or (N, K, num_ws, w_dim) to listen to instead of random ones;
                `truncation` is then ignored.
        """

    @abstractmethod
    def random_codes(self, samples: int, seed: int, truncation: float = 1.0) -> Tensor:
        """The random codes (samples, num_ws, w_dim) that `invert` would listen to."""
