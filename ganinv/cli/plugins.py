"""`ganinv plugins`: methods, completers, encoders and the rest by name, each tried whether it loads."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("plugins", short_help="List methods and other plugins, and whether they load.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of {group, name, origin, error}.")
def command(as_json: bool) -> None:
    """List everything registered by name, where it comes from, and why it cannot be loaded if so."""
    from ganinv.api import plugin_reports

    reports = plugin_reports()
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], indent=2))
        return
    width = max((len(report.name) for report in reports), default=0)
    for report in reports:
        state = "ok" if report.error is None else f"BROKEN: {report.error}"
        click.echo(f"{report.group:<10}  {report.name:<{width}}  {report.origin}  {state}")
