"""The public names: users and plugins rely on them, so a change here is a change for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ganinv.api
import ganinv.parts
from ganinv.api import Direction, Inversion, edit, load_completer, load_method, method_names, open_picture
from ganinv.backbones.base import Backbone
from ganinv.errors import InputError, PluginError, UnknownNameError, UsageError
from ganinv.images import write_png

API = """
Backbone BackboneMismatchError CheckpointError ConfigError Direction Edit EvaluationSettings GanInvError
GuidedMethod InputError Inversion InversionMethod OpenedPicture OutputError PluginError UnknownNameError
UsageError bundled_models complete composite edit evaluate load_backbone load_completer load_direction
load_directions load_method method_names morph open_picture plugin_reports read_directions reference_codes
render to_tensor to_uint8 write_png
"""
PARTS = """
Backbone BackboneMismatchError Checkpoint CheckpointError Completer Completion ConfigError Detector Direction
Discriminator DiscriminatorConfig Edit EqualConv2d EqualLinear Face GanInvError GuidedMethod IRSEBody
IRSEConfig Injection InputError Inversion InversionMethod LayerwiseLinear LiveBytes NoSuchPartError Noise
OutputError PluginError PublishedEncoder PublishedEncoderConfig PyramidEncoder PyramidEncoderConfig Registry
Synthesis UnknownNameError UsageError atomic_write backbone_record build_config bundled_models check_backbone
check_device check_label chunks composite embed erase find_model fit_array fit_shape fixed_hole free_bytes
free_form free_form_batch from_first from_levels kid load_backbone load_config load_direction load_directions
load_discriminator load_encoder load_weights middle named_hole normal normalize_second_moment pass_size
pyramid_preset read_checkpoint read_directions read_mask read_picture render resize resize_hole run_versions
sample_seed sample_seeds sample_z save_encoder sha256_file sheet shrink shrink_erased style_groups to_levels
to_tensor to_uint8 write_checkpoint write_directions write_png
"""


@pytest.mark.parametrize(("module", "names"), [(ganinv.api, API), (ganinv.parts, PARTS)])
def test_public_names(module: Any, names: str) -> None:
    assert sorted(module.__all__) == sorted(names.split())
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__doc__ or name in ("Injection", "Noise"), f"{name} has no docstring"


# ---- methods


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Any) -> None:
    """A plugin with one sound method, one that builds something else, both registered."""
    (tmp_path / "api_plugin.py").write_text(
        "from ganinv.parts import InversionMethod\n"
        "class Method(InversionMethod):\n"
        "    def __init__(self, backbone, steps=3):\n        self.backbone, self.steps = backbone, steps\n"
        "    def invert(self, images, holes=None, *, samples=1, seed=0, truncation=1.0):\n"
        "        raise NotImplementedError\n"
        "def odd(backbone):\n    return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GANINV_PLUGINS", "mine=api_plugin:Method,odd=api_plugin:odd")


def test_load_method(plugin: None, fake_backbone: Backbone) -> None:
    method: Any = load_method("mine", backbone=fake_backbone, steps=5)
    assert method.backbone is fake_backbone and method.steps == 5
    assert {"mine", "odd"} <= set(method_names())
    with pytest.raises(UsageError, match=r"method 'mine' was given options stps: .*; its options: steps"):
        load_method("mine", backbone=fake_backbone, stps=5)
    with pytest.raises(PluginError, match=r"method 'odd' from .* built a int, not an InversionMethod"):
        load_method("odd", backbone=fake_backbone)
    with pytest.raises(UnknownNameError, match="unknown method 'mien'; did you mean 'mine'"):
        load_method("mien", backbone=fake_backbone)


def test_load_completer(plugin: None, fake_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    both = "mine=api_plugin:Method,two=api_plugin:Method,completers/two=api_plugin:odd"
    monkeypatch.setenv("GANINV_PLUGINS", f"{both},completers/odd=api_plugin:odd")
    measured: Any = load_completer("mine", backbone=fake_backbone, steps=5)
    assert measured.method.steps == 5 and measured.options == {"steps": 5}
    assert load_completer("diffusion", backbone=fake_backbone).name == "diffusion"
    with pytest.raises(UsageError, match=r"completer 'diffusion' was given options a: .*; its options: none"):
        load_completer("diffusion", backbone=fake_backbone, a=1)
    with pytest.raises(PluginError, match=r"completer 'odd' from .* built a int, which cannot complete"):
        load_completer("odd", backbone=fake_backbone)
    with pytest.raises(PluginError, match=r"'two' is a method from .* and a completer from .*; uninstall or"):
        load_completer("two", backbone=fake_backbone)
    with pytest.raises(
        UnknownNameError,
        match=r"unknown method or completer 'diffuson'; did you mean 'diffusion'\? known: .*psp",
    ):
        load_completer("diffuson", backbone=fake_backbone)


def test_edit(inversion: Inversion, fake_backbone: Backbone) -> None:
    edited = edit(inversion, fake_backbone, [(Direction("age", torch.eye(6)[:1]), 2.0)])
    assert torch.equal(edited.ws, inversion.ws + 2 * torch.eye(6)[0])
    with pytest.raises(UnknownNameError, match="unknown direction 'smile'"):
        edit(inversion, fake_backbone, [("smile", 2.0)])


# ---- pictures


def test_open_picture(tmp_path: Path) -> None:
    pixels = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    path = write_png(tmp_path / "a.png", pixels)
    mask = np.zeros((4, 8), np.uint8)
    mask[:, 4:] = 255
    write_png(tmp_path / "m.png", mask)
    opened = open_picture(path, 4, mask=tmp_path / "m.png", fit="crop")
    assert opened.image.shape == (1, 3, 4, 4) and opened.hole.dtype == torch.float32
    assert opened.hole[0, 0].tolist() == [[0, 0, 1, 1]] * 4
    assert np.array_equal(opened.working[0], pixels[:, 2:6])
    assert np.array_equal(ganinv.api.to_uint8(opened.image), opened.working)
    assert opened.notes == ("the picture of 8 x 4 was cropped to a square",)
    kept = open_picture(path, 4, mask=tmp_path / "m.png", fit="crop", polarity="keep-white")
    assert torch.equal(kept.hole, 1 - opened.hole)


def test_open_picture_with_a_named_mask(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    hole = open_picture(tmp_path / "a.png", 4, mask="half-left").hole[0, 0]
    assert hole[:, :2].all() and not hole[:, 2:].any()
    one, same, other = (
        open_picture(tmp_path / "a.png", 64, mask="free-form", seed=seed).hole for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_open_picture_without_a_mask_and_with_alpha(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), 255, np.uint8)
    rgba[:2, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    opened = open_picture(tmp_path / "a.png", 4)
    assert not opened.hole.any() and len(opened.notes) == 1
    assert open_picture(tmp_path / "a.png", 4, mask="alpha").hole.sum() == 8
    rgba[..., 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert "the mask erases everything" in open_picture(tmp_path / "a.png", 8, mask="alpha").notes[-1]


def test_open_picture_refuses(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", np.zeros((4, 8, 3), np.uint8))
    with pytest.raises(InputError, match="not square"):
        open_picture(path, 4)
    with pytest.raises(UsageError, match="unknown fit"):
        open_picture(path, 4, fit="squash")
