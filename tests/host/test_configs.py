from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from ganinv.configs import build_config, load_config
from ganinv.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    width: int = 8
    gains: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Outer:
    rate: float = 1e-3
    name: str = "x"
    fast: bool = False
    kind: Literal["l1", "l2"] = "l2"
    limit: float | None = None
    pair: tuple[int, int] = (1, 2)
    where: Path | None = None
    channels: dict[int, int] = field(default_factory=dict)
    inner: Inner = Inner()
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError("rate must be above 0")


def yaml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def test_defaults() -> None:
    assert load_config(Outer) == Outer()


def test_file_then_overrides(tmp_path: Path) -> None:
    path = yaml(tmp_path, "rate: 1e-4\ninner:\n  width: 3\n  gains: [1, 2]\npair: [3, 4]\n")
    config = load_config(Outer, path, ["inner.width=5", "kind=l1", "limit=2", "fast=true", "where=a/b"])
    assert config.rate == 1e-4 and config.inner == Inner(5, (1.0, 2.0)) and config.pair == (3, 4)
    assert (config.kind, config.limit, config.fast, config.where) == ("l1", 2.0, True, Path("a/b"))
    assert isinstance(config.limit, float)


def test_none_and_empty(tmp_path: Path) -> None:
    assert load_config(Outer, yaml(tmp_path, "")).limit is None
    assert load_config(Outer, overrides=["limit=1", "limit="]).limit is None
    assert load_config(Outer, overrides=["limit=null"]).limit is None
    assert load_config(Outer, overrides=["words=[a, b]"]).words == ["a", "b"]


def test_plain_data_of_a_header() -> None:
    assert build_config(Outer, {"channels": {"4": 8}}).channels == {4: 8}
    assert build_config(Outer, {"inner": Inner(2)}).inner.width == 2


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("rat=1", "unknown key rat; did you mean rate? known: rate, name"),
        (
            "inner.widht=1",
            "unknown key inner.widht; did you mean inner.width? known: inner.width, inner.gains",
        ),
        ("rate=fast", "rate is 'fast'; expected a number"),
        ("rate=true", "rate is True; expected a number"),
        ("inner.width=1.5", "inner.width is 1.5; expected a whole number"),
        ("inner.width=true", "inner.width is True; expected a whole number"),
        ("fast=1", "fast is 1; expected true or false"),
        ("name=3", "name is 3; expected text"),
        ("kind=l3", "kind is 'l3'; possible: l1, l2"),
        ("pair=[1]", "pair has 1 values; expected 2"),
        ("pair=3", "pair is 3; expected tuple"),
        ("inner=3", "inner is 3; expected a table"),
        ("inner.gains=[a]", "inner.gains[0] is 'a'; expected a number"),
        ("limit=many", "limit is 'many'; expected a number"),
        ("rate=-1", "Outer cannot be used: rate must be above 0"),
        ("rate", "'rate' is not of the form key=value"),
        ("=3", "'=3' is not of the form key=value"),
        ("name=[", "is not YAML"),
    ],
)
def test_refusals(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Outer, overrides=[override])
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_value_where_a_table_stands() -> None:
    with pytest.raises(ConfigError, match="rate is a value, not a table"):
        load_config(Outer, overrides=["rate=1", "rate.deep=2"])


@pytest.mark.parametrize(
    ("text", "said"),
    [("- 1\n- 2\n", "holds a list; expected a table"), ("a: [", "is not YAML"), ("rat: 1", "rat in")],
)
def test_bad_files(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(Outer, yaml(tmp_path, text))
    assert "c.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*c.yaml: no such file"):
        load_config(Outer, tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(Outer, tmp_path)
