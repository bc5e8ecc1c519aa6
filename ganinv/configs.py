"""Frozen dataclasses from YAML and from key=value on the command line.

The dataclass states what is possible: an unknown key is refused with the nearest known one, a value of
another type with the type expected. Nested dataclasses take nested tables, and dotted keys on the command
line.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from ganinv.errors import ConfigError, UnknownNameError, UsageError, nearest

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def load_config(cls: type[T], path: str | Path | None = None, overrides: Sequence[str] = ()) -> T:
    """Builds the dataclass `cls` from defaults, a YAML file and "key=value" overrides, later ones winning.

    Args:
        cls: a dataclass; fields may be dataclasses.
        path: a YAML file of its keys, or None.
        overrides: "key=value" or "outer.inner=value", values in YAML.

    Raises:
        ConfigError: unreadable file, unknown key, wrong type, or values that the dataclass refuses.
    """
    data: dict[str, Any] = {}
    if path is not None:
        data = _read_yaml(Path(path))
    for override in overrides:
        _override(data, override)
    source = f" in {path}" if path is not None else ""
    source += " or on the command line" if source and overrides else ""
    return build_config(cls, data, source=source)


def build_config(cls: type[T], data: Mapping[str, Any], *, source: str = "", prefix: str = "") -> T:
    """Builds the dataclass `cls` from plain data, such as a checkpoint's header.

    Args:
        source: named in messages, " in FILE". prefix: of the keys named in messages, "outer.".

    Raises:
        ConfigError: as `load_config`.
    """
    assert dataclasses.is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    values = {}
    for key, value in data.items():
        if key not in known:
            close = nearest(str(key), known)
            offer = f"; did you mean {prefix}{close}?" if close else ";"
            raise ConfigError(
                f"unknown key {prefix}{key}{source}{offer} known: {', '.join(prefix + k for k in known)}"
            )
        values[key] = _convert(hints[key], value, f"{prefix}{key}", source)
    try:
        return cls(**values)
    except UnknownNameError as cause:
        raise ConfigError(f"{cause.message}{source}") from cause
    except (TypeError, ValueError) as cause:
        raise ConfigError(f"{prefix.rstrip('.') or cls.__name__}{source} cannot be used: {cause}") from cause


def check_numbers(config: object, *, counts: Sequence[str] = (), weights: Sequence[str] = ()) -> None:
    """Raises UsageError where one of `counts` is under 1, or of `weights` not finite or under 0."""
    for name in counts:
        if getattr(config, name) < 1:
            raise UsageError(f"{name} = {getattr(config, name)} is not possible; give 1 or more")
    for name in weights:
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) >= 0):
            raise UsageError(f"{name} = {getattr(config, name)} is not possible; give 0 or more")


def takes(config: type) -> Callable[[F], F]:
    """Decorates `build(..., **options)` whose options are the fields of the dataclass `config`, so that its
    signature, which callers are checked against, says so.
    """
    hints = typing.get_type_hints(config)
    kind = inspect.Parameter.KEYWORD_ONLY
    fields = [
        inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name])
        for f in dataclasses.fields(config)
    ]

    def decorate(function: F) -> F:
        own = inspect.signature(function)
        named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {p.name for p in named}
        parameters = [*named, *(p for p in fields if p.name not in taken)]
        setattr(function, "__signature__", own.replace(parameters=parameters))  # noqa: B010
        return function

    return decorate


def parse_options(builder: Callable[..., Any], pairs: Sequence[str], what: str) -> dict[str, Any]:
    """Keyword arguments of `builder(first, *, ...)` from "key=value", values in YAML, of the annotated types.

    Args:
        what: the builder in messages, "method 'optimize'".

    Raises:
        ConfigError: not of that form, a key that the builder does not take, or a value of another type.
    """
    data: dict[str, Any] = {}
    for pair in pairs:
        _override(data, pair)
    parameters = list(inspect.signature(builder).parameters.values())[1:]
    try:
        hints = typing.get_type_hints(builder)
    except (NameError, TypeError):  # names known to type checkers alone, or a callable without annotations
        hints = {}
    given = {p.name: p.annotation for p in parameters if not isinstance(p.annotation, str)}
    hints = {k: v for k, v in given.items() if v is not inspect.Parameter.empty} | hints
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    for key in data:
        if not open_ended:
            check_option(key, [p.name for p in parameters], what)
    return {key: _convert(hints.get(key, Any), value, key, f" of {what}") for key, value in data.items()}


def check_call(builder: Callable[..., Any], options: Mapping[str, Any], what: str) -> None:
    """Raises UsageError, with the options that there are, where `builder(first, **options)` cannot be called.

    Args:
        what: the builder in the message, "method 'optimize'".
    """
    signature = inspect.signature(builder)
    try:
        signature.bind(None, **options)
    except TypeError as cause:
        known = list(signature.parameters)[1:]
        raise UsageError(
            f"{what} was given options {', '.join(options) or 'none'}: {cause}; "
            f"its options: {', '.join(known) or 'none'}"
        ) from cause


def check_option(key: str, known: Sequence[str], what: str) -> None:
    """Raises ConfigError, with the nearest known one, unless `key` is known."""
    if key in known:
        return
    close = nearest(key, known)
    offer = f"did you mean {close}?" if close else ""
    raise ConfigError(f"{what} has no option {key!r}; {offer} its options: {', '.join(known) or 'none'}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as cause:
        reason = "no such file" if not path.exists() else cause.strerror or str(cause)
        raise ConfigError(f"cannot read the configuration {path}: {reason}") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise ConfigError(f"{path} is not YAML: {cause}") from cause
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds a {type(data).__name__}; expected a table of key: value")
    return data


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{override!r} is not of the form key=value")
    try:
        value = yaml.safe_load(text) if text.strip() else None
    except yaml.YAMLError as cause:
        raise ConfigError(f"the value of {override!r} is not YAML: {cause}") from cause
    *outer, last = key.strip().split(".")
    table = data
    for part in outer:
        below = table.setdefault(part, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{override!r}: {part} is a value, not a table")
        table = below
    table[last] = value


def _convert(hint: Any, value: Any, key: str, source: str) -> Any:
    """`value` as the type `hint`, or ConfigError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, key, source)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{key}{source} is {value!r}; possible: {', '.join(map(str, args))}")
        return value
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return build_config(typing.cast(Any, hint), value, source=source, prefix=f"{key}.")
        if isinstance(value, typing.cast(type, hint)):
            return value
    elif origin in (tuple, list, Sequence) and isinstance(value, (list, tuple)):
        return _convert_sequence(origin, args, value, key, source)
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        pairs = {_key(args[0], k): _convert(args[1], v, f"{key}.{k}", source) for k, v in value.items()}
        return dict(pairs)
    elif origin is None and _plain(hint, value):
        return float(value) if hint is float else Path(value) if hint is Path else value
    raise ConfigError(f"{key}{source} is {value!r}; expected {_type_name(hint)}")


