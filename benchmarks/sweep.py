"""What composing costs as the batch, the image and the width of one 3x3 layer grow.

python -m benchmarks.sweep --framework torch --preset short
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.frame.curves import FLOOR, Curve, curves
from benchmarks.frame.plot import Value
from benchmarks.frame.program import Bar, Report, Settings, command
from benchmarks.frame.table import table
from benchmarks.frame.timing import interleave
from benchmarks.subjects.layers import Layer

WAYS = ("plain", "DO-Conv")


class Sizes(NamedTuple):
    """One size varies while the others stay at the values in ``fixed``."""

    fixed: dict[str, int]
    batch: Sequence[int]
    image: Sequence[int]
    channels: Sequence[int]


PRESETS = {
    "tiny": Sizes({"batch": 2, "image": 4, "channels": 4}, (1, 2), (4, 8), (4, 8)),
    "short": Sizes(
        {"batch": 8, "image": 8, "channels": 256},
        (1, 2, 4, 8, 16, 32),
        (4, 8, 16, 32),
        (64, 128, 256, 512),
    ),
    "full": Sizes(
        {"batch": 8, "image": 8, "channels": 256},
        (1, 2, 4, 8, 16, 32, 64),
        (4, 6, 8, 12, 16, 24, 32, 48, 64),
        (64, 96, 128, 192, 256, 384, 512),
    ),
}


class Point(NamedTuple):
    """A layer's step, in milliseconds.

    Attributes:
        size: the one that varies.
        plain: the plain step, its minimum.
        added: what DO-Conv's step takes more; the difference of minima, and the quartiles of the
            differences round by round.
    """

    size: int
    plain: float
    added: Value

    @property
    def share(self) -> float:
        """Of DO-Conv's step, in percent."""
        return 100 * self.added.value / (self.plain + self.added.value)


def measure(settings: Settings, bar: Bar) -> Report:
    """Measure what composing adds to a 3x3 layer's step, by batch, image and channels."""
    module = importlib.import_module(f"benchmarks.with_{settings.framework}.layer")
    sizes = PRESETS[settings.preset]
    varied = {name: getattr(sizes, name) for name in ("batch", "image", "channels")}
    bar.total(settings.rounds * sum(map(len, varied.values())))
    found: dict[str, list[Point]] = {}
    for name, values in varied.items():
        found[name] = []
        for value in values:
            point = {**sizes.fixed, name: value}
            bar.says(f"{name} {value}")
            C = point["channels"]
            layer = Layer(C, C, 3, 1, point["batch"], point["image"])
            steps = {way: module.step(layer, way, settings.variant) for way in WAYS}
            clock = module.clock(settings.variant)
            times = interleave(steps, settings.rounds, bar.advance, at_least=0.02, clock=clock)
            found[name].append(_point(value, times))
    titles = {name: _title(name, sizes.fixed) for name in found}
    columns = ("plain, ms", "added, ms", "quartiles", "share of the step")
    return Report(
        {
            "fixed": sizes.fixed,
            "points": {
                name: [
                    {"size": p.size, "plain_ms": p.plain, "added_ms": p.added._asdict()}
                    for p in points
                ]
                for name, points in found.items()
            },
        },
        [table(titles[name], columns, map(_row, points)) for name, points in found.items()],
        curves(
            {titles[name]: _curve(name, points) for name, points in found.items()},
            f"What composing adds to the training step of one 3x3 layer, {settings.framework}",
        ),
    )


def _point(size: int, times: dict[str, list[float]]) -> Point:
    plain, trained = (1000 * np.array(times[way]) for way in WAYS)
    low, high = np.percentile(trained - plain, (25, 75))
    added = Value(float(trained.min() - plain.min()), float(low), float(high))
    return Point(size, float(plain.min()), added)


def _title(name: str, fixed: dict[str, int]) -> str:
    others = (f"{other} {value}" for other, value in fixed.items() if other != name)
    return f"{name} ({', '.join(others)})"


def _row(point: Point) -> tuple[str, ...]:
    value, low, high = point.added
    return (
        str(point.size),
        f"{point.plain:.2f}",
        f"{value:.2f}",
        f"{low:.2f} .. {high:.2f}",
        f"{point.share:.1f} %",
    )


def _curve(name: str, points: list[Point]) -> Curve:
    """With what theory says: the same for every batch and image; in proportion to W."""
    sizes = np.array([point.size for point in points], float)
    values = np.array([point.added.value for point in points])
    W = sizes**2 if name == "channels" else np.ones_like(sizes)
    rate = float(np.exp(np.mean(np.log(np.maximum(values, FLOOR) / W))))
    return Curve(
        sizes.tolist(),
        [point.added for point in points],
        [point.share for point in points],
        (rate * W).tolist(),
        "in proportion to W" if name == "channels" else "the same for all",
    )


app = command("sweep", measure, rounds={"tiny": 1, "short": 9, "full": 15})

if __name__ == "__main__":
    app()
