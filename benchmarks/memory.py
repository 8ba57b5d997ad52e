"""Peak memory of the whole training step, each way of training in a process of its own.

python -m benchmarks.memory --framework torch --preset short
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.frame.memory_child import ENVIRONMENT, Memory
from benchmarks.frame.plot import bars, exact
from benchmarks.frame.program import Bar, Report, Settings, command
from benchmarks.frame.table import table
from benchmarks.subjects.work import Work, works

MB = 2**20


def measure(settings: Settings, bar: Bar) -> Report:
    """Measure the peak memory of training steps: parameters, momentum and all between."""
    module = importlib.import_module(f"benchmarks.with_{settings.framework}.step")
    asked = works(settings.framework, settings.preset, settings.variant)
    ways = {work: module.ways(work) for work in asked}
    if settings.preset == "tiny":  # a process each takes seconds
        ways = {asked[0]: ways[asked[0]][:2]}
    bar.total(sum(map(len, ways.values())))
    found: dict[str, dict[str, Memory]] = {}
    for work in ways:
        found[str(work)] = {}
        for way in ways[work]:
            bar.says(f"{work}: {way}")
            found[str(work)][way] = _in_a_child(settings.framework, work, way)
            bar.advance()
    peaks = {work: {way: m.peak for way, m in each.items()} for work, each in found.items()}
    Ws = {work: each["plain"].W for work, each in found.items()}
    columns = ("peak, MB", "beyond plain, MB", "beyond plain, in W's bytes", "ratio")
    return Report(
        {"peak_bytes": peaks, "W_bytes": Ws},
        [
            table(f"{work}: W has {Ws[work] / MB:.1f} MB", columns, _rows(each, Ws[work]))
            for work, each in peaks.items()
        ],
        bars(
            {
                f"{work}: plain {each['plain'] / MB:.0f} MB": {
                    way: exact(peak / each["plain"]) for way, peak in each.items()
                }
                for work, each in peaks.items()
            },
            f"Peak memory of a training step, {settings.framework}",
            "ratio to plain training",
        ),
    )


def _rows(peaks: dict[str, int], W: int) -> list[tuple[str, ...]]:
    plain = peaks["plain"]
    return [
        (
            way,
            f"{peak / MB:.1f}",
            f"{(peak - plain) / MB:+.1f}",
            f"{(peak - plain) / W:+.2f}",
            f"{peak / plain:.3f}",
        )
        for way, peak in peaks.items()
    ]


def _in_a_child(framework: str, work: Work, way: str) -> Memory:
    arguments = [framework, json.dumps(work._asdict()), way]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.frame.memory_child", *arguments],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"{work}, {way}: {result.stderr}")
    return Memory(**json.loads(result.stdout.splitlines()[-1]))


app = command("memory", measure, rounds={"tiny": 1, "short": 1, "full": 1})

if __name__ == "__main__":
    app()
