"""What only a card can show: one run list, for a machine that may be lent for half an hour.

    python scripts/gpu.py --out runs/gpu --minutes 25 --peer nvidia=CHECKOUT

    1 build      the kernels compile for the card; tests/ops there; compute-sanitizer on a small case of each
    2 kernels    each against the copy rate, our reference, torch.compile of it, and NVIDIA's plugin
    3 speed      synthesis at 256 and 1024 px, 1, 8 and 32 pictures; completions; steps of training
    4 training   both stages of diverse-inpaint on the bundled generator, in bfloat16, until the time is over

Steps that are done are skipped when it is called again (their files lie in --out; small, to be taken home); a
step has a time limit, the rest of --minutes at most. Runs from a checkout, uninstalled: it sets PYTHONPATH
itself. The last lines say what ended how.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = "from ganinv_ops import bias_act, dispatch, epilogue, filtered_lrelu, upfirdn2d\n"
CASES += "print({op: check() for op, check in dispatch.CHECKS.items()})"


@dataclass(frozen=True)
class Step:
    """A command; minutes: what it takes at most, which is its time limit."""

    name: str
    command: list[str]
    minutes: float


def steps(out: Path, peers: list[str]) -> Iterator[Step]:
    """The run list, in order."""
    python = sys.executable
    given = [word for peer in peers for word in ("--peer", peer)]
    bench = [python, "-m", "ganinv", "bench", "--device", "cuda"]

    yield Step("build", [python, "-c", CASES], 4)
    tests = [python, "-m", "pytest", "-q", "-m", "cuda", "tests/ops", "-p", "no:cacheprovider"]
    yield Step("tests", tests, 3)
    for tool in ("memcheck", "racecheck"):
        yield Step(f"sanitizer-{tool}", ["compute-sanitizer", "--tool", tool, python, "-c", CASES], 3)

    ops = [*bench, "ops", "--compile", "--json", str(out / "ops.json")]
    yield Step("ops", ops, 4)
    if any(peer.startswith("nvidia=") for peer in peers):
        checkout = next(peer.partition("=")[2] for peer in peers if peer.startswith("nvidia="))
        script = [python, "scripts/bench_plugin.py", "--checkout", checkout]
        yield Step("plugin", [*script, "--json", str(out / "plugin.json")], 4)

    for side in (256, 1024):
        for batch in (1, 8, 32):
            name = f"synthesis-{side}-{batch}"
            shape = ["--resolution", str(side), "--batch", str(batch), "--compile"]
            yield Step(name, [*bench, "synthesis", *shape, *given, "--json", str(out / f"{name}.json")], 4)
    yield Step("invert", [*bench, "invert", "--batch", "8", "--json", str(out / "invert.json")], 2)
    yield Step("train", [*bench, "train", "--batch", "8", *given, "--json", str(out / "train.json")], 3)
    yield Step("stage-1", [python, "scripts/bench_stage1.py", "--device", "cuda", "--batch", "32"], 3)


def training(out: Path, minutes: float) -> Step:
    """Both stages, for as long as there is time; goes on from where an earlier call stopped."""
    folder = out / "training"
    command = [
        sys.executable,
        "-m",
        "ganinv",
        "train",
        "--method",
        "diverse-inpaint",
        "--config",
        "portraits-128",
    ]
    command += ["--out", str(folder), "--minutes", f"{minutes / 2 - 0.5:.1f}", "accelerator=cuda"]
    command += ["precision=bfloat16", "stage1.batch=64", "stage2.batch=64", "data.real_images=null"]
    if folder.exists():
        command.append("--resume")
    return Step("training", command, minutes)


def run(step: Step, out: Path) -> str:
    """How it ended: "done", "failed" or "too slow"; what it printed is in NAME.log."""
    if shutil.which(step.command[0]) is None:
        return f"left out: there is no {step.command[0]}"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'ops'}"}
    with (out / f"{step.name}.log").open("w") as log:
        log.write(" ".join(step.command) + "\n")
        log.flush()
        try:
            done = subprocess.run(
                step.command,
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=step.minutes * 60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"too slow: ended after {step.minutes:g} minutes"
    return "done" if done.returncode == 0 else f"failed with {done.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25, help="of this call; not counting what is done")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=FOLDER", help="nvidia, rosinality"
    )
    parser.add_argument("--list", action="store_true", help="say what would be run")
    args = parser.parse_args()
    out = args.out.resolve()
    if args.list:
        for step in [*steps(out, args.peer), training(out, args.minutes)]:
            print(f"{step.name:18} {step.minutes:4g} min  {' '.join(step.command)}")
        return
    out.mkdir(parents=True, exist_ok=True)
    state = out / "state.json"
    ended: dict[str, str] = json.loads(state.read_text()) if state.exists() else {}
    end = time.monotonic() + args.minutes * 60

    def left() -> float:
        return (end - time.monotonic()) / 60

    for step in steps(out, args.peer):
        if ended.get(step.name) == "done" or left() < min(step.minutes, 0.3):
            continue
        print(f"{step.name} ... ({left():.1f} minutes left)", flush=True)
        within = Step(step.name, step.command, min(step.minutes, left()))
        ended[step.name] = run(within, out)
        state.write_text(json.dumps(ended, indent=1))
    if left() > 4:
        print(f"training ... ({left():.1f} minutes left)", flush=True)
        ended["training"] = run(training(out, left()), out)
        state.write_text(json.dumps(ended, indent=1))
    print(f"\n{'step':18} ended\n" + "\n".join(f"{name:18} {how}" for name, how in ended.items()))


if __name__ == "__main__":
    main()
