"""What a stranger gets: metadata, pins, package contents, and a README whose links and commands hold."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "ganinv_ops": ROOT / "ops/ganinv_ops",
    "ganinv": ROOT / "ganinv",
    "plugin_ganinpaint": ROOT / "plugin_ganinpaint",
}
PAGES = sorted([ROOT / "README.md", ROOT / "third_party/NOTICES.md", *(ROOT / "docs").rglob("*.md")])


def installed() -> importlib.metadata.Distribution:
    """The installed distribution; skips where the checkout is only on the path."""
    try:
        return importlib.metadata.distribution("ganinv")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("ganinv is not installed, only on the path")


def pins() -> dict[str, list[str]]:
    """Normalised name -> the versions that constraints.txt pins (two where Python 3.10 needs another)."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split(";")[0].strip().split("==")
            found.setdefault(normal(name), []).append(version)
    return found


def environment() -> dict[str, str]:
    """Normalised name -> version of what is installed here (without setuptools' vendored copies)."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    found = importlib.metadata.distributions(path=sorted(folders))
    return {normal(d.metadata["Name"]): d.version for d in found}


def normal(name: str) -> str:
    """A distribution name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# ---- the installed environment


def test_default_environment_holds_no_nvidia_package() -> None:
    stamp = ROOT / ".venv/ganinv-stamp"
    if Path(sys.prefix) != ROOT / ".venv" or not stamp.is_file():
        pytest.skip("not running in the environment that scripts/setup makes")
    if stamp.read_text().split()[1] == "cuda":
        pytest.skip("made with --cuda")
    assert not [name for name in environment() if name.startswith("nvidia-")]


def test_environment_holds_the_pinned_versions() -> None:
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not running in the environment that scripts/setup makes")
    pinned, found = pins(), environment()
    others = {name for name in found if name in pinned and found[name].split("+")[0] not in pinned[name]}
    assert not others
    if os.environ.get("CI"):  # elsewhere people may add what they like
        assert set(found) - set(pinned) <= {"ganinv", "pip"}


def test_every_requirement_is_pinned() -> None:
    requirements = installed().requires or []
    names = {normal(re.split(r"[<>=!~; \[]", line)[0]) for line in requirements}
    assert names <= set(pins())


def test_entry_points_and_python_version() -> None:
    distribution = installed()
    points = {(p.group, p.name): p.value for p in distribution.entry_points}
    assert points["console_scripts", "ganinv"] == "ganinv.cli.main:main"
    assert points["ganinv.methods", "diverse-inpaint"] == "plugin_ganinpaint.method:build"
    assert distribution.metadata["Requires-Python"] == ">=3.10"
    extras = set(distribution.metadata.get_all("Provides-Extra") or [])
    assert extras == {"align", "train", "evaluate", "app", "test", "all"}


def test_a_checkout_finds_what_an_installation_finds(setup_arguments: dict[str, object]) -> None:
    from ganinv.plugins import _BUNDLED

    points = setup_arguments["entry_points"]
    assert isinstance(points, dict)
    declared = {
        group.removeprefix("ganinv."): dict(point.split(" = ") for point in points[group])
        for group in points
        if group.startswith("ganinv.")
    }
    assert declared == _BUNDLED


def test_version_is_stated_once() -> None:
    import ganinv

    assert installed().version == ganinv.__version__


# ---- what setup.py puts into the packages


