"""The rows of the tables as data: read from YAML, scaled, spread over seeds, put in order, and identified by
a digest of all that moves a number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ganinv.backbones.loading import find_model
from ganinv.checkpoints import sha256_file
from plugin_ganinpaint.training.entry import find_config

TAKES = ("encoder", "state", "weights")
_KNOWN = {
    "label",
    "tables",
    "begins_from",
    "takes",
    "train",
    "measure",
    "evaluate",
    "seeds",
    "pasted",
    "shared",
}


class TableError(Exception):
    """One clear line for the one who typed the command."""


@dataclass(frozen=True)
class Training:
    """`ganinv train` of one row; `overrides` are its KEY=VALUE."""

    method: str
    config: str | None = None
    stage: int | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Pictures of the training, the code warm-up included."""
        stage = f"stage{self.stage}." if self.stage else ""
        return int(self.overrides.get(f"{stage}images", 0))

    @property
    def code_images(self) -> int:
        """How many of them are codes alone."""
        return int(self.overrides.get(f"stage{self.stage}.code_images", 0))


@dataclass(frozen=True)
class Row:
    """One line of the tables: how it is trained and measured."""

    name: str
    label: str
    base: str
    """The row of which this is another seed; its own name otherwise."""
    seed: int = 0
    tables: tuple[str, ...] = ()
    begins_from: str | None = None
    takes: str | None = None
    train: Training | None = None
    measure: Mapping[str, Any] = field(default_factory=dict)
    """`method`, `backbone`, `options`, `weights` (false: none)."""
    evaluations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> options of `ganinv evaluate`."""
    pasted: bool = False
    shared: bool = False

    @property
    def weighs(self) -> bool:
        """Whether it is measured with weights: those of its training, or of the row it begins from."""
        return (self.train or self.begins_from) is not None and bool(self.measure.get("weights", True))

    def needs_start(self, todo: Sequence[str]) -> bool:
        """Whether what is left to do takes something of the row that it begins from."""
        return self.begins_from is not None and bool(todo) and (self.train is None or "train" in todo)


def read_rows(path: Path, *, scale: float = 1.0, count: int = 500) -> dict[str, Row]:
    """The rows of a YAML file in the order in which they are worked on, other seeds last.

    Args:
        scale: multiplies the pictures of every training.
        count: pictures of evaluations that name none; larger counts are cut to it.

    Raises:
        TableError: a file that says something this script does not know.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as cause:
        raise TableError(f"cannot read the rows in {path}: {cause}") from cause
    rows: dict[str, Row] = {}
    later: dict[str, Row] = {}
    for name, entry in data["rows"].items():
        unknown = sorted(set(entry) - _KNOWN)
        if unknown:
            raise TableError(
                f"row {name} in {path} has {', '.join(unknown)}; known: {', '.join(sorted(_KNOWN))}"
            )
        row = _row(name, entry, data["evaluations"], scale, count)
        rows[name] = row
        for seed in entry.get("seeds", [0]):
            if seed:
                later[f"{name}-s{seed}"] = _with_seed(row, seed, data["rows"])
    # all of seed 1, then all of seed 2: a half-done night leaves whole seeds
    rows |= dict(sorted(later.items(), key=lambda item: item[1].seed))
    for row in rows.values():
        _check(row, rows, path)
    return rows


def _row(name: str, entry: Mapping[str, Any], known: Mapping[str, Any], scale: float, count: int) -> Row:
    train, evaluations = entry.get("train"), {}
    for which, own in entry.get("evaluate", {}).items():
        if which not in known:
            raise TableError(f"row {name} has evaluation {which!r}; known: {', '.join(known)}")
        options = {**known[which], **own}
        options["count"] = min(options.get("count", count), count)
        options["edits"] = min(options["edits"], options["count"])
        if "calibration_count" in options:
            options["calibration_count"] = min(options["calibration_count"], count)
        evaluations[which] = options
    return Row(
        name=name,
        label=entry["label"],
        base=name,
        tables=tuple(entry.get("tables", ())),
        begins_from=entry.get("begins_from"),
        takes=entry.get("takes"),
        train=train
        and Training(train["method"], train.get("config"), train.get("stage"), scaled(train["set"], scale)),
        measure=entry.get("measure", {}),
        evaluations=evaluations,
        pasted=entry.get("pasted", False),
        shared=entry.get("shared", False),
    )


