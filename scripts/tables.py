#!/usr/bin/env python3
"""The tables of docs/tables.md: train every row, measure it, write the page.

    python scripts/tables.py --out runs/tables [--only ours-1,ours-2] [train|evaluate|report|all]
    python scripts/tables.py --list
    python scripts/tables.py --out runs/try --scale 0.01 --count 20 --only encoder,ours-1

The rows are in scripts/tables.yaml. All is resumable: Ctrl-C saves, the same command goes on. Two processes
with the same --out share the work, one a core; rows that one works on are left alone by the other, or waited
for where they are needed. Figures are kept in docs/tables (those of a try, by --scale or --count, in
OUT/kept), and a row that is kept there with the same settings is done, even where OUT is gone. The exit code
is 1 where a row failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from table_order import work
from table_pages import write_page
from table_rows import Row, TableError, read_rows, select
from table_runs import STOPPED, Stopped, Workshop

ROOT = Path(__file__).resolve().parents[1]
COUNT = 300


def main(arguments: list[str] | None = None) -> int:
    """Parse, work, report; the exit code."""
    args = parse(arguments)
    try:
        rows = read_rows(args.rows, scale=args.scale, count=args.count)
        chosen = select(rows, args.only)
        keep = args.keep or (
            ROOT / "docs/tables" if (args.scale, args.count) == (1, COUNT) else args.out / "kept"
        )
        shop = Workshop(rows, args.out.resolve(), keep.resolve())
        if args.list:
            print("\n".join(line(shop, row) for row in chosen))
            return 0
        failed = {} if args.phase == "report" else work(shop, chosen, args.phase)
        if args.phase in ("report", "all"):
            print(f"the page is {write_page(shop, keep.parent / 'tables.md')}")
    except TableError as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 2
    except (Stopped, KeyboardInterrupt):
        print("stopped; the same command goes on", file=sys.stderr)
        return STOPPED
    for name, why in failed.items():
        print(f"{name} was not done: {why}", file=sys.stderr)
    return 1 if failed else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phase", nargs="?", choices=("train", "evaluate", "report", "all"), default="all")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"), help="Trainings and evaluations.")
    parser.add_argument("--only", metavar="ROW,ROW", help="Rows to work on, with what they begin from.")
    parser.add_argument("--scale", type=float, default=1.0, help="Times the pictures of each training.")
    parser.add_argument("--count", type=int, default=COUNT, help="Pictures of each evaluation.")
    parser.add_argument("--rows", type=Path, default=Path(__file__).with_suffix(".yaml"), help="YAML file.")
    parser.add_argument("--keep", type=Path, help="Folder of the figures; the page is written beside it.")
    parser.add_argument("--list", action="store_true", help="Print the rows and what is left of each.")
    return parser.parse_args(arguments)


def line(shop: Workshop, row: Row) -> str:
    """A row, what it begins from, and what is left to do."""
    left = ", ".join(shop.todo(row, "all", True)) or "done"
    start = f" from {row.begins_from}" if row.begins_from else ""
    pictures = f", {row.train.images} pictures" if row.train and row.train.images else ""
    return f"{row.name:<14} {row.label}{start}{pictures}: {left}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
