"""Measures the memory and time of `ganinv paste` where one face fills a large photo.

    python scripts/bench_paste.py --megapixels 80 [--crop 1024] [--case uint8,feather,whole] [--json FILE]

Each case is a process of its own, from the photo's file to the written PNG; told is its peak resident memory.
Cases: 8 or 16 bits; feather or seamless; the whole square changed, or a hole of about a third of it filled.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ganinv.align.faces import Face
from ganinv.align.geometry import PRESETS, face_quad
from ganinv.align.paste import BLENDS
from ganinv.align.sidecar import FaceRecord, Sidecar, photo_digest

LEAN = 12.0  # degrees
FACE = np.array([[-0.5, -0.4], [0.5, -0.4], [0, 0.2], [-0.35, 0.7], [0.35, 0.7]])


def make(folder: Path, side: int, deep: bool, hole: bool, crop: int) -> None:
    """A photo of smooth colours and grain with one face, its sidecar, and a changed crop."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(60, 190, (6, 6, 3)).astype(np.float32)
    levels = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    for start in range(0, side, 512):
        levels[start : start + 512] += rng.normal(0, 3, (min(512, side - start), 1, 3)).astype(np.float32)
    photo = folder / ("photo.png" if deep else "photo.jpg")
    top = 257 if deep else 1
    cv2.imwrite(str(photo), (levels.clip(0, 255) * top).astype(np.uint16 if deep else np.uint8))
    del levels
    preset = PRESETS["ffhq"].at(crop)
    angle = np.radians(LEAN)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = FACE @ turn * side / 4 + side / 2
    where: npt.NDArray[np.bool_] | None = None
    if hole:
        canvas = np.zeros((side, side), np.uint8)
        cv2.circle(canvas, (side // 2, side // 2), side // 3, 1, -1)
        where = canvas > 0
    face = Face(points, (0.0, 0.0, float(side), float(side)), None, "eyes-nose-mouth-5")
    record = FaceRecord(0, face, face_quad(points, preset), "photo-crop.png", where)
    shape, about = (side, side), {"name": "points", "model": None}
    Sidecar(photo, photo_digest(photo), shape, preset, about, "disc" if hole else None, (record,)).save(
        folder / "photo.align.json"
    )
    changed = rng.uniform(60, 190, (5, 5, 3)).astype(np.float32)
    changed = cv2.resize(changed, (crop, crop), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "photo-crop-00.png"), changed.clip(0, 255).astype(np.uint8))


def paste(folder: Path, blend: str) -> tuple[float, float]:
    """Runs the command; its peak memory in GB and its seconds."""
    command = [sys.executable, "-m", "ganinv", "paste", str(folder / "photo-crop-00.png"), "--blend", blend]
    command += ["--sidecar", str(folder / "photo.align.json"), "--out", str(folder / "out")]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss * 1024 / 1e9, time.monotonic() - start


def main() -> None:
    """Prints a line for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, default=80)
    parser.add_argument("--crop", type=int, default=1024)
    parser.add_argument("--case", action="append", help="Only this one, like uint16,seamless,hole.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    side = int(np.sqrt(options.megapixels * 1e6))
    told = []
    for case in itertools.product(("uint8", "uint16"), BLENDS, ("whole", "hole")):
        if options.case and ",".join(case) not in options.case:
            continue
        depth, blend, part = case
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), side, depth == "uint16", part == "hole", options.crop)
            memory, seconds = paste(Path(folder), blend)
        told.append({"case": case, "gigabytes": memory, "seconds": seconds})
        print(f"{depth:6} {blend:8} {part:5} {memory:5.2f} GB {seconds:6.1f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
