"""The user's model store."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganinv.backbones.loading import bundled_models, find_model, load_backbone
from ganinv.errors import GanInvError, UnknownNameError, UsageError
from ganinv.store import add_model, remove_model, stored_models


def test_add_find_remove(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANINV_HOME", str(tmp_path))
    source = next(model.path for model in bundled_models() if model.kind == "generator")
    added = add_model("mine", str(source), licence="CC0")
    assert stored_models() == [added] and added.licence == "CC0" and added.origin == str(source.resolve())
    assert added.kinds == ("generator",)
    assert find_model("mine", "generator") == added.path and load_backbone("mine").sha256 == added.sha256
    with pytest.raises(UsageError, match="already"):
        add_model("mine", str(source))
    remove_model("mine")
    assert stored_models() == [] and not added.path.exists()
    with pytest.raises(UnknownNameError):
        remove_model("mine")


@pytest.mark.parametrize(("name", "source"), [("../x", "a.safetensors"), ("x", "absent.safetensors")])
def test_refused(name: str, source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANINV_HOME", str(tmp_path))
    with pytest.raises(GanInvError):
        add_model(name, source)
    assert not list(tmp_path.iterdir())
