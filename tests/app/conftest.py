"""One studio and one served page for all tests of the page."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganinv.api import load_method
from ganinv.app.examples import examples
from ganinv.app.limits import Limits
from ganinv.app.studio import Studio

LIMITS = Limits(
    megapixels=2.0, upload_mb=6, samples=8, kept=16, waiting=8, visitors=8
)  # that tests can reach


@pytest.fixture(scope="session")
def studio() -> Studio:
    """The bundled model's."""
    return Studio(load_method("diverse-inpaint"), LIMITS, stored=False)


@pytest.fixture(scope="session")
def portrait(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait at the generator's size, on file."""
    path = tmp_path_factory.mktemp("pictures") / "portrait.png"
    Image.fromarray(examples(studio.backbone)[0].picture.pixels).save(path)
    return path


@pytest.fixture(scope="session")
def mask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask of the portrait's lower half, on file."""
    path = tmp_path_factory.mktemp("masks") / "mask.png"
    hole = np.zeros((128, 128), np.uint8)
    hole[64:, 20:100] = 255
    Image.fromarray(hole).save(path)
    return path


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Of the page, served by a process of its own on 127.0.0.1 until the tests end."""
    pytest.importorskip("gradio_client", reason="needs the extra `app`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("serve_page.py")), str(port)]
    command.append(json.dumps(asdict(LIMITS)))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin and server.stdout and "ready" in server.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        server.stdin.close()  # which ends it
