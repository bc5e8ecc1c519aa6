"""The page served: Gradio kept offline, within its limits, and away from every file that is not its own."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganinv.app.examples import examples
from ganinv.app.studio import Studio
from ganinv.errors import PluginError, UsageError

if TYPE_CHECKING:
    import gradio

_HERE = Path(__file__).parent
_THREADS = (
    6  # each that ever computes keeps PyTorch's own threads and memory beside it; one computes at a time
)


def build(studio: Studio, folder: Path) -> gradio.Blocks:
    """The page and the API of a studio, not yet served. Uploads and results live in `folder`.

    Raises:
        PluginError: Gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gradio as gr
    except ModuleNotFoundError as cause:
        raise PluginError(
            f"the page needs {cause.name}, which is not installed: type pip install 'ganinv[app]'"
        ) from cause
    from ganinv.app.endpoints import tie
    from ganinv.app.page import Page

    limits = studio.limits
    seconds = 60 * limits.idle_minutes
    with gr.Blocks(
        title="ganinv", fill_width=True, analytics_enabled=False, delete_cache=(min(seconds, 600), seconds)
    ) as blocks:
        Page(studio, examples(studio.backbone), folder).build()
        tie(studio, folder)
    blocks.queue(max_size=limits.waiting, default_concurrency_limit=1)
    return blocks


def serve(
    studio: Studio,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    browser: bool = True,
    wait: bool = True,
    report: Callable[[str], object] = lambda line: None,
) -> gradio.Blocks:
    """Serves the page until Ctrl-C, or in the background where `wait` is false (then `close()` ends it).

    `report` is told where the page is, once it is there.

    Raises:
        PluginError: Gradio is not installed. UsageError: the port is taken.
    """
    folder = Path(tempfile.mkdtemp(prefix="ganinv-app-"))  # of this user alone
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    blocks = build(studio, folder)
    studio.warm_up()
    try:
        blocks.launch(**_options(studio, host, port, browser))
    except OSError as cause:
        raise UsageError(
            f"cannot listen on {host}:{port}: another program may, or it is no address of this machine; "
            f"type --port {port + 1}"
        ) from cause
    report(f"the page is at http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port} (Ctrl-C ends it)")
    if wait:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that it ends tidily
        try:
            blocks.block_thread()
        finally:
            blocks.close(verbose=False)
            shutil.rmtree(folder, ignore_errors=True)
    return blocks


def _options(studio: Studio, host: str, port: int, browser: bool) -> dict[str, Any]:
    import gradio as gr

    # only fonts that the visitor's machine has: nothing is fetched from elsewhere
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", radius_size="md", spacing_size="sm", text_size="sm",
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"],
    )  # fmt: skip
    return {
        "server_name": host,
        "server_port": port,
        "inbrowser": browser,
        "share": False,
        "quiet": True,
        "prevent_thread_lock": True,
        "show_error": False,
        "max_threads": _THREADS,
        "allowed_paths": [],
        "max_file_size": f"{studio.limits.upload_mb}mb",
        "state_session_capacity": studio.limits.visitors,
        "ssr_mode": False,
        "footer_links": ["api"],
        "theme": theme,
        "css": (_HERE / "page.css").read_text(encoding="utf-8"),
    }
