"""One table, in a process of its own: what python -m benchmarks.speed runs.

python -m benchmarks.speed.measure NUMBER_OF_THE_TABLE SECONDS
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping

from benchmarks.frame.program import processor, versions
from benchmarks.frame.timing import Step, interleave, ratios
from benchmarks.speed.records import Record
from benchmarks.speed.tables import TABLES, Table
from doconv_core.native import library

FEWEST = 5


def measure(table: Table, seconds: float) -> Record:
    """Time the steps in turn for about so many seconds."""
    module = importlib.import_module(f"benchmarks.with_{table.framework}.step")
    there = [way for way in table.ways if way in module.ways(table.work)]
    steps: Mapping[str, Step] = {w: module.step(table.work, w) for w in ("plain", *there)}
    once = interleave(steps, 1)
    rounds = int(seconds / sum(each[0] for each in once.values()))
    times = interleave(steps, max(rounds, FEWEST))
    return {
        "machine": processor(),
        "versions": versions(table.framework),
        "native": library.status(),
        "framework": table.framework,
        "work": str(table.work),
        "threads": table.threads,
        "rounds": len(times["plain"]),
        "plain_seconds": round(min(times["plain"]), 4),
        "ratios": {
            way: {name: round(value, 3) for name, value in each._asdict().items()}
            for way, each in ratios(times).items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(measure(TABLES[int(sys.argv[1])], float(sys.argv[2]))))
