"""Errors of the package as messages on the page and in the API's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec, TypeVar

import gradio as gr

from ganinv.errors import GanInvError

P = ParamSpec("P")
R = TypeVar("R")
_SECONDS = 12  # that a message stays


def told(function: Callable[P, R]) -> Callable[P, R]:
    """What goes wrong for a reason that a visitor can mend becomes a message."""

    @wraps(function)
    def safe(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except GanInvError as cause:
            raise _message(cause) from cause

    return safe


def told_along(function: Callable[P, Iterator[R]]) -> Callable[P, Iterator[R]]:
    """`told` for functions that give one answer after the other."""

    @wraps(function)
    def safe(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        try:
            yield from function(*args, **kwargs)
        except GanInvError as cause:
            raise _message(cause) from cause

    return safe


def _message(cause: GanInvError) -> gr.Error:
    return gr.Error(cause.message, duration=_SECONDS, print_exception=False)
