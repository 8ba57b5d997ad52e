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

LEFT, STEP, WIDE = 1.2, 2.35, 2.25
ALL = STEP * (len(house.ADAPTERS) - 1) + WIDE
KERAS = [column for column, name in enumerate(house.ADAPTERS) if house.KERAS in house.BELOW[name]]

picture = figure(LEFT + ALL + 0.6, 6.1)
axes = picture.add_axes((0, 0, 1, 1))
axes.set(xlim=(-0.5, LEFT + ALL + 0.1), ylim=(-0.5, 5.6))
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


room(LEFT, 4.85, ALL, 0.6, INK, FAINT)
axes.text(
    LEFT + ALL / 2,
    5.15,
    "doconv_cli     benchmarks     tests",
    ha="center",
    va="center",
    fontsize=11,
)

for column, adapter in enumerate(house.ADAPTERS):
    x = LEFT + column * STEP
    axes.text(x + WIDE / 2, 4.6, adapter, ha="center", va="center", fontsize=11, fontweight="bold")
    for row, (name, _, color) in enumerate(FLOORS):
        y = 3.4 - row * 1.05
        room(x, y, WIDE, 0.95, color)
        axes.text(x + 0.08, y + 0.8, name, color=color, fontsize=9, fontweight="bold", va="center")
        without = house.WITHOUT.get(adapter, {}).get(name, set())
        rooms = lines(sorted(house.ROOMS[name] - without), 30)
        axes.text(x + 0.08, y + 0.62, rooms, fontsize=7.6, va="top", linespacing=1.5)

for row, (_, about, color) in enumerate(FLOORS):
    axes.text(1.05, 3.87 - row * 1.05, about, color=color, fontsize=10, ha="right", va="center")

x = LEFT + KERAS[0] * STEP
room(x, 0.75, STEP * (len(KERAS) - 1) + WIDE, 0.42, INK, FAINT)
axes.text(x + STEP, 0.95, house.KERAS, ha="center", va="center", fontsize=10, fontweight="bold")

middle = LEFT + ALL / 2
room(LEFT, -0.3, ALL, 0.85, INK, FAINT)
axes.text(middle, 0.31, house.CORE, ha="center", va="center", fontsize=11, fontweight="bold")
axes.text(middle, -0.05, "  ".join(house.FLOORS[house.CORE]), ha="center", va="center", fontsize=8)
axes.text(1.05, 0.12, "NumPy only", fontsize=10, ha="right", va="center", color=INK)
axes.annotate("", (-0.28, -0.25), (-0.28, 5.4), arrowprops={"arrowstyle": "->", "color": GREY})
axes.text(-0.35, 2.6, "imports run down only", rotation=90, va="center", ha="right", color=GREY,
          fontsize=9)  # fmt: skip

save(picture, __file__)
