"""ResNet and MobileNetV2 in torchvision's layout, without torchvision; and a detector's head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(i: int, o: int, k: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]


class _Residual(nn.Module):
    def __init__(self, branch: list[nn.Module], shortcut: list[nn.Module], *, relu: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.shortcut = nn.Sequential(*shortcut)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.branch(x) + self.shortcut(x))


def resnet(blocks: tuple[int, ...], *, bottleneck: bool, stem: int = 7) -> nn.Sequential:
    """ResNet with the stride in the 3x3 convolution; ``stem=3`` is the form for 32x32 images."""
    layers = _conv(3, 64, stem, 2 if stem == 7 else 1)
    layers += [nn.ReLU(), nn.MaxPool2d(3, 2, 1)] if stem == 7 else [nn.ReLU()]
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        out = 4 * width if bottleneck else width
        for block in range(count):
            stride = 2 if stage and not block else 1
            if bottleneck:
                branch = [*_conv(channels, width, 1), nn.ReLU()]
                branch += [*_conv(width, width, 3, stride), nn.ReLU(), *_conv(width, out, 1)]
            else:
                branch = [*_conv(channels, out, 3, stride), nn.ReLU(), *_conv(out, out, 3)]
            same = stride == 1 and channels == out
            layers.append(
                _Residual(branch, [] if same else _conv(channels, out, 1, stride), relu=True)
            )
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def mobilenet_v2() -> nn.Sequential:
    """MobileNetV2, width 1."""
    layers, channels = [*_conv(3, 32, 3, 2), nn.ReLU6()], 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
             (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
    for expansion, out, count, first_stride in table:
        for block in range(count):
            stride, inner = 1 if block else first_stride, channels * expansion
            branch = [*_conv(channels, inner, 1), nn.ReLU6()] if expansion > 1 else []
            branch += [*_conv(inner, inner, 3, stride, inner), nn.ReLU6(), *_conv(inner, out, 1)]
            if stride == 1 and channels == out:
                layers.append(_Residual(branch, [], relu=False))
            else:
                layers += branch
            channels = out
    return nn.Sequential(
        *layers, *_conv(channels, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(1280, 1000),
    )  # fmt: skip


class SharedHead(nn.Module):
    """A detector's head: two towers of four 3x3 convolutions, shared by five feature levels."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 256, 1)
        self.towers = nn.ModuleList(
            nn.Sequential(
                *(each for _ in range(4) for each in (nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()))
            )
            for _ in range(2)
        )
        self.classes = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        finest = self.enter(x)
        levels = [F.max_pool2d(finest, 2**level) for level in range(5)]
        pooled = [tower(level).mean((2, 3)) for level in levels for tower in self.towers]
        return self.classes(torch.stack(pooled).sum(0))


def tiny() -> nn.Sequential:
    """Two convolutions, to show that a program works."""
    body = [*_conv(3, 4, 3), nn.ReLU(), *_conv(4, 4, 3)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


NETWORKS = {
    "tiny": tiny,
    "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
    "resnet18-cifar": lambda: resnet((2, 2, 2, 2), bottleneck=False, stem=3),
    "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True),
    "mobilenet_v2": mobilenet_v2,
    "shared_head": SharedHead,
}
