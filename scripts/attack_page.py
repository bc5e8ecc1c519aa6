#!/usr/bin/env python
"""Hostile requests to a served page: none may read a file, change a thing, or keep the page from answering.

    python scripts/attack_page.py [--count 200] [--seed 0]

Serves the page in a process of its own on this machine; path tricks, decompression bombs, wrong types, giant
numbers, broken pictures and checkpoints, oversized and malformed bodies. Ends with an error if one of them
reads a secret, leaves a file outside the page's own folder, or if the page or its memory is not well after.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import struct
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from served_page import served_page

SECRET = "the-secret-of-this-machine"


def bomb(side: int) -> bytes:
    """A PNG of side x side black pixels, whose file is small."""
    row = b"\0" * (1 + side // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class Attacker:
    """Sends one kind of request after the other."""

    def __init__(self, address: str, secret: Path, seed: int) -> None:
        self.http = httpx.Client(base_url=f"{address}/gradio_api", timeout=60)
        self.secret, self.random, self.said = secret, random.Random(seed), Counter[str]()
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), "grey").save(buffer, "PNG")
        self.good = buffer.getvalue()
        self.bombs = [bomb(22_400), bomb(60_000)]
        hole = io.BytesIO()
        Image.new("L", (64, 64), 255).save(hole, "PNG")
        self.hole = hole.getvalue()
        self.inversion = b""  # a good one: see `filled`
        self.kinds = [
            *(self.path_in_a_route, self.path_in_a_call, self.broken_picture, self.big_picture),
            *(self.wrong_types, self.giant_numbers, self.broken_inversion, self.malformed_body),
            *(self.oversized, self.traversing_upload, self.twisted_inversion),
        ]

    def leaked(self, number: int) -> str | None:
        """Sends the request of that number; gives its kind where the answer holds the secret."""
        kind = self.kinds[number % len(self.kinds)]
        try:
            text = kind()
        except httpx.HTTPError as cause:
            text, told = "", f"without an answer: {kind.__name__}, {type(cause).__name__}"
        else:
            told = "refused or told" if "error" in text.lower() or "detail" in text else "other"
        self.said[told] += 1
        return kind.__name__ if SECRET in text or "root:x:" in text else None

    def upload(self, data: bytes, name: str = "picture.png") -> dict[str, Any]:
        """A file of the server's, as a call takes it."""
        answer = self.http.post("/upload", files={"files": (name, data)})
        path = answer.json()[0] if answer.status_code == 200 else "none"
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def call(self, name: str, data: Any) -> str:
        """All that the server says."""
        answer = self.http.post(f"/call/{name}", json={"data": data})
        if answer.status_code != 200 or "event_id" not in answer.json():
            return "error " + answer.text
        with self.http.stream("GET", f"/call/{name}/{answer.json()['event_id']}") as stream:
            return "".join(stream.iter_text())

    def fill(self, picture: Any, mask: Any, *rest: Any) -> str:
        """/fill with usual numbers where none are given."""
        return self.call("fill", [picture, mask, *(rest or (1, 0, 1, 1, None, "", 0))])

    def filled(self) -> bool:
        """Whether a good request is answered; keeps the inversion that it gives."""
        answer = self.fill(self.upload(self.good), self.upload(self.hole))
        if "event: complete" not in answer:
            return False
        files = json.loads(answer.split("event: complete")[1].split("data: ", 1)[1])
        self.inversion = self.http.get(f"/file={files[2]['path']}").content
        return bool(self.inversion)

    def with_inversion(self, file: Any, *edit: Any) -> str:
        """/edit or /refine of it, as chance will have it; `edit` are the numbers of an odd edit."""
        strengths, sample = edit or ('{"age": 1}', 0)
        if self.random.random() < 0.5:
            return self.call("edit", [file, strengths, sample, False])
        return self.call("refine", [file, sample])

    def any_path(self) -> str:
        """A path that is not the page's business."""
        secret = str(self.secret)
        tricks = ["/etc/passwd", secret, f"/tmp/../..{secret}", "../" * 12 + "etc/passwd", f"file://{secret}"]
        tricks += [
            "/proc/self/environ",
            "..%2f..%2f..%2fetc%2fpasswd",
            secret + "\0.png",
            "~/.bashrc",
            "C:\\x",
        ]
        return self.random.choice(tricks)

    def path_in_a_route(self) -> str:
        """A file asked for by address."""
        route = self.random.choice(["file=", "file/", "stream/", "download/"])
        return str(self.http.get(f"/{route}{self.any_path()}".replace("\0", "%00")).text)

    def path_in_a_call(self) -> str:
        """A file of the server's handed to an operation."""
        named = {"path": self.any_path(), "meta": {"_type": "gradio.FileData"}}
        other = {"path": self.any_path(), "url": self.any_path(), "orig_name": "../../x.png"}
        chosen = self.random.choice([named, other, self.any_path()])
        if self.random.random() < 0.5:
            return self.with_inversion(chosen)
        return self.fill(chosen, self.upload(self.good))

    def broken_picture(self) -> str:
        """Bytes that begin like a picture."""
        cut = self.good[: self.random.randrange(1, len(self.good))]
        noise = bytearray(self.good)
        for _ in range(12):
            noise[self.random.randrange(len(noise))] = self.random.randrange(256)
        return self.fill(
            self.upload(self.random.choice([cut, bytes(noise), b"", b"GIF89a", b"%PDF-1.7"])), None
        )

    def big_picture(self) -> str:
        """Small files of 500 and 3,600 megapixels, as picture and as mask."""
        picture, mask = self.upload(self.random.choice(self.bombs)), self.upload(self.good)
        return self.fill(*self.random.choice([(picture, mask), (mask, picture)]))

    def wrong_types(self) -> str:
        """Values of types that no page sends."""
        odd = self.random.choice([None, [], {}, "x", True, [[1]], {"a": {"b": []}}, "1e400"])
        good = self.upload(self.good)
        return self.fill(good, good, *(odd if self.random.random() < 0.5 else 1 for _ in range(7)))

    def giant_numbers(self) -> str:
        """A million fillings, negative ones, seeds and strengths beyond every range."""
        count = self.random.choice([10**6, -5, 10**30, 0, 1.5])
        good = self.upload(self.good)
        return self.fill(
            good, good, count, self.random.choice([-1, 2**70, 0]), 1e308, -1, None, "fine," * 5000, count
        )

    def broken_inversion(self) -> str:
        """Checkpoints that are none, among them a pickle that would write a file."""
        target = self.secret.with_name("written")
        pickled = b"cposix\nsystem\n(S'touch " + str(target).encode() + b"'\ntR."
        header = b'{"__metadata__":{},"ws":{"dtype":"F32","shape":[99999999,99999999],"data_offsets":[0,8]}}'
        tensors = struct.pack("<Q", len(header)) + header + b"\0" * 8
        data = self.random.choice([pickled, tensors, b"", self.good, struct.pack("<Q", 2**62)])
        return self.with_inversion(self.upload(data, "x.safetensors"))

    def twisted_inversion(self) -> str:
        """A good inversion file with some bytes changed, or with samples and strengths that there are not."""
        data = bytearray(self.inversion)
        for _ in range(self.random.choice([0, 1, 40])):
            data[self.random.randrange(self.random.choice([400, len(data)]))] = self.random.randrange(256)
        strengths = self.random.choice(
            ['{"age": 1e308}', '{"age": NaN}', '{"none": 1}', "[" * 5000, '{"age": "1"}', "", '{"age": 1}']
        )
        sample = self.random.choice([0, 1, -1, 10**30, 0.5, None])
        return self.with_inversion(self.upload(bytes(data), "x.safetensors"), strengths, sample)

    def malformed_body(self) -> str:
        """Bodies that are no calls."""
        body = self.random.choice(
            [b"", b"{", b"[" * 5000, b'{"data": 5}', b'{"data": [' + b"1," * 9999 + b"1]}"]
        )
        name = self.random.choice(["fill", "edit", "refine", "none", "../fill", "directions"])
        return str(
            self.http.post(f"/call/{name}", content=body, headers={"Content-Type": "application/json"}).text
        )

    def oversized(self) -> str:
        """More bytes than a picture may have."""
        return str(self.http.post("/upload", files={"files": ("x.png", b"\0" * 40_000_000)}).text)

    def traversing_upload(self) -> str:
        """A file name that would leave the folder."""
        name = self.random.choice(
            ["../../../../tmp/ganinv-escaped.png", "/tmp/ganinv-escaped.png", "a\0b.png"]
        )
        return str(self.http.post("/upload", files={"files": (name, self.good)}).text)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret.txt"
        secret.write_text(SECRET)
        wrong, figures = attack(secret, asked.count, asked.seed)
    print(json.dumps(figures, indent=2))
    print("\n".join(wrong) if wrong else "nothing was read, nothing was changed, and the page answers")
    sys.exit(1 if wrong else 0)


def attack(secret: Path, count: int, seed: int) -> tuple[list[str], dict[str, Any]]:
    """Runs the server and the requests; gives what went wrong, and figures."""
    escaped = Path("/tmp/ganinv-escaped.png")
    with served_page(GANINV_SECRET=SECRET) as (address, process):
        attacker = Attacker(address, secret, seed)
        before, highest, wrong = process.memory_info().rss / 1e6, 0.0, []
        if not attacker.filled():
            wrong.append("a good request is not answered")
        for number in range(count):
            if (kind := attacker.leaked(number)) is not None:
                wrong.append(f"request {number} ({kind}) read a secret")
            highest = max(highest, process.memory_info().rss / 1e6)
        if not process.is_running() or httpx.get(address, timeout=20).status_code != 200:
            wrong.append("the page does not answer any more")
        if not attacker.filled():
            wrong.append("a good request is not answered any more")
        for path in (escaped, secret.with_name("written")):
            if path.exists():
                wrong.append(f"{path} was written")
        after = process.memory_info().rss / 1e6
    figures = {"requests": count, **attacker.said}
    figures |= {"memory MB before": round(before), "highest": round(highest), "after": round(after)}
    return wrong, figures


if __name__ == "__main__":
    main()
