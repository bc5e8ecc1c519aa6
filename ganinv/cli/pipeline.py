"""A run over many inputs: the next ones are read, and the last ones written, while one is computed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")
W = TypeVar("W")

# Inputs read before their turn, and results waiting to be written: enough to hide a slow file, and a bound
# on memory.
AHEAD = 2


def overlapped(
    jobs: Iterable[J], read: Callable[[J], R], work: Callable[[J, R], Callable[[], W]]
) -> Generator[tuple[J, Future[W]], None, None]:
    """Each job with what came of it, in their order.

    Args:
        read: runs in a thread of its own, at most `AHEAD` jobs before their turn.
        work: runs in the caller's thread, one job after the other; gives the function that writes.

    Yields:
        (job, future): the future is mostly done; its `result()` is what the writing function returned, or
        raises what any of the three raised. After a writing function has raised, none is called any more.

    When the caller stops early (an error, Ctrl-C, `close`), what is not begun is dropped, and the writing
    function that runs is waited for.
    """
    waiting, reads, writes = iter(jobs), deque[tuple[J, Future[R]]](), deque[tuple[J, Future[W]]]()
    reader, writer = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(1, "write")
    failed = threading.Event()

    def write(files: Callable[[], W]) -> W:
        if failed.is_set():
            raise RuntimeError("an earlier result could not be written")
        try:
            return files()
        except BaseException:
            failed.set()
            raise

    try:
        while True:
            reads.extend((job, reader.submit(read, job)) for job in islice(waiting, 1 + AHEAD - len(reads)))
            if not reads:
                break
            job, loaded = reads.popleft()
            try:
                writes.append((job, writer.submit(write, work(job, loaded.result()))))
            except Exception as cause:
                writes.append((job, Future()))
                writes[-1][1].set_exception(cause)
            while writes and (writes[0][1].done() or len(writes) > AHEAD):
                yield writes.popleft()
        yield from writes
    finally:
        failed.set()
        for pool in (reader, writer):
            pool.shutdown(wait=True, cancel_futures=True)
