#!/usr/bin/env python
"""The pictures of README.md and docs/methods.md that need several commands: strips, references, refined
fillings, a morph.

scripts/demo
python scripts/method_pictures.py --demo out/demo --work out/pictures --out docs/images
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ganinv.images import read_picture, sheet, write_png
from ganinv.sizes import resize

SHOWN = 128  # side in pixels of a picture in a sheet
DIRECTIONS = ("age", "glasses", "yaw")
REFERENCES = ("000001", "000002", "000004")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=Path("out/demo"))
    parser.add_argument("--work", type=Path, default=Path("out/pictures"))
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    shutil.copy(asked.demo / "sheet.png", asked.out / "demo.png")
    strips(asked.demo / "completions/000000.inversion.safetensors", asked.work, asked.out)
    people = asked.work / "people"
    run("portraits", "--count", "6", "--size", "128", "--seed", "7", "--out", people)
    most = np.zeros((128, 128), np.uint8)
    most[:104] = 255
    Image.fromarray(most).save(asked.work / "most.png")
    references(people, asked.work, asked.out)
    refined(people, asked.work, asked.out)
    run(
        "invert",
        people / "000003.png",
        "--mask",
        asked.work / "most.png",
        "--samples",
        4,
        "--out",
        asked.work / "free",
    )
    ends = ("--from", 0, "--to", 2, "--steps", 7)
    run("morph", asked.work / "free/000003.inversion.safetensors", *ends, "--out", asked.work / "morph")
    steps = [asked.work / f"morph/000003-morph-{step:02d}.png" for step in range(7)]
    write_png(asked.out / "morph.png", rows([steps]))


def run(*arguments: object) -> None:
    """Runs a command of ganinv."""
    subprocess.run(
        [sys.executable, "-m", "ganinv", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )


def rows(paths: Sequence[Sequence[Path]]) -> np.ndarray:
    """Pictures on file, enlarged, in rows."""
    return sheet([[resize(read_picture(path).pixels, SHOWN) for path in row] for row in paths])


def strips(inversion: Path, work: Path, out: Path) -> None:
    """A completion of the demo along each direction, one under the other."""
    shown = []
    for name in DIRECTIONS:
        folder = work / f"strip-{name}"
        run("edit", inversion, "--direction", name, "--strip=-3:3:7", "--sample", 0, "--out", folder)
        shown.append(read_picture(folder / "000000-00-strip.png").pixels)
    whole = Image.fromarray(np.concatenate(shown))  # soft pictures bear 256 colours, in a third of the bytes
    whole.quantize(256, dither=Image.Dither.NONE).save(out / "strips.png", optimize=True)


def references(people: Path, work: Path, out: Path) -> None:
    """Each reference, its code everywhere, and three samples with it in the middle and fine layers."""
    shown = []
    for name in REFERENCES:
        whole, part = work / f"after-{name}", work / f"part-{name}"
        common = ("invert", people / "000003.png", "--mask", work / "most.png")
        common += ("--reference", people / f"{name}.png")
        run(*common, "--out", whole)
        run(*common, "--layers", "middle", "--layers", "fine", "--samples", 3, "--out", part)
        samples = [part / f"000003-{sample:02d}.png" for sample in range(3)]
        shown.append([people / f"{name}.png", whole / "000003-00.png", *samples])
    write_png(out / "reference.png", rows(shown))


def refined(people: Path, work: Path, out: Path) -> None:
    """Portraits, what shows of them, two fillings, and the same two refined."""
    common = ("invert", people, "--mask", "free-form:comodgan", "--seed", 3, "--samples", 2)
    run(*common, "--out", work / "plain")
    run(*common, "--refine", "optimize", "--out", work / "refined")
    shown = []
    for person in sorted(people.glob("*.png"))[:4]:
        name = person.stem
        samples = [work / which / f"{name}-{k:02d}.png" for which in ("plain", "refined") for k in range(2)]
        erased = work / "plain" / f"{name}-erased.png"
        seen = np.where(
            read_picture(work / "plain" / f"{name}-mask.png").pixels > 127, 128, read_picture(person).pixels
        )
        write_png(erased, seen.astype(np.uint8))
        shown.append([person, erased, *samples])
    write_png(out / "refined.png", rows(shown))


if __name__ == "__main__":
    main()
