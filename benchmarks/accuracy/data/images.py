"""Training, validation and test images by the data set's name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.data import cifar, idx

FOLDER = Path(__file__).parents[3] / "data"
HELD_OUT = 10_000
"""Of the training images, the last ones validate: the split of the authors' PyTorch sample."""
DIGITS = (900, 400)
"""Of scikit-learn's 1797 digits, the first train and the next validate."""


class Part(NamedTuple):
    """Images (N, channels, height, width) in 0 .. 1, and their classes (N,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def between(self, start: int, stop: int | None) -> Part:
        return Part(self.images[start:stop], self.labels[start:stop])


class Data(NamedTuple):
    """Three parts that share no image."""

    training: Part
    validation: Part
    test: Part

    @property
    def classes(self) -> int:
        return int(self.test.labels.max()) + 1


def load(name: str, images: int, folder: Path = FOLDER) -> Data:
    """The first ``images`` to train on, those held out to validate with, and all test images.

    Where ``images`` reaches into those held out, nothing validates.

    Args:
        name: "digits", "cifar-10", "cifar-100", or any folder of IDX files ("mnist").
        images: how many to train on.
        folder: holds a folder of that name.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: there are fewer images than asked for.
    """
    training, test, held_out = _digits() if name == "digits" else _files(name, folder)
    if images > len(training.labels):
        raise ValueError(f"{name} has {len(training.labels)} training images. Received: {images}")
    start = len(training.labels) - held_out
    validation = training.between(start, None if images <= start else start)
    return Data(training.between(0, images), validation, test)


@cache
def _files(name: str, folder: Path) -> tuple[Part, Part, int]:
    if name in cifar.FILES:
        return *(_part(*each) for each in cifar.read(folder / name, name)), HELD_OUT
    training, test = (
        _part(
            idx.find(folder / name, f"{part}-images-idx3-ubyte")[:, None],
            idx.find(folder / name, f"{part}-labels-idx1-ubyte"),
        )
        for part in ("train", "t10k")
    )
    return training, test, HELD_OUT


@cache
def _digits() -> tuple[Part, Part, int]:
    from sklearn.datasets import load_digits  # takes seconds

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    small = (images[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    # Each pixel becomes 2x2: LeNet's 5x5 kernels and poolings leave nothing of 8x8.
    everything = Part(small.repeat(2, axis=2).repeat(2, axis=3), labels[order].astype(int))
    training, held_out = DIGITS
    stop = training + held_out
    return everything.between(0, stop), everything.between(stop, None), held_out


def _part(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Part:
    return Part(images.astype(np.float32) / 255, labels.astype(np.int64))
