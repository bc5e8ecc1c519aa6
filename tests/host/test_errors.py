from __future__ import annotations

import pytest

from ganinv import errors
from ganinv.errors import GanInvError, UnknownNameError, UsageError, nearest


def test_exit_codes() -> None:
    usage = {name for name in vars(errors) if getattr(getattr(errors, name), "exit_code", 1) == 2}
    assert usage == {"UsageError", "UnknownNameError", "ConfigError"}
    assert GanInvError.exit_code == 1


def test_message_is_one_line() -> None:
    assert str(GanInvError("two\n  lines ")) == "two lines"


@pytest.mark.parametrize(
    ("name", "expected"), [("smle", "smile"), ("SMILE", "smile"), ("sm", "smile"), ("zzz", None), ("", None)]
)
def test_nearest(name: str, expected: str | None) -> None:
    assert nearest(name, ["age", "smile", "yaw"]) == expected


def test_nearest_of_nothing() -> None:
    assert nearest("age", []) is None


def test_unknown_name_offers_and_lists() -> None:
    error = UnknownNameError("direction", "smle", ["yaw", "smile"], hint="Type more")
    assert str(error) == "unknown direction 'smle'; did you mean 'smile'? known: smile, yaw. Type more"
    assert isinstance(error, UsageError)


def test_unknown_name_without_a_near_one() -> None:
    assert str(UnknownNameError("direction", "qqq", ["yaw"])) == "unknown direction 'qqq'; known: yaw"
    assert str(UnknownNameError("backbone", "x", [])) == "unknown backbone 'x'; no backbone is known here"
