"""Composing one layer's kernel: every way of doing it, beside a copy of W.

python -m benchmarks.composition --framework torch --preset short
"""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame.plot import Value, bars
from benchmarks.frame.program import Bar, Report, Settings, command
from benchmarks.frame.table import table
from benchmarks.frame.timing import interleave
from benchmarks.subjects.layers import CONVOLUTION, COPY, FEATURE, LAYERS

DIRECTIONS = ("forward", "backward")
AT_LEAST = 0.01
"""Seconds of one measurement: passes of a small layer take microseconds."""

Times = NDArray[np.float64]
"""Milliseconds, (2 directions, rounds)."""


def measure(settings: Settings, bar: Bar) -> Report:
    """Measure forward and backward passes of composing one layer's kernel."""
    module = importlib.import_module(f"benchmarks.with_{settings.framework}.layer")
    layers = LAYERS[settings.preset]
    bar.total(2 * settings.rounds * len(layers))
    found: dict[str, dict[str, Times]] = {}
    for layer in layers:
        bar.says(layer)
        passes = module.passes(layer, settings.variant, compiled=settings.preset != "tiny")
        seconds = [
            interleave(
                {way: each[direction] for way, each in passes.items()},
                settings.rounds,
                bar.advance,
                at_least=AT_LEAST,
                clock=module.clock(settings.variant),
            )
            for direction in (0, 1)
        ]
        title = f"{layer}: W has {layer.W_bytes / 2**20:.3g} MB; images {layer.images}"
        found[title] = {way: np.array([s[way] for s in seconds]) * 1000.0 for way in passes}
    columns = ("forward, ms", "backward, ms", "both, in copies of W", "quartiles")
    panels = {title: _in_copies(ways) for title, ways in found.items()}
    return Report(
        {
            "directions": DIRECTIONS,
            "milliseconds": {
                title: {way: times.tolist() for way, times in ways.items()}
                for title, ways in found.items()
            },
        },
        [table(title, columns, _rows(ways, panels[title])) for title, ways in found.items()],
        bars(
            panels,
            f"Composing a kernel and its gradients, {settings.framework}",
            "forward and backward, in copies of W: minima, and quartiles of the rounds",
            logarithmic=True,
        ),
    )


def _added(ways: dict[str, Times]) -> dict[str, Times]:
    """What each way adds to a plain layer: feature composition takes the convolution's place."""
    if FEATURE not in ways:
        return ways
    return ways | {FEATURE: ways[FEATURE] - ways[CONVOLUTION].min(axis=1, keepdims=True)}


def _in_copies(ways: dict[str, Times]) -> dict[str, Value]:
    copy = ways[COPY]
    result = {}
    for way, times in _added(ways).items():
        low, high = np.percentile(times.sum(axis=0) / copy.sum(axis=0), (25, 75))
        fastest = times.min(axis=1).sum() / copy.min(axis=1).sum()
        result[way] = Value(float(fastest), float(low), float(high))
    return result


def _rows(ways: dict[str, Times], in_copies: dict[str, Value]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for way, times in _added(ways).items():
        forward, backward = times.min(axis=1)
        value, low, high = in_copies[way]
        spread = f"{low:.1f} .. {high:.1f}"
        rows.append((way, f"{forward:.3f}", f"{backward:.3f}", f"{value:.1f}", spread))
    return rows


app = command("composition", measure, rounds={"tiny": 1, "short": 7, "full": 15})

if __name__ == "__main__":
    app()
