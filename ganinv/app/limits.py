"""What a visitor may ask of the page; the server's memory and time depend on these numbers only."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ganinv.errors import InputError, UsageError


@dataclass(frozen=True)
class Limits:
    """megapixels, upload_mb: of one picture. samples: of one request; kept: fillings of one visitor.
    seconds: of one request. waiting: requests in the queue; visitors: whose work is kept. idle_minutes: after
    which it is forgotten. strength: of an edit, to both sides.
    """

    megapixels: float = 24.0
    upload_mb: int = 30
    samples: int = 16
    kept: int = 48
    seconds: float = 120.0
    waiting: int = 24
    visitors: int = 24
    idle_minutes: int = 60
    strength: float = 10.0

    def check_size(self, path: Path) -> None:
        """Raises InputError for a picture that is too large, by its header. Of what is no picture nothing is
        known; reading it will tell.
        """
        try:
            with Image.open(path) as opened:
                width, height = opened.size
        except Exception:  # whatever a broken file makes a decoder do
            return
        if width * height > self.megapixels * 1e6:
            raise InputError(
                f"the picture has {width * height / 1e6:.0f} megapixels; this page takes up to "
                f"{self.megapixels:g}: make it smaller first, or use 'ganinv invert' on your own machine"
            )

    def check_samples(self, count: int) -> None:
        """Raises UsageError for a number of fillings that is not possible."""
        if not 1 <= count <= self.samples:
            raise UsageError(f"{count} fillings were asked for; ask for 1 to {self.samples} at a time")

    def check_kept(self, count: int) -> None:
        """Raises UsageError for more fillings of one visitor than are kept."""
        if count > self.kept:
            raise UsageError(f"this would make {count} fillings and {self.kept} are kept; clear them first")


class Deadline:
    """Counts down the time of one request."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.monotonic() + seconds

    def check(self) -> None:
        """Raises UsageError once the time is over."""
        if time.monotonic() > self.end:
            raise UsageError(
                f"this took longer than the {self.seconds:g} seconds of a request and was stopped; "
                "ask for fewer fillings"
            )
