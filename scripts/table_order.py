"""The order of work: what is left of the chosen rows, what it begins from, and what other processes have."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from table_rows import Row, TableError, with_ancestors
from table_runs import Failed, Workshop

POLL = 20.0
"""Seconds between two looks at rows that another process works on."""


def work(shop: Workshop, chosen: Sequence[Row], phase: str, *, poll: float = POLL) -> dict[str, str]:
    """Train and evaluate the chosen rows, and train what they begin from; row -> why it could not be done.

    Rows that another process works on are left to it, unless a row here begins from them: then they are
    waited for. Raises Stopped.
    """
    for row in with_ancestors(chosen, shop.rows):
        with suppress(TableError):
            shop.keep_training(row)  # of a process that was killed just before it did
    names = {row.name for row in chosen}
    failed: dict[str, str] = {}
    pending = _pending(shop, chosen, names, phase, failed)
    while pending:
        moved = False
        for row in pending:
            start = row.begins_from
            if start in failed:
                failed[row.name] = f"{start}, from which it begins, could not be trained"
            elif (
                start is not None
                and row.needs_start(shop.todo(row, phase, row.name in names))
                and not shop.trained(shop.rows[start])
            ):
                continue
            else:
                with shop.lock(row) as lock:
                    if lock is None and _awaited(row, pending, shop.rows):
                        continue
                    if lock is None:
                        print(f"{row.name}: another process works on it; left to that", flush=True)
                        names.discard(row.name)
                    else:
                        _work_on(shop, row, phase, row.name in names, lock, failed)
            moved = True
            break
        chosen = [row for row in chosen if row.name in names]
        pending = _pending(shop, chosen, names, phase, failed)
        if pending and not moved:
            time.sleep(poll)
    return failed


def _pending(
    shop: Workshop, chosen: Sequence[Row], names: set[str], phase: str, failed: dict[str, str]
) -> list[Row]:
    """What is left to do: of chosen rows, and of those whose weights a chosen one still needs."""
    left = []
    for row in chosen:
        if row.name in failed:
            continue
        try:
            todo = shop.todo(row, phase, True)
            if todo and phase == "evaluate" and not shop.trained(row):
                failed[row.name] = "it is not trained"
            elif todo:
                left.append(row)
        except TableError as error:
            failed[row.name] = str(error)
    needed = {row.name for row in left}
    for row in left:
        start = row.begins_from if row.needs_start(shop.todo(row, phase, True)) else None
        while start is not None and start not in failed:
            try:
                if shop.trained(shop.rows[start]):
                    break
            except TableError as error:
                failed[start] = str(error)
                break
            needed.add(start)
            start = shop.rows[start].begins_from
    return [row for name, row in shop.rows.items() if name in needed]


def _awaited(row: Row, pending: Sequence[Row], rows: Mapping[str, Row]) -> bool:
    return any(
        row.name in {a.name for a in with_ancestors([other], rows)} - {other.name} for other in pending
    )


def _work_on(shop: Workshop, row: Row, phase: str, wanted: bool, lock: int, failed: dict[str, str]) -> None:
    """Whatever is left to do of a row, which may be nothing by now."""
    try:
        for task in shop.todo(row, phase, wanted):
            print(f"{time.strftime('%H:%M')} {row.name}: {task}", flush=True)
            shop.train(row, lock) if task == "train" else shop.evaluate(row, task, lock)
    except (Failed, TableError) as error:
        failed[row.name] = str(error)
        print(f"{row.name}: {error}", flush=True)
