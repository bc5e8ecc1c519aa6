"""`ganinv train`: hand a configuration to the trainer that a method's plugin registers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganinv.cli.options import Finite, json_option, out_option


@click.command("train")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--method", default="diverse-inpaint", show_default=True, help="What to train; 'ganinv plugins' lists it."
)
@click.option(
    "--config", metavar="FILE", help="YAML file, or the name of a shipped one (portraits-64, smoke)."
)
@click.option(
    "--backbone", metavar="NAME|FILE", help="Generator to train for, in place of the configuration's."
)
@click.option(
    "--stage", type=click.Choice(["1", "2", "both"]), default="both", show_default=True, help="What to train."
)
@out_option
@click.option("--resume", is_flag=True, help="Go on from the states in --out.")
@click.option("--minutes", type=Finite(min=0), help="Wall time for each stage, earlier runs included.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    overrides: tuple[str, ...],
    method: str,
    config: str | None,
    backbone: str | None,
    stage: str,
    out: Path,
    resume: bool,
    minutes: float | None,
    as_json: bool,
) -> None:
    """Train a method on a backbone.

    KEY=VALUE overrides the configuration, with dots for nested keys: stage1.batch=8 losses.adversarial=0.

    \b
    ganinv train --method diverse-inpaint --config portraits-64 --out runs/a
    ganinv train --config mine.yaml stage1.lr=5e-4 --stage 1 --minutes 20 --out runs/b
    ganinv train --method e4e --out runs/e4e
    """
    from ganinv.allocator import keep_freed_memory
    from ganinv.plugins import registry

    keep_freed_memory()
    trainer = registry("trainers").get(method)
    result = trainer(
        config,
        overrides,
        out=out,
        backbone=backbone,
        stage=stage,
        resume=resume,
        minutes=minutes,
        report=lambda line: click.echo(line, err=True),
    )
    stopped = any(ending["reason"] == "stopped" for ending in result["stages"].values())
    if as_json:
        asked = {"method": method, "config": config, "backbone": backbone, "stage": stage, "minutes": minutes}
        options = {**asked, "resume": resume, "overrides": list(overrides)}
        click.echo(json.dumps({**result, "inputs": [], "options": options, "failures": []}, indent=2))
    else:
        click.echo(f"weights are in {result['outputs'][0]}")
    if stopped:
        click.echo(
            f"stopped before the end; to go on, add --resume to the same command (--out {out})", err=True
        )
        ctx.exit(130)
