"""A tiny method, a backbone, directions and pictures, so that the commands run in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click.testing
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganinv import plugins
from ganinv.backbones.base import Backbone
from ganinv.cli.main import main
from ganinv.editing.edits import Direction
from ganinv.inversion import Inversion, backbone_record, run_versions
from ganinv.method import InversionMethod
from ganinv.sampling import sample_seeds, sample_z

SIZE = 16
FACE = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.35, 1.1], [0.35, 1.1]])


class RandomCodes(InversionMethod):
    """Codes that depend on the seed only: enough to try what surrounds a method."""

    name = "random-codes"
    version = "1"
    diverse = True

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    def invert(
        self,
        images: Tensor,
        holes: Tensor | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> Inversion:
        """One random code for each sample, the same for every picture."""
        hole = self.check_inputs(images, holes, samples)
        ws = self.backbone.map(sample_z(seed, samples, self.backbone.z_dim), truncation=truncation)
        working = ((images + 1) * 127.5).round().to(torch.uint8)
        return Inversion(
            ws=ws[None].repeat(len(images), 1, 1, 1).contiguous(),
            seeds=sample_seeds(seed, samples),
            working=working,
            hole=hole.to(torch.uint8),
            backbone=backbone_record(self.backbone),
            method={"name": self.name, "version": self.version, "sha256": None},
            options={"truncation": truncation},
            versions=run_versions(),
        )


class Bench(NamedTuple):
    """A folder to work in, the arguments that name the tiny method and backbone, and a runner.

    run: runs `ganinv ARGUMENTS`; the result has exit_code, stdout, stderr.
    """

    folder: Path
    tiny: tuple[str, ...]
    backbone: Path
    run: Callable[..., click.testing.Result]

    def picture(self, name: str, size: tuple[int, int] = (SIZE, SIZE), mode: str = "RGB") -> Path:
        """Writes a picture of seeded noise (width, height) and returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(name))
        channels = {"RGB": 3, "RGBA": 4}[mode]
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8), mode).save(path)
        return path

    def mask(self, name: str, values: Any, size: tuple[int, int] = (SIZE, SIZE)) -> Path:
        """Writes a mask of one value, or of an array, and returns its path."""
        path = self.folder / name
        pixels = np.broadcast_to(np.asarray(values, np.uint8), size[::-1])
        Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        return path

    def photo(self, name: str | Path, size: tuple[int, int] = (160, 120), **options: Any) -> Path:
        """Writes a picture of smooth colours (width, height), saved with the options; returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(path.name))
        coarse = Image.fromarray(rng.integers(60, 200, (6, 8, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, **options)
        return path

    @staticmethod
    def five(size: float, x: float, y: float, angle: float = 0.0) -> list[list[float]]:
        """Five points of a face: eye distance, middle of the eyes, degrees."""
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        found: list[list[float]] = (FACE * size @ np.array([[c, s], [-s, c]]) + [x, y]).tolist()
        return found

    def invert(self, *arguments: object) -> click.testing.Result:
        """`ganinv invert` with the tiny method and backbone, into the folder `out`."""
        return self.run("invert", *arguments, *self.tiny, "--out", self.folder / "out")

    @staticmethod
    def printed(result: click.testing.Result) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    @staticmethod
    def pixels(path: Path) -> np.ndarray:
        """A picture file as uint8 (H, W, 3) or (H, W)."""
        with Image.open(path) as image:
            return np.asarray(image)

    def edit(self, *arguments: object) -> click.testing.Result:
        """`ganinv edit` with the tiny backbone, into the folder `edits`."""
        return self.run("edit", *arguments, "--backbone", self.backbone, "--out", self.folder / "edits")

    def align(self, *arguments: object) -> click.testing.Result:
        """`ganinv align` by the points in points.json, to crops of 32 px."""
        return self.run("align", *arguments, "--points", "points.json", "--preset", "psp", "--size", 32)

    @staticmethod
    def refused(result: click.testing.Result, code: int, *texts: str) -> None:
        """Asserts that a command ended with the exit code and one line that holds the texts."""
        assert result.exit_code == code, result.output
        error = result.stderr.splitlines()[-1]
        assert error.startswith("Error: ")
        for text in texts:
            assert text in error


@pytest.fixture
def bench(tmp_path: Path, tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The workbench; two directions, "age" and "smile", belong to the tiny backbone."""
    plugins.registry.cache_clear()
    plugins.registry("methods").register("random-codes", RandomCodes, origin="tests")
    generator = torch.Generator().manual_seed(1)
    known = []
    for name in ("age", "smile"):
        vector = torch.randn(1, tiny_backbone.backbone.w_dim, generator=generator)
        known.append(Direction(name, vector / vector.norm(), unit=2.0))
    plugins.registry("directions").register("tiny", lambda: known, origin="tests")
    monkeypatch.chdir(tmp_path)
    runner = click.testing.CliRunner()

    def run(*arguments: object) -> click.testing.Result:
        return runner.invoke(main, [str(argument) for argument in arguments], prog_name="ganinv")

    tiny = ("--method", "random-codes", "--backbone", str(tiny_backbone.path), "--device", "cpu")
    yield Bench(tmp_path, tiny, tiny_backbone.path, run)
    plugins.registry.cache_clear()


@pytest.fixture
def two(bench: Bench) -> Bench:
    """me.png, a photo of two faces, and their points."""
    bench.photo("me.png")
    points = [bench.five(12, 50, 45, 15), bench.five(16, 110, 60, -20)]
    (bench.folder / "points.json").write_text(json.dumps({"me.png": points}))
    return bench
