"""The family on one small network: DO-Conv, CondConv and XSepConv, alone and over-parameterized.

The network has dense 3x3 and depthwise 5x5 convolutions, so that each of them applies somewhere:
CondConv to the dense ones after the first, XSepConv to the depthwise ones, and ``convert`` to all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from torch import nn

from doconv_torch import CondConv2d, XSepConv2d, convert, convert_depthwise

EXPERTS = 4


def network(
    channels: int = 3, classes: int = 10, *, width: int = 16, stride: int = 1, experts: int = 0
) -> nn.Sequential:
    """The plain network, or with CondConv where ``experts`` > 0.

    Args:
        channels: of the images.
        classes: to tell apart.
        width: output channels of the first convolution.
        stride: of the first convolution.
        experts: of each dense convolution after the first.
    """

    def dense(i: int, o: int, stride: int = 1, experts: int = 0) -> list[nn.Module]:
        conv = (
            CondConv2d(i, o, 3, stride, 1, bias=False, num_experts=experts)
            if experts
            else nn.Conv2d(i, o, 3, stride, 1, bias=False)
        )
        return [conv, nn.BatchNorm2d(o), nn.ReLU()]

    def separable(i: int, o: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(i, i, 5, padding=2, groups=i, bias=False)
        pointwise = nn.Conv2d(i, o, 1, bias=False)
        return [
            *(depthwise, nn.BatchNorm2d(i), nn.ReLU()),
            *(pointwise, nn.BatchNorm2d(o), nn.ReLU()),
        ]

    return nn.Sequential(
        *dense(channels, width, stride),
        *separable(width, 2 * width),
        *dense(2 * width, 2 * width, 2, experts),
        *separable(2 * width, 4 * width),
        *dense(4 * width, 4 * width, 1, experts),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )


def with_xsepconv(model: nn.Module) -> nn.Module:
    """XSepConv in place of the depthwise convolutions; the features keep their variance.

    PyTorch's own start, of a third of that variance, would be felt three times in a row.
    """
    logger = logging.getLogger("doconv")
    level = logger.level
    logger.setLevel(logging.ERROR)  # that the output changes is known here
    try:
        model = convert_depthwise(model)
    finally:
        logger.setLevel(level)
    for layer in (m for m in model.modules() if isinstance(m, XSepConv2d)):
        for part in (layer.square, layer.horizontal, layer.vertical):
            nn.init.kaiming_uniform_(part.weight, nonlinearity="linear")
    return model


def _with_experts() -> nn.Module:
    return network(experts=EXPERTS)


FAMILY: dict[str, Callable[[], nn.Module]] = {
    "plain": network,
    "DO-Conv": lambda: convert(network()),
    "CondConv": _with_experts,
    "DO-CondConv": lambda: convert(_with_experts()),
    "XSepConv": lambda: with_xsepconv(network()),
    "DO-XSepConv": lambda: convert(with_xsepconv(network())),
}
"""Ways to make it."""
