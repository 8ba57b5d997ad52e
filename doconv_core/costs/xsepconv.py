"""What an XSepConv layer costs, beside the depthwise convolution that it stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from doconv_core.costs.conv import LayerCost, layer_cost
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.neighbours.xsepconv import XSepConvSpec


class XSepConvCost(NamedTuple):
    """The costs of an XSepConv layer and of what it stands for.

    Attributes:
        depthwise: the k x k depthwise convolution, with D_mul=None where it is trained.
        xsepconv: the three convolutions; those without a ``D_mul`` count as plain throughout.
    """

    depthwise: LayerCost
    xsepconv: LayerCost


def xsepconv_cost(
    spec: XSepConvSpec, input_size: Sequence[int], *, batch_size: int = 1, bias: bool = False
) -> XSepConvCost:
    """Count what XSepConv and the depthwise convolution that it stands for cost.

    With stride 2 the 2 x 2 convolution still acts on every pixel: for k = 5 that makes 7.75
    multiply-accumulates for a pixel of the input against 6.25, for k = 7 9.25 against 12.25.

    Args:
        spec: the layer's sizes.
        input_size: the input's height and width, in pixels.
        batch_size: images per step.
        bias: whether the layer has a bias.

    Returns:
        For both, plain, in training, and folded; see :class:`doconv_core.LayerCost`.

    Example:
        >>> cost = xsepconv_cost(XSepConvSpec(96, 5), (14, 14))
        >>> cost.depthwise.plain.parameters, cost.xsepconv.plain.parameters  # 25 and 14 by channel
        (2400, 1344)
    """
    C, k = spec.channels, spec.kernel_size
    size, costs = tuple(input_size), []
    for part in spec.parts:
        size = tuple(math.ceil(n / s) for n, s in zip(size, part.stride, strict=True))
        cost = layer_cost(part.conv, size, batch_size=batch_size, bias=bias and part.bias)
        costs.append(cost if part.D_mul else LayerCost(*(cost.plain,) * len(cost)))
    depthwise = layer_cost(DOConvSpec(C, C, (k, k), C), size, batch_size=batch_size, bias=bias)
    return XSepConvCost(depthwise, costs[0] + costs[1] + costs[2])
