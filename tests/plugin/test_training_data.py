"""Data of the passes: which code a row is fed, and on which pixels it must agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganinv.editing.store import keep_direction
from ganinv.errors import InputError
from ganinv.parts import Backbone, Direction, load_directions
from plugin_ganinpaint.training import data, settings
from plugin_ganinpaint.training.edits import Edits
from plugin_ganinpaint.training.reals import Reals, load_reals

Make = Callable[..., data.Sampler]


def test_full_pass_feeds_the_true_code_and_expects_everything(backbone: Backbone, make_sampler: Make) -> None:
    batch = make_sampler(data=settings.DataSettings(layer_range=0.0)).draw()
    assert batch.passes == 2 and torch.equal(batch.w_rand[:8], batch.w_true)
    assert batch.where[:8].min() == 1
    drawn = backbone.synthesize(batch.w_rand[:8]).images.clamp(-1, 1)
    assert torch.allclose(drawn, batch.image, atol=1e-5)


def test_partial_pass_feeds_fresh_codes_and_expects_the_visible(
    backbone: Backbone, make_sampler: Make
) -> None:
    batch = make_sampler(data=settings.DataSettings(layer_range=0.0)).draw()
    assert torch.equal(batch.where[8:], batch.visible)
    assert not (batch.w_rand[8:] == batch.w_true).all(dim=2).any()


def test_layer_range_keeps_some_true_layers(backbone: Backbone, make_sampler: Make) -> None:
    batch = make_sampler(data=settings.DataSettings(layer_range=1.0)).draw()
    same = (batch.w_rand[8:] == batch.w_true).all(dim=2)
    assert same.any(dim=1).all() and not same.all(dim=1).any()
    for row in same.int():  # one range: it begins once
        assert int((row.diff() == 1).sum() + row[0]) == 1


def test_style_mixing_joins_two_codes(backbone: Backbone, make_sampler: Make) -> None:
    sampler = make_sampler(data=settings.DataSettings(style_mixing=1.0))
    codes = sampler.codes(8)
    assert (codes[:, 0] != codes[:, -1]).any(dim=1).all()
    plain = make_sampler(data=settings.DataSettings(style_mixing=0.0)).codes(8)
    assert torch.equal(plain[:, 0], plain[:, -1])


@pytest.mark.parametrize(
    ("setup", "passes", "everywhere"),
    [("classic", 2, (True, True)), ("full-only", 1, (True,)), ("partial-only", 2, (False, False))],
)
def test_ablation_setups(make_sampler: Make, setup: str, passes: int, everywhere: tuple[bool, ...]) -> None:
    batch = make_sampler(setup=setup).draw()
    assert batch.passes == passes
    for p, whole in enumerate(everywhere):
        rows = slice(8 * p, 8 * p + 8)
        assert torch.equal(batch.where[rows], torch.ones_like(batch.visible) if whole else batch.visible)
        fed_true = torch.equal(batch.w_rand[rows], batch.w_true)
        assert fed_true == (setup == "full-only")


def test_real_pictures_take_visible_losses_and_no_true_code(backbone: Backbone, make_sampler: Make) -> None:
    reals = torch.randint(
        0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )
    batch = make_sampler(Reals(reals), data=settings.DataSettings(real_fraction=0.5, layer_range=1.0)).draw()
    real = ~batch.has_code
    assert 0 < int(real.sum()) < 8
    known = {r.numpy().tobytes() for r in reals}
    back = ((batch.image[real] + 1) * 127.5).round().to(torch.uint8)
    assert all(picture.numpy().tobytes() in known for picture in back)
    assert torch.equal(batch.where[:8][real], batch.visible[real])
    assert not (batch.w_rand[:8][real] == batch.w_true[real]).any()
    assert not (batch.w_rand[8:][real] == batch.w_true[real]).any()


def test_edited_rows_have_the_truly_edited_picture_as_target(backbone: Backbone, make_sampler: Make) -> None:
    stage = settings.StageSettings(edit_share=0.5, edit_directions="random")
    batch = make_sampler(edits=Edits(backbone, stage)).draw()
    assert batch.edit is not None and not batch.edit[8:].any()
    rows = batch.edit[:8].flatten(1).any(dim=1)
    assert 0 < int(rows.sum()) < 8
    wanted = backbone.synthesize((batch.w_true + batch.edit[:8])[rows]).images.clamp(-1, 1)
    assert torch.allclose(batch.targets[batch.target_of[:8][rows]], wanted, atol=1e-5)
    assert torch.equal(batch.target_of[:8][~rows], torch.arange(8)[~rows])
    assert torch.equal(batch.target_of[8:], torch.arange(8))


def test_runs_do_not_depend_on_what_their_user_keeps(backbone: Backbone, make_sampler: Make) -> None:
    keep_direction("mine", Direction("mine", torch.eye(backbone.w_dim)[:1]))
    assert "mine" in load_directions(backbone)
    assert Edits(backbone, settings.StageSettings(edit_directions="auto")).kind == "random"


def test_empty_holes_have_their_share() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = settings.HoleSettings(comodgan=0, mat=0, mat_small=0, half=1, centre=0, border=0, empty=1)
    shares = data.draw_holes(400, 8, mix, generator).mean(dim=(1, 2, 3))
    assert set(shares.tolist()) == {0.0, 0.5}
    assert 0.4 < float((shares == 0).float().mean()) < 0.6


def save_reals(path: Path, images: Any, z: Any) -> Path:
    np.savez(path, images=images, z=z)
    return path


def test_real_images_from_folder_and_arrays(backbone: Backbone, tmp_path: Path) -> None:
    from ganinv.parts import write_png

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    z = rng.normal(size=(3, backbone.z_dim))
    for i, picture in enumerate(pixels):
        write_png(tmp_path / "in" / f"{i}.png", picture)
    np.save(tmp_path / "some.npy", pixels)
    save_reals(tmp_path / "some.npz", pixels, z)
    for source in ("in", "some.npy", "some.npz"):
        found = load_reals(tmp_path / source, backbone)
        assert np.array_equal(found.images.permute(0, 2, 3, 1).numpy(), pixels)
        assert (found.z is not None) == (source == "some.npz")
    assert found.z is not None and np.allclose(found.z.numpy(), z)


def test_real_images_that_do_not_fit_are_refused(backbone: Backbone, tmp_path: Path) -> None:
    pixels, z = np.zeros((3, 16, 16, 3), np.uint8), np.zeros((3, backbone.z_dim))
    np.save(tmp_path / "small.npy", pixels[:, :8, :8])
    save_reals(tmp_path / "short.npz", pixels, z[:2])
    np.savez(tmp_path / "no-z.npz", images=pixels)
    (tmp_path / "none.npz").write_bytes(b"not an archive")
    for name, text in (
        ("small.npy", r"holds uint8 \(3, 8, 8, 3\); uint8 \(M, 16, 16, 3\) is needed"),
        (
            "short.npz",
            rf"holds z of float64 \(2, {backbone.z_dim}\); float \(3, {backbone.z_dim}\) is needed",
        ),
        ("no-z.npz", r"no-z.npz cannot be read: .*z"),
        ("none.npz", r"none.npz cannot be read"),
        ("absent", r"give a folder of pictures, a \.npy file .* or a \.npz"),
    ):
        with pytest.raises(InputError, match=text):
            load_reals(tmp_path / name, backbone)


def test_real_pictures_with_latents_have_codes(backbone: Backbone, make_sampler: Make) -> None:
    """They stay the pictures that they are, and take all losses of generated ones."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=generator)
    z = torch.randn(5, backbone.z_dim, generator=generator)
    batch = make_sampler(
        Reals(images, z), data=settings.DataSettings(real_fraction=1.0, layer_range=0.0)
    ).draw()
    back = ((batch.image + 1) * 127.5).round().to(torch.uint8)
    which = [next(i for i, r in enumerate(images) if torch.equal(r, picture)) for picture in back]
    assert batch.has_code.all() and batch.where[:8].min() == 1
    assert torch.allclose(batch.w_true, backbone.map(z[which]), atol=1e-5)
    assert torch.equal(batch.w_rand[:8], batch.w_true)


def test_edits_leave_real_pictures_alone(backbone: Backbone, make_sampler: Make) -> None:
    """The generator's edited picture is no edit of a picture that it did not draw."""
    reals = Reals(torch.zeros(5, 3, 16, 16, dtype=torch.uint8), torch.randn(5, backbone.z_dim))
    edits = Edits(backbone, settings.StageSettings(edit_share=1.0, edit_directions="random"))
    batch = make_sampler(reals, edits=edits, data=settings.DataSettings(real_fraction=0.5)).draw()
    black = (batch.image == -1).all(dim=3).all(dim=2).all(dim=1)
    assert batch.edit is not None and 0 < int(black.sum()) < 8
    assert torch.equal(batch.edit[:8].flatten(1).any(dim=1), ~black)
