"""Directions by name: bundled ones, those of the user's store and of plugins, files, and computed ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganinv.backbones.base import Backbone
from ganinv.backbones.loading import bundled_models
from ganinv.editing import foreign
from ganinv.editing.computed import sefa, style_channels
from ganinv.editing.edits import Edit
from ganinv.editing.manifest import KIND, read_directions
from ganinv.editing.store import stored_directions
from ganinv.errors import CheckpointError, PluginError, UnknownNameError, UsageError
from ganinv.inversion import Inversion
from ganinv.plugins import registry

_LAYERS = re.compile(r"(.+):(\d{1,6})-(\d{1,6})")
_SEFA = re.compile(r"sefa:(\d{1,6})")
_STYLE = re.compile(r"style:(\d{1,6}:\d{1,6}(?:,\d{1,6}:\d{1,6})*)")
_FILE = re.compile(
    r"(.+\.(?:{}))(?::([^:/]+))?".format("|".join(s[1:] for s in (*foreign.SUFFIXES, ".safetensors"))), re.I
)


def apply_edits(
    inversion: Inversion, edits: Iterable[tuple[str | Edit, float]], backbone: Backbone
) -> Inversion:
    """`Edit.apply` for several (edit, or what `load_direction` takes; strength), one after the other.

    Raises:
        UnknownNameError, UsageError: a name that is none.
        BackboneMismatchError, CheckpointError: an edit that does not belong to `backbone`.
    """
    for what, strength in edits:
        edit = load_direction(what, backbone) if isinstance(what, str) else what
        edit.check(backbone)
        inversion = edit.apply(inversion, strength)
    return inversion


def load_direction(source: str, backbone: Backbone | None = None) -> Edit:
    """An edit as people type it: NAME, FILE, FILE:COMPONENT, sefa:K or style:LAYER:CHANNEL[,LAYER:CHANNEL].

    All but style take ":FIRST-LAST" at their end, the layers to change, counted from 0, both included.

    Args:
        source: NAME is one that `load_directions` gives. FILE is a .pt, .npy, ... of others or a .safetensors
            of ours. COMPONENT is the number of a GANSpace component, or a name in a file of ours that holds
            several.
        backbone: what it is meant for. Without one only files are known, and only such that tell their width.

    Raises:
        UnknownNameError: no such name. UsageError: a number that is not there, or no backbone.
        CheckpointError: a file that cannot be used, or an edit for another backbone.
    """
    base, layers = _without_layers(source)
    if base.startswith("style:") and layers is not None:
        raise UsageError(f"{source!r}: a style edit names its layers itself; drop the range at its end")
    if base.startswith(("sefa:", "style:")):
        edit = _computed(base, layers, backbone)
    elif file := _FILE.fullmatch(base):
        edit = _from_file(Path(file[1]).expanduser(), file[2], backbone)
    elif backbone is None:
        raise UsageError(
            f"{source!r} is no direction file; known: {foreign.KNOWN}, sefa:K, style:LAYER:CHANNEL"
        )
    else:
        edit = _by_name(base, backbone)
    edit = replace(edit, name=source, layers=layers or edit.layers)
    if backbone is not None:
        edit.check(backbone)
    return edit


def load_directions(backbone: Backbone, *, stored: bool = True) -> dict[str, Edit]:
    """Every edit at hand for a backbone, by name: bundled ones, those of the user's store, those of plugins.

    One whose name is taken is called "store/NAME" or "PLUGIN/NAME". A plugin that fails is left out here and
    told by `ganinv plugins`.

    Args:
        stored: False leaves the user's store out, for what must not depend on it.

    Raises:
        CheckpointError: a damaged file of the package or of the store.
    """
    found: dict[str, Edit] = {}
    for model in bundled_models():
        if model.kind == KIND:
            _add(found, read_directions(model.path).values(), backbone, model.name)
    if stored:
        _add(found, stored_directions().values(), backbone, "store")
    plugins = registry("directions")
    for plugin in plugins.names():
        try:
            offered = list(_of_plugin(plugins.get(plugin), plugins.origin(plugin)))
        except (PluginError, CheckpointError):
            continue
        _add(found, offered, backbone, plugin)
    return found


def _add(found: dict[str, Edit], offered: Iterable[Edit], backbone: Backbone, owner: str) -> None:
    for edit in offered:
        try:
            edit.check(backbone)
        except CheckpointError:
            continue  # of another backbone
        name = edit.name if edit.name not in found else f"{owner}/{edit.name}"
        found[name] = replace(edit, name=name)


def _of_plugin(builder: Any, origin: str) -> Iterator[Edit]:
    """A plugin's builder gives a file of directions or the edits themselves."""
    try:
        offered = builder()
        items = read_directions(offered).values() if isinstance(offered, (str, Path)) else list(offered)
    except CheckpointError:
        raise
    except Exception as cause:  # a plugin may raise anything, and must break only itself
        raise PluginError(f"directions from {origin} cannot be loaded: {cause}") from cause
    for item in items:
        if isinstance(item, Edit):
            yield replace(item, origin=origin)


def _without_layers(source: str) -> tuple[str, tuple[int, int] | None]:
    """What stands before ":FIRST-LAST", and (FIRST, LAST + 1)."""
    match = _LAYERS.fullmatch(source)
    if match is None:
        return source, None
    first, last = int(match[2]), int(match[3])
    if first > last:
        raise UsageError(f"{source!r}: layers {first}-{last} run backwards; type {last}-{first}")
    return match[1], (first, last + 1)


def _computed(source: str, layers: tuple[int, int] | None, backbone: Backbone | None) -> Edit:
    index, channels = _SEFA.fullmatch(source), _STYLE.fullmatch(source)
    if index is None and channels is None:
        raise UsageError(
            f"{source!r} is not understood; type sefa:0, sefa:0:4-7, style:6:501 or style:6:501,9:12"
        )
    if backbone is None:
        raise UsageError(f"{source!r} is computed from a generator: type --backbone as well")
    if index is not None:
        return sefa(backbone, int(index[1]), layers)
    pairs = [pair.split(":") for pair in channels[1].split(",")] if channels else []
    return style_channels(backbone, [(int(layer), int(channel)) for layer, channel in pairs])


def _from_file(path: Path, which: str | None, backbone: Backbone | None) -> Edit:
    if path.suffix.lower() != ".safetensors":
        if which is not None and not which.isdecimal():
            raise UsageError(f"{path}:{which} is not understood; a component is a number: {path}:0")
        return foreign.read_foreign_edit(path, None if which is None else int(which), backbone)
    known = read_directions(path)
    if which is None and len(known) == 1:
        return next(iter(known.values()))
    if which not in known:
        if which is None:
            raise UsageError(
                f"{path} holds several directions; type {path}:NAME, one of {', '.join(sorted(known))}"
            )
        raise UnknownNameError("direction", which, known)
    return known[which]


def _by_name(name: str, backbone: Backbone) -> Edit:
    known = load_directions(backbone)
    if name not in known:
        elsewhere = stored_directions()
        if name in elsewhere:
            elsewhere[name].check(backbone)  # says why it does not belong to this backbone
        raise UnknownNameError("direction", name, known, hint="Or give a file, sefa:K or style:LAYER:CHANNEL")
    return known[name]
