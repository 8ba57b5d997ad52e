"""CIFAR-10 and CIFAR-100 as published, python or binary, and the ResNets that were made for them.

    python -m examples.torch.classification --network examples.torch.cifar:resnet20 --data FOLDER

Source: arXiv 1512.03385, section 4.2; https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Format(NamedTuple):
    """Of one archive: its files, what a binary record has before its label, and the classes."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    labels: int | bytes
    classes: int


BATCHES = tuple(f"data_batch_{index}" for index in range(1, 6))
FORMATS = {
    "cifar-10-batches-bin": Format(
        tuple(f"{each}.bin" for each in BATCHES), ("test_batch.bin",), 0, 10
    ),
    "cifar-10-batches-py": Format(BATCHES, ("test_batch",), b"labels", 10),
    "cifar-100-binary": Format(("train.bin",), ("test.bin",), 1, 100),
    "cifar-100-python": Format(("train",), ("test",), b"fine_labels", 100),
}
"""By the folder that the archive unpacks to."""


class _Arrays(pickle.Unpickler):
    """Reads what these files hold, and calls nothing else that a file may name."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] != "numpy" or name not in ("_reconstruct", "ndarray", "dtype"):
            raise pickle.UnpicklingError(f"a CIFAR file has no need of {module}.{name}")
        return super().find_class(module, name)


class CIFAR(Dataset[tuple[Tensor, int]]):
    """Images of 3x32x32 with their classes; training images are shifted and mirrored."""

    MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)

    def __init__(self, folder: Path, *, training: bool) -> None:
        form = FORMATS[folder.name]
        self.training, self.classes = training, form.classes
        parts = [
            _read(folder / name, form)
            for name in getattr(form, ("validation", "training")[training])
        ]
        self.images = torch.from_numpy(np.concatenate([images for images, _ in parts]))
        self.labels = np.concatenate([labels for _, labels in parts]).tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (self.MEAN, self.STD))
        image = (self.images[index] - mean) / std
        if self.training:
            top, left, mirror = (int(torch.randint(n, ())) for n in (9, 9, 2))
            image = nn.functional.pad(image, (4, 4, 4, 4))[:, top : top + 32, left : left + 32]
            image = image.flip(-1) if mirror else image
        return image, self.labels[index]


def _read(path: Path, form: Format) -> tuple[Any, Any]:
    if isinstance(form.labels, bytes):
        with path.open("rb") as file:
            found = _Arrays(file, encoding="bytes").load()
        return found[b"data"].reshape(-1, 3, 32, 32), np.asarray(found[form.labels])
    records = np.fromfile(path, np.uint8).reshape(-1, form.labels + 1 + 3072)
    return records[:, -3072:].reshape(-1, 3, 32, 32), records[:, form.labels].astype(int)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.more = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.more:  # the paper's option A: every second pixel, and channels of zeros
            x = nn.functional.pad(x[..., ::2, ::2], (0, 0, 0, 0, 0, self.more))
        return torch.relu(y + x)


def resnet(depth: int, num_classes: int) -> nn.Module:
    """6n + 2 layers: three stages of n blocks, 16, 32 and 64 channels wide."""
    widths = [16] + [width for width in (16, 32, 64) for _ in range((depth - 2) // 6)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        *(_Block(a, b) for a, b in itertools.pairwise(widths)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes),
    )  # fmt: skip


def resnet20(num_classes: int = 10) -> nn.Module:
    return resnet(20, num_classes)


def resnet56(num_classes: int = 10) -> nn.Module:
    return resnet(56, num_classes)


def resnet110(num_classes: int = 10) -> nn.Module:
    return resnet(110, num_classes)
