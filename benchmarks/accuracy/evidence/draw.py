"""Pictures, in colours that colour-blind people can tell apart (Okabe and Ito's)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: there may be no screen
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray
from scipy import stats

COLORS = {"plain": "#0072B2", "DO-Conv": "#D55E00"}
WIDTH = 7.0
"""Inches, at least: the titles want them."""
MARKERS = {"plain": "o", "DO-Conv": "s"}


class Interval(NamedTuple):
    """A difference with its interval."""

    name: str
    mean: float
    low: float
    high: float


class Band(NamedTuple):
    """A mean over seeds with its 95 % interval, point by point; NaN where there is one seed."""

    name: str
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, name: str, curves: Sequence[Sequence[float]]) -> Band:
        values = np.asarray(curves, float)
        mean = values.mean(axis=0)
        if len(values) < 2:
            nothing = np.full_like(mean, np.nan)
            return cls(name, mean, nothing, nothing)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        reach = stats.t.ppf(0.975, len(values) - 1) * error
        return cls(name, mean, mean - reach, mean + reach)


def forest_and_curves(
    intervals: Sequence[Interval], bands: Sequence[Band], title: str, curves_title: str
) -> Figure:
    """Differences with their intervals, beside learning curves."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    _forest(left, intervals)
    left.set_title(title, fontsize=9)
    for band in bands:
        epochs = np.arange(1, len(band.mean) + 1)
        _band(right, epochs, band)
    right.set_title(curves_title, fontsize=9)
    right.set(xlabel="epoch", ylabel="accuracy, %")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def forests(panels: Mapping[str, Sequence[Interval]], title: str) -> Figure:
    """Differences with their intervals, a panel for each setting."""
    rows = max(len(each) for each in panels.values())
    size = (max(WIDTH, 3.4 * len(panels) + 1.6), 1.2 + 0.24 * rows)
    figure, axes_of = plt.subplots(
        1, len(panels), figsize=size, layout="constrained", sharey=True, squeeze=False
    )
    names = list(dict.fromkeys(each.name for panel in panels.values() for each in panel))
    for axes, (name, panel) in zip(axes_of[0], panels.items(), strict=True):
        _forest(axes, panel, names)
        axes.set_title(name, fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def over_rates(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Band]]], title: str
) -> Figure:
    """Accuracy over the learning rate, both arms, a panel for each network."""
    figure, axes_of = plt.subplots(
        1,
        len(panels),
        figsize=(max(WIDTH, 3 * len(panels)), 3.2),
        layout="constrained",
        squeeze=False,
    )
    for axes, (name, arms) in zip(axes_of[0], panels.items(), strict=True):
        for rates, band in arms.values():
            _band(axes, np.asarray(rates), band)
        axes.set_title(name, fontsize=9)
        axes.set(xscale="log", xlabel="learning rate")
        ticks = sorted({rate for rates, _ in arms.values() for rate in rates})
        axes.set_xticks(ticks, [f"{rate:g}" for rate in ticks], fontsize=7, rotation=30)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
    axes_of[0][0].set_ylabel("validation accuracy, %")
    figure.suptitle(title, fontsize=10)
    return figure


def _forest(axes: Axes, intervals: Sequence[Interval], names: Sequence[str] | None = None) -> None:
    names = list(names or [each.name for each in intervals])
    for each in intervals:
        y = len(names) - names.index(each.name)
        color = "#D55E00" if each.low < each.high else "#555555"
        axes.plot([each.low, each.high], [y, y], color=color, linewidth=2)
        axes.plot(each.mean, y, "o" if each.low < each.high else "D", color=color, markersize=4)
    axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(names), 0, -1), names, fontsize=8)
    axes.set_xlabel("points beyond plain (95 % interval)", fontsize=8)
    axes.grid(axis="x", alpha=0.3)


def _band(axes: Axes, x: NDArray[np.float64], band: Band) -> None:
    color = COLORS[band.name]
    axes.plot(x, band.mean, color=color, marker=MARKERS[band.name], markersize=4, label=band.name)
    axes.fill_between(x, band.low, band.high, color=color, alpha=0.2, linewidth=0)
    axes.vlines(x, band.low, band.high, color=color, alpha=0.4)  # one between gaps has no band
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
