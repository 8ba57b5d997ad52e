"""The demo's picture: learning curves of plain and DO-Conv."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # before pyplot: the demo also runs where there is no screen
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from doconv_cli.demo.experiment import KINDS, Pairs
from doconv_core.files.atomic import replacing

COLORS = ("#666666", "#c2410c")


def learning_curves(pairs: Pairs, path: Path, title: str) -> None:
    """Test error over epochs, mean and standard error over seeds, as a PNG."""
    epochs = np.arange(1, pairs.accuracy.shape[2] + 1)
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for kind, color, scores in zip(KINDS, COLORS, 100 - pairs.accuracy, strict=True):
        center = scores.mean(axis=0)
        axes.plot(epochs, center, color=color, label=kind, marker="o", markersize=3)
        if len(scores) > 1:
            error = scores.std(axis=0, ddof=1) / np.sqrt(len(scores))
            axes.fill_between(
                epochs, center - error, center + error, color=color, alpha=0.2, linewidth=0
            )
    axes.set(xlabel="epoch", ylabel="test error (%), log scale", title=title, yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(which="both", alpha=0.3)
    axes.legend(title=f"{pairs.accuracy.shape[1]} seeds: mean ± standard error")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)
