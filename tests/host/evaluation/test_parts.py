"""Measurements in stretches: read back, joined, and not mixed with those of another run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ganinv.errors import UsageError
from ganinv.evaluation import parts
from ganinv.evaluation.parts import Arrays, Parts, stacked


def measure(indices: range) -> Arrays:
    """Item i: its square, and for the first three something more."""
    rows = [{"square": np.float64(i * i)} | ({"more": np.full(2, i)} if i < 3 else {}) for i in indices]
    return stacked(rows)


def test_what_some_items_lack_is_nan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_STRETCH", 2)
    told: list[tuple[str, int, int]] = []
    found = Parts(tmp_path, {"a": 1}).run("s", 7, measure, lambda *args: told.append(args))
    assert found["square"].tolist() == [i * i for i in range(7)]
    assert found["more"][:3].tolist() == [[0, 0], [1, 1], [2, 2]] and np.isnan(found["more"][3:]).all()
    assert told == [("s", n, 7) for n in (2, 4, 6, 7)]


def test_finished_stretches_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_STRETCH", 2)
    first = Parts(tmp_path, {"a": 1}).run("s", 6, measure)
    asked: list[int] = []

    def watched(indices: range) -> Arrays:
        asked.extend(indices)
        return measure(indices)

    (tmp_path / "s-0000002.npz").unlink()
    again = Parts(tmp_path, {"a": 1}).run("s", 6, watched)
    assert asked == [2, 3] and np.array_equal(again["square"], first["square"])


def test_another_run_is_refused_and_fresh_discards(tmp_path: Path) -> None:
    Parts(tmp_path, {"a": 1}).run("s", 2, measure)
    with pytest.raises(UsageError, match="choose another --out, or type --fresh"):
        Parts(tmp_path, {"a": 2})
    assert (tmp_path / "s-0000000.npz").is_file()
    Parts(tmp_path, {"a": 2}, fresh=True)
    assert list(tmp_path.glob("*.npz")) == []
