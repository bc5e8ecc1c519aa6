"""Attack the reader of foreign checkpoints: hand-made hostile files, then random mutations of good ones.

    python scripts/attack_checkpoints.py --count 10000 [--seeds FOLDER]

Every file must end in plain data or in one CheckpointError, run nothing, take under 2 s, and under twice its
size + 200 MB of memory. --seeds adds small files of a folder (.pt, .pkl) to those that are mutated.
"""

from __future__ import annotations

import argparse
import builtins
import io
import os
import pickle
import random
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ganinv.checkpoints.door import open_file
from ganinv.checkpoints.restricted import read_foreign
from ganinv.errors import CheckpointError

MAX_SECONDS, MAX_EXTRA = 2.0, 200 << 20


class Call:
    """Pickles to a call of any function, as an attacker would write it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def named(module: str, name: str, *arguments: bytes) -> bytes:
    """A pickle of protocol 2 that calls module.name on arguments, which are pickled pieces."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR."


def zipped(pickled: bytes, compress: bool = False, name: str = "archive/data.pkl", **members: bytes) -> bytes:
    """A zip such as PyTorch writes, around a pickle and members archive/data/NAME."""
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", kind) as archive:
        archive.writestr(name, pickled)
        for key, value in members.items():
            archive.writestr(f"archive/data/{key}", value)
    return stream.getvalue()


def storage_call(sizes: bytes, strides: bytes, numel: bytes) -> bytes:
    """A tensor of the given size and stride, pickled pieces, over the storage "a"."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00aX\x03\x00\x00\x00cpu"
    return named(
        "torch._utils", "_rebuild_tensor_v2", storage + numel + b"tQ", b"K\x00", sizes, strides, b"\x89", b"N"
    )


def hand_made(canary: Path) -> Iterator[tuple[str, bytes]]:
    """(what it tries, the file). `canary` is a file that a successful attack creates."""
    command = f"touch {canary}"
    for protocol in range(6):
        yield f"os.system, protocol {protocol}", pickle.dumps(Call(os.system, command), protocol)
    attack = pickle.dumps({"g_ema": Call(os.system, command)}, 2)
    yield "os.system in a zip", zipped(attack)
    for function in (builtins.eval, builtins.exec):
        yield f"builtins.{function.__name__}", pickle.dumps(Call(function, f"open({str(canary)!r}, 'w')"), 2)
    yield "getattr", named("builtins", "getattr", b"cos\nsystem\n", b"X\x04\x00\x00\x00call")
    yield "nested storage", named("torch.storage", "_load_from_bytes", pickle.dumps(attack, 2)[2:-1])
    yield "torch.load", named("torch", "load", b"X\x01\x00\x00\x00x")
    source = f"open({str(canary)!r}, 'w')"
    meta = {"type": "class", "version": 6, "module_src": source, "class_name": "G", "state": {}}
    yield (
        "embedded source",
        named("torch_utils.persistence", "_reconstruct_persistent_obj", pickle.dumps(meta, 2)[2:-1]),
    )
    yield "attributes by BUILD", b"\x80\x02c__builtin__\nobject\n)\x81}b."
    yield "object state of a module", b"\x80\x02cos\nenviron\n}X\x01\x00\x00\x00aK\x01sb."
    yield "instance opcode", b"(X\x01\x00\x00\x00aios\nsystem\n."
    yield "extension", b"\x80\x02\x82\x01."
    yield "deep list", b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    yield "deep key", b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"K\x01s."
    laughs = b"".join(b"]q%c(" % (i + 1) + b"h%c" % i * 200 + b"e" for i in range(60))
    yield "memo bomb", b"\x80\x02]q\x00" + laughs + b"."
    yield "huge string", b"\x80\x04\x8d" + (1 << 60).to_bytes(8, "little") + b"abc."
    yield "huge bytes", b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"abc."
    yield "huge number", b"\x80\x02\x8b" + (1 << 30).to_bytes(4, "little") + b"a" * 100 + b"."
    yield "long decimal", b"L" + b"9" * 2_000_000 + b"L\n."
    yield "endless", b"\x80\x02" + b"N0" * 3_000_000 + b"N."
    yield "marks", b"\x80\x02" + b"(" * 900_000 + b"."
    sizes, small = b"J\x00\x00\x00\x40J\x00\x00\x00\x40\x86", b"K\x01K\x01\x86"
    big = b"\x8a\x05\x00\x00\x00\x00\x10"
    yield "huge tensor", zipped(storage_call(sizes, small, b"K\x04"), a=b"\0" * 16)
    yield "repeated storage", zipped(storage_call(sizes, b"K\x00K\x00\x86", b"K\x04"), a=b"\0" * 16)
    yield (
        "negative stride",
        zipped(storage_call(b"K\x02\x85", b"J\xff\xff\xff\xff\x85", b"K\x04"), a=b"\0" * 16),
    )
    yield "huge storage", zipped(storage_call(b"K\x02\x85", b"K\x01\x85", big), a=b"\0" * 16)
    yield "absent storage", zipped(storage_call(b"K\x02\x85", b"K\x01\x85", b"K\x04"))
    yield "zip bomb", zipped(b"\x80\x02]" + b"N" * 50_000_000, compress=True)
    yield "path trick", zipped(attack, name="../../../tmp/data.pkl")
    yield "absolute path", zipped(attack, name="/tmp/data.pkl")
    good = zipped(b"\x80\x02}.", a=b"\0" * 1000)
    yield "zip cut off", good[:-30]
    yield "zip without end", good[:60]
    swollen = good.replace((1000).to_bytes(4, "little"), (1 << 31).to_bytes(4, "little"))
    yield "zip that lies about a size", swollen
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    yield "old container without content", magic + pickle.dumps({"little_endian": True}, 2)
    yield (
        "old container with an attack",
        magic + pickle.dumps({"little_endian": True}, 2) + attack + pickle.dumps([], 2),
    )
    yield "TorchScript", zipped(b"\x80\x02}.", name="archive/data.pkl") + b""
    yield "empty", b""
    yield "one byte", b"\x80"
    yield "text", b"hello\n" * 100


def good_files() -> list[bytes]:
    """Small files in PyTorch's two containers, and a plain pickle."""
    content = {
        "g_ema": {"conv.weight": torch.arange(24.0).reshape(1, 2, 3, 4), "half": torch.ones(3).half()},
        "args": argparse.Namespace(size=64, lr=0.002, paths=["a", "b"]),
        "latent_avg": torch.zeros(5),
    }
    files = []
    for new in (True, False):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=new)
        files.append(stream.getvalue())
    plain = {"a": [1, 2.5, None, True, "x", b"y", (3, {"b": {1, 2}})], "n": 10**30}
    return [*files, *(pickle.dumps(plain, protocol) for protocol in (2, 3, 4, 5))]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A few random changes: bytes set, runs cut, doubled or filled, the end lost, large numbers written."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not result:
            break
        at, length = chance.randrange(len(result)), chance.choice((1, 1, 2, 4, 8, 64, 1024))
        kind = chance.randrange(6)
        if kind == 0:
            result[at] = chance.randrange(256)
        elif kind == 1:
            del result[at : at + length]
        elif kind == 2:
            result[at:at] = result[at : at + length]
        elif kind == 3:
            result[at : at + length] = bytes([chance.choice((0, 255, 0x2E, 0x28, 0x52))]) * length
        elif kind == 4:
            result[at : at + 8] = chance.choice((1 << 31, 1 << 40, 1 << 62)).to_bytes(8, "little")
        else:
            del result[at:]
    return bytes(result)


