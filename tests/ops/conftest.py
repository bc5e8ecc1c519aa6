"""What CUDA threads do, compiled for the host."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ganinv_ops import build

CSRC = Path(build.__file__).parent / "csrc"


@pytest.fixture(scope="session")
def compile_for_host(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ctypes.CDLL]:
    """A function that compiles NAME.cpp of this folder and loads it; skips where there is no compiler."""

    def load(name: str) -> ctypes.CDLL:
        compiler = os.environ.get("CXX") or "c++"
        if shutil.which(compiler.split()[0]) is None:
            pytest.skip("no C++ compiler")
        library = tmp_path_factory.mktemp(name) / f"{name}.so"
        source = Path(__file__).with_name(f"{name}.cpp")
        flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{CSRC}"]
        subprocess.run([*compiler.split(), *flags, str(source), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))

    return load
