"""The plugin of docs/writing-a-plugin.md is run as it stands on the page."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganinv import api, plugins

PAGE = Path(__file__).resolve().parents[2] / "docs" / "writing-a-plugin.md"


@pytest.fixture
def blocks() -> list[str]:
    """The page's Python blocks, in order."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.fixture
def installed(blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's plugin in a folder on the path, and named in the environment variable."""
    (tmp_path / "best_of_many.py").write_text(blocks[0], encoding="utf-8")
    named = re.search(r'GANINV_PLUGINS="([^"]+)"', PAGE.read_text(encoding="utf-8"))
    assert named
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GANINV_PLUGINS", named[1])
    plugins.registry.cache_clear()
    importlib.invalidate_caches()
    yield
    plugins.registry.cache_clear()


@pytest.mark.usefixtures("installed")
def test_the_plugin_is_found_and_keeps_the_contract(
    blocks: list[str], tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "best-of-many" in api.method_names()
    monkeypatch.setattr(api, "load_backbone", lambda name: tiny_backbone.backbone)
    space: dict[str, Any] = {}
    exec(compile(blocks[1], str(PAGE), "exec"), space)
    space["test_keeps_the_contract"]()


@pytest.mark.usefixtures("installed")
def test_more_tries_come_nearer(tiny_backbone: Any) -> None:
    backbone = tiny_backbone.backbone
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    hole = torch.zeros(1, 1, 16, 16)
    hole[..., :8] = 1

    def error(tries: int) -> float:
        method = api.load_method("best-of-many", backbone=backbone, tries=tries)
        drawn = method.render(method.invert(image, hole, samples=4))
        return float((drawn - image)[..., 8:].square().mean())

    assert error(32) < error(1)


def test_the_entry_point_is_declared_as_shown(blocks: list[str]) -> None:
    declared: dict[str, Any] = {}
    exec(blocks[2], {"setup": declared.update})
    assert declared["entry_points"]["ganinv.methods"] == ["best-of-many = best_of_many:build"]