def outcome(path: Path) -> str:
    """Reads the file, then asks every layout for its networks: "data", or the text of the reader's
    CheckpointError. Anything else is a hole in the wall and is raised.
    """
    result = "data"
    for opens in (read_foreign, open_file):
        try:
            opens(path)
        except CheckpointError as cause:
            if "\n" in cause.message or str(path) not in cause.message:
                raise AssertionError(f"not one clear line: {cause.message!r}") from cause
            if opens is read_foreign:
                result = cause.message
    return result


def attack(cases: Iterator[tuple[str, bytes]], folder: Path, canary: Path) -> dict[str, float]:
    """Reads each case; returns counts and the worst time. Raises AssertionError for what must not be."""
    path, totals = folder / "case.pt", {"cases": 0.0, "data": 0.0, "seconds": 0.0}
    for name, data in cases:
        path.write_bytes(data)
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        result = outcome(path)
        seconds = time.perf_counter() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if canary.exists():
            raise AssertionError(f"{name}: code from the file ran")
        if seconds > MAX_SECONDS or grown > 2 * len(data) + MAX_EXTRA:
            raise AssertionError(f"{name}: {seconds:.1f} s, {grown / 1e6:.0f} MB for {len(data)} bytes")
        totals["cases"] += 1
        totals["data"] += result == "data"
        totals["seconds"] = max(totals["seconds"], seconds)
    return totals


def mutations(count: int, seed: int, seeds: Path | None) -> Iterator[tuple[str, bytes]]:
    """`count` mutated files, the same for the same seed."""
    chance, files = random.Random(seed), good_files()
    if seeds is not None:
        found = sorted(p for p in seeds.rglob("*") if p.suffix in (".pt", ".pkl") and p.stat().st_size < 3e6)
        files += [path.read_bytes() for path in found]
    for number in range(count):
        yield f"mutation {number} of seed {seed}", mutate(chance.choice(files), chance)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary"
        for what, cases in (
            ("hand-made", hand_made(canary)),
            ("mutations", mutations(args.count, args.seed, args.seeds)),
        ):
            totals = attack(cases, Path(folder), canary)
            read, worst = totals["data"], totals["seconds"]
            print(f"{what}: {totals['cases']:.0f} files, {read:.0f} read, worst {worst:.2f} s")


if __name__ == "__main__":
    main()
