"""The picture of :mod:`benchmarks.sweep`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.frame.plot import OTHERS, OURS, Value


class Curve(NamedTuple):
    """Milliseconds over a size.

    Attributes:
        sizes: the horizontal axis.
        added: milliseconds, with their spread.
        shares: of the step, in percent.
        theory: milliseconds, as the line of theory has them.
        law: what that line is called.
    """

    sizes: Sequence[float]
    added: Sequence[Value]
    shares: Sequence[float]
    theory: Sequence[float]
    law: str


FLOOR = 1e-3  # ms: the least that is drawn; where noise is larger than DO-Conv it can be below 0


def curves(panels: Mapping[str, Curve], title: str) -> Figure:
    """A column for each size that varies: milliseconds above, the share of the step below."""
    figure, rows = plt.subplots(
        2, len(panels), figsize=(3.7 * len(panels), 5.6), layout="constrained", sharex="col",
        sharey="row", squeeze=False,
    )  # fmt: skip
    rows[0, 0].set_ylim(_limits([drawn for curve in panels.values() for drawn in _drawn(curve)]))
    for index, (name, curve) in enumerate(panels.items()):
        above, below = rows[:, index]
        values, lows, highs = (np.maximum(each, FLOOR) for each in zip(*curve.added, strict=True))
        above.plot(curve.sizes, curve.theory, color=OTHERS, linestyle=":", label=curve.law)
        above.plot(curve.sizes, values, color=OURS, marker="o", markersize=4, label="measured")
        above.fill_between(curve.sizes, lows, highs, color=OURS, alpha=0.2, linewidth=0)
        above.set(xscale="log", yscale="log")
        above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        above.yaxis.set_major_formatter("{x:g}")
        above.yaxis.set_minor_formatter(NullFormatter())
        above.set_title(name, fontsize=9)
        above.legend(fontsize=8)
        below.plot(curve.sizes, curve.shares, color=OURS, marker="o", markersize=4)
        below.set(xlabel=name.partition(" ")[0])
        below.set_xticks(curve.sizes, [f"{size:g}" for size in curve.sizes])
        below.minorticks_off()
        for axes in (above, below):
            axes.grid(alpha=0.3)
    rows[0, 0].set_ylabel("added by DO-Conv, ms (log scale)")
    rows[1, 0].set_ylabel("share of DO-Conv's step, %")
    shares = [0.0, *(share for curve in panels.values() for share in curve.shares)]
    rows[1, 0].set_ylim(min(shares), 1.1 * max(shares) + 1)
    figure.suptitle(title, fontsize=10)
    return figure


def _drawn(curve: Curve) -> Iterator[float]:
    yield from curve.theory
    for value in curve.added:
        yield from value


def _limits(drawn: Sequence[float]) -> tuple[float, float]:
    """Of a logarithmic axis: apart from each other whatever was measured."""
    visible = np.maximum(drawn, FLOOR)
    return visible.min() / 1.5, visible.max() * 1.5
