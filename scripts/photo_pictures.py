"""Makes the picture of docs/photo.md: draws a photo of three people, runs the page's commands on it, and
shows before and after side by side.

    python scripts/photo_pictures.py --out out/photo --picture docs/images/photo.png
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from ganinv.images import read_picture, sheet, write_png
from ganinv.portraits.crowd import Person, crowd

PEOPLE = [Person(1, 250, 150, 190, -14), Person(3, 230, 400, 180, 6), Person(6, 240, 640, 200, 18)]
COMMANDS = [
    "ganinv align group.jpg --list",
    "ganinv align group.jpg --face all --preset psp --out faces",
    "ganinv invert group.jpg --mask part:mouth --align --face all --paste-back --samples 4 --out filled",
    "ganinv edit group.jpg --align --face all --direction smile --strength 2 --paste-back --change-only "
    "--out edited",
]


def photo() -> np.ndarray:
    """uint8 (H, W, 3): three people who hold their heads in different ways."""
    return crowd((380, 790), PEOPLE, seed=41)[0]


def main() -> None:
    """Writes the photo, runs the commands and writes the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out/photo"))
    parser.add_argument("--picture", type=Path, default=Path("docs/images/photo.png"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo()).save(asked.out / "group.jpg", quality=95)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        words = [sys.executable, "-m", *shlex.split(command)]
        subprocess.run(words, cwd=asked.out, check=True)
    before = read_picture(asked.out / "group.jpg").pixels
    erased = before.copy()
    from ganinv.align.sidecar import Sidecar

    for face in Sidecar.load(asked.out / "filled/group.align.json").faces:
        if face.hole is not None:
            erased[face.hole] = 128
    crops = [read_picture(asked.out / f"faces/group-{index}.png").pixels for index in range(len(PEOPLE))]
    strip = np.concatenate(crops, axis=1)
    rows = [[before], [erased]]
    rows += [[read_picture(asked.out / f"filled/group-{index:02d}-photo.png").pixels] for index in (0, 1)]
    rows += [[read_picture(asked.out / "edited/group-00-edit-photo.png").pixels]]
    left = sheet(rows[:1] + rows[2:3])
    right = sheet(rows[1:2] + rows[4:5])
    whole = np.concatenate([left, right], axis=1)
    print(write_png(asked.out / "crops.png", strip))
    smaller = (whole.shape[1] * 3 // 5, whole.shape[0] * 3 // 5)
    print(
        write_png(asked.picture, np.asarray(Image.fromarray(whole).resize(smaller, Image.Resampling.LANCZOS)))
    )


if __name__ == "__main__":
    main()
