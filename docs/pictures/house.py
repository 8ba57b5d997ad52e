"""The three floors of the house, as tests/architecture holds them."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.patches import FancyBboxPatch
from style import D_COLOR, FAINT, GREY, INK, KERNEL_COLOR, W_COLOR, figure, save

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.architecture import house

FLOORS = (
    ("model", "a whole model", KERNEL_COLOR),
    ("layers", "one layer", D_COLOR),
    ("tensors", "arrays", W_COLOR),
)

picture = figure(9.5, 5.6)
axes = picture.add_axes((0, 0, 1, 1))
axes.set(xlim=(-0.5, 9), ylim=(0, 5.6))
axes.axis("off")


def room(x: float, y: float, width: float, height: float, color: str, fill: str = "white") -> None:
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((x, y), width, height, style, ec=color, fc=fill, lw=1.4))


def lines(words: list[str], width: int) -> str:
    rows = [""]
    for word in words:
        if len(rows[-1]) + len(word) > width:
            rows.append("")
        rows[-1] += f"{word}  "
    return "\n".join(row.strip() for row in rows)


room(1.2, 4.85, 7.7, 0.6, INK, FAINT)
axes.text(5.05, 5.15, "doconv_cli     benchmarks     tests", ha="center", va="center", fontsize=11)

for column, adapter in enumerate(house.ADAPTERS):
    x = 1.2 + column * 2.6
    axes.text(x + 1.25, 4.6, adapter, ha="center", va="center", fontsize=11, fontweight="bold")
    for row, (name, _, color) in enumerate(FLOORS):
        y = 3.4 - row * 1.05
        room(x, y, 2.5, 0.95, color)
        axes.text(x + 0.08, y + 0.8, name, color=color, fontsize=9, fontweight="bold", va="center")
        rooms = lines(sorted(house.ROOMS[name]), 34)
        axes.text(x + 0.08, y + 0.62, rooms, fontsize=7.6, va="top", linespacing=1.5)

for row, (_, about, color) in enumerate(FLOORS):
    axes.text(1.05, 3.87 - row * 1.05, about, color=color, fontsize=10, ha="right", va="center")

room(1.2, 0.25, 7.7, 0.85, INK, FAINT)
axes.text(5.05, 0.86, house.CORE, ha="center", va="center", fontsize=11, fontweight="bold")
axes.text(5.05, 0.5, "  ".join(house.FLOORS[house.CORE]), ha="center", va="center", fontsize=8)
axes.text(1.05, 0.67, "NumPy only", fontsize=10, ha="right", va="center", color=INK)
axes.annotate("", (-0.28, 0.3), (-0.28, 5.4), arrowprops={"arrowstyle": "->", "color": GREY})
axes.text(-0.35, 2.8, "imports run down only", rotation=90, va="center", ha="right", color=GREY,
          fontsize=9)  # fmt: skip

save(picture, __file__)
