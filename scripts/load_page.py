#!/usr/bin/env python
"""Many visitors at once: each opens a picture, fills a hole, edits or refines, and begins again for minutes.

    python scripts/load_page.py [--clients 20] [--seconds 120] [--json FILE]

Serves the page in a process of its own on this machine, and prints how many requests were answered, how many
were told that the queue is full, how long they took, and the server's memory as it went. Ends with an error
if any request failed in another way.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from served_page import served_page

from ganinv.app.examples import examples
from ganinv.backbones.loading import load_backbone


class Visitor(threading.Thread):
    """One client over bare HTTP: uploads, then /fill and /edit, each fifth time /refine, until time is up."""

    def __init__(self, address: str, picture: Path, mask: Path, end: float, number: int) -> None:
        super().__init__(daemon=True)
        self.address, self.picture, self.mask, self.end = address, picture, mask, end
        self.random = random.Random(number)
        self.answers: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.odd: list[str] = []

    def run(self) -> None:
        """Goes on until the end."""
        with httpx.Client(base_url=f"{self.address}/gradio_api", timeout=120) as http:
            while time.monotonic() < self.end:
                files = [self._upload(http, path) for path in (self.picture, self.mask)]
                seed = self.random.randrange(10_000)
                filled = self._call(http, "fill", [*files, 4, seed, 1.0, 1.0, None, "", 0])
                if filled is not None:
                    saved = {"path": filled[2]["path"], "meta": {"_type": "gradio.FileData"}}
                    edits, sample = json.dumps({"age": self.random.uniform(-2, 2)}), self.random.randrange(4)
                    if self.random.random() < 0.2:
                        self._call(http, "refine", [saved, sample])
                    else:
                        self._call(http, "edit", [saved, edits, sample, False])
                time.sleep(self.random.uniform(0.2, 1.5))

    @staticmethod
    def _upload(http: httpx.Client, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            sent = http.post("/upload", files={"files": (path.name, file)})
        return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

    def _call(self, http: httpx.Client, name: str, data: list[Any]) -> list[Any] | None:
        began = time.monotonic()
        try:
            event = http.post(f"/call/{name}", json={"data": data}).json()
            with http.stream("GET", f"/call/{name}/{event['event_id']}") as stream:
                text = "".join(stream.iter_text())
        except (httpx.HTTPError, KeyError, ValueError) as cause:
            self.answers["failed"] += 1
            self.odd.append(f"{name}: {cause!r}")
            return None
        if "event: complete" in text:
            self.answers["answered"] += 1
            self.seconds.append(time.monotonic() - began)
            found: list[Any] = json.loads(text.split("event: complete")[1].split("data: ", 1)[1])
            return found
        if "queue is full" in text.lower():
            self.answers["busy"] += 1
            return None
        self.answers["failed"] += 1
        self.odd.append(f"{name}: {text[:200]}")
        return None


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(asked.clients, asked.seconds, Path(folder))
    for key, value in result.items():
        print(f"{key:24} {value}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if result["failed"] else 0)


def measure(clients: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Runs the server and the visitors; gives the figures."""
    picture, mask = folder / "picture.png", folder / "mask.png"
    Image.fromarray(examples(load_backbone())[0].picture.pixels).save(picture)
    hole = np.zeros((128, 128), np.uint8)
    hole[60:112, 32:96] = 255
    Image.fromarray(hole).save(mask)
    with served_page() as (address, process):
        end = time.monotonic() + seconds
        visitors = [Visitor(address, picture, mask, end, number) for number in range(clients)]
        for visitor in visitors:
            visitor.start()
        memory = []
        while time.monotonic() < end:
            time.sleep(seconds / 12)
            memory.append(process.memory_info().rss / 1e6)
        for visitor in visitors:
            visitor.join(150)
        httpx.get(address, timeout=20).raise_for_status()
    answers = sum((visitor.answers for visitor in visitors), Counter())
    took = sorted(second for visitor in visitors for second in visitor.seconds)
    return {
        **{name: answers[name] for name in ("answered", "busy", "failed")},
        "median seconds": round(statistics.median(took), 2) if took else None,
        "95 % within seconds": round(took[int(0.95 * len(took))], 2) if took else None,
        "memory MB, as it went": [round(value) for value in memory],
        "odd answers": [text for visitor in visitors for text in visitor.odd][:5],
    }


if __name__ == "__main__":
    main()
