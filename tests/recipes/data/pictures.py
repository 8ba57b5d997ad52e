"""Small pictures: noise, with one rectangle whose colour says its class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image


class Picture(NamedTuple):
    """One picture.

    Attributes:
        image: of which the rectangle is drawn.
        label: its class.
        box: left, top, right, bottom; the last two are beyond it.
    """

    image: Image.Image
    label: int
    box: tuple[int, int, int, int]

    def mask(self, value: int, around: int = 0) -> Image.Image:
        """An image of one byte a pixel: ``value`` in the rectangle, ``around`` elsewhere."""
        left, top, right, bottom = self.box
        mask = np.full(self.image.size[::-1], around, np.uint8)
        mask[top:bottom, left:right] = value
        return Image.fromarray(mask)


def draw(count: int, classes: int, size: tuple[int, int], seed: int = 0) -> list[Picture]:
    """As many pictures of that width and height; their classes take turns."""
    random = np.random.default_rng(seed)
    colours = np.random.default_rng(1).integers(0, 256, (classes, 3))
    pictures = []
    for number in range(count):
        (width, height), label = size, number % classes
        left, top = int(random.integers(1, width // 3)), int(random.integers(1, height // 3))
        box = (left, top, left + width // 2, top + height // 2)
        pixels = random.integers(0, 256, (height, width, 3))
        pixels[box[1] : box[3], box[0] : box[2]] = colours[label]
        pictures.append(Picture(Image.fromarray(pixels.astype(np.uint8)), label, box))
    return pictures
