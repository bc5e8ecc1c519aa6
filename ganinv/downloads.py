"""Downloads that resume, are verified, and appear whole or not at all."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ganinv.checkpoints import sha256_file
from ganinv.errors import CheckpointError, UsageError
from ganinv.files import output_error

CHUNK = 1 << 20
Progress = Callable[[int, int | None], object]


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, allow_http: bool) -> None:
        self.allow_http = allow_http

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_url(newurl, self.allow_http)  # a redirect must not leave https either
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_url(url: str, allow_http: bool = False) -> None:
    """Raises UsageError unless the link is https, or http to 127.0.0.1 or with `allow_http`."""
    parts = urlsplit(url)
    plain = parts.scheme == "http" and (allow_http or parts.hostname == "127.0.0.1")
    if not parts.hostname or not (parts.scheme == "https" or plain):
        raise UsageError(f"{url} is not an https link; give an https:// one, or type --allow-http")


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    allow_http: bool = False,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> str:
    """Fetches `url` to `path`; what a cut leaves in `<path>.part` is resumed by the next call.

    Args:
        sha256, size: what the file must have, in hex digits and bytes, where known.
        progress: called with the bytes so far and in all (None: not told).
        timeout: seconds without data.

    Returns:
        The SHA-256 of the file.

    Raises:
        UsageError: the link is not allowed. CheckpointError: offline, refused, cut, or not the file meant.
        OutputError: it cannot be written.
    """
    check_url(url, allow_http)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        open(part, "ab").close()
    except OSError as cause:
        raise output_error(path, cause) from cause
    headers = {"Range": f"bytes={have}-"} if have else {}
    opener = urllib.request.build_opener(_Redirects(allow_http))
    place = f"fetch {url} by other means, put it at {path} and type the command again"
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as reply:
            _receive(reply, part, have, path, progress)
    except urllib.error.HTTPError as cause:
        if cause.code != 416:  # 416: the part file was complete (or too long, which the digest tells)
            raise CheckpointError(f"the server answered {cause.code} for {url}; {place}") from cause
    except (OSError, http.client.HTTPException) as cause:
        raise CheckpointError(f"cannot reach or finish {url} ({cause}); try again, or {place}") from cause
    finally:
        if part.exists() and part.stat().st_size == 0:
            part.unlink()
    return _accept(part, path, url, sha256, size)


def _receive(reply: Any, part: Path, have: int, path: Path, progress: Progress | None) -> None:
    have = have if reply.status == 206 else 0  # a server without Range sends the whole file again
    length = reply.headers.get("Content-Length")
    total = have + int(length) if length else None
    with open(part, "ab" if have else "wb") as stream:
        while data := reply.read(CHUNK):
            try:
                stream.write(data)
                stream.flush()
            except OSError as cause:
                raise output_error(path, cause) from cause
            have += len(data)
            if progress:
                progress(have, total)
    if total is not None and have != total:
        raise http.client.HTTPException(f"cut after {have} of {total} bytes")


def _accept(part: Path, path: Path, url: str, sha256: str | None, size: int | None) -> str:
    digest = sha256_file(part)
    found = part.stat().st_size
    if (size is not None and found != size) or (sha256 and digest != sha256.lower()):
        part.unlink()
        raise CheckpointError(
            f"{url} is not the file meant: {found} bytes, sha256 {digest}, expected {size or 'any size'}, "
            f"sha256 {sha256 or 'unknown'}; nothing was kept"
        )
    try:
        os.replace(part, path)
    except OSError as cause:
        raise output_error(path, cause) from cause
    return digest
