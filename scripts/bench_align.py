"""Measures alignment: how far dlib's landmarks are off on drawn portraits, and how many photos a second.

    python scripts/bench_align.py --count 200 --photos 96 --scenes 40 [--json FILE]

Points: of eyes, nose and mouth (27-67), mean distance in eye distances. Parts: the same for the middles of
both eyes, the nose and the mouth. Square: mean distance of its corners, in sides.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ganinv.align.faces import Detector, in_order
from ganinv.align.geometry import PRESETS, anchors, face_quad, side
from ganinv.plugins import registry
from ganinv.portraits.crowd import Person, crowd

PARTS = (slice(36, 42), slice(42, 48), slice(27, 36), slice(48, 68))
SIDE = 256  # of the portraits whose landmarks are compared


def errors(detector: Detector, count: int, angle: float) -> dict[str, float]:
    """Landmark errors over portraits that lean by `angle` degrees, either way."""
    points, parts, corners, missed = [], [], [], 0
    for index in range(count):
        lean = angle if index % 2 else -angle
        pixels, true = crowd((360, 360), [Person(index, SIDE, 180, 180, lean)], seed=77)
        found = in_order(detector.find(pixels))
        if not found:
            missed += 1
            continue
        got, unit = found[0].points, anchors(true[0]).eye_distance
        points.append(np.hypot(*(got - true[0])[27:].T).mean() / unit)
        parts.append(np.mean([np.hypot(*(got[p].mean(0) - true[0][p].mean(0))) for p in PARTS]) / unit)
        here, there = face_quad(true[0], PRESETS["psp"]), face_quad(got, PRESETS["psp"])
        corners.append(np.hypot(*(here - there).T).mean() / side(here))
    return {
        "angle": angle,
        "missed": missed / count,
        "points, median": float(np.median(points)),
        "points, 90th percentile": float(np.percentile(points, 90)),
        "points, share below 0.1": float((np.array(points) <= 0.1).mean()) * (1 - missed / count),
        "parts, median": float(np.median(parts)),
        "parts, 90th percentile": float(np.percentile(parts, 90)),
        "square, median": float(np.median(corners)),
        "square, 90th percentile": float(np.percentile(corners, 90)),
    }


def scenes(detector: Detector, count: int) -> dict[str, float]:
    """How often the largest of 1 to 5 people comes first, and how many of all people are found."""
    rng = np.random.default_rng(0)
    right, found_people, people_in_all, false = 0, 0, 0, 0
    for number in range(count):
        sides = np.sort(rng.uniform(80, 500, 1 + number % 5))[::-1]
        sides[0] = max(sides[0], 1.3 * sides[1]) if len(sides) > 1 else sides[0]
        people, x = [], 20.0
        for place, length in enumerate(sides):
            reach = 0.72 * length
            person = Person(10 * number + place, length, x + reach, reach + 20, rng.uniform(-40, 40))
            people.append(person)
            x += 2 * reach
        height = round(max(p.y for p in people) * 2 + 20)
        pixels, true = crowd((height, round(x + 20)), people, seed=number)
        quads = [face_quad(points, PRESETS["psp"]) for points in true]

        def owner(points: np.ndarray, quads: list[np.ndarray] = quads) -> int | None:
            middle = face_quad(points, PRESETS["psp"]).mean(0)
            near = [np.hypot(*(quad.mean(0) - middle)) / side(quad) for quad in quads]
            return int(np.argmin(near)) if min(near) < 0.2 else None

        first = in_order(detector.find(pixels))
        right += bool(first) and owner(first[0].points) == 0
        owners = [owner(face.points) for face in detector.find(pixels, thorough=True)]
        found_people += len({o for o in owners if o is not None})
        false += owners.count(None)
        people_in_all += len(people)
    return {
        "largest first": right / count,
        "people found": found_people / people_in_all,
        "false": float(false),
    }


def speed(photos: int, workers: int, folder: Path) -> float:
    """Photos a second of `ganinv align` from 1024 px JPEG files to the 256 px preset, start-up included."""
    source = folder / "photos"
    if not source.is_dir():
        source.mkdir()
        for index in range(12):
            pixels, _ = crowd((1024, 1024), [Person(index, 900, 512, 512, (index % 5 - 2) * 10)], seed=3)
            Image.fromarray(pixels).save(source / f"{index}.jpg", quality=92)
        for index in range(12, photos):
            shutil.copy(source / f"{index % 12}.jpg", source / f"{index}.jpg")
    out = folder / f"out-{workers}"
    command = [sys.executable, "-m", "ganinv", "align", str(source), "--preset", "psp", "--out", str(out)]
    start = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers)], check=True, capture_output=True)
    return photos / (time.perf_counter() - start)


def main() -> None:
    """Prints the figures, and writes them where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="portraits for each angle; 0 = not measured")
    parser.add_argument("--photos", type=int, default=96, help="for the speed; 0 = not measured")
    parser.add_argument("--scenes", type=int, default=40, help="of 1 to 5 people; 0 = not measured")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    detector: Detector = registry("aligners").get("dlib")()
    found: dict[str, object] = {}

    def tell(what: str, figures: object) -> None:
        found[what] = figures
        print(what, json.dumps(figures, indent=2), flush=True)

    if asked.photos:
        with tempfile.TemporaryDirectory() as folder:
            rates = {workers: speed(asked.photos, workers, Path(folder)) for workers in (1, 2)}
        tell("photos a second, by workers", rates)
    for angle in (0.0, 20.0, 40.0) if asked.count else ():
        tell(f"errors at {angle:g} degrees", errors(detector, asked.count, angle))
    if asked.scenes:
        tell("scenes", scenes(detector, asked.scenes))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
