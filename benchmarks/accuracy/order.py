"""In which order images are seen: by the seed alone, so that every arm sees the same batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.run import Recipe, Run


def epochs(run: Run, recipe: Recipe) -> Iterator[NDArray[np.int64]]:
    """The images' indices, epoch by epoch."""
    random = np.random.default_rng(run.seed)
    for _ in range(run.epochs):
        if recipe.shuffle is None:
            yield random.permutation(run.images)
        else:
            yield _from_buffer(run.images, recipe.shuffle, random)


def _from_buffer(images: int, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """As ``tf.data.Dataset.shuffle``: each image drawn gives its place to the next of the file."""
    buffer = np.arange(min(size, images))
    order = np.empty(images, np.int64)
    places = random.integers(0, len(buffer), images - len(buffer))
    for index, place in enumerate(places):
        order[index] = buffer[place]
        buffer[place] = len(buffer) + index
    order[len(places) :] = random.permutation(buffer)
    return order
