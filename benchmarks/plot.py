"""The benchmarks' pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: there may be no screen
import matplotlib.pyplot as plt

from benchmarks.timing import Ratio
from doconv_core.atomic import replacing


def ratios_picture(figures: Mapping[str, Mapping[str, Ratio]], path: Path, title: str) -> None:
    """Bars of the ratios of minima, with the quartiles of the rounds as whiskers."""
    height = 0.6 + sum(0.3 * len(each) + 0.5 for each in figures.values())
    figure, panels = plt.subplots(
        len(figures), figsize=(7, height), layout="constrained", squeeze=False, sharex=True
    )
    for axes, (work, ratios) in zip(panels[:, 0], figures.items(), strict=True):
        names = list(ratios)[::-1]
        values = [ratios[name].of_minima for name in names]
        colors = ["#c2410c" if name.startswith("DO-Conv") else "#999999" for name in names]
        axes.barh(names, values, color=colors)
        for y, name in enumerate(names):
            each = ratios[name]
            axes.plot([each.low, each.high], [y, y], color="black", linewidth=1)
            right = max(each.high, each.of_minima)
            axes.text(right, y, f" {each.of_minima:.2f}", va="center", fontsize=8)
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(work, fontsize=9, loc="left")
        axes.margins(x=0.12)
    figure.suptitle(title, fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
