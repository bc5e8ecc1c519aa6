from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ganinv import plugins
from ganinv.errors import PluginError, UnknownNameError
from ganinv.plugins import plugin_packages, plugin_reports, registry

Forget = Callable[[], None]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Importable modules: one that works, one that fails on import."""
    (tmp_path / "good_plugin.py").write_text(
        "def build(backbone, **options):\n    return options\n\nnumber = 3\n"
    )
    (tmp_path / "bad_plugin.py").write_text("raise RuntimeError('no good')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def offer(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str, str]) -> None:
    def found(*, group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, of) for of, name, value in points if of == group]

    monkeypatch.setattr(plugins.importlib.metadata, "entry_points", found)


def test_entry_points(modules: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Forget) -> None:
    offer(monkeypatch, ("ganinv.methods", "mine", "good_plugin:build"))
    known = registry("methods")
    assert "mine" in known.names()
    assert known.get("mine")(None, a=1) == {"a": 1}
    assert "good_plugin:build" in known.origin("mine")
    assert "good_plugin" in plugin_packages()


def test_environment_variable(modules: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Forget) -> None:
    monkeypatch.setenv("GANINV_PLUGINS", "mine=good_plugin:build, encoders/e=good_plugin:build,")
    assert registry("methods").get("mine")(None) == {}
    assert registry("methods").origin("mine") == "GANINV_PLUGINS (good_plugin:build)"
    assert "e" in registry("encoders").names() and "e" not in registry("methods").names()


def test_own_plugin_is_found_from_a_checkout(monkeypatch: pytest.MonkeyPatch, forget_plugins: Forget) -> None:
    offer(monkeypatch)
    assert registry("methods").origin("diverse-inpaint") == "bundled (plugin_ganinpaint.method:build)"
    forget_plugins()
    offer(monkeypatch, ("ganinv.methods", "diverse-inpaint", "plugin_ganinpaint.method:build"))
    assert "an unnamed package" in registry("methods").origin("diverse-inpaint")


def test_a_broken_plugin_breaks_only_itself(
    modules: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Forget
) -> None:
    values = {
        "bad": "bad_plugin:build",
        "absent": "no_such_plugin:build",
        "lacking": "good_plugin:nothing",
        "number": "good_plugin:number",
        "odd": "good_plugin",
    }
    offer(
        monkeypatch,
        *(("ganinv.methods", k, v) for k, v in values.items()),
        ("ganinv.methods", "good", "good_plugin:build"),
    )
    said = {r.name: r.error for r in plugin_reports() if r.group == "methods"}
    assert said["good"] is None
    for name, text in {
        "bad": "RuntimeError: no good",
        "absent": "No module named 'no_such_plugin'",
        "lacking": "nothing",
        "number": "good_plugin:number is a int, not a builder",
        "odd": "'good_plugin' is not of the form module:attribute",
    }.items():
        assert text in (said[name] or "")
        with pytest.raises(PluginError, match=f"method '{name}' from .* cannot be loaded"):
            registry("methods").get(name)
    assert registry("methods").get("good")(None) == {}


def test_two_of_one_name(modules: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Forget) -> None:
    offer(
        monkeypatch,
        ("ganinv.methods", "mine", "good_plugin:build"),
        ("ganinv.methods", "mine", "bad_plugin:build"),
        ("ganinv.methods", "same", "good_plugin:build"),
        ("ganinv.methods", "same", "good_plugin:build"),
        ("ganinv.backbones", "stylegan2", "good_plugin:build"),
    )
    with pytest.raises(
        PluginError, match=r"two method plugins are called 'mine': .*bad_plugin.* and .*good_plugin"
    ):
        registry("methods").get("mine")
    assert registry("methods").get("same")(None) == {}
    assert registry("backbones").origin("stylegan2") == "built in"
    assert callable(registry("backbones").get("stylegan2"))
    (report,) = (r for r in plugin_reports() if r.group == "backbones" and r.error)
    assert "the built-in one is used" in (report.error or "") and "good_plugin:build" in report.origin


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown registry 'method'; did you mean 'methods'"):
        registry("method")
    with pytest.raises(
        UnknownNameError, match="unknown method 'diverse-inpant'; did you mean 'diverse-inpaint'"
    ):
        registry("methods").get("diverse-inpant")


def test_built_in_names_load() -> None:
    assert [r for r in plugin_reports() if r.origin == "built in" and r.error] == []
