"""The user's own directions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ganinv.editing.edits import Direction
from ganinv.editing.manifest import write_directions
from ganinv.editing.store import keep_direction, remove_direction, stored_directions
from ganinv.errors import CheckpointError, UnknownNameError, UsageError

AGE = Direction("as-read", torch.eye(4)[:1], unit=2.0, licence="MIT")


def test_keep_list_and_remove() -> None:
    assert stored_directions() == {}
    path = keep_direction("age", AGE, provenance={"source": "age.pt"})
    assert path == Path(os.environ["GANINV_HOME"]) / "directions" / "age.safetensors"
    assert list(stored_directions()) == ["age"]
    found = stored_directions()["age"]
    assert (found.name, found.unit, found.licence) == ("age", 2.0, "MIT")
    with pytest.raises(
        UsageError, match="has a direction 'age' already; type ganinv directions remove age first"
    ):
        keep_direction("age", AGE)
    with pytest.raises(UnknownNameError, match="unknown stored direction 'aeg'; did you mean 'age'"):
        remove_direction("aeg")
    remove_direction("age")
    assert stored_directions() == {} and list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "hair style", "a:1"])
def test_names(name: str) -> None:
    with pytest.raises(UsageError, match="is no direction name; use letters, digits, - and _"):
        keep_direction(name, AGE)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = keep_direction("age", AGE)
    write_directions(path, [AGE, Direction("smile", AGE.vector)])
    with pytest.raises(CheckpointError, match=r"age.safetensors holds 2 directions; .* holds one: remove it"):
        stored_directions()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"age.safetensors is truncated"):
        stored_directions()
    remove_direction("age")