def _convert_union(args: tuple[Any, ...], value: Any, key: str, source: str) -> Any:
    if value is None and type(None) in args:
        return None
    kept = [a for a in args if a is not type(None)]
    for hint in kept[:-1]:
        try:
            return _convert(hint, value, key, source)
        except ConfigError:
            continue
    return _convert(kept[-1], value, key, source)


def _convert_sequence(origin: Any, args: tuple[Any, ...], value: Sequence[Any], key: str, source: str) -> Any:
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(value) != len(args):
            raise ConfigError(f"{key}{source} has {len(value)} values; expected {len(args)}")
        return tuple(
            _convert(a, v, f"{key}[{i}]", source) for i, (a, v) in enumerate(zip(args, value, strict=True))
        )
    items = [_convert(args[0], v, f"{key}[{i}]", source) for i, v in enumerate(value)]
    return items if origin is list else tuple(items)


def _plain(hint: Any, value: Any) -> bool:
    if hint is float:  # YAML 1.1 reads 1e-4, without a dot, as text
        if isinstance(value, str):
            try:
                float(value)
            except ValueError:
                return False
            return True
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, (str, Path))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _key(hint: Any, key: Any) -> Any:
    """Table keys are text in JSON; whole numbers come back as such."""
    return int(key) if hint is int and isinstance(key, str) and key.lstrip("-").isdigit() else key


def _type_name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if hint in names:
        return names[hint]
    return "a table" if dataclasses.is_dataclass(hint) else str(hint).replace("typing.", "")
