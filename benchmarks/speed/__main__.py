"""Measure the tables of docs/performance.md that have no record of this machine.

python -m benchmarks.speed          the missing ones, each printed and recorded when it is done
python -m benchmarks.speed --again  all of them, in the place of this machine's records
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.frame.program import processor
from benchmarks.frame.table import ratio_table
from benchmarks.frame.timing import Ratio
from benchmarks.speed import records
from benchmarks.speed.tables import TABLES, Table

ROOT = Path(__file__).parents[2]
SECONDS = "About how long to measure each table, after its warm-up."


def main(
    again: Annotated[bool, typer.Option("--again", help="Also what is recorded.")] = False,
    only: Annotated[str, typer.Option(help="Tables with this in their name.")] = "",
    seconds: Annotated[float, typer.Option(min=0, help=SECONDS)] = 18,
    out: Annotated[Path, typer.Option(help="The records.")] = records.PATH,
) -> None:
    """Measure training steps, table by table; may be stopped at any time and called again."""
    console = Console() if Console().is_terminal else Console(width=120)
    failed = False
    for number, table in enumerate(TABLES):
        key = {**table._asdict(), "machine": processor(), "work": str(table.work)}
        if only not in str(table) or (records.has(out, **key) and not again):
            continue
        result = subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.measure", str(number), str(seconds)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(table.threads)},
            stdout=subprocess.PIPE,
            text=True,
        )
        if result.returncode:
            typer.echo(f"{table}: failed", err=True)
            failed = True
            continue
        record = json.loads(result.stdout.splitlines()[-1])
        records.write(record, out)
        console.print(_shown(table, record))
    if failed:
        raise typer.Exit(1)


def _shown(table: Table, record: records.Record) -> object:
    milliseconds = 1000 * record["plain_seconds"]
    title = f"{table}: plain {milliseconds:.0f} ms, {record['native']}"
    return ratio_table(title, {way: Ratio(**each) for way, each in record["ratios"].items()})


if __name__ == "__main__":
    typer.run(main)
