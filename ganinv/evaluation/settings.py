"""What is measured, and on what. Everything here that moves a number is written into the report's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ganinv.configs import check_numbers
from ganinv.errors import UnknownNameError, UsageError
from ganinv.masks import FIXED_NAMES, MASK_NAMES, PRESETS

PORTRAITS = "portraits"
SERIES = 960_001
"""Series of the portraits that are measured on, which no training here used."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What an evaluation is of. Two with equal settings and generators of one size compare line by line."""

    data: str = PORTRAITS
    """A folder of pictures; "portraits" for fresh ones; "portraits:SERIES" for those of another series."""
    count: int = 200
    """Pictures measured, the first of the data; a folder with fewer gives all it has."""
    masks: tuple[str, ...] = ("comodgan",)
    """Families of holes; the pictures take them in turn. A preset ("mat") or a shape ("half-left")."""
    samples: int = 4
    """Completions of each picture."""
    seed: int = 0
    """Of holes, codes and resampling."""
    truncation: float = 1.0
    """Of the random codes."""
    tones: bool = True
    """Composites: tones in the hole are moved to meet the known pixels."""
    feather: int = 0
    """Composites: width in pixels of a soft edge inside the hole."""
    features: str | None = None
    """TorchScript file of the network for FID, KID and P-/U-IDS; None = the judge."""
    edits: int = 200
    """The first so many pictures also have a completion edited; 0 = none."""
    strength: float = 2.0
    """Of the edits, either way."""
    calibrate: tuple[str, ...] = ()
    """Attributes of portraits whose calibration is measured."""
    calibration_count: int = 500
    """Portraits for each attribute."""
    calibration_samples: int = 8
    """Completions of each."""
    replicates: int = 1000
    """Resamples for intervals (for FID a tenth)."""

    def __post_init__(self) -> None:
        check_numbers(self, counts=("count", "samples", "calibration_count", "replicates"))
        check_numbers(self, weights=("edits", "strength", "feather"))
        if self.calibration_samples < 2:
            raise UsageError(
                f"{self.calibration_samples} calibration samples say nothing of spread; give 2 or more"
            )
        if not 0 <= self.truncation <= 1:
            raise UsageError(f"truncation {self.truncation} is not possible; give 0 (the mean) to 1")
        if not self.masks:
            raise UsageError("no masks were named; type for example --masks comodgan")
        for name in self.masks:
            mask_name(name)
        if self.calibrate:
            self._check_calibration()

    def _check_calibration(self) -> None:
        from ganinv.portraits.attributes import ATTRIBUTE_NAMES

        for name in self.calibrate:
            if name not in ATTRIBUTE_NAMES:
                raise UnknownNameError("attribute", name, ATTRIBUTE_NAMES)
        if self.series is None:
            raise UsageError(
                f"calibration renders portraits again, and {self.data} holds pictures: type --data portraits"
            )

    @property
    def series(self) -> int | None:
        """Of the portraits; None for a folder. Raises UsageError for one that is no number."""
        kind, _, series = self.data.partition(":")
        if kind != PORTRAITS:
            return None
        if series and not (series.isascii() and series.isdigit()):
            raise UsageError(f"--data {self.data}: a series is a whole number, like portraits:{SERIES}")
        return int(series or SERIES)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def mask_name(family: str) -> str:
    """What `ganinv.masks.named_hole` calls a family: a preset may be typed without "free-form:".

    Raises:
        UnknownNameError: no such family.
    """
    if family in PRESETS:
        return f"free-form:{family}"
    if family in MASK_NAMES:
        return family
    raise UnknownNameError("mask", family, [*PRESETS, *FIXED_NAMES])
