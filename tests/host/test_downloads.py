"""Downloads, against a server on 127.0.0.1."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ganinv.downloads import check_url, download
from ganinv.errors import CheckpointError, UsageError
from ganinv.files import ganinv_home

DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/none":
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        start = int(asked[6:-1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start : 5000 if self.path == "/cut" and not asked else None])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(serve: Callable[[Any], str]) -> str:
    return serve(Handler)


def test_resumes_after_a_cut(server: str, tmp_path: Path) -> None:
    path, seen = tmp_path / "a.bin", []
    with pytest.raises(CheckpointError, match="try again"):
        download(server + "/cut", path)
    assert not path.exists() and (tmp_path / "a.bin.part").stat().st_size == 5000
    digest = download(
        server + "/cut", path, sha256=DIGEST, size=len(DATA), progress=lambda *a: seen.append(a)
    )
    assert digest == DIGEST and path.read_bytes() == DATA and seen[-1] == (len(DATA), len(DATA))


def test_wrong_digest_keeps_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not the file meant"):
        download(server + "/a", tmp_path / "a.bin", sha256="0" * 64)
    assert not list(tmp_path.iterdir())


def test_404_and_offline_say_link_and_place(server: str, tmp_path: Path) -> None:
    for url, text in ((server + "/none", "404"), ("http://127.0.0.1:1/a", "cannot reach")):
        with pytest.raises(CheckpointError, match=text) as caught:
            download(url, tmp_path / "a.bin")
        assert url in caught.value.message and str(tmp_path / "a.bin") in caught.value.message


@pytest.mark.parametrize("url", ["http://example.org/a", "file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_only_https(url: str) -> None:
    with pytest.raises(UsageError, match="https"):
        check_url(url)


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANINV_HOME", str(tmp_path))
    assert ganinv_home() == tmp_path
