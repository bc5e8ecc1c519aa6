"""Drawing an inversion again: its features, holes, chunks, and features that give way to an edit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.backbones.base import Backbone
from ganinv.checkpoints import read_checkpoint
from ganinv.completing import complete
from ganinv.compositing import joined
from ganinv.errors import BackboneMismatchError, UsageError
from ganinv.images import to_uint8
from ganinv.inversion import Inversion, backbone_record, run_versions
from ganinv.rendering import giving_way, render


def test_render_adds_features(inversion: Inversion, fake_backbone: Backbone) -> None:
    images = render(inversion, fake_backbone)
    assert images.shape == (2, 3, 3, 8, 8) and images.dtype == torch.float32
    plain = render(replace(inversion, features={}), fake_backbone)
    added = inversion.features[4].repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    assert torch.allclose(images, plain + added, atol=1e-6)


def test_features_may_stay_out_of_holes(inversion: Inversion, fake_backbone: Backbone) -> None:
    hole = torch.zeros_like(inversion.hole)
    hole[:, :, 2:5, 1:6] = 1
    erased = replace(inversion, hole=hole)
    assert erased.for_holes() is erased
    filled = replace(erased, features_in_holes=False).for_holes()
    assert torch.equal(render(filled, fake_backbone), render(replace(inversion, features={}), fake_backbone))
    nothing = replace(inversion, hole=torch.zeros_like(hole), features_in_holes=False)
    assert torch.equal(render(nothing, fake_backbone), render(inversion, fake_backbone))


def test_render_joins_what_is_around_a_hole_and_in_it(inversion: Inversion, fake_backbone: Backbone) -> None:
    hole = torch.zeros_like(inversion.hole)
    hole[:, :, 2:5, 1:6] = 1
    uneven = torch.rand(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(2)).half()
    inversion = replace(inversion, features={4: uneven})
    erased = replace(inversion, hole=hole, features_in_holes=False)
    shown, whole = render(erased, fake_backbone), render(inversion, fake_backbone)
    alone = render(replace(inversion, features={}), fake_backbone)
    known = 1 - hole[:, None].float().expand(-1, inversion.samples, -1, -1, -1)
    assert torch.equal(shown * known, whole * known)
    expected = joined(alone.flatten(0, 1), whole.flatten(0, 1), known.flatten(0, 1))
    assert torch.equal(shown.flatten(0, 1), expected)
    assert not torch.equal(shown, whole)
    moved = render(erased, fake_backbone, erased.ws + 1)  # edited codes likewise
    assert torch.equal(moved * known, render(inversion, fake_backbone, erased.ws + 1) * known)


def test_complete_pastes_what_is_drawn_for_holes(inversion: Inversion, fake_backbone: Backbone) -> None:
    hole = torch.zeros_like(inversion.hole)
    hole[0, :, 2:5, 1:6] = 1
    erased = replace(inversion, hole=hole, features_in_holes=False)
    pictures = complete(erased, fake_backbone, tones=False)
    drawn = to_uint8(render(replace(inversion, features={}), fake_backbone))
    working = inversion.working.permute(0, 2, 3, 1).numpy()[:, None]
    assert np.array_equal(pictures, np.where(hole.numpy()[..., None][:, 0][:, None] > 0, drawn, working))
    assert not np.array_equal(complete(erased, fake_backbone), pictures)  # tones


def test_render_in_chunks(inversion: Inversion, fake_backbone: Backbone) -> None:
    whole = render(inversion, fake_backbone)
    assert torch.equal(whole, render(inversion, fake_backbone))
    for fake_backbone.chunk in (1, 4):
        assert torch.allclose(render(inversion, fake_backbone), whole, atol=1e-5)


def test_render_edited_codes(inversion: Inversion, fake_backbone: Backbone) -> None:
    edited = render(inversion, fake_backbone, inversion.ws + 1)
    assert not torch.equal(edited, render(inversion, fake_backbone))
    with pytest.raises(
        UsageError, match=r"codes of shape \[1, 3, 4, 6\] cannot be drawn; expected \[2, 3, 4, 6\]"
    ):
        render(inversion, fake_backbone, inversion.ws[:1])


def test_render_of_nothing(inversion: Inversion, fake_backbone: Backbone) -> None:
    nothing = replace(
        inversion,
        ws=inversion.ws[:0],
        working=inversion.working[:0],
        hole=inversion.hole[:0],
        features={4: inversion.features[4][:0]},
    )
    assert render(nothing, fake_backbone).shape == (0, 3, 3, 8, 8)


def test_another_backbone_is_refused(inversion: Inversion, fake_backbone: Backbone) -> None:
    fake_backbone.sha256 = "cd" * 32
    with pytest.raises(BackboneMismatchError) as caught:
        render(inversion, fake_backbone)
    text = str(caught.value)
    assert "abababababab" in text and "cdcdcdcdcdcd" in text and "--backbone FILE" in text
    fake_backbone.sha256 = ""
    with pytest.raises(BackboneMismatchError, match="unsaved weights"):
        render(inversion, fake_backbone)


def test_render_with_stylegan2(tiny_backbone: Any, tmp_path: Path) -> None:
    backbone = tiny_backbone.backbone
    generator = torch.Generator().manual_seed(0)
    inversion = Inversion(
        ws=torch.randn(1, 2, backbone.num_ws, backbone.w_dim, generator=generator),
        seeds=(1, 2),
        working=torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        hole=torch.zeros(1, 1, 16, 16, dtype=torch.uint8),
        features={8: torch.randn(1, 2, 8, 8, 8, generator=generator).half()},
        backbone=backbone_record(backbone),
        versions=run_versions(),
    )
    images = render(inversion, backbone)
    inversion.save(tmp_path / "a")
    assert torch.equal(render(Inversion.load(tmp_path / "a"), backbone), images)
    assert not torch.allclose(render(replace(inversion, features={}), backbone), images)
    noisy = replace(inversion, noise="random")
    assert torch.equal(render(noisy, backbone), render(noisy, backbone))
    assert not torch.equal(render(noisy, backbone), images)
    assert read_checkpoint(tmp_path / "a").config["backbone"]["name"] == "tiny-16"


# ---- edits


def test_features_are_whole_where_nothing_changes_and_gone_where_much_does() -> None:
    generator = torch.Generator().manual_seed(0)
    features = {side: torch.randn(1, 2, 3, side, side, generator=generator).half() for side in (8, 32)}
    before = torch.rand(1, 2, 3, 64, 64, generator=generator) - 0.5
    after = before.clone()
    after[0, 1, 2, :, :16] += 0.5  # the second picture, one channel, its left quarter
    kept = giving_way(features, before, after)
    for side, feature in features.items():
        assert kept[side].dtype == torch.float16
        assert torch.equal(kept[side][:, 0], feature[:, 0])
        assert not kept[side][:, 1, ..., : side // 4].any()
        assert torch.equal(kept[side][:, 1, ..., side // 2 :], feature[:, 1, ..., side // 2 :])
    after[0, 0] = before[0, 0] - 0.05  # a tint
    torch.testing.assert_close(
        giving_way(features, before, after)[32][:, 0], features[32][:, 0], rtol=1e-3, atol=1e-3
    )
    after[0, 0] = before[0, 0] - 0.125  # half-way to something else
    half = giving_way(features, before, after)[32][:, 0]
    torch.testing.assert_close(half, features[32][:, 0] / 2, atol=2e-3, rtol=2e-3)


def test_large_pictures_are_compared_reduced() -> None:
    generator = torch.Generator().manual_seed(0)
    features = {32: torch.randn(1, 1, 3, 32, 32, generator=generator).half()}
    before, after = (torch.rand(1, 1, 3, 128, 128, generator=generator) for _ in range(2))
    small = giving_way(features, before, after)[32]
    larger = [picture.repeat_interleave(8, 3).repeat_interleave(8, 4) for picture in (before, after)]
    torch.testing.assert_close(giving_way(features, *larger)[32], small, atol=2e-3, rtol=2e-3)
    assert small.any() and not torch.equal(small, features[32])


def test_features_give_way_to_an_edit(inversion: Inversion, fake_backbone: Backbone) -> None:
    far = inversion.edited(ws=inversion.ws + 5)
    alone = render(replace(far, features={}), fake_backbone)
    assert torch.equal(render(far, fake_backbone), alone)
    assert torch.equal(render(inversion, fake_backbone, far.ws), alone)
    near = inversion.edited(ws=inversion.ws + 0.2)
    added = render(near, fake_backbone) - render(replace(near, features={}), fake_backbone)
    whole = inversion.features[4].float().repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    share = added / whole
    assert share.min() < 0.1 and share.max() > 0.9 and ((share > 0.2) & (share < 0.8)).any()
    back = far.edited(ws=inversion.ws)
    assert torch.equal(render(back, fake_backbone), render(inversion, fake_backbone))


def test_an_edited_inversion_is_drawn_alike_from_its_file(
    inversion: Inversion, fake_backbone: Backbone, tmp_path: Path
) -> None:
    edited = inversion.edited(ws=inversion.ws + 0.2)
    edited.save(tmp_path / "a")
    drawn = render(Inversion.load(tmp_path / "a"), fake_backbone)
    assert torch.equal(drawn, render(edited, fake_backbone))
    assert not torch.equal(drawn, render(replace(edited, unedited=None), fake_backbone))


def test_known_pixels_alone_show_features_of_an_edit(inversion: Inversion, fake_backbone: Backbone) -> None:
    edited = replace(inversion, features_in_holes=False).edited(ws=inversion.ws + 0.2)
    shown = render(edited, fake_backbone)
    whole = render(replace(edited, features_in_holes=True), fake_backbone)
    assert torch.equal(shown[..., 4:], whole[..., 4:])  # the left half is erased
    assert not torch.equal(shown[..., :4], whole[..., :4])
    assert edited.for_holes().features == {}
