"""Networks that the studies of accuracy train, from scratch, in minutes.

All but the sample end in global average pooling and a linear layer. The three stages are 16, 32 and
64 channels wide, as in the ResNets that were made for CIFAR, on half, a quarter and an eighth of
the image's size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from benchmarks.with_torch.family import network, with_xsepconv

STAGES = (16, 32, 64)


class Kind(NamedTuple):
    """What tells one of the networks from another.

    Attributes:
        blocks: in a stage, of two convolutions each.
        shortcuts: whether a block's input is added to its output.
        groups: of a block's 3x3 convolutions; 0 makes them depthwise, each before a 1x1.
        norm: whether batch norm follows every convolution.
    """

    blocks: int = 2
    shortcuts: bool = False
    groups: int = 1
    norm: bool = True


KINDS = {
    "plain": Kind(),
    "resnet": Kind(shortcuts=True),
    "depthwise": Kind(groups=0),
    "grouped": Kind(shortcuts=True, groups=8),
    "unnormalized": Kind(blocks=1, norm=False),
}


def sample(channels: int, classes: int) -> nn.Module:
    """The authors' PyTorch sample: three 3x3 convolutions of stride 2, averaged."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, classes, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def staged(kind: Kind, channels: int, classes: int) -> nn.Module:
    """A stem of stride 2, and three stages of blocks."""
    layers = _convolution(channels, STAGES[0], 3, 2, 1, norm=kind.norm)
    inputs = STAGES[0]
    for stage, outputs in enumerate(STAGES):
        for block in range(kind.blocks):
            stride = 2 if stage and not block else 1
            layers.append(_Block(inputs, outputs, stride, kind))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, kind: Kind) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *_spatial(inputs, outputs, stride, kind), *_spatial(outputs, outputs, 1, kind)
        )
        self.shortcut: nn.Module | None = None
        if kind.shortcuts:
            same = stride == 1 and inputs == outputs
            self.shortcut = (
                nn.Identity()
                if same
                else nn.Sequential(
                    *_convolution(inputs, outputs, 1, stride, 1, norm=kind.norm)[:-1]
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        return y if self.shortcut is None else y + self.shortcut(x)


def _spatial(inputs: int, outputs: int, stride: int, kind: Kind) -> list[nn.Module]:
    if kind.groups:
        return _convolution(inputs, outputs, 3, stride, kind.groups, norm=kind.norm)
    return [
        *_convolution(inputs, inputs, 3, stride, inputs, norm=kind.norm),
        *_convolution(inputs, outputs, 1, 1, 1, norm=kind.norm),
    ]


def _convolution(
    inputs: int, outputs: int, size: int, stride: int, groups: int, *, norm: bool
) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=not norm)
    if norm:
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
    # PyTorch's own start loses the signal within a few layers where no norm restores it.
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return [conv, nn.ReLU()]


def _xsepconv(channels: int, classes: int) -> nn.Module:
    return with_xsepconv(network(channels, classes, stride=2))


CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "sample": sample,
    **{name: partial(staged, kind) for name, kind in KINDS.items()},
    "family": partial(network, stride=2),
    **{f"CondConv, {n} experts": partial(network, stride=2, experts=n) for n in (1, 2, 4, 8)},
    "XSepConv": _xsepconv,
}
"""Networks by name, from the images' channels and the number of classes."""
