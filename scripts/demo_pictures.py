"""The two pictures that scripts/demo makes itself: the mask it draws and the sheet it ends with."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ganinv.images import read_picture, sheet, write_png
from ganinv.sizes import resize

SIZE = 128
SHOWN = 160  # side in pixels of a picture in the sheet
SAMPLES = 6
NAME = "000000"


def draw_mask(path: Path) -> None:
    """Draw what a finger would: a thick stroke over mouth and chin, one up over an eye. White = erased."""
    large = 8 * SIZE  # drawn large and cut at half, for even edges at any size
    mask = Image.new("L", (large, large), 0)
    draw = ImageDraw.Draw(mask)
    strokes = [
        ([(0.24, 0.66), (0.50, 0.74), (0.78, 0.64)], 0.42),
        ([(0.80, 0.60), (0.74, 0.44), (0.84, 0.26)], 0.30),
    ]
    for points, width in strokes:
        corners = [(x * large, y * large) for x, y in points]
        draw.line(corners, fill=255, width=int(width * large), joint="curve")
        radius = width * large / 2
        for x, y in corners:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    small = mask.resize((SIZE, SIZE), Image.Resampling.BOX).point(lambda value: 255 if value > 127 else 0)
    small.save(path)


def write_sheet(folder: Path) -> None:
    """Two rows: the portrait and its completions; the erased portrait and the edits of the same samples."""
    done, edits = folder / "completions", folder / "edits"
    picture = read_picture(done / f"{NAME}-input.png").pixels
    hole = read_picture(done / f"{NAME}-mask.png").pixels > 127
    erased = np.where(hole, np.uint8(255), picture)
    completions = [read_picture(done / f"{NAME}-{i:02d}.png").pixels for i in range(SAMPLES)]
    edited = [read_picture(edits / f"{NAME}-{i:02d}-edit.png").pixels for i in range(SAMPLES)]
    rows = [[picture, *completions], [erased, *edited]]
    write_png(folder / "sheet.png", sheet([[resize(pixels, SHOWN) for pixels in row] for row in rows]))


def main(task: str, path: str) -> None:
    """Run one of the two tasks: `mask FILE` or `sheet FOLDER`."""
    {"mask": draw_mask, "sheet": write_sheet}[task](Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
