"""Fixtures for every room."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch

if TYPE_CHECKING:
    from ganinv.backbones.base import Backbone

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def shared() -> Path:
    """The folder of reference data beside a checkout; a plain clone has none."""
    folder = ROOT.parent / "shared"
    if not (folder / "fixtures").is_dir():
        pytest.skip("no reference data beside this checkout (../shared)")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store for each test: what its user keeps must not change it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("GANINV_HOME", str(folder))
    return folder


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """A function that serves a handler on 127.0.0.1 until the test ends, and gives the address."""
    with contextlib.ExitStack() as stack:

        def start(handler: Any) -> str:
            server = stack.enter_context(HTTPServer(("127.0.0.1", 0), handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device in turn; skips where there is none."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


class TinyBackbone(NamedTuple):
    """A generator of 16 px and 8 channels with random weights, and the checkpoint it was loaded from."""

    backbone: Backbone
    path: Path


@pytest.fixture
def tiny_backbone(tmp_path: Path) -> TinyBackbone:
    """A StyleGAN2 generator, the same at every call; its noise strengths and mean code are not zero."""
    from ganinv.backbones.stylegan2 import StyleGAN2Config, StyleGAN2Generator

    config = StyleGAN2Config(
        resolution=16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=128, channel_max=8
    )
    return _tiny(StyleGAN2Generator(config), tmp_path / "tiny-16.safetensors")


@pytest.fixture(params=["t", "r"])
def tiny_stylegan3(tmp_path: Path, request: pytest.FixtureRequest) -> TinyBackbone:
    """A StyleGAN3 generator of configuration T, then R, likewise."""
    from ganinv.backbones.stylegan3 import StyleGAN3Config, StyleGAN3Generator

    rotates = request.param == "r"
    config = StyleGAN3Config(
        resolution=16,
        z_dim=16,
        w_dim=16,
        num_layers=4,
        channel_base=128,
        channel_max=8,
        conv_kernel=1 if rotates else 3,
        use_radial_filters=rotates,
    )
    return _tiny(StyleGAN3Generator(config), tmp_path / f"tiny-{request.param}.safetensors")


def _tiny(network: Any, path: Path) -> TinyBackbone:
    """The network with random numbers of the right size in all that a file brings but filters."""
    from ganinv.backbones.loading import load_backbone
    from ganinv.checkpoints import write_checkpoint

    generator = torch.Generator().manual_seed(0)
    tensors = dict(network.state_dict())
    fixed = ("_filter", "transform", "magnitude_ema")
    for key in [key for key in tensors if not key.endswith(fixed)]:
        tensors[key] = torch.randn(tensors[key].shape, generator=generator)
        if key.startswith("synthesis.input.affine"):
            tensors[key] = 0.1 * tensors[key] + (torch.arange(4) == 0 if key.endswith("bias") else 0)
        elif key.endswith("affine.bias"):
            tensors[key] += 1
        elif key.startswith("mapping.fc"):
            tensors[key] *= 100  # stored values are divided by their learning-rate multiplier of 0.01
        elif key.endswith(("noise_strength", ".bias", "w_avg")):
            tensors[key] *= 0.1
    config = network.config.to_json()
    write_checkpoint(path, tensors, kind="generator", family=network.family, config=config)
    return TinyBackbone(load_backbone(path), path)
