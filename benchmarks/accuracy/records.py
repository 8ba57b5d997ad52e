"""Records in files of JSON lines: a line is there whole, or it is not there."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from benchmarks.accuracy.run import Record, Run, run_of

COMMITTED = Path(__file__).parents[1] / "results" / "accuracy"


def append(path: Path, record: Record) -> None:
    """Add a line, by one write, after the last whole one; a line torn by a crash goes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        written = file.read()
        file.truncate(written.rfind(b"\n") + 1)
        file.write(json.dumps(record).encode() + b"\n")
        os.fsync(file.fileno())


def read(path: Path) -> dict[Run, Record]:
    """The records of a file by their runs, of equal runs the first; none if there is no file."""
    found: dict[Run, Record] = {}
    if path.exists():
        whole, _, _ = path.read_text().rpartition("\n")
        for line in whole.splitlines():
            record = json.loads(line)
            found.setdefault(run_of(record), record)
    return found
