"""An evaluation from end to end on tiny generators: what it measures, writes, resumes and refuses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganinv.api import EvaluationSettings, evaluate, load_completer, to_uint8, write_png
from ganinv.errors import InputError, UnknownNameError, UsageError
from ganinv.evaluation import parts
from ganinv.evaluation.completers import Completion, build_mean_colour, generator_pictures
from ganinv.evaluation.pictures import HoleSet, Portraits, as_tensors, open_pictures
from ganinv.evaluation.summary import FIGURES
from ganinv.evaluation.tables import comparison
from ganinv.masks import named_hole
from ganinv.metrics.pixels import visible_psnr
from ganinv.sampling import sample_seed

TIMED = ("seconds",)


def settings(**changes: Any) -> EvaluationSettings:
    return EvaluationSettings(**{"count": 24, "samples": 2, "replicates": 20, **changes})


class Truth:
    """Knows the answers: what it is shown in the hole is what it was not supposed to see."""

    name, content = "truth", None

    def __init__(self) -> None:
        self.calls = 0

    def complete(
        self, image: Tensor, hole: Tensor, *, samples: int, seed: int, truncation: float
    ) -> Completion:
        self.calls += 1
        return Completion(image.repeat(samples, 1, 1, 1))

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name}


def test_the_truth_is_perfect_and_alike(fake_backbone: Any, tmp_path: Path) -> None:
    report = evaluate(Truth(), settings(), tmp_path, backbone=fake_backbone)
    value = {name: figure["value"] for name, figure in report["figures"].items()}
    assert value["psnr"] > 100 and value["ssim"] == pytest.approx(1, abs=1e-5) and value["l1"] == 0
    assert value["jump"] == pytest.approx(1) and value["detail"] == pytest.approx(1)
    assert value["identity"] == pytest.approx(1, abs=1e-5)
    for name in ("perceptual_hole", "perceptual_whole", "diversity_hole", "diversity_colour", "agreement"):
        assert value[name] == pytest.approx(0, abs=1e-6), name
    assert value["kid_raw"] == pytest.approx(value["kid_truth"], abs=1e-6)
    assert value["fid_composite"] == pytest.approx(value["fid_truth"], rel=1e-4)
    assert report["exact"] and value["u_ids"] == 0.5  # what is alike is taken for real or not, both times
    correlations = [f["correlation"]["value"] for f in report["attributes"].values()]
    assert [v for v in correlations if v is not None] == pytest.approx([1] * len(correlations), abs=1e-3)


def test_figures_of_a_method_are_those_of_its_pictures(fake_method: Any, tmp_path: Path) -> None:
    asked = settings(masks=("half-left", "mat"), seed=3)
    report = evaluate(fake_method, asked, tmp_path)
    pictures, psnr = Portraits(asked.series or 0, 24, 8), []
    for i in range(24):
        hole = named_hole(("half-left", "free-form:mat")[i % 2], 8, sample_seed(3, i))
        truth, erased = as_tensors(pictures.picture(i), hole)
        found = fake_method.invert(truth, erased, samples=2, seed=sample_seed(3, i))
        raw = torch.from_numpy(to_uint8(fake_method.render(found)[0])).permute(0, 3, 1, 2) / 127.5 - 1
        psnr.append(
            visible_psnr(raw, truth.expand(2, -1, -1, -1), erased.expand(2, -1, -1, -1)).mean().item()
        )
    assert report["figures"]["psnr"]["value"] == pytest.approx(np.mean(psnr), rel=1e-4)
    assert report["by_family"]["mat"]["psnr"]["value"] == pytest.approx(np.mean(psnr[1::2]), rel=1e-4)
    assert report["by_family"]["half-left"]["psnr"]["count"] == 12
    assert sum(f["psnr"]["count"] for f in report["by_hole_size"].values()) == 24
    assert report["figures"]["diversity_hole"]["low"] > 0 and report["exact"]
    assert set(report["figures"]) <= set(FIGURES)


def test_what_is_written(fake_method: Any, tmp_path: Path) -> None:
    asked = settings(calibrate=("glasses",), calibration_count=6, calibration_samples=3)
    report = evaluate(fake_method, asked, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    text, page = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    for name in report["figures"]:
        assert FIGURES[name].title in text and FIGURES[name].title in page
    assert "<table>" in page and page.count("data:image/png;base64,") == 6 and 'src="plots' not in page
    assert sorted(p.name for p in (tmp_path / "sheets").iterdir()) == [
        "calibration-glasses.png",
        "comodgan.png",
    ]
    found = report["calibration"]["glasses"]
    assert len(found["expected"]) == 2 and sum(found["found"]) == pytest.approx(1) and found["pictures"] == 6
    card = report["card"]
    assert card["protocol"]["features"]["name"] == "judge" and card["protocol"]["masks"] == ["comodgan"]
    holes = b"".join(
        hashlib.sha256(np.packbits(named_hole("free-form:comodgan", 8, sample_seed(0, i))).tobytes()).digest()
        for i in range(24)
    )
    assert card["protocol"]["mask_sha256"] == hashlib.sha256(holes).hexdigest()


def test_a_stopped_run_goes_on_and_says_the_same(
    fake_backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_STRETCH", 5)
    whole = evaluate(Truth(), settings(), tmp_path / "whole", backbone=fake_backbone)

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("pictures", 15):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(Truth(), settings(), tmp_path / "cut", backbone=fake_backbone, progress=stop)
    truth = Truth()
    again = evaluate(truth, settings(), tmp_path / "cut", backbone=fake_backbone)
    assert truth.calls == 1 + 9 + 6  # to warm up, what was left, the sheet
    for report in (whole, again):
        for name in TIMED:
            report["figures"].pop(name)
        report.pop("memory")
    assert again == whole
    with pytest.raises(UsageError, match="holds measurements of other settings, weights or versions: choose"):
        evaluate(Truth(), settings(seed=1), tmp_path / "cut", backbone=fake_backbone)
    other = evaluate(Truth(), settings(seed=1), tmp_path / "cut", backbone=fake_backbone, fresh=True)
    assert other["card"]["protocol"]["mask_sha256"] != whole["card"]["protocol"]["mask_sha256"]


def test_rows_compare_only_on_one_protocol(fake_backbone: Any, tmp_path: Path) -> None:
    first, second = (
        evaluate(
            load_completer(name, backbone=fake_backbone), settings(), tmp_path / name, backbone=fake_backbone
        )
        for name in ("mean-colour", "diffusion")
    )
    lines = comparison({"mean": first, "diffusion": second}, keys=("psnr", "jump"))
    assert lines[0].split() == ["|", "figure", "|", "mean", "|", "diffusion", "|"] and len(lines) == 4
    assert lines[2].startswith("| PSNR of raw visible pixels, dB | 10") and "colour jump" in lines[3]
    diffusion = load_completer("diffusion", backbone=fake_backbone)
    other = evaluate(diffusion, settings(seed=2), tmp_path / "other", backbone=fake_backbone)
    with pytest.raises(
        UsageError, match=r"mean and other do not compare: they differ in .*mask_sha256.* seed"
    ):
        comparison({"mean": first, "other": other})


def test_a_folder_is_its_own_reference(fake_backbone: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(12):
        write_png(tmp_path / "data" / f"{i}.png", rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    asked = settings(data=str(tmp_path / "data"))
    report = evaluate(build_mean_colour(fake_backbone), asked, tmp_path / "out", backbone=fake_backbone)
    assert report["card"]["protocol"]["count"] == 12 and "attributes" not in report
    assert "kid_truth" not in report["figures"] and report["figures"]["psnr"]["value"] > 100
    with pytest.raises(UsageError, match=r"one picture \(1 of 12 pictures of a folder.*give 2 or more"):
        evaluate(
            build_mean_colour(fake_backbone), replace(asked, count=1), tmp_path / "o", backbone=fake_backbone
        )
    with pytest.raises(InputError, match="holds no pictures"):
        (tmp_path / "empty").mkdir()
        open_pictures(settings(data=str(tmp_path / "empty")), 8, None)
    with pytest.raises(
        InputError, match=r"absent is no folder; give one with pictures, or type --data portraits"
    ):
        open_pictures(settings(data=str(tmp_path / "absent")), 8, None)


def test_fillers(fake_backbone: Any) -> None:
    picture = np.full((8, 8, 3), 90, np.uint8)
    picture[:, :4] = 255  # in the hole: must not show
    hole = np.zeros((8, 8), bool)
    hole[:, :4] = True
    for name in ("mean-colour", "diffusion"):
        truth, erased = as_tensors(picture, hole)
        filler = load_completer(name, backbone=fake_backbone)
        done = filler.complete(truth, erased, samples=2, seed=0, truncation=1.0)
        assert (to_uint8(done.raw) == 90).all() and done.inversion is None
    everything = build_mean_colour(fake_backbone).fill(picture, np.ones((8, 8), bool))
    assert (everything == 128).all()


def test_samples_of_the_generator_depend_on_their_number_only(fake_backbone: Any) -> None:
    whole, part = (
        generator_pictures(fake_backbone, 3, range(6)),
        generator_pictures(fake_backbone, 3, range(4, 6)),
    )
    torch.testing.assert_close(whole[4:], part, rtol=0, atol=1e-5)
    assert (whole[0] - whole[1]).abs().max() > 0.1


def test_holes_are_a_function_of_seed_and_number() -> None:
    holes = HoleSet(("comodgan", "half-top"), 5, 32)
    assert np.array_equal(holes.hole(4), HoleSet(("comodgan", "centre"), 5, 32).hole(4))
    assert not np.array_equal(holes.hole(4), HoleSet(("comodgan",), 6, 32).hole(4))
    assert holes.family(3) == 1 and holes.hole(3)[:16].all() and not holes.hole(3)[16:].any()
    middle = HoleSet(("half-left",), 0, 32, content=(16, 32)).hole(0)
    assert middle[8:24, :16].all() and middle.sum() == 16 * 16


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"count": 0}, UsageError, "count = 0 is not possible"),
        ({"masks": ("comodgam",)}, UnknownNameError, "unknown mask 'comodgam'; did you mean 'comodgan'"),
        ({"masks": ()}, UsageError, "no masks were named"),
        ({"truncation": 2.0}, UsageError, "truncation 2.0 is not possible"),
        ({"calibrate": ("hat",)}, UnknownNameError, "unknown attribute 'hat'"),
        (
            {"calibrate": ("age",), "data": "photos"},
            UsageError,
            "photos holds pictures: type --data portraits",
        ),
        ({"data": "portraits:x", "calibrate": ("age",)}, UsageError, "a series is a whole number"),
        ({"calibration_samples": 1}, UsageError, "give 2 or more"),
    ],
)
def test_settings_that_are_refused(changes: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        settings(**changes)
