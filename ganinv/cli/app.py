"""`ganinv app`: the page in a browser."""

from __future__ import annotations

from typing import Any

import click

from ganinv.app.limits import Limits
from ganinv.cli.options import machine_options


@click.command("app", short_help="Open the page: erase by hand, pick a filling, move a slider.")
@click.option("--backbone", help="Name or file; default: that of --weights, else the bundled one.")
@click.option("--method", default="diverse-inpaint", show_default=True, help="See 'ganinv plugins'.")
@click.option("--weights", metavar="NAME|FILE", help="Of the method.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines in.")
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
@click.option("--browser/--no-browser", default=True, help="Open a browser as soon as the page is there.")
@click.option("--share-nothing", is_flag=True, help="Offer nothing of this machine's: no kept directions.")
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=Limits.seconds,
    show_default=True,
    help="Longest request; raise it for slow methods (optimize, pti).",
)
@click.option(
    "--megapixels", type=click.FloatRange(0.01, 80), default=Limits.megapixels, show_default=True,
    help="Largest picture.",
)  # fmt: skip
@machine_options
def command(
    backbone: str | None,
    method: str,
    weights: str | None,
    host: str,
    port: int,
    browser: bool,
    share_nothing: bool,
    seconds: float,
    megapixels: float,
    device: str,
    precision: str,
    chunk: int | None,
    compiled: bool,
) -> None:
    """Serve a page on which parts of a picture are erased by hand, filled in several ways, and edited.

    All is done on this machine; uploads are deleted when the page ends. docs/page.md describes it, and its
    HTTP API.
    """
    from ganinv.api import load_method
    from ganinv.app.server import serve
    from ganinv.app.studio import Studio
    from ganinv.cli.machine import open_backbone, open_backbone_of

    running: dict[str, Any] = {"precision": precision, "chunk": chunk, "compiled": compiled}
    if backbone is None:
        generator = open_backbone_of(weights, device, **running)
    else:
        generator = open_backbone(backbone, device, **running)
    options = {} if weights is None else {"weights": weights}
    limits = Limits(seconds=seconds, megapixels=megapixels)
    studio = Studio(load_method(method, backbone=generator, **options), limits, stored=not share_nothing)
    serve(studio, host=host, port=port, browser=browser, report=click.echo)
