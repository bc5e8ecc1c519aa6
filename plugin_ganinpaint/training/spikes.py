"""Terms of a training that leave their level: a run that comes apart stops with a good state on disk."""

from __future__ import annotations

from statistics import median
from typing import Any

WINDOW = 200
"""Steps whose values make a term's level: their median."""
LEAST = 50
"""Values of a term before it is judged."""
STEPS = 5
"""Steps in a row that a term must be off before the run stops."""
FLOORS = {"code": 0.01, "l2": 0.01, "perceptual": 0.01, "adversarial": 0.5, "discriminator": 0.5}
"""What is watched, and the level below which a term's own does not count: near 0 ten times nothing is
nothing. That of the adversarial terms goes up and down by itself; at log 2 the discriminator knows nothing.
R1 is not watched: it rises by orders of magnitude in healthy runs."""


class Spikes:
    """Watches the terms of `FLOORS` and the gradient's length. A value above `factor` times the running
    median is off, and does not enter the median. `factor` 0: nothing is watched.
    """

    def __init__(self, factor: float, clip: float) -> None:
        """`clip`: gradients that are not cut are never off."""
        self.factor = factor
        self.floors = {**FLOORS, "gradient": clip / factor} if factor else {}
        self.phase = ""
        self.past: dict[str, list[float]] = {}
        self.off: dict[str, int] = {}

    @property
    def suspicious(self) -> bool:
        """Whether a term was off in the last step: no state is to be written now."""
        return any(self.off.values())

    def look(self, terms: dict[str, float], phase: str) -> tuple[str, str] | None:
        """Note a step's terms. The name of one that has been off for `STEPS` steps, and a text on it.

        Args:
            phase: levels of one phase say nothing of the next, whose steps compute something else.
        """
        if phase != self.phase:
            self.phase, self.past, self.off = phase, {}, {}
        for name, floor in self.floors.items():
            if name not in terms:
                continue
            past, value = self.past.setdefault(name, []), terms[name]
            level = median(past) if len(past) >= LEAST else None
            if level is None or value <= self.factor * max(level, floor):
                self.off[name] = 0
                past.append(value)
                del past[:-WINDOW]
                continue
            self.off[name] += 1
            if self.off[name] >= STEPS:
                times = f"over {self.factor:g} times its level of {level:.3g} for {STEPS} steps"
                return name, f"{name} is {value:.3g}, {times}"
        return None

    def to_state(self) -> dict[str, Any]:
        """Plain data for a state file."""
        return {
            "phase": self.phase,
            "past": {k: list(v) for k, v in self.past.items()},
            "off": dict(self.off),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Inverse of `to_state`."""
        self.phase, self.past, self.off = state["phase"], state["past"], state["off"]
