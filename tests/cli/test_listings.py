"""`models`, `directions`, `plugins` and `doctor`: what is there, in words and as JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ganinv import plugins
from ganinv.backbones.loading import BUNDLED, bundled_models
from ganinv.cli import doctor


def test_directions_list(bench: Any) -> None:
    result = bench.run("directions", "list", "--backbone", bench.backbone, "--json")
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["name"] for row in rows] == ["age", "smile"]
    assert rows[0]["unit"] == 2.0
    assert rows[0]["layers"] is None
    text = bench.run("directions", "list", "--backbone", bench.backbone).stdout
    assert (
        "age\n    linear, w, unit 2, all layers, for any backbone of its width, from tests, licence not told"
        in text
    )
    assert bench.run("directions", "list", "--backbone", "no-such").exit_code == 2


def test_models_list(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganinv.backbones import loading

    monkeypatch.setattr(loading, "BUNDLED", bench.backbone.parent)
    rows = json.loads(bench.run("models", "list", "--json").stdout)
    row = next(row for row in rows if row["path"] == str(bench.backbone))
    data = bench.backbone.read_bytes()
    assert (row["name"], row["kinds"]) == ("tiny-16", ["generator"])
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    assert row["bytes"] == len(data)
    text = bench.run("models", "list").stdout
    assert row["sha256"] in text
    assert str(bench.backbone) in text


def test_bundled_models_are_listed(bench: Any) -> None:
    if not (BUNDLED / "portraits-128.safetensors").is_file():
        pytest.skip("weights not in this checkout")
    rows = json.loads(bench.run("models", "list", "--json").stdout)
    kinds = {row["kinds"][0] for row in rows if row["name"].startswith("portraits-128")}
    assert {"generator", "discriminator", "directions", "diverse-inpaint"} <= kinds
    assert len(rows) == len(bundled_models())
    assert all(row["bytes"] <= 16_000_000 for row in rows)
    assert sum(row["bytes"] for row in rows) <= 40_000_000


def test_plugins_list_tells_broken_ones(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "shattered=no_such_module:build")
    plugins.registry.cache_clear()
    rows = json.loads(bench.run("plugins", "--json").stdout)
    found = {row["name"]: row for row in rows if row["group"] != "trainers"}
    assert found["diverse-inpaint"]["group"] == "methods"
    assert found["comod"]["group"] == found["diffusion"]["group"] == "completers"
    assert found["comod"]["error"] is None
    assert "no_such_module" in found["shattered"]["error"]
    assert found["stylegan2"]["error"] is None
    text = bench.run("plugins").stdout
    assert "BROKEN" in text
    assert "shattered" in text


def test_doctor(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = bench.run("doctor", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == ["python", "torch", "build tools", "ops", "alignment", "models"]
    assert found["ops"]["cpu"].startswith("native: ")
    assert set(found["build tools"]) == {"c++", "g++", "clang++", "nvcc", "ninja"}
    assert "dlib" in found["alignment"]
    text = bench.run("doctor").stdout
    assert found["torch"]["torch"] in text


def test_doctor_without_any_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = doctor._tools()
    assert tools["g++"] == "not found"
    mute = tmp_path / "g++"
    mute.write_text("#!/no/such/shell\n")
    mute.chmod(0o755)
    assert "does not run" in doctor._tools()["g++"]
