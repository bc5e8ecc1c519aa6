#!/usr/bin/env python
"""How long a visitor waits: for the first and the sixth filling, a slider's preview, and a refined filling.

    python scripts/bench_page.py [--rounds 10] [--json FILE]

Serves the page in a process of its own on this machine, and uses it in a headless browser. Medians, and the
slowest of the rounds; the first round, in which everything is still cold, is told apart.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from page_pictures import FLAGS
from playwright.sync_api import sync_playwright
from served_page import served_page

_SOURCE = "[...document.querySelectorAll('#compare img')].pop().src"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    began = time.monotonic()
    with served_page() as (address, _), sync_playwright() as driver:
        figures: dict[str, Any] = {"page is there, s": round(time.monotonic() - began, 2)}
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        rounds = [measured(browser, address) for _ in range(asked.rounds + 1)]
        browser.close()
    for key in rounds[0]:
        rest = [one[key] for one in rounds[1:]]
        figures[key] = {
            "cold": round(rounds[0][key], 3),
            "median": round(statistics.median(rest), 3),
            "slowest": round(max(rest), 3),
        }
    print(json.dumps(figures, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measured(browser: Any, address: str) -> dict[str, float]:
    """One visitor's waits in seconds."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    page.wait_for_selector("#eraser canvas")
    page.click("#examples .thumbnail-item >> nth=1")
    page.wait_for_selector("#eraser .hint", state="hidden")
    page.wait_for_timeout(800)
    page.click("#click-mouth")
    page.wait_for_timeout(800)
    began = time.monotonic()
    page.click("#fill")
    page.wait_for_selector("#gallery .thumbnail-item")
    first = time.monotonic() - began
    page.wait_for_selector("#gallery .thumbnail-item >> nth=5")
    sixth = time.monotonic() - began
    page.wait_for_timeout(800)
    before = page.evaluate(_SOURCE)
    page.click("#gallery .thumbnail-item >> nth=2")
    page.wait_for_function(f"old => {_SOURCE} !== old", arg=before)
    page.wait_for_timeout(500)
    before = page.evaluate(_SOURCE)
    page.locator("#edit-age input[type=range]").focus()
    began = time.monotonic()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"old => {_SOURCE} !== old", arg=before, polling=10)
    preview = time.monotonic() - began
    began = time.monotonic()
    page.click("#refine")
    page.wait_for_selector("#gallery .thumbnail-item >> nth=6")
    refined = time.monotonic() - began
    page.close()
    return {
        "first filling, s": first,
        "sixth filling, s": sixth,
        "preview of a slider, s": preview,
        "refined filling, s": refined,
    }


if __name__ == "__main__":
    main()
