"""The page's operations without the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganinv import images
from ganinv.api import Inversion, load_method, open_picture
from ganinv.app import downloads
from ganinv.app.examples import examples
from ganinv.app.limits import Deadline, Limits
from ganinv.app.studio import FillSettings, Studio
from ganinv.app.work import Work
from ganinv.errors import CheckpointError, InputError, UnknownNameError, UsageError
from ganinv.portraits.crowd import Person, crowd


def erased(studio: Studio, portrait: Path) -> Work:
    hole = np.zeros((128, 128), bool)
    hole[60:100, 30:100] = True
    return studio.open(portrait).erased(hole)


def filled(studio: Studio, portrait: Path, count: int = 3, **settings: object) -> Work:
    *_, work = studio.fill(erased(studio, portrait), FillSettings(count, **settings))  # type: ignore[arg-type]
    return work


def test_fillings_keep_known_pixels_and_differ(studio: Studio, portrait: Path) -> None:
    work = filled(studio, portrait)
    known, original = ~work.crop_hole, np.asarray(Image.open(portrait))
    assert len(work.fillings) == 3
    for filling in work.fillings:
        assert np.array_equal(filling.shown[known], original[known])
    first, second, third = (filling.shown[work.crop_hole].astype(int) for filling in work.fillings)
    assert min(abs(first - second).max(), abs(second - third).max()) > 3


def test_fillings_are_those_of_the_command_line(studio: Studio, portrait: Path, tmp_path: Path) -> None:
    work = filled(studio, portrait, count=3, seed=5, truncation=0.8)
    path = downloads.write(studio, work, "mask", tmp_path)
    opened = open_picture(portrait, 128, mask=path)
    method = load_method("diverse-inpaint")
    expected = method.invert(opened.image, opened.hole, samples=3, seed=5, truncation=0.8)
    drawn = images.to_uint8(method.render(expected.for_holes())[0])
    for index, filling in enumerate(work.fillings):
        assert filling.inversion.seeds == expected.seeds[index : index + 1]
        assert abs(filling.drawn.astype(int) - drawn[index].astype(int)).max() <= 1


def test_more_goes_on_where_the_first_ended(studio: Studio, portrait: Path) -> None:
    *_, work = studio.fill(filled(studio, portrait, count=3), FillSettings(2))
    whole = filled(studio, portrait, count=5)
    assert [f.label for f in work.fillings] == [f"0:{index}" for index in range(5)]
    for one, other in zip(work.fillings, whole.fillings, strict=True):
        assert abs(one.drawn.astype(int) - other.drawn.astype(int)).max() <= 1


def test_no_diversity_makes_all_alike(studio: Studio, portrait: Path) -> None:
    first, second = filled(studio, portrait, count=2, diversity=0.0).fillings
    assert abs(first.drawn.astype(int) - second.drawn.astype(int)).max() <= 1


def test_a_reference_decides_in_its_layers(studio: Studio, portrait: Path) -> None:
    other = examples(studio.backbone)[1].picture.pixels
    plain, guided = filled(studio, portrait), filled(studio, portrait, reference=other, layers=("fine",))
    alike = filled(studio, portrait, reference=other)
    assert not np.array_equal(plain.fillings[0].drawn, guided.fillings[0].drawn)
    assert abs(alike.fillings[0].drawn.astype(int) - alike.fillings[1].drawn.astype(int)).max() <= 1
    assert guided.fillings[0].inversion.options["layers"] == "fine"


def test_edits_move_the_kept_filling_and_go_back(studio: Studio, portrait: Path) -> None:
    work = studio.keep(filled(studio, portrait), 1)
    older = studio.edit(work, {"age": 2.0, "smile": 0.0})
    assert older.edits == {"age": 2.0} and not np.array_equal(studio.result(older), studio.result(work))
    only = studio.edit(work, {"age": 2.0}, keep_known=True)
    known = ~work.crop_hole
    assert np.array_equal(studio.result(only)[known], work.crop[known])
    assert not np.array_equal(studio.result(only), studio.result(work))
    assert np.array_equal(studio.result(studio.edit(older, {"age": 0.0})), studio.result(work))


def test_inversion_is_opened_again_as_it_stood(studio: Studio, portrait: Path, tmp_path: Path) -> None:
    work = studio.edit(studio.keep(filled(studio, portrait), 2), {"age": 1.0}, keep_known=True)
    path = downloads.write(studio, work, "inversion", tmp_path)
    again = studio.reopen(path)
    assert np.array_equal(again.crop, work.crop) and np.array_equal(again.crop_hole, work.crop_hole)
    assert again.kept == 0
    assert abs(studio.result(again).astype(int) - studio.result(work).astype(int)).max() <= 1


def test_photo_changes_in_the_hole_only(studio: Studio, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="needs the extra `align`")
    pixels, _ = crowd((420, 620), [Person(3, 330, 180, 210), Person(8, 260, 470, 210, 10)])
    path = tmp_path / "two.png"
    Image.fromarray(pixels).save(path)
    work = studio.open(path)
    assert [frame.label for frame in work.frames] == ["face 1", "face 2", "middle of the picture"]
    work = studio.choose(work, 1)
    assert studio.clicks(work)[0] == "eyes"
    work = work.erased(studio.shape_hole(work, "eyes", 256))
    *_, work = studio.fill(work, FillSettings(1))
    photo = studio.photo(studio.keep(work, 0))
    changed = (photo.colours != pixels).any(axis=2)
    assert changed.any() and not changed[~work.hole].any()
    rows, columns = np.nonzero(work.hole)
    assert abs(columns.mean() - 470) < 40 and rows.mean() < 260  # the eyes of the second person


def test_scripts_choose_the_face(studio: Studio, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="needs the extra `align`")
    from ganinv.app.endpoints import Endpoints

    pixels, _ = crowd((420, 620), [Person(3, 330, 180, 210), Person(8, 260, 470, 210, 10)])
    hole = np.zeros((420, 620), np.uint8)
    hole[180:260, 130:230] = hole[180:260, 420:520] = 255  # a part of each
    picture, mask = str(tmp_path / "two.png"), str(tmp_path / "mask.png")
    Image.fromarray(pixels).save(picture)
    Image.fromarray(hole).save(mask)
    for face, (left, right) in ((0, (130, 230)), (1, (420, 520))):
        _, (photo,), _ = Endpoints(studio, tmp_path).fill(picture, mask, 1, 0, 1.0, 1.0, None, "", face)
        changed = (np.asarray(Image.open(photo)) != pixels).any(axis=(0, 2)).nonzero()[0]
        assert left - 4 < changed.min() and changed.max() < right + 4 and len(changed) > 50


def test_sixteen_bits_and_transparency_are_kept(studio: Studio, portrait: Path, tmp_path: Path) -> None:
    deep = np.asarray(Image.open(portrait)).astype(np.uint16) * 257 + 3
    alpha = np.full((128, 128), 40, np.uint8)
    pixels = (deep // 257).astype(np.uint8)
    work = studio.begin(images.Picture(pixels, alpha, original=deep), "deep")
    work = work.erased(studio.shape_hole(work, "half-left", 128))
    *_, work = studio.fill(work, FillSettings(1))
    photo = studio.photo(studio.keep(work, 0))
    assert photo.colours.dtype == np.uint16 and photo.alpha is not None
    assert np.array_equal(photo.colours[:, 64:], deep[:, 64:]) and (photo.alpha[:, 64:] == 40).all()
    assert abs(photo.colours[:, :64] / 257 - work.fillings[0].shown[:, :64]).max() < 1
    assert (photo.alpha[:, :64] == 255).all()


def test_half_shapes_need_no_face(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((90, 120, 3), 120, np.uint8)).save(path)
    work = studio.open(path)
    assert [frame.label for frame in work.frames] == ["middle of the picture"]
    assert "eyes" not in studio.clicks(work)
    assert studio.shape_hole(work, "half-left", 100)[:, :50].all()
    with pytest.raises(InputError, match="no face was found here, so its eyes cannot be erased"):
        studio.shape_hole(work, "eyes", 100)
    with pytest.raises(UnknownNameError, match="unknown shape 'ears'"):
        studio.shape_hole(work, "ears", 100)


def test_what_cannot_be_done_is_told(studio: Studio, portrait: Path) -> None:
    opened = studio.open(portrait)
    with pytest.raises(InputError, match="nothing is erased yet"):
        list(studio.fill(opened, FillSettings(2)))
    with pytest.raises(UsageError, match="9 fillings were asked for; ask for 1 to 8"):
        list(studio.fill(erased(studio, portrait), FillSettings(9)))
    work = filled(studio, portrait, count=8)
    *_, work = studio.fill(work, FillSettings(8))
    with pytest.raises(UsageError, match="this would make 17 fillings and 16 are kept; clear them first"):
        list(studio.fill(work, FillSettings(1)))
    with pytest.raises(UsageError, match="no filling 16"):
        studio.keep(work, 16)
    with pytest.raises(UsageError, match="pick a filling first"):
        studio.edit(work, {"age": 1.0})
    kept = studio.keep(work, 0)
    with pytest.raises(UnknownNameError, match="unknown direction 'agee'; did you mean 'age'"):
        studio.edit(kept, {"agee": 1.0})
    with pytest.raises(UsageError, match="age 11: strengths go from -10"):
        studio.edit(kept, {"age": 11.0})
    with pytest.raises(UsageError, match="age nan"):
        studio.edit(kept, {"age": float("nan")})
    with pytest.raises(UsageError, match="truncation and diversity go from 0 to 1"):
        FillSettings(truncation=1.5)
    with pytest.raises(UnknownNameError, match="unknown layer group 'top'"):
        FillSettings(layers=("top",))
    with pytest.raises(UsageError, match="seed -1 is not possible"):
        FillSettings(seed=-1)
    with pytest.raises(UsageError, match=r"no face 7 in this picture; possible: 0 \(middle of the picture\)"):
        studio.choose(opened, 7)


def test_limits_hold(studio: Studio, portrait: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("L", (2000, 1500)).save(large)
    with pytest.raises(InputError, match="3 megapixels; this page takes up to 2"):
        studio.open(large)
    with pytest.raises(UsageError, match="longer than the 0 seconds of a request"):
        Deadline(0).check()
    slow = Studio(studio.method, replace(Limits(), seconds=0.0), stored=False)
    with pytest.raises(UsageError, match="longer than the 0 seconds"):
        list(slow.fill(erased(studio, portrait), FillSettings(4)))


def test_slow_methods_work_and_are_stopped_on_time(studio: Studio, portrait: Path) -> None:
    slow = load_method("optimize", backbone=studio.backbone, steps=4)
    patient = Studio(slow, replace(Limits(), samples=4), stored=False)
    *_, work = patient.fill(erased(patient, portrait), FillSettings(3))
    assert [filling.label for filling in work.fillings] == ["0:0", "0:1", "0:2"]
    slow = load_method("optimize", backbone=studio.backbone, steps=100_000)
    hasty = Studio(slow, replace(Limits(), seconds=1.0), stored=False)
    with pytest.raises(UsageError, match="longer than the 1 seconds of a request and was stopped"):
        list(hasty.fill(erased(hasty, portrait), FillSettings(1)))


def test_a_refined_filling_stands_beside_the_kept_one(studio: Studio, portrait: Path, tmp_path: Path) -> None:
    work = studio.edit(studio.keep(filled(studio, portrait, count=2), 1), {"age": 1.0})
    refined = studio.refine(work)
    assert [filling.label for filling in refined.fillings] == ["0:0", "0:1", "0:1 refined"]
    assert refined.fillings[:2] == work.fillings and refined.kept == 2
    assert not refined.edits and refined.edited is None
    known, made = ~work.crop_hole, refined.chosen()
    assert np.array_equal(made.shown[known], work.crop[known])
    saved = studio.inversion(refined)
    assert saved.method["name"] == "optimize" and saved.method["embedder"]["name"] == "diverse-inpaint"
    apart = [
        np.abs(images.to_uint8(studio.method.render(one.inversion)[0])[0] - work.crop.astype(float))[known]
        for one in refined.fillings[1:]
    ]
    assert apart[1].mean() < apart[0].mean()  # it shows what is known better than before
    studio.joined(refined).save(tmp_path / "all.inversion.safetensors")
    assert len(studio.reopen(tmp_path / "all.inversion.safetensors").fillings) == 3


def test_refining_is_limited(studio: Studio, portrait: Path) -> None:
    work = filled(studio, portrait, count=2)
    with pytest.raises(UsageError, match="pick a filling first"):
        studio.refine(work)
    few = Studio(studio.method, replace(Limits(), kept=2), stored=False)
    with pytest.raises(UsageError, match="this would make 3 fillings and 2 are kept; clear them first"):
        few.refine(few.keep(work, 0))
    hasty = Studio(studio.method, replace(Limits(), seconds=0.0), stored=False)
    with pytest.raises(UsageError, match="longer than the 0 seconds of a request and was stopped"):
        hasty.refine(hasty.keep(work, 0))


def test_scripts_refine_one_of_as_many_as_are_kept(studio: Studio, portrait: Path, tmp_path: Path) -> None:
    one = filled(studio, portrait, count=2).fillings[0].inversion
    path = tmp_path / "all.inversion.safetensors"
    Inversion.of_samples([one] * studio.limits.kept).save(path)
    endpoints = pytest.importorskip("ganinv.app.endpoints", reason="needs the extra `app`")
    _, refined = endpoints.Endpoints(studio, tmp_path).refine(str(path), studio.limits.kept - 1)
    assert Inversion.load(refined).samples == 1


def test_what_is_no_inversion_is_told(studio: Studio, portrait: Path) -> None:
    with pytest.raises(CheckpointError, match=r"portrait\.png"):
        studio.reopen(portrait)


def test_joined_inversion_holds_all(studio: Studio, portrait: Path, tmp_path: Path) -> None:
    work = filled(studio, portrait, count=3)
    studio.joined(work).save(tmp_path / "all.inversion.safetensors")
    again = Inversion.load(tmp_path / "all.inversion.safetensors")
    assert again.samples == 3 and again.seeds == tuple(f.inversion.seeds[0] for f in work.fillings)
    assert len(studio.reopen(tmp_path / "all.inversion.safetensors").fillings) == 3


def test_an_edited_inversion_goes_on_beside_new_fillings(
    studio: Studio, portrait: Path, tmp_path: Path
) -> None:
    work = studio.edit(studio.keep(filled(studio, portrait, count=2), 1), {"yaw": 2.0})
    studio.inversion(work).save(tmp_path / "edited.inversion.safetensors")
    again = studio.reopen(tmp_path / "edited.inversion.safetensors")
    *_, again = studio.fill(again, FillSettings(1))
    found = studio.joined(again)
    assert found.samples == 2 and found.unedited is not None
    before = studio.joined(work)
    assert torch.equal(found.unedited.ws[:, 0], before.ws[:, 1])
    assert torch.equal(found.unedited.ws[:, 1], found.ws[:, 1])
    # turned back, it is what it was before
    back = studio.edit(studio.keep(again, 0), {"yaw": -2.0})
    pixels = studio.method.render(before.sample(1))[0].clamp(-1, 1)
    shown = torch.from_numpy(studio.result(back).copy()).permute(2, 0, 1) / 127.5 - 1
    assert (shown - pixels[0]).abs().max() < 0.03
