"""`ganinv evaluate`: figures of a method with their intervals, and a report to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganinv.cli.options import (
    MACHINE,
    Finite,
    json_option,
    machine_options,
    out_option,
    seed_option,
    taken,
    tones_option,
)
from ganinv.cli.progress import stage_progress
from ganinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from ganinv.api import Backbone
    from ganinv.evaluation.completers import Completer

_NEEDED = ("torchmetrics", "sklearn", "matplotlib", "markdown")


@click.command("evaluate")
@click.option(
    "--method",
    default="diverse-inpaint",
    show_default=True,
    help="A method or completer of 'ganinv plugins'; mean-colour and diffusion are simple ones to be better "
    "than.",
)
@click.option("--weights", help="Weights of the method, by name or file; default: the bundled ones.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Of the method; repeatable.")
@click.option("--backbone", metavar="NAME|FILE", help="Generator; default: the one of --weights.")
@click.option(
    "--data",
    default="portraits",
    show_default=True,
    metavar="DIR|portraits[:SERIES]",
    help="A folder of pictures, or fresh portraits.",
)
@click.option("--count", type=click.IntRange(min=2), default=200, show_default=True, help="Pictures.")
@click.option(
    "--masks",
    multiple=True,
    default=("comodgan",),
    show_default=True,
    help="Family of holes: comodgan, mat, lama-thick, ..., half-left, centre, ...; with several the pictures "
    "take turns.",
)
@click.option("--samples", type=click.IntRange(min=1), default=4, show_default=True, help="Per picture.")
@seed_option("Of all randomness.")
@click.option("--truncation", type=Finite(0, 1), default=1.0, show_default=True, help="Of random codes.")
@tones_option
@click.option("--feather", type=click.IntRange(min=0), default=0, show_default=True, help="Of composites.")
@click.option(
    "--features",
    metavar="FILE",
    help="TorchScript network for FID, KID, P-/U-IDS, like Inception; it is run. Default: the judge.",
)
@click.option("--edits", type=click.IntRange(min=0), default=200, show_default=True, help="Pictures edited.")
@click.option("--strength", type=Finite(0), default=2.0, show_default=True, help="Of edits, either way.")
@click.option(
    "--calibrate",
    multiple=True,
    metavar="ATTRIBUTE",
    help="Hide it and compare samples with its prior; repeatable.",
)
@click.option("--calibration-count", type=click.IntRange(min=2), default=500, show_default=True)
@click.option("--calibration-samples", type=click.IntRange(min=2), default=8, show_default=True)
@click.option(
    "--replicates", type=click.IntRange(min=1), default=1000, show_default=True, help="For intervals."
)
@click.option(
    "--beside",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="--out of an earlier run to print as a column beside this one; repeatable.",
)
@click.option("--fresh", is_flag=True, help="Discard measurements of another run in --out.")
@machine_options
@out_option
@json_option
def command(
    method: str,
    weights: str | None,
    options: tuple[str, ...],
    backbone: str | None,
    beside: tuple[Path, ...],
    fresh: bool,
    out: Path,
    as_json: bool,
    **asked: Any,
) -> None:
    """Measure what a method fills in, on pictures whose truth is known.

    Writes report.json (figures with 95 % intervals, and a card of every choice that moves a number),
    report.md, report.html, plots/ and sheets/. A run that was stopped goes on where it was.

    \b
    ganinv evaluate --count 500 --masks comodgan --calibrate smile --calibrate glasses --out out/ours
    ganinv evaluate --method diffusion --count 500 --beside out/ours --out out/diffusion
    """
    from ganinv.evaluation.settings import EvaluationSettings
    from ganinv.evaluation.tables import comparison

    _check_installed()
    running = taken(MACHINE, asked)
    settings = EvaluationSettings(**asked)
    rows = {str(folder): _report_of(folder) for folder in beside}
    if settings.series is None and settings.features is None:
        click.echo("Note: the judge knows portraits only; for other pictures give --features FILE", err=True)
    generator = _generator(backbone, weights, **running)
    completer = _completer(method, generator, weights, options)

    from ganinv.evaluation.runner import evaluate

    with stage_progress() as progress:
        report = evaluate(completer, settings, out, backbone=generator, fresh=fresh, progress=progress)
    compared = comparison({str(out): report, **rows})
    if as_json:
        given = {"method": method, "weights": weights, "options": list(options), "backbone": backbone}
        given |= {**settings.to_json(), **running, "out": str(out)}
        written = [str(out / f"report.{kind}") for kind in ("json", "md", "html")]
        result = {"outputs": written, "inputs": [], "options": given, "failures": []}
        click.echo(json.dumps({**result, "figures": report["figures"]}, indent=2))
    else:
        click.echo("\n".join([*compared, "", f"the report is {out / 'report.html'}"]))


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"evaluate needs {', '.join(missing)}: type pip install 'ganinv[evaluate]'")


def _generator(name: str | None, weights: str | None, **running: Any) -> Backbone:
    from ganinv.cli.machine import open_backbone, open_backbone_of

    if name is not None:
        return open_backbone(name, **running)
    return open_backbone_of(weights, **running)


def _completer(method: str, backbone: Backbone, weights: str | None, options: tuple[str, ...]) -> Completer:
    """The method or completer of that name. Raises what `ganinv.api.load_completer` raises."""
    from ganinv.api import load_completer
    from ganinv.configs import parse_options
    from ganinv.evaluation.completers import completer_group
    from ganinv.plugins import GROUPS, registry

    group = completer_group(method)
    given = parse_options(registry(group).get(method), options, f"{GROUPS[group]} {method!r}")
    given |= {} if weights is None else {"weights": weights}
    return load_completer(method, backbone=backbone, **given)


def _report_of(folder: Path) -> dict[str, Any]:
    path = folder if folder.suffix == ".json" else folder / "report.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found["card"]["protocol_sha256"], found["figures"]
    except OSError as cause:
        raise InputError(f"--beside {folder}: cannot read {path}: {cause.strerror}") from cause
    except (ValueError, KeyError, TypeError) as cause:
        raise InputError(f"--beside {folder}: {path} is no report of 'ganinv evaluate'") from cause
    return found
