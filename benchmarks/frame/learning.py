"""The picture of :mod:`benchmarks.accuracy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from benchmarks.frame.plot import OTHERS, OURS
from doconv_cli.demo.statistics import paired_difference


class Learned(NamedTuple):
    """What one way of training gives.

    Attributes:
        accuracy: on test images, in percent, (seeds, epochs).
        parameters: of the deployed network's convolutions.
        macs: their multiply-accumulates for one image.
    """

    accuracy: NDArray[np.float64]
    parameters: int
    macs: int


def learning(learned: Mapping[str, Learned], title: str) -> Figure:
    """The plain network's error, and every other way's accuracy beyond it, epoch by epoch."""
    figure, grid = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained", sharex=True)
    (first, *others), (plain, *rest) = grid.flat, learned
    base = learned[plain].accuracy
    epochs = np.arange(1, base.shape[1] + 1)
    error = 100 - base
    first.plot(epochs, error.T, color=OTHERS, alpha=0.4, linewidth=0.8)
    first.plot(epochs, error.mean(axis=0), color="black")
    first.set_title("plain: each seed, and their mean", fontsize=9)
    first.set(ylabel="test error, % (log scale)", yscale="log")
    first.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    first.yaxis.set_major_formatter("{x:g}")
    first.yaxis.set_minor_formatter(NullFormatter())
    for axes, name in zip(others, rest, strict=True):
        beyond = [
            paired_difference(base[:, epoch], learned[name].accuracy[:, epoch])
            for epoch in range(len(epochs))
        ]
        color = OURS if name.startswith("DO-") else "#1d4ed8"
        axes.plot(epochs, [each.mean for each in beyond], color=color)
        low, high = [each.low for each in beyond], [each.high for each in beyond]
        axes.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
        axes.axhline(0, color="black", linewidth=0.8, linestyle=":")
        parameters, macs = (
            getattr(learned[name], what) / getattr(learned[plain], what)
            for what in ("parameters", "macs")
        )
        axes.set_title(
            f"{name}\nparameters x {parameters:.2f}, MACs x {macs:.2f}, deployed", fontsize=9
        )
    reach = _reach([axes.get_ylim() for axes in others])
    for axes in others:
        axes.set_ylim(-reach, reach)
        axes.set_ylabel("points beyond plain", fontsize=8)
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    for axes in grid[1]:
        axes.set_xlabel("epoch")
    figure.suptitle(f"{title}; mean and 95 % interval of paired differences", fontsize=10)
    return figure


def _reach(limits: list[tuple[float, float]]) -> float:
    """One scale for all panels, unless the first epochs swing too far."""
    return min(15.0, max(abs(limit) for pair in limits for limit in pair))
