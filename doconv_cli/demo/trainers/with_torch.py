"""The demo's network and training loop in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

import doconv_torch
from doconv_cli.demo.trainers.trainer import (
    BATCH_SIZE,
    CHANNELS,
    CLASSES,
    LEARNING_RATE,
    MOMENTUM,
    Trainer,
)


def network() -> nn.Sequential:
    """The plain network: what a user has, without a word of DO-Conv."""
    first, second, third = CHANNELS
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(third, CLASSES),
    )


class DemoTrainer(Trainer):
    file_name = "folded.safetensors"

    def __init__(self, seed: int, *, over_parameterized: bool) -> None:
        torch.manual_seed(seed)
        model = network()
        self._train(doconv_torch.convert(model) if over_parameterized else model)

    def _train(self, model: nn.Module) -> DemoTrainer:
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
        return self

    def epoch(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        self.model.train()
        for start in range(0, len(images), BATCH_SIZE):
            x = torch.from_numpy(images[start : start + BATCH_SIZE])
            y = torch.from_numpy(labels[start : start + BATCH_SIZE])
            self.optimizer.zero_grad()
            cross_entropy(self.model(x), y).backward()
            self.optimizer.step()

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        self.model.eval()
        with torch.inference_mode():
            out: NDArray[np.float32] = self.model(torch.from_numpy(images)).numpy()
        return out

    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def _of(self, model: nn.Module) -> DemoTrainer:
        return DemoTrainer.__new__(DemoTrainer)._train(model)

    def convert(self) -> DemoTrainer:
        return self._of(doconv_torch.convert(self.model))

    def fold(self) -> DemoTrainer:
        return self._of(doconv_torch.fold(self.model))

    def reload(self, path: Path) -> DemoTrainer:
        save_file(self.model.state_dict(), path)
        untouched = network()
        untouched.load_state_dict(load_file(path), strict=True)
        return self._of(untouched)
