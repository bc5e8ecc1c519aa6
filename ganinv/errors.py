"""The errors this package raises for mistakes and mishaps of its user.

    GanInvError                  exit code 1
    |-- UsageError               exit code 2: a wrong argument or option
    |   |-- UnknownNameError     a name that no registry or file holds
    |   `-- ConfigError          a configuration file or key=value that does not fit
    |-- InputError               a picture, mask or table that cannot be used
    |-- CheckpointError          a weight, direction or inversion file that cannot be used
    |   `-- BackboneMismatchError  made with another backbone than the one given
    |-- OutputError              a result that cannot be written
    `-- PluginError              a plugin that cannot be loaded

Each message is one line: what was given, what is possible, what to type. The command line shows it as it
is and leaves with `exit_code`; libraries raise and never print.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GanInvError(Exception):
    """Base of every error meant for a user; `message` is folded into one line."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        self.message = " ".join(str(message).split())
        super().__init__(self.message)


class UsageError(GanInvError):
    """A wrong argument, option or combination of them."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not among the known ones; the text offers the nearest and lists them all.

    Args:
        kind: what the name stands for, in the singular: "method", "direction", "backbone".
        name: what was asked for.
        known: every name that would have worked.
        hint: one more sentence on what to type, if any.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        text = f"unknown {kind} {name!r}"
        close = nearest(name, self.known)
        text += f"; did you mean {close!r}?" if close else ";"
        text += f" known: {', '.join(self.known)}" if self.known else f" no {kind} is known here"
        super().__init__(f"{text}. {hint}" if hint else text)


class ConfigError(UsageError):
    """A configuration file, key or value that does not fit the dataclass it is meant for."""


class InputError(GanInvError):
    """A picture, mask or table that is missing, broken or of the wrong shape."""


class CheckpointError(GanInvError):
    """A weight, direction or inversion file that cannot be used."""


class NoSuchPartError(CheckpointError):
    """A good file that holds other networks than the one asked for."""


class BackboneMismatchError(CheckpointError):
    """A file that belongs to another backbone than the one given."""


class OutputError(GanInvError):
    """A result that cannot be written; nothing half-written is left behind."""


class PluginError(GanInvError):
    """A plugin that cannot be loaded, or two that claim one name."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None if none is close."""
    lower = {k.lower(): k for k in known}
    if not lower:
        return None
    found = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    if found:
        return lower[found[0]]
    starts = [k for low, k in lower.items() if name and low.startswith(name.lower())]
    return starts[0] if len(starts) == 1 else None
