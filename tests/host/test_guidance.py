"""Layers by name, codes of a reference, steps between two inversions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ganinv.errors import UnknownNameError, UsageError
from ganinv.guidance import layer_rows, morph
from ganinv.inversion import Inversion
from ganinv.rendering import render


def test_layer_rows() -> None:
    assert layer_rows(["coarse"], 10) == [0, 1, 2]
    assert layer_rows(["fine", "coarse"], 10) == [0, 1, 2, 7, 8, 9]
    assert layer_rows(["middle"], 10) == layer_rows(["3-6"], 10) == [3, 4, 5, 6]
    with pytest.raises(UnknownNameError, match="unknown layer group 'corse'; did you mean 'coarse'"):
        layer_rows(["corse"], 10)
    for wrong in ("8-10", "5-3"):
        with pytest.raises(UsageError, match=f"layers {wrong} are not there: .* has rows 0-9"):
            layer_rows([wrong], 10)
    with pytest.raises(UsageError, match="layers fine are not there"):
        layer_rows(["fine"], 6)


def one(inversion: Inversion, picture: int, sample: int) -> Inversion:
    kept = inversion.sample(sample)
    part = slice(picture, picture + 1)
    features = {side: f[part] for side, f in kept.features.items()}
    return replace(
        kept, ws=kept.ws[part], working=kept.working[part], hole=kept.hole[part], features=features
    )


def test_morph_goes_straight(inversion: Inversion) -> None:
    a, b = one(inversion, 0, 0), one(inversion, 0, 2)
    found = morph(a, b, 5)
    assert found.samples == 5 and torch.equal(found.hole, a.hole)
    assert torch.equal(found.ws[:, :1], a.ws) and torch.equal(found.ws[:, -1:], b.ws)
    torch.testing.assert_close(found.ws[:, 2:3], (a.ws + b.ws) / 2)
    torch.testing.assert_close(
        found.features[4][:, 1], 0.75 * a.features[4][:, 0] + 0.25 * b.features[4][:, 0]
    )
    without = replace(b, features={}, tuned={"weight": torch.ones(1, 1, 2, dtype=torch.float16)})
    mixed = morph(a, without, 3)
    torch.testing.assert_close(mixed.features[4][:, 1], 0.5 * a.features[4][:, 0])
    assert mixed.tuned["weight"][0, :, 0].tolist() == [0, 0.5, 1]


def test_other_pictures_have_no_known_pixels_in_common(inversion: Inversion) -> None:
    assert not morph(one(inversion, 0, 0), one(inversion, 1, 0), 3).hole.any()


def test_what_cannot_be_joined(inversion: Inversion) -> None:
    a = one(inversion, 0, 0)
    for wrong, steps, text in (
        (a, 1, "1 steps are no morph; give 2 or more"),
        (inversion, 3, "an inversion of 2 pictures with 3 samples was given"),
        (replace(a, backbone={"name": "other", "sha256": "0"}), 3, "different backbones, fake-8 and other"),
        (replace(a, noise="none"), 3, "different noise, const and none"),
    ):
        with pytest.raises(UsageError, match=text):
            morph(a, wrong, steps)


def test_a_morph_to_an_edit_knows_what_was_found(inversion: Inversion, fake_backbone: Any) -> None:
    first = one(inversion, 0, 0)
    edited = first.edited(ws=first.ws + 0.2)
    between = morph(first, edited, 3)
    assert between.unedited is not None
    assert torch.equal(between.unedited.ws, first.ws.expand(-1, 3, -1, -1))
    drawn = render(between, fake_backbone)
    ends = render(first, fake_backbone)[:, 0], render(edited, fake_backbone)[:, 0]
    torch.testing.assert_close(drawn[:, 0], ends[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(drawn[:, 2], ends[1], atol=1e-5, rtol=0)
    assert morph(first, first, 3).unedited is None


def test_one_reference_at_a_time(fake_backbone: Any) -> None:
    from ganinv.guidance import reference_codes

    with pytest.raises(UsageError, match="2 pictures were given as reference; give one"):
        reference_codes(None, torch.zeros(2, 3, 8, 8))  # type: ignore[arg-type]
