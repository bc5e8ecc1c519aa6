"""Building: one warning and the reference where it fails, errors where native is insisted on, a cache that several processes share."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from ganinv_ops import build

PRELUDE = """
import sys, warnings, torch
from ganinv_ops import build
from ganinv_ops.bias_act import bias_act
from ganinv_ops.build import NativeOpError
warnings.simplefilter("always")
x = torch.tensor([[-1.0, 2.0]])
expected = torch.tensor([[-0.2, 2.0]]) * 2 ** 0.5
"""
FALLS_BACK = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        torch.testing.assert_close(bias_act(x, act="lrelu"), expected)
assert len(caught) == 1 and caught[0].category is RuntimeWarning, caught
try:
    bias_act(x, act="lrelu", impl="native")
except NativeOpError as error:
    print(caught[0].message, "##", error)
"""


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints for `code` after the prelude."""
    result = start(code, **environment).communicate(timeout=240)
    assert result[1] == "", result[1]
    return result[0]


def start(code: str, **environment: str) -> subprocess.Popen[str]:
    variables = {k: v for k, v in os.environ.items() if k not in ("GANINV_OPS", "CXX")} | environment
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fake_compiler(folder: Path, body: str) -> str:
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_native_kernels_are_there() -> None:
    verdicts = build.verdicts()
    assert tuple(verdicts) == build.OPS
    assert all(verdict.ready and Path(verdict.detail).exists() for verdict in verdicts.values()), verdicts


def test_no_compiler(tmp_path: Path) -> None:
    warning, error = python(FALLS_BACK, CXX="no-such-compiler", GANINV_CACHE=str(tmp_path)).split("##")
    cause = "no C++ compiler: no-such-compiler is not on the PATH; install g++ or set CXX"
    assert warning.startswith("the native kernel of bias_act is not available, the slower PyTorch version runs instead: ")
    assert cause in warning and cause in error
    assert not list(tmp_path.iterdir())


def test_failing_compiler_is_asked_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    body = f'case "$*" in *--version*|*-v*|*-dump*) echo "g++ 12.2.0";; *) echo x >> {log}; echo "error: no space for bits" >&2; exit 1;; esac'
    output = python(FALLS_BACK, CXX=fake_compiler(tmp_path, body), GANINV_CACHE=str(tmp_path / "cache"))
    assert output.count("no space for bits") == 2
    assert log.read_text().count("x") == 1
    assert not list((tmp_path / "cache").iterdir())


def test_compiler_that_does_not_run(tmp_path: Path) -> None:
    compiler = fake_compiler(tmp_path, "echo licence expired >&2; exit 3")
    assert "does not run: licence expired" in python(FALLS_BACK, CXX=compiler, GANINV_CACHE=str(tmp_path / "cache"))


def test_no_ninja(tmp_path: Path) -> None:
    code = "build._ninja_on_path = __import__('contextlib').nullcontext\n" + FALLS_BACK
    compiler = fake_compiler(tmp_path, 'echo "g++ 12.2.0"')
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "which"):
        (tmp_path / "bin" / tool).symlink_to(f"/usr/bin/{tool}")
    output = python(code, PATH=str(tmp_path / "bin"), CXX=compiler, GANINV_CACHE=str(tmp_path / "cache"))
    assert output.lower().count("ninja") == 2


@pytest.mark.parametrize("damage", ["truncate", "remove library", "remove digest"])
def test_broken_cache(tmp_path: Path, damage: str) -> None:
    library = link_cache(tmp_path)
    if damage == "truncate":
        data = library.read_bytes()
        library.unlink()
        library.write_bytes(data[: len(data) // 2])
    else:
        (library if damage == "remove library" else library.parent / "sha256").unlink()
    warning, error = python(FALLS_BACK, GANINV_CACHE=str(tmp_path)).split("##")
    assert "broken cache" in warning and f"delete {library.parent} to build it again" in error


def test_cache_is_used(tmp_path: Path) -> None:
    library = link_cache(tmp_path)
    code = "torch.testing.assert_close(bias_act(x, act='lrelu', impl='native'), expected); print(build.native('bias_act').detail)"
    assert python(code, GANINV_CACHE=str(tmp_path), CXX="").strip() == str(library)


def link_cache(folder: Path) -> Path:
    """A cache that holds the library already built for this process."""
    built = Path(build.native("bias_act").detail)
    target = folder / built.parent.name
    target.mkdir()
    for name in (built.name, "sha256"):
        (target / name).write_bytes((built.parent / name).read_bytes())
    return target / built.name


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "file" in python(FALLS_BACK, GANINV_CACHE=str(tmp_path / "file" / "cache"))


def test_switched_off(tmp_path: Path) -> None:
    code = """
    torch.testing.assert_close(bias_act(x, act="lrelu"), expected)
    try:
        bias_act(x, act="lrelu", impl="native")
    except NativeOpError as error:
        print(error)
    """
    output = python(code, GANINV_OPS="ref", GANINV_CACHE=str(tmp_path))
    assert output.strip() == "the native kernel of bias_act is not available: switched off by GANINV_OPS=ref"
    assert not list(tmp_path.iterdir())


def test_graph_falls_back_too(tmp_path: Path) -> None:
    code = """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = torch.compile(lambda x: bias_act(x, act="swish").sum(), backend="aot_eager", fullgraph=True)
        leaf = x.clone().requires_grad_(True)
        grads = [torch.autograd.grad(call(leaf), leaf)[0] for call in (compiled, lambda x: bias_act(x, act="swish", impl="ref").sum())]
    torch.testing.assert_close(*grads)
    print(sum("native kernel" in str(w.message) for w in caught))
    """
    assert python(code, CXX="no-such-compiler", GANINV_CACHE=str(tmp_path)).strip() == "1"


@pytest.mark.slow
def test_two_processes_build_at_once(tmp_path: Path) -> None:
    code = """
    torch.testing.assert_close(bias_act(x, act="lrelu", impl="native"), expected)
    print(build.native("bias_act").detail)
    """
    jobs = [start(code, GANINV_CACHE=str(tmp_path)) for _ in range(2)]
    results = [job.communicate(timeout=280) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], results
    assert results[0][0] == results[1][0] != ""
    assert [path.name for path in tmp_path.iterdir()] == [Path(results[0][0].strip()).parent.name]


def test_a_change_in_anything_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, flags = build._sources("bias_act"), ["-O3"]
    key = build._digest(sources, flags, "g++ 12")
    assert key == build._digest(sources, flags, "g++ 12")
    others = {build._digest(sources, flags, "g++ 13"), build._digest(sources, ["-O2"], "g++ 12")}
    others.add(build._digest(build._sources("upfirdn2d"), flags, "g++ 12"))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0.0")
        others.add(build._digest(sources, flags, "g++ 12"))
    with monkeypatch.context() as patch:
        patch.setattr(build, "_processor", lambda: "another")
        others.add(build._digest(sources, flags, "g++ 12"))
    assert len(others | {key}) == 6


def test_import_builds_nothing(tmp_path: Path) -> None:
    code = "import ganinv_ops.upfirdn2d, ganinv_ops.modulate; print(build._VERDICTS, 'torch.utils.cpp_extension' in sys.modules)"
    assert python(code, GANINV_CACHE=str(tmp_path)).strip() == "{} False"
    assert not list(tmp_path.iterdir())
