"""Native kernels: compiled at first use, kept in a cache, judged once a process.

The only file that knows ninja. An operator `NAME` has its schema in NAME.py and its CPU kernels in
csrc/NAME.cpp; csrc/NAME_cuda.cpp and csrc/NAME.cu are its CUDA kernels. All of a device are one library,
whose sources compile side by side; trouble with a CUDA toolkit leaves the CPU alone. A library lies in a
folder of the cache whose name is a digest of all that went into it.

The CUDA kernels compile, and what their threads do is tested on the host, but they were written where no card
is. So each is compared with the reference, once a process, before it is used.

Environment: GANINV_OPS=ref switches native kernels off; GANINV_CACHE names the cache (default
~/.cache/ganinv/ops); CXX names the compiler.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

OPS = {
    "cpu": ("bias_act", "epilogue", "filtered_lrelu", "upfirdn2d", "winograd", "winograd_up"),
    "cuda": ("bias_act", "epilogue", "filtered_lrelu", "upfirdn2d"),
}
"""Library, by the type of its device, to the operators that it has kernels of."""
CHECKS: dict[str, Callable[[], float]] = {}
"""Operator to the error of its CUDA kernels on small examples, relative to the reference's size."""

Impl = Literal["auto", "native", "ref"]
_SOURCES = Path(__file__).parent / "csrc"
_DTYPES = {
    "cpu": (torch.float32, torch.float64, torch.bfloat16),
    "cuda": (torch.float32, torch.float16, torch.bfloat16),
}
_TRUSTED: dict[str, bool] = {}
_LOCK = threading.RLock()
_VERDICTS: dict[str, Verdict] = {}
_WARNED: set[str] = set()


class NativeOpError(RuntimeError):
    """A native kernel was insisted on, but cannot run; the text holds the cause."""


@dataclass(frozen=True)
class Verdict:
    """Whether a library of native kernels runs in this process."""

    device: str
    """Type of the device that they are for."""
    ready: bool
    """The library is loaded."""
    detail: str
    """The library's path, or why there is none."""


def verdicts() -> dict[str, Verdict]:
    """The verdict on every library for this PyTorch; never raises or warns.

    Builds what was not tried yet, which takes about a minute, once a machine.
    """
    return {device: _judge(device) for device in OPS if device == "cpu" or torch.version.cuda}


def native(device: str) -> Verdict:
    """The verdict on one library, building it at the first call.

    A failure warns once in a process, with its cause, and is not tried again.
    """
    verdict = _VERDICTS.get(device) or _judge(device)
    if not verdict.ready and device not in _WARNED and not _switched_off():
        _WARNED.add(device)
        warnings.warn(
            f"the native kernels for {device} are not available, "
            f"the slower PyTorch versions run instead: {verdict.detail}",
            RuntimeWarning,
            stacklevel=4,
        )
    return verdict


def choose(op: str, impl: Impl, x: Tensor) -> bool:
    """Whether `op` on `x` goes through the registered operator.

    While torch.compile or torch.export traces, the answer is yes: the graph holds the operator, which picks
    its kernel when it runs.

    Raises:
        ValueError: `impl` is none of the three.
        NativeOpError: "native" asked for, and impossible.
    """
    if impl == "ref":
        return False
    if impl not in ("auto", "native"):
        raise ValueError(f'impl is {impl!r}; give "auto", "native" or "ref"')
    written = _written(op, x)
    if impl == "native" and not written:
        raise NativeOpError(f"{op} has no native kernel for {x.dtype} on {x.device.type}; use impl='auto'")
    if torch.compiler.is_compiling():
        return True
    if impl == "auto" or not written:
        return ready(op, x)
    verdict = _judge(x.device.type)
    if not verdict.ready:
        raise NativeOpError(f"the native kernel of {op} is not available: {verdict.detail}")
    if x.is_cuda and not _trusted(op):
        raise NativeOpError(f"the CUDA kernel of {op} differs from the reference; use impl='ref'")
    return True


def ready(op: str, x: Tensor) -> bool:
    """Whether `op` has a native kernel for a tensor like x; builds it at the first call."""
    return _written(op, x) and native(x.device.type).ready and (not x.is_cuda or _trusted(op))


def kernel(op: str, x: Tensor, name: str | None = None) -> Any:
    """The native operator for a tensor like x, or None where there is none.

    Args:
        name: of the operator, where it is not that of `op`.
    """
    if not ready(op, x):
        return None
    return getattr(torch.ops.ganinv_ops, f"{name or op}_cuda" if x.is_cuda else name or op)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Of the norm."""
    return float((found - expected).float().norm() / expected.float().norm())


def _written(op: str, x: Tensor) -> bool:
    """Whether there is source for a kernel of `op` for a tensor of this type on this device."""
    device = x.device.type
    there = device == "cpu" or bool(torch.version.cuda)
    return there and op in OPS.get(device, ()) and x.dtype in _DTYPES[device]


def _trusted(op: str) -> bool:
    """Whether the CUDA kernel agrees with the reference; asked once, and warns if not."""
    if op not in _TRUSTED:
        if torch.cuda.is_current_stream_capturing():
            return False  # nothing can be compared while a graph is recorded: run once before
        try:
            error = CHECKS[op]()
        except RuntimeError:  # of the driver
            error = math.inf
        _TRUSTED[op] = error <= 1e-3
        if not _TRUSTED[op]:
            warnings.warn(
                f"the CUDA kernel of {op} differs from the reference by {error:.1e} of its size, "
                "so the slower PyTorch version runs instead",
                RuntimeWarning,
                stacklevel=4,
            )
    return _TRUSTED[op]


def cache_root() -> Path:
    """Where built libraries are kept."""
    given = os.environ.get("GANINV_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "ganinv" / "ops"


def _switched_off() -> bool:
    return os.environ.get("GANINV_OPS", "").lower() == "ref"


def _judge(device: str) -> Verdict:
    with _LOCK:
        if device not in _VERDICTS:
            if _switched_off():
                _VERDICTS[device] = Verdict(device, False, "switched off by GANINV_OPS=ref")
            else:
                try:
                    _VERDICTS[device] = Verdict(device, True, str(_load(device)))
                except Exception as error:  # whatever goes wrong here, the reference still works
                    _VERDICTS[device] = Verdict(device, False, _cause(error))
        return _VERDICTS[device]


def _cause(error: Exception) -> str:
    """The telling lines of an error: ninja prints whole command lines before the compiler's complaint."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = list(
        dict.fromkeys(line for line in lines if re.search(r"\berror: |not found|No such file", line))
    )
    return " | ".join((telling or lines or [type(error).__name__])[:3])[:600]


