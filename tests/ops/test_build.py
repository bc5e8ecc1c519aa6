"""Building: one warning and the reference where it fails; errors under "native"; a shared cache."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganinv_ops import build, dispatch
from ganinv_ops.bias_act import bias_act

X = torch.tensor([[-1.0, 2.0]])
EXPECTED = torch.tensor([[-0.2, 2.0]]) * 2**0.5
PRELUDE = """
import sys, warnings, torch
from ganinv_ops import build, dispatch
from ganinv_ops.bias_act import ACTIVATIONS, bias_act
x = torch.tensor([[-1.0, 2.0]])
expected = torch.tensor([[-0.2, 2.0]]) * 2 ** 0.5
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in a process that has not judged any operator."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(dispatch, "_VERDICTS", {})
    monkeypatch.setattr(dispatch, "_WARNED", set())
    monkeypatch.setenv("GANINV_CACHE", str(folder))
    monkeypatch.delenv("GANINV_OPS", raising=False)
    return folder


def cause_of_fallback() -> str:
    """The cause that one warning and one error name, after three calls that fall back."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            torch.testing.assert_close(bias_act(X, act="lrelu"), EXPECTED)
    assert [w.category for w in caught] == [RuntimeWarning]
    warning = str(caught[0].message)
    start = "the native kernels for cpu are not available, the slower PyTorch versions run instead: "
    assert warning.startswith(start)
    with pytest.raises(dispatch.NativeOpError) as error:
        bias_act(X, act="lrelu", impl="native")
    cause = warning.removeprefix(start)
    assert str(error.value) == f"the native kernel of bias_act is not available: {cause}"
    assert dispatch.native("cpu") == dispatch.Verdict("cpu", False, cause)
    return cause


def fake_compiler(folder: Path, body: str) -> str:
    path = folder / "g++"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def start(code: str, **environment: str) -> subprocess.Popen[str]:
    """A new interpreter that runs `code` after the prelude."""
    variables = {k: v for k, v in os.environ.items() if k not in ("GANINV_OPS", "CXX")} | environment
    program = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
    return subprocess.Popen(program, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def python(code: str, **environment: str) -> str:
    """What `code` prints; it must not complain."""
    output, complaints = start(code, **environment).communicate(timeout=240)
    assert complaints == ""
    return output.strip()


def copy_library(folder: Path) -> Path:
    """Puts what was already built on this machine into another cache."""
    built = Path(build.load("cpu") if "cpu" not in dispatch._VERDICTS else dispatch.native("cpu").detail)
    target = folder / built.parent.name
    target.mkdir(parents=True)
    for name in (built.name, "sha256"):
        (target / name).write_bytes((built.parent / name).read_bytes())
    return target / built.name


def test_native_kernels_are_there() -> None:
    verdicts = dispatch.verdicts()
    assert list(verdicts) == ["cpu", "cuda"] if torch.version.cuda else ["cpu"]
    assert all(verdict.ready and Path(verdict.detail).exists() for verdict in verdicts.values()), verdicts


def test_no_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert (
        cause_of_fallback() == "no C++ compiler: no-such-compiler is not on the PATH; install g++ or set CXX"
    )
    assert not cache.exists()


def test_compiler_that_does_not_run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, "echo licence expired >&2; exit 3"))
    assert cause_of_fallback().endswith("g++ does not run: licence expired")


def test_failing_compiler_is_asked_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    fails = f'echo x >> {log}; echo "bias_act.cpp:1: error: no space for bits" >&2; exit 1'
    version = 'echo "g++ (GCC) 12.2.0"'
    compiler = fake_compiler(tmp_path, f'case "$*" in *-o*) {fails};; *) {version};; esac')
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setitem(build.OPS, "cpu", ("bias_act",))  # one source, so that it is asked for one
    assert cause_of_fallback() == "bias_act.cpp:1: error: no space for bits"
    assert log.read_text() == "x\n"
    assert [path.name for path in cache.iterdir()] == [".cpu.lock"]


def test_no_ninja(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, 'echo "g++ (GCC) 12.2.0"'))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Ninja is required" in cause_of_fallback()


def test_cuda_kernels_are_a_library_of_their_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in build.OPS:
        assert all(path.is_file() for path in build._sources(device))
    names = [path.name for path in build._sources("cuda")]
    assert names[:2] == ["bias_act_cuda.cpp", "bias_act.cu"] and len(names) == 8
    from torch.utils import cpp_extension

    monkeypatch.setattr(cpp_extension, "CUDA_HOME", None)
    verdict = dispatch._judge("cuda")
    assert verdict.detail == "no CUDA compiler: nvcc is not on the PATH and CUDA_HOME is not set"


def test_which_tensors_have_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnCard:
        device, dtype = torch.device("cuda"), torch.float16

    card: Tensor = OnCard()  # type: ignore[assignment]
    assert dispatch._written("winograd", torch.zeros(1))
    assert not dispatch._written("upfirdn2d", torch.zeros(1).half())
    assert not dispatch._written("upfirdn2d", torch.zeros(1, device="meta"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert all(dispatch._written(op, card) for op in build.OPS["cuda"])
    assert not dispatch._written("winograd", card)
    monkeypatch.setattr(OnCard, "dtype", torch.float64)
    assert not dispatch._written("filtered_lrelu", card)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(OnCard, "dtype", torch.float32)
    assert not dispatch._written("filtered_lrelu", card)


def test_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file in the way")
    assert "File exists" in cause_of_fallback()


@pytest.mark.parametrize("damage", ["truncate", "remove library", "remove digest"])
def test_broken_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    library = copy_library(tmp_path / "cache")
    monkeypatch.setattr(dispatch, "_VERDICTS", {})
    monkeypatch.setattr(dispatch, "_WARNED", set())
    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "cache"))
    if damage == "truncate":
        library.write_bytes(library.read_bytes()[: library.stat().st_size // 2])
    else:
        (library if damage == "remove library" else library.parent / "sha256").unlink()
    cause = cause_of_fallback()
    assert cause.startswith("broken cache") and cause.endswith(f"delete {library.parent} to build it again")


def test_cache_is_used(tmp_path: Path) -> None:
    library = copy_library(tmp_path)
    code = """
    torch.testing.assert_close(bias_act(x, act="lrelu", impl="native"), expected)
    print(dispatch.native("cpu").detail, "torch.utils.cpp_extension" in sys.modules)
    """
    assert python(code, GANINV_CACHE=str(tmp_path)) == f"{library} False"


def test_switched_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANINV_OPS", "ref")
    torch.testing.assert_close(bias_act(X, act="lrelu"), EXPECTED)  # no warning: it was asked for
    with pytest.raises(dispatch.NativeOpError, match="is not available: switched off by GANINV_OPS=ref"):
        bias_act(X, act="lrelu", impl="native")
    assert not cache.exists()


def test_operators_in_graphs_fall_back_too(tmp_path: Path) -> None:
    code = """
    x = torch.linspace(-3, 3, 24).reshape(2, 3, 4)
    b = torch.tensor([0.1, 0.2, -0.3], requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number, act in enumerate(ACTIVATIONS):
            leaf = x.clone().requires_grad_(True)
            # what a graph holds, run where there is no kernel
            y = torch.ops.ganinv_ops.bias_act(leaf, b, 1, number, 0.2, 1.3, 1.5)
            ref = bias_act(leaf, b, act=act, alpha=0.2, gain=1.3, clamp=1.5, impl="ref")
            torch.testing.assert_close(y, ref)
            pair = [torch.autograd.grad(v.square().sum(), (leaf, b)) for v in (y, ref)]
            torch.testing.assert_close(*pair)
    print(len(caught), "native kernel" in str(caught[0].message))
    """
    assert python(code, CXX="no-such-compiler", GANINV_CACHE=str(tmp_path)) == "1 True"


def test_of_processes_that_start_together_one_builds(tmp_path: Path) -> None:
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "quick.cpp").write_text("int stands_in_for_a_slow_build = 0;\n")
    cache, calls = tmp_path / "cache", tmp_path / "calls"
    compiler = fake_compiler(
        tmp_path, f'case "$*" in *quick.cpp*) echo >> {calls}; sleep 2;; esac\nexec c++ "$@"'
    )
    code = f"""
    import pathlib
    build._SOURCES, build.OPS["cpu"] = pathlib.Path({str(tmp_path / "csrc")!r}), ("quick",)
    verdict = dispatch.native("cpu")
    print(verdict.ready, verdict.detail)
    """
    jobs = [start(code, GANINV_CACHE=str(cache), CXX=compiler) for _ in range(3)]
    results, complaints = (
        set(each) for each in zip(*[job.communicate(timeout=240) for job in jobs], strict=True)
    )
    (folder,) = (path for path in cache.iterdir() if path.name != ".cpu.lock")  # and no private folder left
    said = "compiling the fused operations for cpu, once for this machine: it takes some minutes\n"
    assert results == {f"True {folder / 'ganinv_cpu.so'}\n"}
    assert said in complaints <= {said, ""}  # "": came when it was built
    assert calls.read_text() == "\n"


def test_a_change_in_anything_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, flags = build._sources("cpu"), ["-O3"]
    key = build._digest(sources, flags, "g++ 12")
    assert key == build._digest(sources, flags, "g++ 12")
    others = {build._digest(sources, flags, "g++ 13"), build._digest(sources, ["-O2"], "g++ 12")}
    others.add(build._digest(sources[1:], flags, "g++ 12"))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0.0")
        others.add(build._digest(sources, flags, "g++ 12"))
    with monkeypatch.context() as patch:
        patch.setattr(build, "_processor", lambda: "another")
        others.add(build._digest(sources, flags, "g++ 12"))
    assert len(others | {key}) == 6


def test_import_builds_nothing(tmp_path: Path) -> None:
    code = """
    import ganinv_ops.modulate
    print(dispatch._VERDICTS, "torch.utils.cpp_extension" in sys.modules)
    """
    assert python(code, GANINV_CACHE=str(tmp_path)) == "{} False"
    assert not list(tmp_path.iterdir())
