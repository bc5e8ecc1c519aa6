"""Working on one row: child processes, a lock between processes of the script, and what is kept.

In OUT/ROW lies the training with `tables.json` (its digest, CPU seconds over all resumes, how it ended); in
OUT/evaluated/ROW-EVALUATION an evaluation; in OUT/locks a file for each row that is being worked on.
KEEP/ROW.json holds the figures that the tables need, and outlives OUT.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from table_rows import (
    Row,
    TableError,
    evaluate_arguments,
    evaluation_digest,
    train_arguments,
    training_digest,
)

STOPPED = 130
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
"""Of the children: one thread each."""
_OF_CALIBRATION = (
    "total_variation", "generator", "floor", "coverage", "spread", "hole_share", "pictures"
)  # fmt: skip


class Stopped(Exception):
    """Ctrl-C or SIGTERM; the child has saved what it had."""


class Failed(Exception):
    """A child that ended with an error: its last lines."""


class Workshop:
    """Where the rows are worked on and kept."""

    def __init__(self, rows: Mapping[str, Row], out: Path, keep: Path) -> None:
        self.rows, self.out, self.keep = rows, out, keep

    # ----------------------------------------------------------------------------------------- what there is

    def folder(self, row: Row) -> Path:
        """Of the training."""
        return self.out / row.name

    def weights(self, row: Row) -> Path:
        """The weight file that the training writes; of a row without one, that of the row it begins from."""
        if row.train is None:
            assert row.begins_from is not None, f"{row.name} has no weights"
            return self.weights(self.rows[row.begins_from])
        return self.folder(row) / f"{row.train.method}.safetensors"

    def note(self, row: Row) -> dict[str, Any]:
        """What is known of the training in OUT. Raises TableError where it is one of other settings."""
        found = read_json(self.folder(row) / "tables.json")
        spec = training_digest(row, self.rows)
        if found and found["spec_sha256"] != spec:
            raise TableError(
                f"{self.folder(row)} holds a training of other settings than the rows ask for now: move it "
                "away, or give another --out"
            )
        return found or {"spec_sha256": spec, "cpu_seconds": 0.0, "lost": False, "done": False}

    def trained(self, row: Row) -> bool:
        """Whether the weights are there, or none are needed."""
        if row.train is None:
            return row.begins_from is None or self.trained(self.rows[row.begins_from])
        return self.note(row)["done"] and self.weights(row).is_file()

    def record(self, row: Row) -> dict[str, Any]:
        """KEEP/ROW.json, or an empty one."""
        return read_json(self.keep / f"{row.name}.json") or {
            "row": row.name,
            "training": None,
            "evaluations": {},
        }

    def kept_training(self, row: Row) -> bool:
        """Whether the record tells of this very training."""
        training = self.record(row)["training"]
        return row.train is None or bool(
            training and training["spec_sha256"] == training_digest(row, self.rows)
        )

    def missing(self, row: Row) -> list[str]:
        """The evaluations that are still to be made."""
        have = self.record(row)["evaluations"]
        return [
            which
            for which in row.evaluations
            if have.get(which, {}).get("spec_sha256") != evaluation_digest(row, which, self.rows)
        ]

    def todo(self, row: Row, phase: str, wanted: bool) -> list[str]:
        """What is left to do of a row: "train", names of evaluations.

        wanted: it was asked for itself, or else another row needs its weights.
        """
        untrained = row.train is not None and not self.trained(row)
        if not wanted:
            return ["train"] if untrained else []
        evaluations = self.missing(row) if phase in ("evaluate", "all") else []
        train = untrained and phase in ("train", "all")
        # kept figures count as done where nothing is left that needs the weights
        train = train and not (self.kept_training(row) and not (row.weighs and evaluations))
        return [*(["train"] if train else []), *evaluations]

    @contextmanager
    def lock(self, row: Row) -> Iterator[int | None]:
        """A descriptor that holds the row, None where another process does. The system frees it with the last
        process that has it open: children are handed it, so a row stays taken while an orphan works on it."""
        path = self.out / "locks" / f"{row.name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
            yield stream.fileno()

    # ------------------------------------------------------------------------------------------------ work

    def train(self, row: Row, lock: int) -> None:
        """Train a row to its end, going on from where it was, and keep what it cost."""
        folder, note = self.folder(row), self.note(row)
        folder.mkdir(parents=True, exist_ok=True)
        starts = self._starts(row)
        begun = (folder / "log.jsonl").is_file() or any(
            p.name != "stage1.state" for p in folder.glob("*.state")
        )
        resume = begun or (row.takes != "state" and (folder / "stage1.state").is_file())
        note["lost"] = note["lost"] or note.get("running", False)  # killed: its CPU seconds were not counted
        write_json(folder / "tables.json", {**note, "running": True})
        code, answer, seconds = self._child(row, train_arguments(row, folder, starts, resume=resume), lock)
        note |= {"running": False, "cpu_seconds": note["cpu_seconds"] + seconds}
        write_json(folder / "tables.json", note)
        self._judge(row, code)
        stages = json.loads(answer)["stages"]
        note["stages"] = {
            n: {k: s[k] for k in ("reason", "images", "seconds") if k in s} for n, s in stages.items()
        }
        note |= {"done": True, "weights_sha256": sha256(self.weights(row))}
        write_json(folder / "tables.json", note)
        self.keep_training(row)

    def keep_training(self, row: Row) -> None:
        """Write what a training cost into the record; where one of the same settings is told, that stays."""
        if row.train is None or self.kept_training(row) or not self.note(row)["done"]:
            return
        note, train = self.note(row), row.train
        images = sum(stage.get("images", 0) for stage in note["stages"].values()) or train.images
        told = {
            **{key: note[key] for key in ("spec_sha256", "stages", "weights_sha256")},
            **{"method": train.method, "config": train.config, "stage": train.stage},
            **{"overrides": dict(train.overrides), "images": images, "code_images": train.code_images},
            **{"cpu_seconds": round(note["cpu_seconds"], 1), "at_least": note["lost"]},
            **{"begins_from": row.begins_from, "takes": row.takes},
        }
        self._keep(row, {**self.record(row), "training": told})

    def evaluate(self, row: Row, which: str, lock: int) -> None:
        """Make one evaluation of a row and keep its figures."""
        out = self.out / "evaluated" / f"{row.name}-{which}"
        weights = self.weights(row) if row.weighs else None
        spec = evaluation_digest(row, which, self.rows)
        now = {"spec_sha256": spec, "weights_sha256": weights and sha256(weights)}
        before = read_json(out / "tables.json")
        write_json(out / "tables.json", now)
        fresh = bool(before) and before != now
        code, _, seconds = self._child(row, evaluate_arguments(row, which, weights, out, fresh=fresh), lock)
        self._judge(row, code)
        report = read_json(out / "report.json")
        record = self.record(row)
        told = {"date": time.strftime("%Y-%m-%d"), "cpu_seconds": round(seconds, 1)}
        record["evaluations"][which] = {**now, **told, **figures_of(report)}
        self._keep(row, record)

    def _keep(self, row: Row, record: Mapping[str, Any]) -> None:
        write_json(self.keep / f"{row.name}.json", rounded({**record, "label": row.label, "seed": row.seed}))

    def _starts(self, row: Row) -> list[str]:
        """Overrides that name what a row begins from; a state is linked into its folder."""
        if row.begins_from is None:
            return []
        start = self.rows[row.begins_from]
        if row.takes == "state":
            name = "stage1.state"  # states are replaced and never written to, so that a link is a copy
            try:
                if not (self.folder(row) / name).is_file():
                    os.link(self.folder(start) / name, self.folder(row) / name)
            except OSError as cause:
                raise TableError(f"cannot take {name} from {self.folder(start)}: {cause.strerror}") from cause
            return []
        key = {"encoder": "network.encoder_from", "weights": "start_from"}[str(row.takes)]
        return [f"{key}={self.weights(start)}"]

    def _child(self, row: Row, arguments: Sequence[str], lock: int) -> tuple[int, str, float]:
        """Exit code, standard output and CPU seconds of `ganinv ARGUMENTS`; notes go to OUT/logs/ROW.log."""
        log = self.out / "logs" / f"{row.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        before = children_seconds()
        with log.open("a", encoding="utf-8") as notes:
            notes.write(f"$ ganinv {' '.join(arguments)}\n")
            notes.flush()
            # a session of its own: Ctrl-C comes here alone, and is handed on once
            child = subprocess.Popen(
                [sys.executable, "-m", "ganinv", *arguments],
                stdout=subprocess.PIPE, stderr=notes, text=True, pass_fds=(lock,), start_new_session=True,
                env={**os.environ, **ENVIRONMENT},
            )  # fmt: skip
            try:
                answer = child.communicate()[0]
            except KeyboardInterrupt:
                child.send_signal(signal.SIGTERM)
                answer = child.communicate()[0]
                child.returncode = STOPPED
        return child.returncode, answer, children_seconds() - before

    def _judge(self, row: Row, code: int) -> None:
        if code == STOPPED:
            raise Stopped
        if code:
            log = self.out / "logs" / f"{row.name}.log"
            last = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()][-1:]
            raise Failed(f"{' '.join(last)} (exit code {code}; {log} has the rest)")


# ------------------------------------------------------------------------------------------------ small parts


def figures_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the tables need of a report of `ganinv evaluate`."""
    card = report["card"]
    protocol = card["protocol"]
    kept = {
        key: protocol[key] for key in ("masks", "count", "samples", "edits", "picture_sha256", "mask_sha256")
    }
    found = {"protocol_sha256": card["protocol_sha256"], **kept, "truncation": card["truncation"]}
    found |= {"hole_share": report["hole_share"]["mean"], "figures": report["figures"]}
    if len(protocol["masks"]) > 1:
        found |= {key: report[key] for key in ("by_family", "by_hole_size")}
    if report.get("calibration"):
        found["calibration"] = {
            name: {key: figures[key] for key in _OF_CALIBRATION}
            for name, figures in report["calibration"].items()
        }
    return {**found, "machine": card["machine"], "versions": card["versions"]}


def children_seconds() -> float:
    """User and system time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rounded(data: Any) -> Any:
    """Plain data with six digits a number: files to be committed."""
    if isinstance(data, float):
        return float(f"{data:.6g}")
    if isinstance(data, Mapping):
        return {key: rounded(value) for key, value in data.items()}
    return [rounded(value) for value in data] if isinstance(data, list | tuple) else data


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """What a file holds; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
