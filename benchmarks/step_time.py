"""The whole training step (forward, backward, SGD with momentum) against plain training.

python -m benchmarks.step_time --framework torch --preset short
"""

from __future__ import annotations

import importlib

from benchmarks.frame.plot import bars, of_ratio
from benchmarks.frame.program import Bar, Report, Settings, command
from benchmarks.frame.table import ratio_table
from benchmarks.frame.timing import Ratio, interleave, ratios
from benchmarks.subjects.work import works


def measure(settings: Settings, bar: Bar) -> Report:
    """Measure whole training steps, interleaved in one process, as ratios to the plain one."""
    module = importlib.import_module(f"benchmarks.with_{settings.framework}.step")
    asked = works(settings.framework, settings.preset, settings.variant)
    bar.total(len(asked) * settings.rounds)
    found: dict[str, dict[str, Ratio]] = {}
    seconds: dict[str, float] = {}
    for work in asked:
        bar.says(work)
        steps = {way: module.step(work, way) for way in module.ways(work)}
        times = interleave(steps, settings.rounds, bar.advance, clock=module.clock(work))
        found[str(work)], seconds[str(work)] = ratios(times), min(times["plain"])
    panels = {w: {n: of_ratio(r) for n, r in each.items()} for w, each in found.items()}
    return Report(
        {
            "plain_seconds": seconds,
            "ratios": {w: {n: r._asdict() for n, r in each.items()} for w, each in found.items()},
        },
        [
            ratio_table(f"{work}: plain {seconds[work] * 1000:.0f} ms", each)
            for work, each in found.items()
        ],
        bars(panels, f"Training step, {settings.framework}", "ratio to plain training"),
    )


app = command("step_time", measure, rounds={"tiny": 1, "short": 7, "full": 11})

if __name__ == "__main__":
    app()
