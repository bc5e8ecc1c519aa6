"""Finding what can be used by name: built in, from installed entry points, or named in GANINV_PLUGINS.

Entry-point groups are `ganinv.methods`, `.encoders`, `.backbones`, `.directions`, `.trainers`, `.aligners`.
Finding reads metadata only; a plugin is imported when it is asked for, and one that fails then breaks only
itself.
GANINV_PLUGINS holds "name=module:attribute", comma-separated; "encoders/name=module:attribute" for another
group.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from ganinv.errors import PluginError, UnknownNameError
from ganinv.registry import Registry

VARIABLE = "GANINV_PLUGINS"
GROUPS = {
    "methods": "method",
    "encoders": "encoder",
    "backbones": "backbone family",
    "directions": "directions file",
    "trainers": "trainer",
    "aligners": "landmark detector",
}

_BUILT_IN = {
    "aligners": {
        "dlib": "ganinv.align.dlib_faces:build_hog",
        "dlib-5": "ganinv.align.dlib_faces:build_hog_5",
        "dlib-mmod": "ganinv.align.dlib_faces:build_mmod",
        "dlib-mmod-5": "ganinv.align.dlib_faces:build_mmod_5",
        "face-alignment": "ganinv.align.fan_faces:build",
    },
    "backbones": {
        "stylegan2": "ganinv.backbones.loading:build_stylegan2",
        "stylegan3": "ganinv.backbones.loading:build_stylegan3",
    },
    "encoders": dict.fromkeys(("psp", "e4e", "restyle"), "ganinv.encoders.published:build_published"),
    "methods": {
        "e4e": "ganinv.methods.encode:build_e4e",
        "optimize": "ganinv.methods.optimize:build",
        "psp": "ganinv.methods.encode:build_psp",
        "pti": "ganinv.methods.pti:build",
        "restyle": "ganinv.methods.encode:build_restyle",
    },
}
# This repository's own plugin, for a checkout that is not installed; an entry point takes precedence.
_BUNDLED = {
    "methods": {"diverse-inpaint": "plugin_ganinpaint.method:build"},
    "trainers": {
        "diverse-inpaint": "plugin_ganinpaint.training.entry:train",
        "e4e": "plugin_ganinpaint.training.entry:train_e4e",
        "psp": "plugin_ganinpaint.training.entry:train_psp",
    },
}


@dataclass(frozen=True)
class PluginReport:
    """One line of `ganinv plugins`: `error` is None where it loads."""

    group: str
    name: str
    origin: str
    error: str | None


@dataclass(frozen=True)
class _Found:
    name: str
    target: str
    origin: str


@cache
def registry(group: str) -> Registry:
    """The registry of one group of `GROUPS`, "methods" for instance, filled once per process.

    Raises:
        UnknownNameError: another group.
    """
    if group not in GROUPS:
        raise UnknownNameError("registry", group, GROUPS)
    result = Registry(GROUPS[group])
    targets: dict[str, _Found] = {}
    for found in _find(group):
        first = targets.setdefault(found.name, found)
        if first is found:
            result.register_lazy(found.name, partial(_import, found.target), origin=found.origin)
        elif first.target != found.target:  # the same one found twice is no quarrel
            _quarrel(result, first, found)
    return result


def plugin_reports() -> list[PluginReport]:
    """Every known name of every group with its origin, each one loaded to see whether it can be."""
    reports = []
    for group in GROUPS:
        known = registry(group)
        for name in known.names():
            error = None
            try:
                known.get(name)
            except PluginError as cause:
                error = cause.message
            reports.append(PluginReport(group, name, known.origin(name), error))
    return reports


def plugin_packages() -> list[str]:
    """Top-level packages, importable ones only, that hold what is registered; nothing is imported."""
    packages = {found.target.split(":")[0].split(".")[0] for group in GROUPS for found in _find(group)}
    return sorted(p for p in packages if p != __name__.split(".")[0] and _importable(p))


def _find(group: str) -> Iterator[_Found]:
    for name, target in _BUILT_IN.get(group, {}).items():
        yield _Found(name, target, "built in")
    points = sorted(importlib.metadata.entry_points(group=f"ganinv.{group}"), key=lambda p: (p.name, p.value))
    for point in points:
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
        yield _Found(point.name, point.value, f"{owner} ({point.value})")
    for name, target in _BUNDLED.get(group, {}).items():
        if all(point.name != name for point in points) and _importable(target.split(".")[0]):
            yield _Found(name, target, f"bundled ({target})")
    for entry in filter(None, (e.strip() for e in os.environ.get(VARIABLE, "").split(","))):
        full, _, target = (part.strip() for part in entry.partition("="))
        own, _, name = full.rpartition("/")
        if (own or "methods") == group:
            yield _Found(name, target, f"{VARIABLE} ({target})")


def _quarrel(known: Registry, first: _Found, second: _Found) -> None:
    both = f"{first.origin} and {second.origin}"
    if first.origin == "built in":  # a newcomer must not take away what came with the package
        return known.register_broken(
            f"{second.name} (duplicate)",
            f"two {known.kind} plugins are called {first.name!r}: {both}; the built-in one is used",
            origin=second.origin,
        )
    known.register_broken(
        first.name,
        f"two {known.kind} plugins are called {first.name!r}: {both}; uninstall or rename one",
        origin=both,
    )


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise PluginError(f"{target!r} is not of the form module:attribute")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise PluginError(f"{target} is a {type(found).__name__}, not a builder that can be called")
    return found


def _importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
