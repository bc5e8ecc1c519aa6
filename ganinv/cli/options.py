"""Types of options, and options that several commands have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Finite(click.ParamType):
    """A number that is neither infinite nor NaN, from `min` to `max` where these are given."""

    name = "number"

    def __init__(self, min: float | None = None, max: float | None = None) -> None:
        self.least = -math.inf if min is None else min
        self.most = math.inf if max is None else max

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; fails as other click types do."""
        number = float(click.FLOAT.convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        if not self.least <= number <= self.most:
            self.fail(f"{value} is not in the range {self.least:g} to {self.most:g}.", param, ctx)
        return number


class Size(click.ParamType):
    """HEIGHTxWIDTH in pixels."""

    name = "HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """(height, width); fails as other click types do."""
        if isinstance(value, tuple):
            return value
        height, _, width = str(value).partition("x")
        if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
            self.fail(f"{value!r} is not of the form HEIGHTxWIDTH, like 384x512.", param, ctx)
        return int(height), int(width)


def taken(names: Iterable[str], asked: dict[str, Any]) -> dict[str, Any]:
    """The parameters `names` of a command, taken out of all that it was `asked`."""
    return {name: asked.pop(name) for name in names}


def settings_of(kind: type[Settings], asked: dict[str, Any]) -> Settings:
    """A dataclass whose fields are called like parameters of a command, which are taken out of `asked`."""
    return kind(**taken([field.name for field in fields(kind)], asked))


def options(*decorators: Decorator) -> Decorator:
    """Several click options as one decorator; --help lists them in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the results."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout; notes go to stderr."
)
machine_options = options(
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="cpu, cuda, cuda:1, or auto: cuda if there is any.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        default="float32",
        show_default=True,
        help="Of the generator's convolutions; float16 on CUDA only.",
    ),
    click.option(
        "--chunk",
        type=click.IntRange(min=1),
        help="Pictures in one pass of the generator; default: what free memory has room for.",
    ),
    click.option(
        "--compile",
        "compiled",
        is_flag=True,
        help="Draw through torch.compile; the first picture waits for the compiler.",
    ),
)
MACHINE = ("device", "precision", "chunk", "compiled")
"""Parameters of `machine_options`."""
tones_option = click.option(
    "--tones/--no-tones",
    default=True,
    show_default=True,
    help="Move the hole's tones to meet the known pixels; --no-tones pastes the generator's as they are.",
)
mask_polarity_option = click.option(
    "--mask-polarity",
    type=click.Choice(["erase-white", "keep-white"]),
    default="erase-white",
    show_default=True,
    help="What white means in a mask file.",
)


def seed_option(text: str) -> Decorator:
    """--seed, a whole number from 0 on; `text` says of what."""
    return click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help=text)
