"""Quantize digits networks and write the accuracies.

    python -m benchmarks.int8 torch        measure, record, and write docs/integrations.md's table
    python -m benchmarks.int8              write the table from the records

A module NAME_rows.py beside this file has ``rows()``; its records are
benchmarks/results/int8/NAME.jsonl.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

from benchmarks.int8 import page
from benchmarks.int8.row import Row


def record(name: str) -> None:
    """Measure by one module, and write its records whole."""
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tools'
        for row in importlib.import_module(f"benchmarks.int8.{name}_rows").rows():
            assert isinstance(row, Row)
            lines.append(json.dumps(row._asdict()) + "\n")
            print(lines[-1], end="", flush=True)
    page.RECORDS.mkdir(parents=True, exist_ok=True)
    (page.RECORDS / f"{name}.jsonl").write_text("".join(lines))


def main(names: list[str]) -> None:
    """Measure what is named, then write the page."""
    known = [path.stem.removesuffix("_rows") for path in Path(__file__).parent.glob("*_rows.py")]
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such rows: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names:
        record(name)
    page.write()


if __name__ == "__main__":
    main(sys.argv[1:])
