"""What is measured: digits networks, plain and folded, before and after int8 quantization."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from doconv_cli.demo.experiment import Digits, digits
from doconv_core.frameworks import FRAMEWORKS

SEEDS = range(5)
EPOCHS = 20


class Row(NamedTuple):
    """One pair of networks, by one tool.

    Attributes:
        framework: of the networks, as PyTorch.
        tool: what quantizes and runs them, with its version.
        seed: of the networks' start and of the order of the images.
        plain: test accuracy of the network trained plain, in percent, in float32.
        plain_int8: the same network's, quantized.
        folded: of the network trained with DO-Conv and folded, in float32.
        folded_int8: the same network's, quantized.
    """

    framework: str
    tool: str
    seed: int
    plain: float
    plain_int8: float
    folded: float
    folded_int8: float


class Pair(NamedTuple):
    """The demo's network, trained twice from the same start on the same batches.

    Attributes:
        seed: of both.
        plain: the demo's trainer of the plain network.
        folded: that of the one trained with DO-Conv, folded.
        data: theirs.
    """

    seed: int
    plain: Any
    folded: Any
    data: Digits


def pairs(framework: str) -> Iterator[Pair]:
    """A pair for each seed; ``framework`` as in ``doconv demo --framework``."""
    name = FRAMEWORKS[framework].name
    trainer = importlib.import_module(f"doconv_cli.demo.trainers.with_{name}").DemoTrainer
    data = digits()
    for seed in SEEDS:
        both = [trainer(seed, over_parameterized=kind) for kind in (False, True)]
        order = np.random.default_rng(seed)
        for _ in range(EPOCHS):
            shuffled = order.permutation(len(data.train_images))
            for each in both:
                each.epoch(data.train_images[shuffled], data.train_labels[shuffled])
        yield Pair(seed, both[0], both[1].fold(), data)


def percent(logits: Any, data: Digits) -> float:
    """Accuracy of outputs (N, 10) for the test images."""
    return float(100 * (np.asarray(logits).argmax(1) == data.test_labels).mean())
