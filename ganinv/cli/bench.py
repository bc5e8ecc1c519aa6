"""`ganinv bench`: speed on this machine, side by side with the usual way and with peers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.errors import UsageError

if TYPE_CHECKING:
    from ganinv.bench.race import Result

PEERS = ("nvidia", "rosinality")


class Peer(click.ParamType):
    """nvidia=FOLDER or rosinality=FOLDER."""

    name = "NAME=FOLDER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """(name, folder); fails as other click types do."""
        name, _, folder = str(value).partition("=")
        if name not in PEERS or not folder:
            self.fail(f"{value} is not understood; type nvidia=FOLDER or rosinality=FOLDER.", param, ctx)
        return name, folder


@click.command("bench", short_help="Measure speed on this machine, side by side with the usual way.")
@click.argument("what", type=click.Choice(["synthesis", "invert", "train", "ops"]), default="synthesis")
@click.option("--resolution", type=int, default=256, show_default=True, help="Of a config-f generator.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Pictures or samples."
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), help="Default: PyTorch's own number.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Medians of so many."
)
@click.option("--peer", type=Peer(), multiple=True, help="A checkout to run too; repeatable.")
@click.option(
    "--compile", "compiled", is_flag=True, help="torch.compile of ours and of the usual way, too (minutes)."
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures."
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw them; needs matplotlib.")
def command(
    what: str,
    rounds: int,
    threads: int | None,
    device: str,
    json_file: Path | None,
    plot: Path | None,
    **given: Any,
) -> None:
    """Measure synthesis (default), completions of a portrait by the bundled models (invert), a generator's
    forward and backward (train), or the operations (ops).

    Contenders run in processes of their own, in turn. "peer-style" is the usual way of the field: a weight
    for each sample, grouped convolutions, plain layout, float32, unfused operations. Weights are random: they
    do not matter for speed. --peer runs a checkout of stylegan2-ada-pytorch (nvidia) or stylegan2-pytorch
    (rosinality).
    """
    import torch

    from ganinv.allocator import keep_freed_memory
    from ganinv.backbones.loading import check_device
    from ganinv.bench.race import ceilings
    from ganinv.bench.timing import machine_name

    if what != "ops":
        _check(what, **given)
    check_device(device)
    threads = threads or torch.get_num_threads()
    machine = machine_name() if device == "cpu" else torch.cuda.get_device_name(device)
    rates = ceilings(threads, device)
    keep_freed_memory()  # as the commands do, and only now: "clone" is of memory fresh from the system
    click.echo(f"{machine}, {threads} threads, torch {torch.__version__}")
    click.echo(
        f"ceilings: {rates['float32']:.0f} GFLOP/s float32, {rates['bfloat16']:.0f} bfloat16, "
        f"copy {rates['copy']:.1f} GB/s, into fresh memory {rates['clone']:.1f}"
    )
    if what == "ops":
        rows = _ops(rounds, threads, device, rates, given["compiled"])
    else:
        rows = _race(what, rounds, threads, device, rates, **given)
    if json_file is not None:
        from ganinv.files import write_bytes

        report = {"machine": machine, "threads": threads, "torch": torch.__version__, "ceilings": rates}
        report |= {"what": what, "options": {"device": device, **given}, "rows": rows}
        write_bytes(json_file, json.dumps(report, indent=2).encode())
    if plot is not None:
        _plot(rows, plot)


def _check(
    what: str, *, resolution: int, peer: tuple[tuple[str, str], ...], compiled: bool, **_: Any
) -> None:
    """Raises UsageError for what cannot be raced."""
    from ganinv.backbones.stylegan2 import StyleGAN2Config

    try:
        StyleGAN2Config(resolution=resolution)
    except ValueError as error:
        raise UsageError(f"--resolution: {error}") from error
    if what == "invert" and (peer or compiled):
        raise UsageError("invert has no peers to race: drop --peer and --compile")


def _race(
    what: str,
    rounds: int,
    threads: int,
    device: str,
    rates: dict[str, float],
    *,
    resolution: int,
    batch: int,
    peer: tuple[tuple[str, str], ...],
    compiled: bool,
) -> list[dict[str, Any]]:
    from ganinv.backbones.stylegan2 import StyleGAN2Config
    from ganinv.bench.contenders import Task, bfloat16_psnr
    from ganinv.bench.peer_style import multiplications
    from ganinv.bench.race import race

    task = Task(what, resolution, batch, device=device)
    flops = 2 * batch * multiplications(StyleGAN2Config(resolution=resolution))
    names = [
        "ours",
        "ours-bfloat16",
        "peer-style",
        *(["ours-compiled", "ours-bfloat16-compiled", "peer-style-compiled"] if compiled else []),
        *dict(peer),
        *(["nvidia-float16"] if device != "cpu" and "nvidia" in dict(peer) else []),
    ]
    checkouts = {**dict(peer), "nvidia-float16": dict(peer).get("nvidia", "")}
    results = race(names, task, rounds=rounds, threads=threads, checkouts=checkouts)
    click.echo(f"{'':20} {'s':>8} {'ours is':>9} {'GFLOP/s':>8} {'of peak':>8} {'peak MB':>8}")
    ours = results[0].median
    work = {"synthesis": flops, "train": 3 * flops, "invert": math.nan}[what]
    rows = [_row(result, ours, work, rates) for result in results]
    if what == "synthesis":
        psnr = bfloat16_psnr(task)
        click.echo(f"bfloat16 pictures against float32: PSNR {psnr:.1f} dB")
        rows[1]["psnr"] = psnr
    return rows


def _row(result: Result, ours: float, flops: float, rates: dict[str, float]) -> dict[str, Any]:
    if result.cause:
        click.echo(f"{result.name:20} could not run: {result.cause}")
        return {"name": result.name, "cause": result.cause}
    rate = flops / result.median / 1e9
    narrow = rates["bfloat16"] if "float16" in result.name else 0.0  # slow where no instructions are for it
    share = rate / max(rates["float32"], narrow)
    ratio, peak = result.median / ours, result.peak_bytes / 1e6
    achieved = f"{'':8} {'':8}" if math.isnan(rate) else f"{rate:8.0f} {share:8.0%}"
    click.echo(f"{result.name:20} {result.median:8.3f} {ratio:8.2f}x {achieved} {peak:8.0f}")
    return {
        "name": result.name,
        "seconds": result.seconds,
        "median": result.median,
        "ratio": ratio,
        "gflops": rate,
        "share": share,
        "peak_bytes": result.peak_bytes,
    }


def _ops(
    rounds: int, threads: int, device: str, rates: dict[str, float], compiled: bool
) -> list[dict[str, Any]]:
    import torch

    from ganinv.bench.ops import race_ops

    torch.set_num_threads(threads)
    click.echo(
        f"{'':20} {'type':8} {'ms':>8} {'ref is':>8} {'compiled':>8} {'GB/s':>7} {'of copy':>8} {'fresh':>6}"
    )
    rows = []
    for result in race_ops(rounds, device=device, compiled=compiled):
        rate, ratio = result.gigabytes / result.native, result.reference / result.native
        share, fresh = rate / rates["copy"], rate / rates["clone"]
        start = f"{result.name:20} {result.dtype:8} {result.native * 1e3:8.2f}"
        graph = f"{result.compiled / result.native:7.1f}x" if compiled else f"{'':8}"
        click.echo(f"{start} {ratio:7.1f}x {graph} {rate:7.1f} {share:8.0%} {fresh:6.0%}")
        rows.append(
            {
                **result._asdict(),
                "median": result.native,
                "ratio": ratio,
                "gbps": rate,
                "share": share,
                "of_clone": fresh,
            }
        )
    return rows


def _plot(rows: list[dict[str, Any]], path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("--plot needs matplotlib: type pip install matplotlib") from error
    from ganinv.files import atomic_write

    ran = [row for row in rows if "median" in row]
    names = [f"{row['name']} {row.get('dtype', '')}".strip() for row in ran]
    figure = Figure(figsize=(7, 0.5 + 0.4 * len(ran)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names[::-1], [row["median"] for row in ran][::-1])
    axes.set_xlabel("seconds, median; shorter is better")
    atomic_write(path, lambda stream: figure.savefig(stream, format=path.suffix[1:] or "png"))
