"""`ganinv doctor`: what this machine has and what works on it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import shutil
import subprocess
from typing import Any

import click

_COMPILERS = ("c++", "g++", "clang++", "nvcc")
_PACKAGES = ("numpy", "pillow", "opencv-python-headless", "safetensors", "lightning-fabric", "scikit-learn")


@click.command("doctor", short_help="Say what works on this machine: PyTorch, ops, models.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Say what was found: PyTorch, compilers, ninja, CUDA, each op's verdict, dlib, the models.

    Compiles the ops if that was not done yet (tens of seconds, once a machine).
    """
    findings = diagnose()
    if as_json:
        click.echo(json.dumps(findings, indent=2))
        return
    for section, lines in findings.items():
        click.echo(section)
        for name, value in lines.items():
            click.echo(f"    {name:<22} {value}")


def diagnose() -> dict[str, dict[str, str]]:
    """Section -> name -> finding, in plain words; what is absent says so. Raises nothing."""
    return {
        "python": _python(),
        "torch": _torch(),
        "build tools": _tools(),
        "ops": _ops(),
        "alignment": _alignment(),
        "models": _models(),
    }


def _python() -> dict[str, str]:
    from ganinv import __version__

    found = {"ganinv": __version__, "python": f"{platform.python_version()} on {platform.platform()}"}
    return found | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _torch() -> dict[str, str]:
    import torch

    found = {"torch": torch.__version__, "threads": str(torch.get_num_threads())}
    found["CUDA in torch"] = torch.version.cuda or "no (CPU build)"
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found | {"CUDA devices": ", ".join(devices) or "none"}


def _tools() -> dict[str, str]:
    found = {name: _first_line(name, "--version") for name in _COMPILERS}
    return found | {"ninja": _first_line("ninja", "--version") if shutil.which("ninja") else _ninja_module()}


def _first_line(program: str, argument: str) -> str:
    """The first line a program says of itself, or "not found"."""
    path = shutil.which(program)
    if path is None:
        return "not found"
    try:
        said = subprocess.run([path, argument], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as cause:
        return f"{path}, which does not run: {cause}"
    lines = said.strip().splitlines()
    return f"{lines[0]} ({path})" if lines else path


def _ninja_module() -> str:
    """PyPI's ninja is found in its package even where the scripts folder is not on PATH."""
    version = _version("ninja")
    return "not found" if version == "not installed" else f"{version} (Python package)"


def _ops() -> dict[str, str]:
    from ganinv_ops import dispatch

    verdicts: dict[str, Any] = dispatch.verdicts()
    return {
        device: f"native: {verdict.detail}" if verdict.ready else f"reference, because {verdict.detail}"
        for device, verdict in verdicts.items()
    }


def _alignment() -> dict[str, str]:
    missing = "not installed; type pip install 'ganinv[align]'"
    found = {}
    try:
        import dlib

        found["dlib"] = str(dlib.__version__)
    except ImportError as cause:
        found["dlib"] = missing if isinstance(cause, ModuleNotFoundError) else f"does not load: {cause}"
    spec = importlib.util.find_spec("face_recognition_models")
    places = list(spec.submodule_search_locations or ()) if spec else []
    other = "installed" if importlib.util.find_spec("face_alignment") else "not installed (optional)"
    return found | {"landmark models": places[0] if places else missing, "face-alignment": other}


def _models() -> dict[str, str]:
    from ganinv.cli.models import model_table
    from ganinv.errors import GanInvError

    try:
        models = model_table()
    except GanInvError as cause:
        return {"damaged": cause.message}
    if not models:
        return {"none": "no weights in this checkout"}
    return {f"{m['name']} ({', '.join(m['kinds'])})": f"{m['sha256'][:12]}  {m['path']}" for m in models}
