#!/usr/bin/env python
"""The pictures of docs/page.md: the page in use, in a real browser, wide and narrow.

ganinv app --no-browser &
python scripts/page_pictures.py [--address http://127.0.0.1:7860] [--out docs/images]
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
VIEWS = {
    "page.png": (1280, 800, "light"),
    "page-narrow.png": (390, 844, "light"),
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", default="http://127.0.0.1:7860")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, (width, height, scheme) in VIEWS.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.goto(asked.address)
            use(page)
            taken = Image.open(io.BytesIO(page.screenshot(full_page=width < 500))).convert("RGB")
            taken.quantize(256, dither=Image.Dither.NONE).save(asked.out / name, optimize=True)
            context.close()
        browser.close()


def use(page: Any) -> None:
    """Takes an example, erases its mouth and chin by hand, fills, picks one and moves a slider."""
    page.wait_for_selector("#eraser canvas")
    page.click("#examples .thumbnail-item >> nth=1")
    page.wait_for_selector("#eraser .hint", state="hidden")
    page.wait_for_timeout(700)
    page.click("#click-lower-face")
    page.wait_for_timeout(700)
    canvas = page.locator("#eraser canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.62 * box["height"])
    page.mouse.down()
    for step in range(20):
        page.mouse.move(
            box["x"] + (0.3 + 0.02 * step) * box["width"], box["y"] + (0.62 + 0.004 * step) * box["height"]
        )
    page.mouse.up()
    page.click("#fill")
    page.wait_for_selector("#gallery .thumbnail-item >> nth=5")
    page.wait_for_timeout(500)
    page.click("#gallery .thumbnail-item >> nth=2")
    page.wait_for_timeout(700)
    page.locator("#edit-smile input[type=range]").focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1500)
    page.mouse.move(5, 5)


if __name__ == "__main__":
    main()
