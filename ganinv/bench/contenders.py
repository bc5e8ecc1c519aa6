"""What takes part in a race, by name: each entry makes a function that does the work once."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.backbones.loading import load_backbone
from ganinv.backbones.running import compile_synthesis
from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator
from ganinv.bench.peer_style import PeerStyleGenerator
from ganinv.errors import UnknownNameError, UsageError

Work = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """What is measured.

    kind: "synthesis": one batch of pictures from W+ codes. "train": forward and backward of the same.
        "invert": `batch` completions of one portrait by diverse-inpaint and the bundled backbone.
    resolution, batch: of config-f generators with random weights. checkout: a peer's, where one runs.
    device: of all of it.
    """

    kind: str = "synthesis"
    resolution: int = 256
    batch: int = 1
    checkout: str = ""
    device: str = "cpu"


def make(name: str, task: Task) -> Work:
    """The work of one contender. Raises UsageError, UnknownNameError, or what a peer's program raises."""
    known = {
        "ours": lambda: _generated(_random(StyleGAN2Generator, task), task),
        "ours-bfloat16": lambda: _generated(_in_bfloat16(_random(StyleGAN2Generator, task)), task),
        "ours-compiled": lambda: _generated(_random(StyleGAN2Generator, task), task, compiled=True),
        "ours-bfloat16-compiled": lambda: _generated(
            _in_bfloat16(_random(StyleGAN2Generator, task)), task, compiled=True
        ),
        "peer-style": lambda: _generated(_random(PeerStyleGenerator, task), task),
        "peer-style-compiled": lambda: _compiled(_random(PeerStyleGenerator, task), task),
        "nvidia": lambda: _nvidia(task),
        "nvidia-float16": lambda: _nvidia(task, half_blocks=4),
        "rosinality": lambda: _rosinality(task),
    }
    if name not in known:
        raise UnknownNameError("contender", name, known)
    torch.manual_seed(0)
    return known[name]()


def _random(kind: type[StyleGAN2Generator], task: Task) -> StyleGAN2Generator:
    if task.kind == "invert":
        bundled = load_backbone()
        assert isinstance(bundled, StyleGAN2Generator)
        generator = kind(bundled.config).eval().to(task.device)
        generator.load_state_dict(bundled.state_dict())
        generator.name, generator.sha256 = bundled.name, bundled.sha256
        return generator
    generator = kind(StyleGAN2Config(resolution=task.resolution)).eval().to(task.device)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.constant_(parameter, 0.1)
    return generator


def _in_bfloat16(generator: StyleGAN2Generator) -> StyleGAN2Generator:
    generator.compute_dtype = torch.bfloat16
    return generator


def _generated(generator: StyleGAN2Generator, task: Task, *, compiled: bool = False) -> Work:
    if compiled:
        compile_synthesis(generator)
    if task.kind == "invert":
        return _inverted(generator, task)
    codes = torch.randn(task.batch, generator.num_ws, generator.w_dim, device=task.device)
    return _work(lambda ws: generator.synthesize(ws).images, codes, generator, task)


def _inverted(generator: StyleGAN2Generator, task: Task) -> Work:
    from ganinv.api import load_method
    from ganinv.portraits.attributes import sample_attributes
    from ganinv.portraits.renderer import render

    method = load_method("diverse-inpaint", backbone=generator)
    images = (render(sample_attributes(1, seed=0), generator.resolution) * 2 - 1).to(task.device)
    holes = torch.zeros(1, 1, generator.resolution, generator.resolution, device=task.device)
    holes[..., generator.resolution // 2 :] = 1
    # as `ganinv invert` draws what it pastes
    return lambda: method.render(method.invert(images, holes, samples=task.batch, seed=0).for_holes())


def _compiled(generator: StyleGAN2Generator, task: Task) -> Work:
    codes = torch.randn(task.batch, generator.num_ws, generator.w_dim, device=task.device)
    draw = torch.compile(lambda ws: generator.synthesize(ws).images)
    return _work(draw, codes, generator, task)


def _work(draw: Callable[[Tensor], Tensor], codes: Tensor, network: nn.Module, task: Task) -> Work:
    if task.kind == "train":
        network.requires_grad_(True)
        return lambda: draw(codes).square().mean().backward()
    network.requires_grad_(False)

    def once() -> Tensor:
        with torch.no_grad():
            return draw(codes)

    return once


def _nvidia(task: Task, half_blocks: int = 0) -> Work:
    """`SynthesisNetwork` of a checkout of stylegan2-ada-pytorch, its last blocks in float16."""
    module = _of_checkout(task, "training/networks.py", "training.networks")
    network = module.SynthesisNetwork(
        w_dim=512,
        img_resolution=task.resolution,
        img_channels=3,
        channel_base=32768,
        channel_max=512,
        num_fp16_res=half_blocks,
    )
    network = network.eval().to(task.device)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.constant_(parameter, 0.1)
    codes = torch.randn(task.batch, network.num_ws, 512, device=task.device)
    return _work(lambda ws: network(ws, noise_mode="const"), codes, network, task)


def _rosinality(task: Task) -> Work:
    """`Generator` of a checkout of rosinality's stylegan2-pytorch, on a CPU without its extension."""
    from torch.utils import cpp_extension

    if task.device == "cpu":
        setattr(cpp_extension, "load", lambda *args, **options: None)  # noqa: B010
    network = (
        _of_checkout(task, "model.py", "model").Generator(task.resolution, 512, 8).eval().to(task.device)
    )
    codes = torch.randn(task.batch, network.n_latent, 512, device=task.device)

    def draw(ws: Tensor) -> Tensor:
        image: Tensor = network([ws], input_is_latent=True, randomize_noise=False)[0]
        return image

    return _work(draw, codes, network, task)


def _of_checkout(task: Task, file: str, module: str) -> Any:
    folder = Path(task.checkout).expanduser().resolve()
    if not (folder / file).is_file():
        raise UsageError(f"{folder} is no such checkout: it has no {file}")
    sys.path.insert(0, str(folder))
    return importlib.import_module(module)


def bfloat16_psnr(task: Task) -> float:
    """PSNR in dB of pictures in bfloat16 against float32, values in [-1, 1]."""
    torch.manual_seed(0)
    generator = _random(StyleGAN2Generator, task)
    codes = torch.randn(task.batch, generator.num_ws, generator.w_dim, device=task.device)
    with torch.no_grad():
        exact = generator.synthesize(codes).images.clamp(-1, 1)
        error = _in_bfloat16(generator).synthesize(codes).images.clamp(-1, 1) - exact
    return 10 * math.log10(4 / max(error.square().mean().item(), 1e-20))
