"""What the pictures share: colours, and how a picture is saved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

INK, GREY, FAINT = "#1f2933", "#7b8794", "#e4e7eb"
W_COLOR, D_COLOR, KERNEL_COLOR = "#2b6cb0", "#c05621", "#2f855a"
SIGNED = "RdBu_r"

# Letters become paths, so that the picture looks alike everywhere, and bytes do not change with
# the clock.
mpl.rcParams |= {
    "svg.fonttype": "path",
    "svg.hashsalt": "doconv",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "font.family": "DejaVu Sans",
}


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return plt.figure(figsize=(width, height))


def heat(axes: Axes, values: ArrayLike, limit: float, color: str = GREY) -> None:
    """A small matrix as coloured squares, blue below zero and red above."""
    axes.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=1.5)


def save(figure: Figure, script: str) -> Path:
    """Write the picture beside its script, or into the folder given on the command line."""
    path = Path(script).with_suffix(".svg")
    if len(sys.argv) > 1:
        path = Path(sys.argv[1]) / path.name
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.05)
    plt.close(figure)
    return path
