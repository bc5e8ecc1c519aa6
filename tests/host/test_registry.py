from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ganinv.errors import CheckpointError, PluginError, UnknownNameError
from ganinv.registry import Registry


def test_register_and_get() -> None:
    known = Registry("method")
    known.register("b", dict, origin="built in")
    known.register("a", list, origin="mine 1.0")
    assert known.names() == ("a", "b")
    assert known.get("b") is dict
    assert known.origin("a") == "mine 1.0"


def test_lazy_builder_is_loaded_once_and_late() -> None:
    calls = []

    def load() -> Callable[..., Any]:
        calls.append(1)
        return dict

    known = Registry("method")
    known.register_lazy("a", load, origin="here")
    assert known.names() == ("a",) and not calls
    assert known.get("a") is dict and known.get("a") is dict
    assert calls == [1]


def test_duplicate_names_both_origins() -> None:
    known = Registry("method")
    known.register("a", dict, origin="first 1.0")
    with pytest.raises(PluginError, match=r"two method plugins are called 'a': first 1\.0 and second 2\.0"):
        known.register("a", list, origin="second 2.0")


def test_unknown_name() -> None:
    known = Registry("method")
    known.register("diverse-inpaint", dict, origin="here")
    with pytest.raises(UnknownNameError, match="unknown method 'diverse'; did you mean 'diverse-inpaint'"):
        known.get("diverse")
    with pytest.raises(UnknownNameError):
        known.origin("diverse")


@pytest.mark.parametrize(
    ("cause", "said"),
    [(RuntimeError("boom"), "RuntimeError: boom"), (CheckpointError("no file"), "cannot be loaded: no file")],
)
def test_broken_builder_breaks_only_itself(cause: Exception, said: str) -> None:
    def load() -> Callable[..., Any]:
        raise cause

    known = Registry("method")
    known.register("good", dict, origin="here")
    known.register_lazy("bad", load, origin="there 1.0")
    for _ in range(2):
        with pytest.raises(PluginError, match=r"method 'bad' from there 1.0") as caught:
            known.get("bad")
        assert said in str(caught.value)
    assert known.get("good") is dict
