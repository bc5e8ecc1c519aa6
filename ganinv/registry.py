"""Names to builders. One registry per kind; builders may be loaded late, so that listing imports nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ganinv.errors import GanInvError, PluginError, UnknownNameError

Builder = Callable[..., Any]


@dataclass
class _Entry:
    origin: str
    load: Callable[[], Builder]
    builder: Builder | None = None
    error: PluginError | None = None


class Registry:
    """Builders by name, for one kind of thing ("method", "encoder", "backbone", "directions")."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, _Entry] = {}

    def register(self, name: str, builder: Builder, *, origin: str) -> None:
        """Adds a builder under a name. Raises PluginError, naming both origins, if the name is taken."""
        self._add(name, _Entry(origin, lambda: builder, builder))

    def register_lazy(self, name: str, load: Callable[[], Builder], *, origin: str) -> None:
        """Like `register`, but `load()` is called at the first `get(name)` and not before."""
        self._add(name, _Entry(origin, load))

    def register_broken(self, name: str, reason: str, *, origin: str) -> None:
        """Keeps a name whose `get` raises PluginError(reason); replaces what stood under that name."""
        self._entries[name] = _Entry(origin, lambda: _never, error=PluginError(reason))

    def get(self, name: str) -> Builder:
        """The builder of that name.

        Raises:
            UnknownNameError: no such name; lists the known ones and the nearest.
            PluginError: the name is known and what it points to cannot be loaded.
        """
        entry = self._entry(name)
        if entry.error is not None:
            raise entry.error
        if entry.builder is None:
            try:
                entry.builder = entry.load()
            except Exception as cause:  # a plugin's import may raise anything, and must break only itself
                entry.error = self._broken(name, entry.origin, cause)
                raise entry.error from cause
        return entry.builder

    def names(self) -> tuple[str, ...]:
        """All names, sorted, broken ones included."""
        return tuple(sorted(self._entries))

    def origin(self, name: str) -> str:
        """Where a name comes from: "built in", "my-plugin 1.2 (my_plugin:build)". Raises UnknownNameError."""
        return self._entry(name).origin

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self._entries)
        return self._entries[name]

    def _add(self, name: str, entry: _Entry) -> None:
        if name in self._entries:
            raise PluginError(
                f"two {self.kind} plugins are called {name!r}: "
                f"{self._entries[name].origin} and {entry.origin}; uninstall or rename one"
            )
        self._entries[name] = entry

    def _broken(self, name: str, origin: str, cause: Exception) -> PluginError:
        said = cause.message if isinstance(cause, GanInvError) else f"{type(cause).__name__}: {cause}"
        return PluginError(f"{self.kind} {name!r} from {origin} cannot be loaded: {said}")


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("a broken entry is never built")
