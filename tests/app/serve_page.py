"""Serves the page until stdin ends: `python serve_page.py PORT LIMITS`, limits as JSON."""

from __future__ import annotations

import json
import sys

from ganinv.api import load_method
from ganinv.app.limits import Limits
from ganinv.app.server import serve
from ganinv.app.studio import Studio

if __name__ == "__main__":
    blocks = serve(
        Studio(load_method("diverse-inpaint"), Limits(**json.loads(sys.argv[2])), stored=False),
        port=int(sys.argv[1]),
        browser=False,
        wait=False,
    )
    print("ready", flush=True)
    sys.stdin.read()
    blocks.close(verbose=False)