def _load(device: str) -> Path:
    sources = _sources(device)
    compiler = _compiler()
    flags, link_flags = _flags()
    folder = cache_root() / f"{device}-{_digest(sources, flags + link_flags, compiler)}"
    library = folder / f"ganinv_{device}.so"
    if not folder.exists():
        return _build(device, sources, flags, link_flags, folder)
    # loading a damaged library can kill the process, so its digest is checked first
    try:
        intact = _sha256(library) == (folder / "sha256").read_text().strip()
    except OSError as error:
        raise RuntimeError(f"broken cache ({error}); delete {folder} to build it again") from error
    if not intact:
        raise RuntimeError(
            f"broken cache: {library} was changed after it was built; delete {folder} to build it again"
        )
    torch.ops.load_library(str(library))
    return library


def _build(device: str, sources: list[Path], flags: list[str], link_flags: list[str], folder: Path) -> Path:
    """Compile in a private folder and rename it into place, so that no other process meets half a build."""
    from torch.utils import cpp_extension  # slow to import, and needed only here

    with_cuda = device == "cuda"
    if with_cuda and cpp_extension.CUDA_HOME is None:
        raise RuntimeError("no CUDA compiler: nvcc is not on the PATH and CUDA_HOME is not set")
    folder.parent.mkdir(parents=True, exist_ok=True)
    private = Path(tempfile.mkdtemp(prefix=f".{device}-", dir=folder.parent))
    try:
        with _ninja_on_path(), _quiet():
            cpp_extension.load(
                name=f"ganinv_{device}",
                sources=[str(source) for source in sources],
                extra_cflags=flags,
                extra_ldflags=link_flags,
                build_directory=str(private),
                with_cuda=with_cuda,
                is_python_module=False,
            )
        library = private / f"ganinv_{device}.so"
        (private / "sha256").write_text(_sha256(library) + "\n")
        for leftover in private.glob("*.o"):
            leftover.unlink()
        try:
            private.rename(folder)
        except OSError:
            if not folder.exists():  # anything but another process having been first
                raise
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return folder / f"ganinv_{device}.so"


def _sources(device: str) -> list[Path]:
    endings = [".cpp"] if device == "cpu" else ["_cuda.cpp", ".cu"]
    return [_SOURCES / (op + ending) for op in OPS[device] for ending in endings]


def _flags() -> tuple[list[str], list[str]]:
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
    capability = torch.backends.cpu.get_cpu_capability()
    if capability in ("AVX2", "AVX512"):  # which of PyTorch's vector classes the sources get
        flags += [f"-DCPU_CAPABILITY={capability}", f"-DCPU_CAPABILITY_{capability}"]
    else:
        flags += ["-DCPU_CAPABILITY=DEFAULT"]
    openmp = [] if sys.platform == "darwin" else ["-fopenmp"]
    return flags + openmp, openmp


def _compiler() -> str:
    """Name and version of the C++ compiler."""
    command = os.environ.get("CXX") or "c++"
    path = shutil.which(command.split()[0])
    if path is None:
        raise RuntimeError(f"no C++ compiler: {command} is not on the PATH; install g++ or set CXX")
    try:
        answer = subprocess.run([*command.split(), "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"the C++ compiler {command} does not run: {error}") from error
    if answer.returncode != 0:
        raise RuntimeError(f"the C++ compiler {command} does not run: {answer.stderr.strip()[:300]}")
    return f"{path} {answer.stdout.splitlines()[0] if answer.stdout else ''}"


def _digest(sources: list[Path], flags: list[str], compiler: str) -> str:
    parts = [
        compiler,
        *flags,
        torch.__version__,
        str(torch.version.git_version),
        sys.version,
        platform.machine(),
        _processor(),
    ]
    if any(source.suffix == ".cu" for source in sources):  # compiled for the cards that are there
        cards = range(torch.cuda.device_count())
        parts += [
            os.environ.get("TORCH_CUDA_ARCH_LIST", ""),
            *map(str, map(torch.cuda.get_device_capability, cards)),
        ]
    digest = hashlib.sha256("\n".join(parts).encode())
    for source in [*sources, *sorted(_SOURCES.glob("*.h")), *sorted(_SOURCES.glob("*.cuh"))]:
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back PyTorch's complaints about compilers that it was not built with; what matters fails."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _ninja_on_path() -> Iterator[None]:
    """Finds the ninja of an environment that was not activated."""
    folder = Path(sys.executable).parent
    if shutil.which("ninja") or not (folder / "ninja").exists():
        yield
        return
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
