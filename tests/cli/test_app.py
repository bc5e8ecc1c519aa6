"""`ganinv app`: what it says when it cannot serve; tests/app has the page itself."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

RUN = [sys.executable, "-m", "ganinv", "app", "--no-browser"]


def test_without_gradio_one_line_says_what_to_type() -> None:
    code = (
        "import sys; sys.modules['gradio'] = None; from ganinv.cli.main import main; "
        "sys.argv = ['ganinv', 'app', '--no-browser']; main()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stderr.strip().splitlines() == [
        "Error: the page needs gradio, which is not installed: type pip install 'ganinv[app]'"
    ]


def test_a_taken_port_is_told() -> None:
    pytest.importorskip("gradio_client", reason="needs the extra `app`")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = subprocess.run([*RUN, "--port", str(port)], capture_output=True, text=True)
    assert found.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: another program may" in found.stderr
    assert "Traceback" not in found.stderr


def test_serves_until_it_is_ended_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("gradio_client", reason="needs the extra `app`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*RUN, "--share-nothing", "--port", str(port)]
    environment = {"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "GANINV_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith(f"the page is at http://127.0.0.1:{port}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as answer:
            assert b"ganinv" in answer.read()
        folder = next(tmp_path.glob("ganinv-app-*"))
        assert folder.stat().st_mode & 0o077 == 0  # nobody else can read it
        server.terminate()
        server.wait(20)
    for _ in range(50):
        if not folder.exists():
            break
        time.sleep(0.1)
    assert not list(tmp_path.glob("ganinv-app-*"))
