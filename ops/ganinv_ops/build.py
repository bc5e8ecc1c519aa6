"""Native kernels: compiled at first use, kept in a cache, judged once a process.

The only file that knows ninja. An operator `NAME` has its schema in NAME.py and its CPU kernels in
csrc/NAME.cpp. Where PyTorch has CUDA, csrc/NAME_cuda.cpp and csrc/NAME.cu are a library of their own,
`NAME_cuda`, so that trouble with a CUDA toolkit leaves the CPU alone. Each library lies in a folder of the
cache whose name is a digest of all that went into it.

Environment: GANINV_OPS=ref switches native kernels off; GANINV_CACHE names the cache (default
~/.cache/ganinv/ops); CXX names the compiler.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

OPS = ("bias_act", "epilogue", "filtered_lrelu", "upfirdn2d", "winograd")
CUDA_OPS = ("filtered_lrelu_cuda",)
"""Libraries of native kernels, for the CPU and for CUDA."""

Impl = Literal["auto", "native", "ref"]
_SOURCES = Path(__file__).parent / "csrc"
_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
_CUDA_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_LOCK = threading.RLock()
_VERDICTS: dict[str, Verdict] = {}
_WARNED: set[str] = set()


class NativeOpError(RuntimeError):
    """A native kernel was insisted on, but cannot run; the text holds the cause."""


@dataclass(frozen=True)
class Verdict:
    """Whether a library of native kernels runs in this process."""

    op: str
    ready: bool
    """The library is loaded."""
    detail: str
    """The library's path, or why there is none."""


def verdicts() -> dict[str, Verdict]:
    """The verdict on every library for this PyTorch; never raises or warns.

    Builds what was not tried yet, which takes tens of seconds, once a machine.
    """
    return {op: _judge(op) for op in OPS + (CUDA_OPS if torch.version.cuda else ())}


def native(op: str) -> Verdict:
    """The verdict on one library, building it at the first call.

    A failure warns once in a process, with its cause, and is not tried again.
    """
    verdict = _VERDICTS.get(op) or _judge(op)
    if not verdict.ready and op not in _WARNED and not _switched_off():
        _WARNED.add(op)
        warnings.warn(
            f"the native kernel of {op} is not available, "
            f"the slower PyTorch version runs instead: {verdict.detail}",
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
    library = _library(op, x)
    if impl == "native" and library is None:
        raise NativeOpError(f"{op} has no native kernel for {x.dtype} on {x.device.type}; use impl='auto'")
    if torch.compiler.is_compiling():
        return True
    if library is None:
        return False
    if impl == "auto":
        return native(library).ready
    verdict = _judge(library)
    if not verdict.ready:
        raise NativeOpError(f"the native kernel of {op} is not available: {verdict.detail}")
    return True


def ready(op: str, x: Tensor) -> bool:
    """Whether `op` has a native kernel for a tensor like x; builds it at the first call."""
    library = _library(op, x)
    return library is not None and native(library).ready


def _library(op: str, x: Tensor) -> str | None:
    """The library with kernels of `op` for a tensor of this type on this device."""
    if x.device.type == "cpu":
        return op if x.dtype in _DTYPES else None
    name = f"{op}_{x.device.type}"
    return name if name in CUDA_OPS and torch.version.cuda and x.dtype in _CUDA_DTYPES else None


def cache_root() -> Path:
    """Where built libraries are kept."""
    given = os.environ.get("GANINV_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "ganinv" / "ops"


def _switched_off() -> bool:
    return os.environ.get("GANINV_OPS", "").lower() == "ref"


def _judge(op: str) -> Verdict:
    with _LOCK:
        if op not in _VERDICTS:
            if _switched_off():
                _VERDICTS[op] = Verdict(op, False, "switched off by GANINV_OPS=ref")
            else:
                try:
                    _VERDICTS[op] = Verdict(op, True, str(_load(op)))
                except Exception as error:  # whatever goes wrong here, the reference still works
                    _VERDICTS[op] = Verdict(op, False, _cause(error))
        return _VERDICTS[op]


def _cause(error: Exception) -> str:
    """The telling lines of an error: ninja prints whole command lines before the compiler's complaint."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = list(
        dict.fromkeys(line for line in lines if re.search(r"\berror: |not found|No such file", line))
    )
    return " | ".join((telling or lines or [type(error).__name__])[:3])[:600]


def _load(op: str) -> Path:
    sources = _sources(op)
    compiler = _compiler()
    flags, link_flags = _flags()
    folder = cache_root() / f"{op}-{_digest(sources, flags + link_flags, compiler)}"
    library = folder / f"ganinv_{op}.so"
    if not folder.exists():
        return _build(op, sources, flags, link_flags, folder)
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


def _build(op: str, sources: list[Path], flags: list[str], link_flags: list[str], folder: Path) -> Path:
    """Compile in a private folder and rename it into place, so that no other process meets half a build."""
    from torch.utils import cpp_extension  # slow to import, and needed only here

    with_cuda = any(source.suffix == ".cu" for source in sources)
    if with_cuda and cpp_extension.CUDA_HOME is None:
        raise RuntimeError("no CUDA compiler: nvcc is not on the PATH and CUDA_HOME is not set")
    folder.parent.mkdir(parents=True, exist_ok=True)
    private = Path(tempfile.mkdtemp(prefix=f".{op}-", dir=folder.parent))
    try:
        with _ninja_on_path(), _quiet():
            cpp_extension.load(
                name=f"ganinv_{op}",
                sources=[str(source) for source in sources],
                extra_cflags=flags,
                extra_ldflags=link_flags,
                build_directory=str(private),
                with_cuda=with_cuda,
                is_python_module=False,
            )
        library = private / f"ganinv_{op}.so"
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
    return folder / f"ganinv_{op}.so"


def _sources(op: str) -> list[Path]:
    sources = [_SOURCES / f"{op}.cpp"]
    if op in CUDA_OPS:
        sources.append(_SOURCES / f"{op.removesuffix('_cuda')}.cu")
    return sources


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
    for source in [*sources, *sorted(_SOURCES.glob("*.h"))]:
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
