"""A network of somebody's own, as ``--network package.module:factory`` takes it."""

from __future__ import annotations

from torch import nn


def network(num_classes: int) -> nn.Module:
    """Two convolutions, batch norm and dropout, for images of any size."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
        nn.Conv2d(8, 8, 3, 2, 1, groups=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
    )  # fmt: skip
