"""Options of builders: from the signature, or from the config dataclass that it stands for."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import pytest

from ganinv.configs import parse_options, takes
from ganinv.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    steps: int = 3
    rate: float = 0.5
    note: str | None = None


@takes(Recipe)
def build(backbone: object, *, rate: float = 2.0, **options: Any) -> dict[str, Any]:
    return {"rate": rate, **options}


def plain(backbone: object, *, chunk: int = 8, weights: str | None = None) -> None:
    pass


def anything(backbone: object, **options: Any) -> None:
    pass


def test_signature_shows_the_fields_and_the_call_stays() -> None:
    found = inspect.signature(build).parameters
    assert list(found) == ["backbone", "rate", "steps", "note"]
    assert found["rate"].default == 2.0 and found["steps"].default == 3
    assert build(None, steps=4) == {"rate": 2.0, "steps": 4}


def test_values_take_the_annotated_types() -> None:
    assert parse_options(build, ["steps=7", "rate=1e-3", "note=null"], "it") == {
        "steps": 7,
        "rate": 0.001,
        "note": None,
    }
    assert parse_options(plain, ["weights=a.pt", "chunk=2"], "it") == {"weights": "a.pt", "chunk": 2}
    assert parse_options(anything, ["whatever=[1, 2]"], "it") == {"whatever": [1, 2]}
    assert parse_options(plain, [], "it") == {}


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        ("stps=1", "it has no option 'stps'; did you mean steps\\? its options: rate, steps, note"),
        ("steps=x", "steps of it is 'x'; expected a whole number"),
        ("steps", "'steps' is not of the form key=value"),
        ("backbone=1", "it has no option 'backbone'"),
    ],
)
def test_others_are_refused(pair: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        parse_options(build, [pair], "it")
