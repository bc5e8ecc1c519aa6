"""Serves the page with limits that tests can reach, until stdin ends: `python serve_page.py PORT`."""

from __future__ import annotations

import sys

from ganinv.api import load_method
from ganinv.app.limits import Limits
from ganinv.app.server import serve
from ganinv.app.studio import Studio

LIMITS = Limits(megapixels=2.0, upload_mb=3, samples=8, kept=16, waiting=8, visitors=8)

if __name__ == "__main__":
    blocks = serve(
        Studio(load_method("diverse-inpaint"), LIMITS, stored=False),
        port=int(sys.argv[1]),
        browser=False,
        wait=False,
    )
    print("ready", flush=True)
    sys.stdin.read()
    blocks.close(verbose=False)
