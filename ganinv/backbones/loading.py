"""Backbones and discriminators by name or file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from ganinv.backbones import DEFAULT
from ganinv.backbones.base import Backbone
from ganinv.backbones.discriminator import Discriminator, DiscriminatorConfig
from ganinv.backbones.running import compile_synthesis, set_precision
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.backbones.stylegan3 import StyleGAN3Config, StyleGAN3Generator
from ganinv.checkpoints import Checkpoint, load_weights, read_checkpoint, sha256_file
from ganinv.checkpoints.store import describe
from ganinv.configs import build_config
from ganinv.errors import CheckpointError, ConfigError, NoSuchPartError, UnknownNameError, UsageError
from ganinv.plugins import plugin_packages, registry
from ganinv.store import SUFFIXES, stored_models

BUNDLED = Path(__file__).resolve().parent.parent / "bundled"

M = TypeVar("M", bound=nn.Module)


class BundledModel(NamedTuple):
    """A weight file shipped in a package: its name (the file's stem), kind ("generator", ...) and path."""

    name: str
    kind: str
    path: Path


def bundled_models() -> list[BundledModel]:
    """All weight files shipped with this package and with plugins (in `bundled` folders); reads headers only.

    Raises:
        CheckpointError: a shipped file is damaged.
    """
    folders = [BUNDLED] + [folder / "bundled" for folder in map(_package_folder, plugin_packages()) if folder]
    paths = [path for folder in folders for path in _weight_files(folder)]
    return [BundledModel(path.stem, describe(path).kind, path) for path in paths]


def find_model(name_or_path: str | Path, kind: str) -> Path:
    """The file meant by the name of a bundled or stored model, "portraits-64-judge" say, or by a path.

    Raises:
        UnknownNameError: neither a bundled model of that kind nor a file; lists the known ones.
        CheckpointError: a shipped file is damaged.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        return path  # its absence is told by the reader
    text = str(name_or_path)
    stored = {model.name: model.path for model in stored_models() if kind in model.kinds}
    models = {**stored, **{model.name: model.path for model in bundled_models() if model.kind == kind}}
    for name in (text, f"{text}-{kind}"):
        if name in models:
            return models[name]
    if path.exists():
        return path
    known = [name.removesuffix(f"-{kind}") for name in models]
    what = "backbone" if kind == "generator" else kind
    raise UnknownNameError(what, text, known, hint="Or give the path of a checkpoint file")


def find_by_digest(sha256: str, kind: str) -> Path | None:
    """The bundled or stored model of that SHA-256. Raises CheckpointError for a damaged store."""
    for stored in stored_models():
        if kind in stored.kinds and stored.sha256 == sha256:
            return stored.path
    same = (m.path for m in bundled_models() if m.kind == kind and sha256_file(m.path) == sha256)
    return next(same, None)


def backbone_of(weights: str | Path) -> str | None:
    """The bundled or stored backbone that a file of a method's weights was made for; None where it tells
    none, or it is not at hand.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    made_for = read_checkpoint(path).config.get("backbone")
    digest = made_for.get("sha256") if isinstance(made_for, Mapping) else None
    found = find_by_digest(str(digest), "generator")
    return None if found is None else str(found)


def load_backbone(
    name_or_path: str | Path = DEFAULT,
    *,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    chunk: int | None = None,
    compiled: bool = False,
) -> Backbone:
    """A generator ready for use: eval mode, no gradients on its weights, `name` and `sha256` set.

    Args:
        name_or_path: the name of a bundled or stored model, or a file: ganinv safetensors, rosinality .pt,
            NVIDIA's StyleGAN2 or StyleGAN3 .pkl. Averaged weights (G_ema) come first.
        device: where to put it: "cpu", "cuda", "cuda:1".
        precision: of its convolutions: "float32", "bfloat16", or "float16" (CUDA only).
        chunk: pictures in one pass when methods and `render` draw; None = as many as fit free memory. Other
            chunks may move the last bits of a picture.
        compiled: draw through torch.compile; the first picture of each shape waits for the compiler.

    Raises:
        UnknownNameError, CheckpointError: no such model, or not one. UsageError: no such device, or a
            precision or chunk that is not possible.
    """
    if chunk is not None and chunk < 1:
        raise UsageError(f"a chunk of {chunk} pictures is not possible; give 1 or more")
    found = read_checkpoint(find_model(name_or_path, "generator"), kind="generator")
    backbone = _ready(fill(lambda: build_backbone(found), found), found, device)
    set_precision(backbone, precision)
    backbone.chunk = chunk
    if compiled:
        compile_synthesis(backbone)
    return backbone


def load_backbone_of(weights: str | Path | None, **running: Any) -> Backbone:
    """The generator that goes with a method's weights: the one in their file; else the one they were made
    for, by its digest; else the default one. `running`, and what is raised, are those of `load_backbone`.
    """
    if weights is None:
        return load_backbone(**running)
    try:
        return load_backbone(weights, **running)
    except NoSuchPartError:  # most weights hold no generator
        return load_backbone(backbone_of(weights) or DEFAULT, **running)
    except UnknownNameError:  # told by the method
        return load_backbone(**running)


def load_discriminator(
    name_or_path: str | Path = DEFAULT, *, device: str | torch.device = "cpu"
) -> Discriminator:
    """As `load_backbone`; "portraits-128" means the discriminator trained with the backbone of that name."""
    found = read_checkpoint(find_model(name_or_path, "discriminator"), kind="discriminator")
    config = _config(DiscriminatorConfig, found)
    return _ready(fill(lambda: Discriminator(config), found), found, device)


def build_backbone(checkpoint: Checkpoint) -> Backbone:
    """The generator, with random weights, that a checkpoint's header describes. Raises CheckpointError."""
    try:
        builder = registry("backbones").get(checkpoint.family)
    except UnknownNameError as cause:
        raise CheckpointError(f"{checkpoint.path} needs another plugin: {cause.message}") from cause
    try:
        return builder(checkpoint.config)
    except (ConfigError, TypeError, ValueError) as cause:
        raise CheckpointError(f"{checkpoint.path} describes no valid {checkpoint.family}: {cause}") from cause


def build_stylegan2(config: Mapping[str, Any]) -> Backbone:
    """A StyleGAN2 generator with random weights. Raises ConfigError."""
    return StyleGAN2Generator(build_config(StyleGAN2Config, config))


def build_stylegan3(config: Mapping[str, Any]) -> Backbone:
    """A StyleGAN3 generator with random weights. Raises ConfigError."""
    return StyleGAN3Generator(build_config(StyleGAN3Config, config))


def check_device(device: str | torch.device) -> torch.device:
    """The device, if this machine has it. Raises UsageError."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise UsageError(f"unknown device {str(device)!r}; type --device cpu or --device cuda") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(f"no device {found}: PyTorch finds {count} CUDA devices here; type --device cpu")
    if found.type not in ("cpu", "cuda"):
        raise UsageError(f"device {found} is not supported; type --device cpu or --device cuda")
    return found


def _config(cls: type[DiscriminatorConfig], found: Checkpoint) -> DiscriminatorConfig:
    try:
        return build_config(cls, found.config)
    except ConfigError as cause:
        raise CheckpointError(
            f"{found.path} describes no valid {found.family} discriminator: {cause}"
        ) from cause


def fill(build: Callable[[], M], found: Checkpoint) -> M:
    """The module that `build` gives with a checkpoint's weights: it takes the tensors, none are drawn or
    copied. Raises CheckpointError where names or shapes disagree.
    """
    with torch.device("meta"):
        module = build()
    load_weights(module, found.tensors, source=found.path, assign=True)
    if any(t.is_meta for t in (*module.parameters(), *module.buffers())):  # constants that no file brings
        module = build()
        load_weights(module, found.tensors, source=found.path)
    return module


def _ready(module: M, found: Checkpoint, device: str | torch.device) -> M:
    broken = [name for name, tensor in found.tensors.items() if not tensor.sum().isfinite()]
    if broken:
        raise CheckpointError(f"{found.path} is damaged: {broken[0]} holds numbers that are not finite")
    module.name, module.sha256, module.path = found.path.stem, found.sha256, found.path  # type: ignore[assignment]
    return module.eval().requires_grad_(False).to(check_device(device))


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"), key=lambda path: path.stem)


def _package_folder(package: str) -> Path | None:
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None
