"""`ganinv portraits`: files, JSON, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganinv.cli.main import main
from ganinv.images import read_picture
from ganinv.portraits.attributes import ATTRIBUTE_NAMES


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["portraits", *map(str, arguments)])


def test_writes_pictures_and_listing(tmp_path: Path) -> None:
    result = run("--count", 3, "--size", 24, "--seed", 7, "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    names = ["000000.png", "000001.png", "000002.png", "portraits.json"]
    assert [Path(path).name for path in said["outputs"]] == names
    assert said["options"] == {"count": 3, "size": 24, "seed": 7, "out": str(tmp_path)}
    assert said["inputs"] == [] and said["failures"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    entries = json.loads((tmp_path / "portraits.json").read_text())
    for entry, name in zip(entries, names, strict=False):
        assert set(entry) == {"file", "seed", "attributes", "landmarks"}
        assert entry["file"] == name and isinstance(entry["seed"], int)
        assert tuple(entry["attributes"]) == ATTRIBUTE_NAMES
        assert all(isinstance(value, float) for value in entry["attributes"].values())
        assert len(entry["landmarks"]) == 68 and all(len(point) == 2 for point in entry["landmarks"])
        assert read_picture(tmp_path / name).pixels.shape == (24, 24, 3)


def test_a_longer_run_begins_with_the_same_bytes(tmp_path: Path) -> None:
    assert run("--count", 2, "--size", 16, "--out", tmp_path / "a").exit_code == 0
    result = run("--count", 9, "--size", 16, "--out", tmp_path / "b")
    assert result.exit_code == 0
    assert result.stdout.strip() == f"9 portraits and portraits.json are in {tmp_path / 'b'}"
    for name in ("000000.png", "000001.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--count", 0, "--count 0: give 1 to 1000000"),
        ("--count", -3, "--count -3: give"),
        ("--size", 4, "--size 4: give 8 to 1024 pixels"),
        ("--size", 5000, "--size 5000"),
        ("--seed", -1, "--seed -1: give a whole number"),
        ("--size", "big", "'big' is not a valid integer"),
    ],
)
def test_bad_values_are_usage_errors(option: str, value: object, text: str, tmp_path: Path) -> None:
    result = run(option, value, "--out", tmp_path / "never")
    assert result.exit_code == 2
    assert text in result.stderr
    assert not (tmp_path / "never").exists()


def test_no_folder_given() -> None:
    result = run("--count", 1)
    assert result.exit_code == 2 and "--out" in result.stderr


def test_no_place_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run("--count", 1, "--size", 16, "--out", tmp_path / "file" / "folder")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr and len(result.stderr.strip().splitlines()) == 1