def scaled(overrides: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The overrides with every number of pictures times `scale`, at least 16 where there were any."""
    found = dict(overrides)
    for key, value in overrides.items():
        if key.rpartition(".")[2] in ("images", "code_images") and value:
            found[key] = max(16, round(value * scale))
    return found


def _with_seed(row: Row, seed: int, entries: Mapping[str, Any]) -> Row:
    """The row trained with another seed; it begins from that seed of its start, where there is one."""
    assert row.train is not None, f"{row.name} has seeds and no training"
    start = row.begins_from
    if start is not None and seed in entries.get(start, {}).get("seeds", ()):
        start = f"{start}-s{seed}"
    kept = {name: _plain(options) for name, options in row.evaluations.items() if name == "main"}
    return replace(
        row,
        name=f"{row.name}-s{seed}",
        label=f"{row.label}, seed {seed}",
        seed=seed,
        tables=(),
        begins_from=start,
        train=replace(row.train, overrides={**row.train.overrides, "seed": seed}),
        evaluations=kept,
    )


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation without the costly measure of hidden attributes."""
    return {key: value for key, value in options.items() if not key.startswith("calibrat")}


def _check(row: Row, rows: Mapping[str, Row], path: Path) -> None:
    if (row.begins_from is None) != (row.takes is None) or row.takes not in (None, *TAKES):
        raise TableError(f"row {row.name} in {path}: begins_from and takes ({', '.join(TAKES)}) go together")
    if row.train is None and row.takes not in (None, "weights"):
        raise TableError(f"row {row.name} in {path} is not trained, so all it can take is weights")
    if row.begins_from is not None:
        names = list(rows)
        if row.begins_from not in rows:
            raise TableError(f"row {row.name} begins from {row.begins_from}, which is no row of {path}")
        if names.index(row.begins_from) > names.index(row.name):
            raise TableError(f"row {row.name} begins from {row.begins_from}, which comes later in {path}")


def select(rows: Mapping[str, Row], only: str | None) -> list[Row]:
    """The rows named in "NAME,NAME", in their order; all for None. Raises TableError for an unknown one."""
    if only is None:
        return list(rows.values())
    asked = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in asked if name not in rows]
    if unknown or not asked:
        raise TableError(f"no row {', '.join(unknown) or repr(only)}; the rows are {', '.join(rows)}")
    return [row for name, row in rows.items() if name in asked]


def ancestors(row: Row, rows: Mapping[str, Row]) -> list[Row]:
    """The rows that it begins from, the first one first."""
    found: list[Row] = []
    while row.begins_from is not None:
        row = rows[row.begins_from]
        found.insert(0, row)
    return found


def with_ancestors(chosen: Iterable[Row], rows: Mapping[str, Row]) -> list[Row]:
    """The rows with all that they begin from, in the order of `rows`."""
    wanted = {name for row in chosen for name in (row.name, *(a.name for a in ancestors(row, rows)))}
    return [row for name, row in rows.items() if name in wanted]


# ---------------------------------------------------------------------------------------------------- digests


def training_digest(row: Row, rows: Mapping[str, Row]) -> str:
    """Of all that the weights of a row depend on; "" for a row without any."""
    start = row.begins_from and training_digest(rows[row.begins_from], rows)
    if row.train is None:
        return start or ""
    path = find_config(row.train.config, None, row.train.method)
    config = yaml.safe_load(path.read_text()) if path else {}
    train = {
        "method": row.train.method,
        "config": config,
        "generator": _generator(row.train.overrides.get("backbone", config.get("backbone"))),
        "stage": row.train.stage,
        "set": dict(row.train.overrides),
    }
    return digest({"train": train, "begins_from": start, "takes": row.takes})


@cache
def _generator(name: str | None) -> str | None:
    """SHA-256 of the generator's file: rows are measured anew once it is another."""
    return None if name is None else sha256_file(find_model(name, "generator"))


def evaluation_digest(row: Row, which: str, rows: Mapping[str, Row]) -> str:
    """Of all that the figures of one evaluation depend on."""
    measured = {"measure": row.measure, "options": row.evaluations[which]}
    generator = _generator(row.measure.get("backbone"))
    return digest({**measured, "generator": generator, "training": training_digest(row, rows)})


def digest(data: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


# --------------------------------------------------------------------------------------------------- commands


def train_arguments(row: Row, out: Path, starts: Sequence[str] = (), *, resume: bool = False) -> list[str]:
    """What follows `ganinv`; `starts`: overrides that name what the row begins from."""
    train = row.train
    assert train is not None
    found = ["train", "--method", train.method]
    found += ["--config", train.config] if train.config else []
    found += ["--stage", str(train.stage)] if train.stage else []
    found += [f"{key}={_told(value)}" for key, value in train.overrides.items()]
    return [*found, *starts, "--out", str(out), "--json", *(["--resume"] if resume else [])]


def evaluate_arguments(row: Row, which: str, weights: Path | None, out: Path, *, fresh: bool) -> list[str]:
    """What follows `ganinv`."""
    measure = row.measure
    found = ["evaluate", "--method", measure["method"]]
    found += ["--weights", str(weights)] if weights else []
    found += ["--backbone", measure["backbone"]] if "backbone" in measure else []
    for key, value in measure.get("options", {}).items():
        found += ["--option", f"{key}={_told(value)}"]
    for key, value in row.evaluations[which].items():
        for one in value if isinstance(value, list) else [value]:
            found += [f"--{key.replace('_', '-')}", str(one)]
    return [*found, "--out", str(out), "--json", *(["--fresh"] if fresh else [])]


def _told(value: Any) -> str:
    """A value as YAML on one line, as KEY=VALUE takes it."""
    if isinstance(value, str):
        return value
    return json.dumps(value).replace(" ", "")
