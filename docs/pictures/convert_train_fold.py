"""One 3x3 kernel on its way: plain, then W and D, then trained, then plain again."""

from __future__ import annotations

import numpy as np
from style import D_COLOR, GREY, INK, KERNEL_COLOR, W_COLOR, figure, heat, save

from doconv_core import compose_kernel, identity
from doconv_core.kernel.spec import DOConvSpec

spec = DOConvSpec(1, 1, (3, 3))
random = np.random.default_rng(2)
before = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 2  # a Sobel kernel
W = before + 0.25 * random.normal(size=(3, 3))
D = 0.22 * random.normal(size=(9, 9))
trained = compose_kernel(spec, W.reshape(1, 1, 9), D[None]).reshape(3, 3)

STEPS = ("convert", "train", "fold")
COLUMNS = (0.0, 0.215, 0.545, 0.885)  # left ends
SMALL, LARGE, HEIGHT = 0.115, 0.15, 0.47

picture = figure(10.5, 2.7)


def square(left: float, width: float, values: np.ndarray, color: str, name: str) -> None:
    axes = picture.add_axes((left, HEIGHT - width * 10.5 / 5.4, width, width * 10.5 / 2.7))
    heat(axes, values, 1.4, color)
    axes.set_title(name, color=color, fontsize=11, fontweight="bold")


def caption(left: float, title: str, text: str) -> None:
    picture.text(left, 0.97, title, fontsize=11.5, fontweight="bold", color=INK, va="top")
    picture.text(left, 0.02, text, fontsize=8.5, color=GREY, va="bottom")


def arrow(left: float, word: str) -> None:
    picture.text(left, HEIGHT, "$\\rightarrow$", fontsize=22, ha="center", va="center", color=INK)
    picture.text(left, HEIGHT + 0.1, word, fontsize=10.5, ha="center", color=INK, style="italic")


caption(COLUMNS[0], "Conv2d", "9 numbers for each pair\nof channels")
square(COLUMNS[0], SMALL, before, KERNEL_COLOR, "weight")

for left, each_W, each_D, note in (
    (
        COLUMNS[1],
        before,
        np.zeros((9, 9)),
        "the same weight, and D = 0:\nthe same output, to the bit",
    ),
    (COLUMNS[2], W, D, "both have moved; D belongs to the\ninput channel, for all outputs"),
):
    caption(left, "DOConv2d", note)
    square(left, SMALL * 0.85, each_W, W_COLOR, "weight (W)")
    picture.text(left + 0.106, HEIGHT, ",", fontsize=14, color=INK)
    square(left + 0.122, LARGE * 0.95, identity(9, 9) + each_D, D_COLOR, "I + D")

caption(COLUMNS[3], "Conv2d", "(I + D) W, once:\n9 numbers again")
square(COLUMNS[3], SMALL, trained, KERNEL_COLOR, "weight")

for left, word in zip((0.165, 0.512, 0.847), STEPS, strict=True):
    arrow(left, word)

save(picture, __file__)
