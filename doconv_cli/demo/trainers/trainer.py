"""What a framework must bring to the demo: one small CNN and its training loop."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
BATCH_SIZE = 32
LEARNING_RATE = 0.05
MOMENTUM = 0.9
CHANNELS = (16, 32, 32)
"""Output channels of the network's three 3x3 convolutions, padding 1; the second has stride 2.
A ReLU follows each; then global average pooling and a linear classifier. No batch norm, as in the
authors' own samples: it would hide much of what a layer does to the optimization."""


class Trainer(ABC):
    """One network in training.

    Images are (B, 1, 8, 8) float32, labels (B,) int64. Two trainers of the same seed start from
    the same function and see the same batches, over-parameterized or not.

    Args:
        seed: of the initial weights.
        over_parameterized: whether to ``convert`` the network before training.
    """

    @abstractmethod
    def __init__(self, seed: int, *, over_parameterized: bool) -> None: ...

    @abstractmethod
    def epoch(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """One pass over the data, in the order given, with SGD and momentum."""

    @abstractmethod
    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs (B, 10) in evaluation mode."""

    @abstractmethod
    def parameters(self) -> int:
        """How many numbers are trained."""

    @abstractmethod
    def convert(self) -> Trainer:
        """A trainer of the converted network, with a new optimizer; this one stays."""

    @abstractmethod
    def fold(self) -> Trainer:
        """A trainer of the folded network; this one stays."""

    @abstractmethod
    def reload(self, path: Path) -> Trainer:
        """Save this plain network, and load the file strictly into a new, untouched one."""

    file_name: str
    """What the framework's users would call a file of plain weights."""


def load(framework: str) -> type[Trainer]:
    """The trainer of a framework.

    Raises:
        ImportError: the framework is not installed.
    """
    module = importlib.import_module(f"doconv_cli.demo.trainers.with_{framework}")
    trainer: type[Trainer] = module.DemoTrainer
    return trainer
