"""The picture of :mod:`benchmarks.sweep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
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


def curves(panels: Mapping[str, Curve], title: str) -> Figure:
    """A column for each size that varies: milliseconds above, the share of the step below."""
    figure, rows = plt.subplots(
        2, len(panels), figsize=(3.7 * len(panels), 5.6), layout="constrained", sharex="col",
        sharey="row", squeeze=False,
    )  # fmt: skip
    for index, (name, curve) in enumerate(panels.items()):
        above, below = rows[:, index]
        values = [each.value for each in curve.added]
        above.plot(curve.sizes, curve.theory, color=OTHERS, linestyle=":", label=curve.law)
        above.plot(curve.sizes, values, color=OURS, marker="o", markersize=4, label="measured")
        lows, highs = [each.low for each in curve.added], [each.high for each in curve.added]
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
    rows[1, 0].set_ylim(bottom=0)
    figure.suptitle(title, fontsize=10)
    return figure
