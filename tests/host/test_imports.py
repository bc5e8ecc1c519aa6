"""Who may import whom, and how little happens when they do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "ganinv_ops": ROOT / "ops" / "ganinv_ops",
    "ganinv": ROOT / "ganinv",
    "plugin_ganinpaint": ROOT / "plugin_ganinpaint",
}


def imports(room: str) -> Iterator[tuple[str, str]]:
    """(where, dotted module) for every import in a room, those in functions too; relative ones resolved."""
    for path in sorted(ROOMS[room].rglob("*.py")):
        inside = (room, *path.relative_to(ROOMS[room]).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{'/'.join(inside)}.py:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(inside[: -node.level]) if node.level else ""
                module = ".".join(filter(None, (base, node.module or "")))
                yield where, module
                if module in ("ganinv", "ganinv_ops", "plugin_ganinpaint"):  # from ganinv import images
                    yield from ((where, f"{module}.{alias.name}") for alias in node.names)


def ours(room: str) -> list[tuple[str, str]]:
    return [(where, module) for where, module in imports(room) if module.split(".")[0] in ROOMS]


def test_ops_know_nothing_of_ours() -> None:
    assert [i for i in ours("ganinv_ops") if i[1].split(".")[0] != "ganinv_ops"] == []


def test_the_host_knows_the_ops_only() -> None:
    assert [i for i in ours("ganinv") if i[1].split(".")[0] == "plugin_ganinpaint"] == []


def test_the_plugin_knows_public_names_only() -> None:
    allowed = ("ganinv.api", "ganinv.parts", "ganinv_ops", "plugin_ganinpaint")
    outside = [
        (where, module)
        for where, module in ours("plugin_ganinpaint")
        if module != "ganinv" and not any(module == a or module.startswith(f"{a}.") for a in allowed)
    ]
    assert outside == []


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, sys.path))
    env = os.environ | {"PYTHONPATH": paths} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "import ganinv",
        "import ganinv.errors, ganinv.registry, ganinv.plugins, ganinv.files, ganinv.configs, ganinv.method",
        "from ganinv.plugins import registry; registry('methods').names(); registry('backbones').names()",
        "from ganinv.cli.main import main; main(['--help'], standalone_mode=False)",
    ],
)
def test_light_import(code: str) -> None:
    if "cli" in code and not (ROOMS["ganinv"] / "cli" / "main.py").is_file():
        pytest.skip("no command line in this checkout")
    heavy = "{'torch', 'numpy', 'PIL', 'cv2', 'plugin_ganinpaint'} & set(sys.modules)"
    found = run(f"import sys\n{code}\nprint('loaded:', sorted({heavy}))")
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "loaded: []"


def test_importing_everything_does_nothing(tmp_path: Path) -> None:
    """No output, no compiling, no CUDA, no random state touched, no thread count changed."""
    names = [
        ".".join((room, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
        for room, folder in ROOMS.items()
        for path in sorted(folder.rglob("*.py"))
        if path.stem != "__main__"
    ]
    code = f"""
import importlib, torch
before, threads = torch.get_rng_state(), torch.get_num_threads()
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as missing:  # an extra that is not installed
        assert missing.name.split(".")[0] not in {set(ROOMS)!r}, missing
import ganinv_ops.dispatch
assert not ganinv_ops.dispatch._VERDICTS, "an operator was judged"
assert not torch.cuda.is_initialized()
assert torch.equal(before, torch.get_rng_state()) and threads == torch.get_num_threads()
"""
    found = run(code, GANINV_CACHE=str(tmp_path / "cache"))
    assert (found.returncode, found.stdout) == (0, ""), found.stderr
    assert not (tmp_path / "cache").exists()


def test_loading_and_drawing_leave_the_compiler_alone() -> None:
    """torch.compile takes seconds to import, and a command that draws has no use for it."""
    code = """
import sys
from ganinv.api import load_backbone, load_method
from ganinv.backbones.running import pass_size
backbone = load_backbone()
load_method("diverse-inpaint", backbone=backbone)
pass_size(backbone, 4)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "False", done.stderr
