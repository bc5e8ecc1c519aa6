"""Native kernels: compiled at first use, kept in a cache.

The only file that knows ninja. An operator `NAME` has its schema in NAME.py and its CPU kernels in
csrc/NAME.cpp; csrc/NAME_cuda.cpp and csrc/NAME.cu are its CUDA kernels. All of a device are one library,
whose sources compile side by side; trouble with a CUDA toolkit leaves the CPU alone. A library lies in a
folder of the cache whose name is a digest of all that went into it. Whether it is used is for `dispatch`.

Environment: GANINV_CACHE names the cache (default ~/.cache/ganinv/ops); CXX names the compiler.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock

OPS = {
    "cpu": (
        "bias_act",
        "epilogue",
        "epilogue_grad",
        "filtered_lrelu",
        "upfirdn2d",
        "winograd",
        "winograd_up",
        "winograd_up_weight",
        "winograd_weight",
    ),
    "cuda": ("bias_act", "epilogue", "filtered_lrelu", "upfirdn2d"),
}
"""Library, by the type of its device, to the operators that it has kernels of."""

_LOG = logging.getLogger("ganinv_ops")
_SOURCES = Path(__file__).parent / "csrc"


def cache_root() -> Path:
    """Where built libraries are kept."""
    given = os.environ.get("GANINV_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "ganinv" / "ops"


def load(device: str) -> Path:
    """Loads the library of a device, compiled first where the cache has none, which is logged as a warning:
    somebody waits for minutes; returns its path.

    Raises:
        RuntimeError, OSError: no compiler, sources that do not compile, a broken cache; the text says what.
    """
    sources = _sources(device)
    compiler = _compiler()
    flags, link_flags = _flags()
    folder = cache_root() / f"{device}-{_digest(sources, flags + link_flags, compiler)}"
    library = folder / f"ganinv_{device}.so"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _LOG.warning(
            "compiling the fused operations for %s, once for this machine: it takes some minutes", device
        )
        with FileLock(folder.parent / f".{device}.lock"):  # of processes that start together one compiles
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
    """Compile in a private folder and rename it into place, so that a build is whole or not there."""
    from torch.utils import cpp_extension  # slow to import, and needed only here

    with_cuda = device == "cuda"
    if with_cuda and cpp_extension.CUDA_HOME is None:
        raise RuntimeError("no CUDA compiler: nvcc is not on the PATH and CUDA_HOME is not set")
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
        private.rename(folder)
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