@pytest.fixture(scope="module")
def setup_arguments() -> dict[str, object]:
    """The keyword arguments that setup.py hands to setuptools, read without building anything."""
    code = (
        "import json, runpy, setuptools\n"
        "setuptools.setup = lambda **k: print(json.dumps(k))\n"
        "runpy.run_path('setup.py')\n"
        "import sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    arguments: dict[str, object] = json.loads(output)
    return arguments


def test_every_package_folder_is_listed(setup_arguments: dict[str, object]) -> None:
    expected = set()
    for name, folder in PACKAGES.items():
        for init in folder.rglob("__init__.py"):
            expected.add(".".join([name, *init.parent.relative_to(folder).parts]))
    listed = setup_arguments["packages"]
    assert isinstance(listed, list)
    assert sorted(listed) == sorted(expected)


def test_every_code_folder_is_a_package() -> None:
    for folder in PACKAGES.values():
        missing = {p.parent for p in folder.rglob("*.py") if not (p.parent / "__init__.py").is_file()}
        assert not missing


def test_every_data_file_is_shipped(setup_arguments: dict[str, object]) -> None:
    patterns = setup_arguments["package_data"]
    assert isinstance(patterns, dict)
    for name, folder in PACKAGES.items():
        shipped = {path for pattern in patterns[name] for path in folder.glob(pattern)}
        files = {p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        data = {p for p in files if p.suffix != ".py" and not p.name.startswith(".")}
        assert data - shipped == set()
        assert folder / "py.typed" in shipped


def test_weight_files_are_small() -> None:
    files = [p for folder in PACKAGES.values() for p in folder.glob("bundled/*.safetensors")]
    if not files:
        pytest.skip("weights not in this checkout")
    sizes = {p.name: p.stat().st_size for p in files}
    assert max(sizes.values()) <= 16 * 2**20, sizes
    assert sum(sizes.values()) <= 40 * 2**20, sizes


def test_pyproject_holds_only_build_system_and_tools() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert set(re.findall(r"^\[+([\w-]+)", text, flags=re.MULTILINE)) == {"build-system", "tool"}


def test_scripts_are_executable_and_parse() -> None:
    for name in ("scripts/setup", "scripts/demo", "scripts/test", ".ci/run"):
        path = ROOT / name
        assert path.stat().st_mode & 0o111, name
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0, name


# ---- third_party


def test_manifest_entries_are_complete() -> None:
    entries = json.loads((ROOT / "third_party/manifest.json").read_text(encoding="utf-8"))["checkpoints"]
    keys = {"name", "kind", "family", "domain", "resolution", "project", "url", "sha256", "licence", "notes"}
    assert len({entry["name"] for entry in entries}) == len(entries)
    for entry in entries:
        assert set(entry) == keys, entry["name"]
        assert entry["url"].startswith("https://") and entry["project"].startswith("https://")
        assert entry["sha256"] is None or re.fullmatch(r"[0-9a-f]{64}", entry["sha256"])


# ---- pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if not re.match(r"[a-z]+:|#", link):
            assert (page.parent / link.split("#")[0]).exists(), link


def shown_commands() -> list[str]:
    """Each `ganinv ...` line in the shell blocks of the README and docs, continuation lines joined."""
    found = []
    fence = re.compile(r"```(?:bash|sh|shell|console)\n(.*?)```", flags=re.DOTALL)
    for page in PAGES:
        for block in fence.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
                if command.startswith("ganinv "):
                    found.append(command)
    return sorted(set(found))


@pytest.mark.parametrize("command", shown_commands())
def test_shown_commands_parse(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from ganinv.cli.main import main

    monkeypatch.chdir(tmp_path)
    context = click.Context(main, info_name="ganinv")
    words = shlex.split(command, comments=True)[1:]
    group: click.Command = main
    while words and isinstance(group, click.Group):
        name = words.pop(0)
        if name.startswith("-"):
            return  # an option of ganinv itself, such as --help
        step = group.get_command(context, name)
        assert step is not None, f"{command}: no command {name}"
        group = step
        context = click.Context(group, parent=context, info_name=name, resilient_parsing=True)
    # resilient: options must exist and take what follows, while files need not
    parser = group.make_parser(context)
    _, rest, _ = parser.parse_args(list(words))
    assert not [word for word in rest if word.startswith("-")], command


def test_python_shown_in_the_readme_names_what_exists() -> None:
    import ganinv.api

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
        for names in re.findall(r"from ganinv\.api import (.*)", block):
            assert set(names.split(", ")) <= set(ganinv.api.__all__)
