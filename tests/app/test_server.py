"""The page's API and its limits, through a client and through bare HTTP."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganinv.api import Inversion
from ganinv.app.server import serve
from ganinv.app.studio import Studio

client_module = pytest.importorskip("gradio_client", reason="needs the extra `app`")
httpx = pytest.importorskip("httpx")


@pytest.fixture(scope="module")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = str(tmp_path_factory.mktemp("client"))
    return client_module.Client(address, verbose=False, download_files=folder, analytics_enabled=False)


def fill(client: Any, portrait: Path, hole: Path, **changes: Any) -> Any:
    asked = {
        "picture": client_module.handle_file(portrait),
        "mask": client_module.handle_file(hole),
        "samples": 2,
        "seed": 0,
        "truncation": 1.0,
        "diversity": 1.0,
        "reference": None,
        "layers": "",
        "face": 0,
    }
    return client.predict(*(asked | changes).values(), api_name="/fill")


def test_fill_then_edit(client: Any, studio: Studio, portrait: Path, mask: Path) -> None:
    pictures, photos, inversion = fill(client, portrait, mask)
    assert len(pictures) == len(photos) == 2 and Inversion.load(inversion).samples == 2
    original = np.asarray(Image.open(portrait))
    known = np.asarray(Image.open(mask)) == 0
    for path in (*pictures, *photos):
        assert np.array_equal(np.asarray(Image.open(path))[known], original[known])
    directions = client.predict(api_name="/directions")
    assert "age" in directions and directions["age"]["about"]
    saved = client_module.handle_file(inversion)
    edited, edited_inversion = client.predict(saved, '{"age": 2}', 1, True, api_name="/edit")
    after = np.asarray(Image.open(edited))
    assert np.array_equal(after[known], original[known])
    assert not np.array_equal(after, np.asarray(Image.open(pictures[1])))
    assert Inversion.load(edited_inversion).samples == 1
    refined, refined_inversion = client.predict(saved, 1, api_name="/refine")
    assert np.array_equal(np.asarray(Image.open(refined))[known], original[known])
    assert not np.array_equal(np.asarray(Image.open(refined)), np.asarray(Image.open(pictures[1])))
    assert Inversion.load(refined_inversion).method["name"] == "optimize"
    with pytest.raises(Exception, match="no filling 9"):
        client.predict(saved, 9, api_name="/refine")


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"samples": 1000}, "1000 fillings were asked for; ask for 1 to 8"),
        ({"seed": -3}, "seed -3 is not possible"),
        ({"truncation": 7.0}, "truncation and diversity go from 0 to 1"),
        ({"layers": "top"}, "unknown layer group 'top'"),
        ({"picture": None}, "give a picture and a mask"),
        ({"face": 2}, "no face 2 in this picture; possible: 0 (middle of the picture)"),
    ],
)
def test_bad_requests_are_told(
    client: Any, portrait: Path, mask: Path, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(Exception, match=re.escape(text)):
        fill(client, portrait, mask, **changes)


def test_bad_edits_are_told(client: Any, portrait: Path, mask: Path) -> None:
    *_, inversion = fill(client, portrait, mask)
    saved = client_module.handle_file(inversion)
    for edits, text in (("{", "edits must be JSON"), ('{"age": "much"}', "age must be a number")):
        with pytest.raises(Exception, match=text):
            client.predict(saved, edits, 0, False, api_name="/edit")
    with pytest.raises(Exception, match="no filling 9"):
        client.predict(saved, "{}", 9, False, api_name="/edit")


def test_bad_files_are_told(client: Any, mask: Path, portrait: Path, tmp_path: Path) -> None:
    text, large, cut = tmp_path / "text.png", tmp_path / "large.png", tmp_path / "cut.png"
    text.write_text("no picture")
    Image.new("L", (2200, 2200)).save(large)
    cut.write_bytes(portrait.read_bytes()[:200])
    for path, message in ((text, "text.png"), (large, "5 megapixels"), (cut, "cut.png")):
        with pytest.raises(Exception, match=re.escape(message)):
            fill(client, path, mask)


def test_files_of_the_server_cannot_be_read(address: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("private")
    for path in ("/etc/passwd", str(secret), "/proc/self/environ", f"/tmp/../{secret}", "file:///etc/passwd"):
        for route in (f"file={path}", f"file/{path}", f"stream/{path}"):
            answer = httpx.get(f"{address}/gradio_api/{route}", timeout=10)
            assert answer.status_code >= 400 and "root:" not in answer.text and "private" not in answer.text
        body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, None, 1, 0, 1, 1, None, "", 0]}
        assert "private" not in called(address, "fill", body)


def called(address: str, name: str, body: dict[str, Any]) -> str:
    """All that the server says to a call that a client would not make."""
    answer = httpx.post(f"{address}/gradio_api/call/{name}", json=body, timeout=10)
    if answer.status_code != 200:
        return str(answer.text)
    event = answer.json()["event_id"]
    with httpx.stream("GET", f"{address}/gradio_api/call/{name}/{event}", timeout=20) as stream:
        return "".join(stream.iter_text())


def test_uploads_are_limited(address: str) -> None:
    answer = httpx.post(
        f"{address}/gradio_api/upload", files={"files": ("big.png", b"0" * 7_000_000)}, timeout=20
    )
    assert answer.status_code == 413


def test_handlers_of_the_page_are_no_endpoints(address: str) -> None:
    info = httpx.get(f"{address}/gradio_api/info", timeout=10).json()
    assert set(info["named_endpoints"]) == {"/fill", "/edit", "/refine", "/directions"}
    assert not info["unnamed_endpoints"]


def test_nothing_comes_from_elsewhere(address: str) -> None:
    page = httpx.get(address, timeout=10).text
    sources = re.findall(r"(?:src|href)=\"(https?://[^\"]+)\"", page)
    assert [source for source in sources if not source.startswith(address)] == []


def test_a_full_queue_says_busy(address: str, portrait: Path, mask: Path) -> None:
    files = []
    for path in (portrait, mask):
        with path.open("rb") as file:
            sent = httpx.post(f"{address}/gradio_api/upload", files={"files": (path.name, file)}, timeout=10)
        files.append({"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}})
    body = {"data": [*files, 8, 0, 1, 1, None, "", 0]}
    events = [httpx.post(f"{address}/gradio_api/call/fill", json=body, timeout=30).json() for _ in range(30)]
    answers = []
    for event in events:
        if "event_id" not in event:
            answers.append(json.dumps(event))
            continue
        url = f"{address}/gradio_api/call/fill/{event['event_id']}"
        with httpx.stream("GET", url, timeout=60) as stream:
            answers.append("".join(stream.iter_text()))
    done = [answer for answer in answers if "event: complete" in answer]
    busy = [answer for answer in answers if "full" in answer.lower()]
    assert len(done) >= 8 and busy and len(done) + len(busy) == len(answers), answers[:3]
    time.sleep(0.2)
    assert httpx.get(address, timeout=10).status_code == 200


def test_operations_are_compiled_before_the_page_is_there(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sits before a page that waits for a compiler."""
    order: list[str] = []
    drawn = type(studio.backbone).synthesize

    def draw(backbone: Any, *arguments: Any, **options: Any) -> Any:
        order.append("drawn")
        return drawn(backbone, *arguments, **options)

    class Page:
        def launch(self, **options: Any) -> None:
            order.append("served")

    monkeypatch.setattr(type(studio.backbone), "synthesize", draw)
    monkeypatch.setattr("ganinv.app.server.build", lambda studio, folder: Page())
    serve(studio, browser=False, wait=False)
    assert order == ["drawn", "served"]
