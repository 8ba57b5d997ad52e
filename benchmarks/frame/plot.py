"""The benchmarks' pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: there may be no screen
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks.frame.timing import Ratio
from doconv_core.files.atomic import replacing

OURS, OTHERS = "#c2410c", "#999999"


class Value(NamedTuple):
    """A figure, and how far it spreads."""

    value: float
    low: float
    high: float


def of_ratio(ratio: Ratio) -> Value:
    """The ratio of minima, and the quartiles of the rounds."""
    return Value(ratio.of_minima, ratio.low, ratio.high)


def exact(value: float) -> Value:
    """A figure without a spread."""
    return Value(value, value, value)


def bars(
    panels: Mapping[str, Mapping[str, Value]],
    title: str,
    label: str,
    *,
    logarithmic: bool = False,
    ours: Sequence[str] = ("DO-", "ours"),
) -> Figure:
    """A panel of bars for each thing measured, the spread as whiskers.

    Args:
        panels: figures by name, by panel.
        title: of the picture.
        label: of the horizontal axis.
        logarithmic: whether that axis is, for figures far apart.
        ours: how the names begin whose bars stand out.
    """
    height = 0.9 + sum(0.27 * len(each) + 0.55 for each in panels.values())
    figure, axes_of = plt.subplots(
        len(panels),
        figsize=(7.5, height),
        layout="constrained",
        squeeze=False,
        height_ratios=[len(each) + 1 for each in panels.values()],
    )
    left = 0.1 if logarithmic else 0.0
    for axes, (panel, values) in zip(axes_of[:, 0], panels.items(), strict=True):
        names = list(values)[::-1]
        colors = [OURS if name.startswith(tuple(ours)) else OTHERS for name in names]
        axes.barh(names, [values[name].value for name in names], color=colors)
        for y, name in enumerate(names):
            value, low, high = values[name]
            if low < high:
                axes.plot([low, high], [y, y], color="black", linewidth=1)
            axes.text(max(high, value, left), y, f" {_short(value)}", va="center", fontsize=8)
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(panel, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        # The line at 1 is seen, and the limits differ, whatever was measured.
        right = max(1.0, *(max(each.high, each.value) for each in values.values()))
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xlim(left, (2 if logarithmic else 1.12) * right)
    axes_of[-1, 0].set_xlabel(label, fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def save(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
