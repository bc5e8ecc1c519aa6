"""What can vary in a portrait: names, marginal distributions, units; sampling; the map from and to normals.

Attributes are independent of each other, so that the posterior of a hidden one is its prior. Each is a
monotone function of one standard normal (its quantile function), so that a normal vector *is* a portrait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ganinv.errors import UnknownNameError, UsageError
from ganinv.portraits import hashing

_EDGE = 1e-7  # keeps quantile levels off 0 and 1, where the normal is infinite


class Distribution(Protocol):
    """A marginal distribution, given by its quantile function of a standard normal."""

    @property
    def text(self) -> str:
        """The distribution in words."""
        ...

    def from_gaussian(self, normal: Tensor) -> Tensor:
        """Standard normal -> value, any shape, monotone."""
        ...

    def to_gaussian(self, value: Tensor) -> Tensor:
        """Value -> the standard normal that gives it (the middle one where many do)."""
        ...


@dataclass(frozen=True)
class Clipped:
    """A normal of mean 0 and the given standard deviation, clipped to +-limit."""

    deviation: float
    limit: float

    @property
    def text(self) -> str:
        return f"normal, s.d. {self.deviation:g}, clipped at {self.limit:g}"

    def from_gaussian(self, normal: Tensor) -> Tensor:
        return (normal * self.deviation).clamp(-self.limit, self.limit)

    def to_gaussian(self, value: Tensor) -> Tensor:
        return value.clamp(-self.limit, self.limit) / self.deviation


@dataclass(frozen=True)
class Pieces:
    """A mixture of uniforms and atoms: its quantile function is piecewise linear through (levels, values)."""

    levels: tuple[float, ...]
    values: tuple[float, ...]
    text: str

    def from_gaussian(self, normal: Tensor) -> Tensor:
        level = torch.special.ndtr(normal.double())
        at, to = self._tables(normal)
        low = (torch.searchsorted(at, level.contiguous(), right=True) - 1).clamp(0, len(self.levels) - 2)
        width = (at[low + 1] - at[low]).clamp(min=_EDGE)
        weight = ((level - at[low]) / width).clamp(0.0, 1.0)
        return (to[low] + (to[low + 1] - to[low]) * weight).to(normal.dtype)

    def to_gaussian(self, value: Tensor) -> Tensor:
        at, to = self._tables(value)
        wanted = value.double().clamp(self.values[0], self.values[-1]).contiguous()
        # The levels that give this value run from `first` to `last`: a range at an atom, else one level.
        first, last = self._level(wanted, at, to, right=False), self._level(wanted, at, to, right=True)
        level = ((first + last) / 2.0).clamp(_EDGE, 1.0 - _EDGE)
        return torch.special.ndtri(level).to(value.dtype)

    def _tables(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return like.new_tensor(self.levels, dtype=torch.float64), like.new_tensor(
            self.values, dtype=torch.float64
        )

    def _level(self, value: Tensor, at: Tensor, to: Tensor, *, right: bool) -> Tensor:
        # float32 values come back a rounding away from the knot they left.
        value = value + (_EDGE if right else -_EDGE)
        high = torch.searchsorted(to, value, right=right).clamp(1, len(self.values) - 1)
        width = (to[high] - to[high - 1]).clamp(min=_EDGE)
        return at[high - 1] + (at[high] - at[high - 1]) * ((value - to[high - 1]) / width).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Skewed:
    """low + (high - low) U^exponent with U uniform: more small values than large."""

    low: float
    high: float
    exponent: float

    @property
    def text(self) -> str:
        return f"{self.low:g} + {self.high - self.low:g} U^{self.exponent:g}"

    def from_gaussian(self, normal: Tensor) -> Tensor:
        level = torch.special.ndtr(normal.double())
        return (self.low + (self.high - self.low) * level**self.exponent).to(normal.dtype)

    def to_gaussian(self, value: Tensor) -> Tensor:
        share = ((value.double() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
        return torch.special.ndtri((share ** (1.0 / self.exponent)).clamp(_EDGE, 1.0 - _EDGE)).to(value.dtype)


def _uniform(low: float = 0.0, high: float = 1.0) -> Pieces:
    return Pieces((0.0, 1.0), (low, high), f"uniform {low:g}..{high:g}")


def _mixture(share: float, first: tuple[float, float], second: tuple[float, float]) -> Pieces:
    """`share` of uniform `first`, the rest uniform `second`; the two may overlap."""
    values = sorted({*first, *second})
    levels = []
    for value in values:
        below = [min(max((value - low) / (high - low), 0.0), 1.0) for low, high in (first, second)]
        levels.append(share * below[0] + (1.0 - share) * below[1])
    text = f"{share:.0%}: {first[0]:g}..{first[1]:g}, else {second[0]:g}..{second[1]:g}"
    return Pieces(tuple(levels), tuple(values), text)


def _sometimes(share: float, low: float, high: float) -> Pieces:
    """0, but uniform low..high in `share` of the portraits."""
    text = f"{share:.0%}: {low:g}..{high:g}, else 0" if low < high else f"{share:.0%}: {high:g}, else 0"
    return Pieces((0.0, 1.0 - share, 1.0 - share, 1.0), (0.0, 0.0, low, high), text)


@dataclass(frozen=True)
class Attribute:
    """One row of the table: how it is distributed, in which unit it is counted, what it acts on."""

    distribution: Distribution
    unit: str
    acts_on: str

    def from_gaussian(self, normal: Tensor) -> Tensor:
        """Standard normal -> value of this attribute, any shape."""
        return self.distribution.from_gaussian(normal)

    def to_gaussian(self, value: Tensor) -> Tensor:
        """Value -> standard normal; `from_gaussian` of the result is the value again."""
        return self.distribution.to_gaussian(value)


_SHARE = "0..1"
_SIGNED = "-1..1"


def _shape(acts_on: str, deviation: float = 0.5) -> Attribute:
    return Attribute(Clipped(deviation, 1.0), _SIGNED, acts_on)


TABLE: dict[str, Attribute] = {
    "gender": Attribute(
        _mixture(0.5, (0.0, 0.22), (0.78, 1.0)), "0 fem .. 1 masc", "bones, brows, lips, lashes, neck"
    ),
    "age": Attribute(
        Skewed(18.0, 80.0, 1.3), "years", "lines, bags, hollow cheeks, lids, lips, greying; roundness"
    ),
    "smile": Attribute(
        _mixture(0.25, (-0.25, 0.15), (0.1, 1.0)), "-0.25..1", "mouth, teeth, cheeks, folds, lids"
    ),
    "yaw": Attribute(Clipped(11.0, 32.0), "degrees, + to image right", "head pose"),
    "pitch": Attribute(Clipped(5.0, 13.0), "degrees, + up", "head pose"),
    "roll": Attribute(Clipped(3.0, 10.0), "degrees, + anticlockwise", "head pose"),
    "skin": Attribute(_uniform(), "0 light .. 1 dark", "skin colour"),
    "undertone": _shape("skin colour, cool to warm"),
    "fwidth": _shape("width of the head"),
    "hair_light": Attribute(
        _mixture(0.5, (0.0, 0.4), (0.3, 1.0)), "0 black .. 1 blond", "hair, brows, beard, lashes"
    ),
    "hair_red": Attribute(_mixture(0.2, (0.4, 1.0), (0.0, 0.25)), _SHARE, "hair, brows, beard, lashes"),
    "grey": Attribute(_uniform(0.1, 1.0), _SHARE, "how far age greys the hair (42 years on)"),
    "length": Attribute(
        _mixture(0.5, (0.0, 0.15), (0.27, 1.0)), _SHARE, "long hair: none below 0.165, 1 to the chest"
    ),
    "volume": Attribute(_uniform(0.15, 1.0), _SHARE, "thickness of the hair"),
    "curl": Attribute(_mixture(0.3, (0.4, 1.0), (0.0, 0.25)), _SHARE, "curls and waves"),
    "fringe": Attribute(_mixture(0.3, (0.5, 1.0), (0.0, 0.15)), _SHARE, "fringe over the forehead"),
    "recede": Attribute(_mixture(0.15, (0.35, 1.0), (0.0, 0.2)), "1 = bald", "hairline, thinning"),
    "bun": Attribute(_sometimes(0.07, 1.0, 1.0), "0 or 1", "bun on top"),
    "part": Attribute(_uniform(-1.0, 1.0), _SIGNED, "side of the parting"),
    "beard": Attribute(_sometimes(0.35, 0.2, 1.0), _SHARE, "stubble to full beard"),
    "brow_up": _shape("height of the brows", 0.4),
    "glasses": Attribute(_sometimes(0.25, 1.0, 1.0), "0 or 1", "glasses"),
    "glass_shape": Attribute(_uniform(), "0 round .. 1 square", "glasses"),
    "glass_col": Attribute(_uniform(), _SHARE, "colour and thickness of the frame"),
    "eye_col": Attribute(_mixture(0.35, (0.0, 0.25), (0.2, 1.0)), "0 brown .. 1 blue", "iris"),
    "gaze_x": Attribute(Clipped(5.0, 15.0), "degrees, in the head, after -0.45 yaw", "iris position"),
    "gaze_y": Attribute(Clipped(3.0, 10.0), "degrees, in the head", "iris position"),
    "light_az": Attribute(_uniform(-60.0, 60.0), "degrees", "direction of the key light"),
    "light_el": Attribute(_uniform(8.0, 52.0), "degrees", "direction of the key light"),
    "light_warm": _shape("colour of the key and fill lights", 0.45),
    "light_ratio": Attribute(_uniform(0.3, 0.95), _SHARE, "fill light over key light"),
    "bg_hue": Attribute(_uniform(), _SHARE, "background, weakly the light from above"),
    "bg_sat": Attribute(_uniform(0.04, 0.42), _SHARE, "background"),
    "bg_val": Attribute(_uniform(0.18, 0.8), _SHARE, "background"),
    "cloth_hue": Attribute(_uniform(), _SHARE, "clothes, weakly the light from below"),
    "cloth_sat": Attribute(_uniform(0.0, 0.75), _SHARE, "clothes"),
    "cloth_val": Attribute(_uniform(0.12, 0.85), _SHARE, "clothes"),
    "cloth_type": Attribute(_uniform(), _SHARE, "crew, stripes, V-neck, turtleneck, shirt, jacket"),
    "nose": _shape("size of the nose"),
    "lip": _shape("fullness of the lips", 0.45),
    "eye_size": _shape("size of the eyes", 0.4),
    "makeup": Attribute(_sometimes(0.35, 0.3, 1.0), _SHARE, "lipstick, eye shadow, rouge, lashes"),
    "makeup_hue": Attribute(_uniform(), _SHARE, "colour of lipstick and eye shadow"),
    "freckle": Attribute(_sometimes(0.18, 0.3, 1.0), _SHARE, "freckles"),
    "eye_gap": _shape("distance between the eyes"),
    "eye_height": _shape("height of the eyes"),
    "nose_len": _shape("length of the nose"),
    "nose_width": _shape("width of the nose"),
    "mouth_height": _shape("height of the mouth, + down"),
    "chin": _shape("how far the chin stands out"),
    "forehead": _shape("height of the forehead"),
    "jaw_width": _shape("width of the jaw"),
    "cheek": _shape("cheekbones"),
    "brow_thick": _shape("thickness of the brows"),
    "brow_tilt": _shape("slant of the brows"),
    "asym": _shape("nose and mouth to one side"),
    "face_len": _shape("length of the lower face"),
}

ATTRIBUTE_NAMES: tuple[str, ...] = tuple(TABLE)


def attributes_from_normals(normals: Tensor, seeds: Tensor | None = None) -> dict[str, Tensor]:
    """Standard normals [N, A], A = len(ATTRIBUTE_NAMES), in that order -> {name: float32 [N]}.

    With int64 `seeds` [N] the result has them as `seed` and can be rendered.

    Raises:
        UsageError: another number of columns, or of seeds.
    """
    if normals.ndim != 2 or normals.shape[1] != len(ATTRIBUTE_NAMES):
        raise UsageError(
            f"normals of shape {tuple(normals.shape)}: "
            f"give [N, {len(ATTRIBUTE_NAMES)}], a column for each attribute"
        )
    attributes = {
        name: TABLE[name].from_gaussian(normals[:, i]).float() for i, name in enumerate(ATTRIBUTE_NAMES)
    }
    if seeds is None:
        return attributes
    if seeds.shape != normals.shape[:1]:
        raise UsageError(
            f"seeds of shape {tuple(seeds.shape)} for {len(normals)} portraits: give one for each"
        )
    return {**attributes, "seed": seeds}


def normals_from_attributes(attributes: Mapping[str, Tensor]) -> Tensor:
    """{name: [N]} -> [N, A] in the order of ATTRIBUTE_NAMES; the inverse of `attributes_from_normals`."""
    check_attributes(attributes)
    return torch.stack([TABLE[name].to_gaussian(attributes[name]) for name in ATTRIBUTE_NAMES], 1)


def sample_normals(count: int, seed: int, start: int = 0) -> tuple[Tensor, Tensor]:
    """Portraits start .. start+count-1 of a series: normals float32 [count, A] and seeds int64 [count].

    Raises:
        UsageError: count or start below 0.
    """
    if count < 0 or start < 0:
        raise UsageError(f"count {count}, start {start}: give numbers from 0 up")
    numbers = torch.arange(start, start + count, dtype=torch.int64)
    series = hashing.combine(torch.full_like(numbers, seed), numbers)
    columns = torch.arange(len(ATTRIBUTE_NAMES), dtype=torch.int64)
    normals = hashing.normals(hashing.combine(series[:, None], columns)).float()
    return normals, hashing.image_seeds(seed, count, start)


def sample_attributes(count: int, seed: int, start: int = 0) -> dict[str, Tensor]:
    """Draw portraits start .. start+count-1 of the endless series `seed`.

    Each is a function of (seed, its number) only. Returns {name: float32 [count]} and `seed`, int64 [count],
    from which the picture's own noise (strands, mottling, background) is made.

    Raises:
        UsageError: count or start below 0.
    """
    return attributes_from_normals(*sample_normals(count, seed, start))


def check_attributes(attributes: Mapping[str, Tensor]) -> int:
    """Number of portraits in a dictionary of attributes.

    Raises:
        UnknownNameError: a name that is no attribute. UsageError: a missing name, or unequal lengths.
    """
    for name in attributes:
        if name not in TABLE and name != "seed":
            raise UnknownNameError("attribute", name, ATTRIBUTE_NAMES)
    missing = [name for name in ATTRIBUTE_NAMES if name not in attributes]
    if missing:
        raise UsageError(
            f"no value for {', '.join(missing)}: start from sample_attributes and replace values"
        )
    lengths = {name: tuple(value.shape) for name, value in attributes.items()}
    first = lengths[ATTRIBUTE_NAMES[0]]
    for name, shape in lengths.items():
        if len(shape) != 1 or shape != first:
            raise UsageError(
                f"attribute {name} has shape {shape}, {ATTRIBUTE_NAMES[0]} has {first}: give [N] for all"
            )
    return first[0]
