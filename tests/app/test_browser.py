"""The page in a real browser: what a visitor does with a mouse and with keys alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganinv.api import Inversion, complete, load_backbone

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra `test`)")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ["no-sandbox", "disable-quic", "disable-background-networking", "disable-component-update"]
QUIET += ["disable-sync", "no-first-run"]
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=[f"--{flag}" for flag in QUIET])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at 1280 x 800; a request to another machine, or an error in a script, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    wrong: list[str] = []
    tab.on("request", lambda sent: wrong.append(sent.url) if not _is_ours(sent.url, address) else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(address)
    tab.wait_for_selector("#eraser canvas")
    yield tab
    context.close()
    assert wrong == []


def _is_ours(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def open_file(page: Any, which: str, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(f"#{which}")
    chooser.value.set_files(path)
    page.wait_for_selector("#eraser .hint", state="hidden")
    page.wait_for_timeout(700)


def paint(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    box = page.locator("#eraser canvas").bounding_box()
    points = [
        (box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        for x, y in np.linspace(start, end, 12).tolist()
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points:
        page.mouse.move(*point)
    page.mouse.up()


def fill(page: Any, count: int = 6) -> None:
    page.click("#fill")
    page.wait_for_selector(f"#gallery .thumbnail-item >> nth={count - 1}")
    page.wait_for_timeout(500)


def download(page: Any, kind: str, to: Path) -> Path:
    with page.expect_download() as made:
        page.click(f"#take-{kind}")
    path = to / made.value.suggested_filename
    made.value.save_as(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_erase_fill_pick_edit_download_and_open_again(page: Any, portrait: Path, tmp_path: Path) -> None:
    open_file(page, "open", portrait)
    paint(page, (0.3, 0.6), (0.7, 0.62))
    fill(page)
    shown = page.locator("#gallery img")
    assert len({shown.nth(i).get_attribute("src") for i in range(6)}) == 6
    page.click("#refine")
    page.wait_for_selector("text=pick a filling first: click on one of them")  # and hides no filling
    page.click("#gallery .thumbnail-item >> nth=3")
    page.wait_for_timeout(700)
    picked = download(page, "picture", tmp_path)
    hole = np.asarray(Image.open(download(page, "mask", tmp_path))) > 127
    assert 0.02 < hole.mean() < 0.5
    assert np.array_equal(pixels(picked)[~hole], pixels(portrait)[~hole])
    assert (pixels(picked)[hole] != pixels(portrait)[hole]).any()

    page.click("#refine")
    page.wait_for_selector("#gallery .thumbnail-item >> nth=6")
    page.wait_for_timeout(700)
    refined = download(page, "picture", tmp_path / "refined")
    assert np.array_equal(pixels(refined)[~hole], pixels(portrait)[~hole])
    assert (pixels(refined) != pixels(picked)).any()
    page.click("#gallery .thumbnail-item >> nth=3")
    page.wait_for_timeout(700)

    before = page.locator("#compare img").last.get_attribute("src")
    page.locator("#edit-age input[type=range]").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "old => [...document.querySelectorAll('#compare img')].pop().src !== old", arg=before
    )
    page.wait_for_timeout(700)
    edited = download(page, "picture", tmp_path / "edited")
    assert (pixels(edited) != pixels(picked)).any()
    saved = download(page, "inversion", tmp_path)
    assert Inversion.load(saved).samples == 1

    page.reload()
    page.wait_for_selector("#eraser canvas")
    open_file(page, "saved", saved)
    again = download(page, "picture", tmp_path / "again")
    # opened again it is a filling: the known pixels are the upload's, the rest is of the edited code
    expected = complete(Inversion.load(saved), load_backbone())[0, 0]
    assert np.array_equal(pixels(again)[~hole], pixels(portrait)[~hole])
    assert abs(pixels(again).astype(int) - expected.astype(int)).max() <= 2


def test_tools_of_the_canvas(page: Any, portrait: Path, tmp_path: Path) -> None:
    def hole() -> float:
        return float((np.asarray(Image.open(download(page, "mask", tmp_path))) > 127).mean())

    open_file(page, "open", portrait)
    page.click("#eraser [data-tool=box]")
    paint(page, (0.01, 0.01), (0.5, 0.5))
    assert hole() == pytest.approx(0.25, abs=0.02)
    page.click("#eraser [data-act=invert]")
    assert hole() == pytest.approx(0.75, abs=0.02)
    page.click("#eraser [data-act=undo]")
    assert hole() == pytest.approx(0.25, abs=0.02)
    page.click("#click-half-right")
    page.wait_for_timeout(500)
    assert hole() == pytest.approx(0.75, abs=0.02)
    page.locator("#eraser canvas").focus()
    for key in ("c", "b", "ArrowRight", "ArrowRight", " "):
        page.keyboard.press(key)
    assert 0.003 < hole() < 0.03
    page.locator("#eraser canvas").focus()
    page.keyboard.press("Control+z")
    assert hole() == 0


def test_mask_file_and_more(page: Any, portrait: Path, mask: Path) -> None:
    open_file(page, "open", portrait)
    open_file(page, "mask", mask)
    fill(page)
    page.click("#more")
    page.wait_for_selector("#gallery .thumbnail-item >> nth=11")
    assert page.locator("#gallery .caption-label").all_inner_texts() == [f"0:{i}" for i in range(12)]


def test_bad_uploads_are_told(page: Any, portrait: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("this is no picture")
    with page.expect_file_chooser() as chooser:
        page.click("#open")
    chooser.value.set_files(broken)
    page.wait_for_selector("text=broken.png")
    page.click("#fill")
    page.wait_for_selector("text=open a picture first, or take an example")
    open_file(page, "open", portrait)
    page.click("#fill")
    page.wait_for_selector("text=nothing is erased yet")


@pytest.mark.parametrize("width, height", [(1280, 800), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_the_screen(browser: Any, address: str, width: int, height: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(address)
    tab.wait_for_selector("#eraser canvas")
    tab.click("#examples .thumbnail-item >> nth=1")
    tab.wait_for_selector("#eraser .hint", state="hidden")
    tab.click("#click-mouth")
    tab.wait_for_timeout(500)
    fill(tab)
    wide, tall = tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert wide <= width
    if width == 1280:
        assert tall <= height
        for name in ("fill", "gallery", "compare", "sliders", "take-inversion", "examples"):
            box = tab.locator(f"#{name}").bounding_box()
            assert box["y"] + box["height"] <= height, name
    context.close()


def test_everything_is_reached_by_tab(page: Any) -> None:
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.closest('[id]') || {id: ''}).id"))
    wanted = {"eraser", "click-half-left", "open", "mask", "saved", "fill", "more", "refine", "stop"}
    wanted |= {"reset", "take-picture", "take-photo", "take-mask", "take-inversion"}
    assert {name for name in wanted if not any(name in one for one in reached)} <= {"eraser"}, reached
