"""What the demo does, in any framework: train pairs over seeds, then convert, train on, fold."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from doconv_cli.demo.trainers.trainer import Trainer

KINDS = ("plain", "DO-Conv")


class Digits(NamedTuple):
    """scikit-learn's handwritten digits: 1797 real 8x8 images, halved into train and test."""

    train_images: NDArray[np.float32]
    test_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]


class Pairs(NamedTuple):
    """Both ways of training over the seeds.

    Attributes:
        accuracy: test accuracy in percent, (kinds, seeds, epochs).
        seconds: wall time of an epoch of training, the same shape.
        parameters: trained numbers: plain, DO-Conv, DO-Conv after fold.
    """

    accuracy: NDArray[np.float64]
    seconds: NDArray[np.float64]
    parameters: tuple[int, int, int]


class Story(NamedTuple):
    """A trained plain network, converted, trained on and folded.

    Attributes:
        accuracy: of the plain network, of the converted one after more training, and of the
            folded file in the untouched plain network, in percent.
        converted: largest change of an output by convert.
        folded: largest change of an output by fold.
        reloaded: largest change of an output by saving and loading strictly.
        largest: largest output, for scale.
        path: the folded file.
    """

    accuracy: tuple[float, float, float]
    converted: float
    folded: float
    reloaded: float
    largest: float
    path: Path


def digits() -> Digits:
    """The data, split half and half with a fixed seed, balanced by class; pixels in [-1, 1]."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 8 - 1).astype(np.float32).reshape(-1, 1, 8, 8)
    split = train_test_split(
        images, labels.astype(np.int64), test_size=0.5, random_state=0, stratify=labels
    )
    return Digits(*split)


def accuracy(trainer: Trainer, data: Digits) -> float:
    """Percentage of the test images classified correctly."""
    return float(100 * (trainer.logits(data.test_images).argmax(1) == data.test_labels).mean())


def train_pairs(
    trainer: type[Trainer],
    data: Digits,
    *,
    first_seed: int,
    seeds: int,
    epochs: int,
    advance: Callable[[], None],
) -> Pairs:
    """Train plain and DO-Conv networks side by side, epoch by epoch, from equal starts.

    Epochs of the two alternate, so that a change of the machine's speed meets both.
    """
    scores = np.zeros((2, seeds, epochs))
    seconds = np.zeros((2, seeds, epochs))
    for index in range(seeds):
        seed = first_seed + index
        pair = [trainer(seed, over_parameterized=kind == "DO-Conv") for kind in KINDS]
        order = np.random.default_rng(seed)
        for epoch in range(epochs):
            shuffled = order.permutation(len(data.train_images))
            images, labels = data.train_images[shuffled], data.train_labels[shuffled]
            # Who goes first alternates too.
            for kind in (0, 1) if epoch % 2 else (1, 0):
                start = time.perf_counter()
                pair[kind].epoch(images, labels)
                seconds[kind, index, epoch] = time.perf_counter() - start
                scores[kind, index, epoch] = accuracy(pair[kind], data)
            advance()
    plain, trained = pair[0].parameters(), pair[1].parameters()
    return Pairs(scores, seconds, (plain, trained, pair[1].fold().parameters()))


def convert_train_fold(
    trainer: type[Trainer],
    data: Digits,
    out: Path,
    *,
    seed: int,
    epochs: int,
    advance: Callable[[], None],
) -> Story:
    """The way of a user who has a trained plain network already."""
    plain, order = trainer(seed, over_parameterized=False), np.random.default_rng(seed)

    def train(network: Trainer) -> None:
        for _ in range(epochs):
            shuffled = order.permutation(len(data.train_images))
            network.epoch(data.train_images[shuffled], data.train_labels[shuffled])
            advance()

    train(plain)
    converted = plain.convert()
    before, after = plain.logits(data.test_images), converted.logits(data.test_images)
    train(converted)
    trained = converted.logits(data.test_images)
    folded = converted.fold()
    path = out / trainer.file_name
    reloaded = folded.reload(path)
    outputs = folded.logits(data.test_images)
    return Story(
        (accuracy(plain, data), accuracy(converted, data), accuracy(reloaded, data)),
        float(abs(after - before).max()),
        float(abs(outputs - trained).max()),
        float(abs(reloaded.logits(data.test_images) - outputs).max()),
        float(abs(trained).max()),
        path,
    )
