"""What a CondConv layer costs, and which of its two evaluations costs less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from doconv_core import messages
from doconv_core.costs.conv import Cost, LayerCost, layer_cost
from doconv_core.neighbours.condconv import CondConvSpec

MACS_PER_NUMBER = 16
"""Multiply-accumulates in the time that one number takes to be written and read again.

Measured: PyTorch 2.13, one thread of an x86-64 CPU with AVX-512, whole steps of 191 layers (3x3,
1x1 and depthwise, 4 and 8 experts, 1 to 784 positions, batches of 1 to 32). With 12 to 16, taking
what :func:`cheaper_evaluation` says costs 9 % more than always taking the faster one (geometric
mean); with 0, 12 %.
"""


class CondConvCost(NamedTuple):
    """The costs of one layer's forms.

    Attributes:
        convolution: the plain convolution of the same sizes, with one kernel.
        condconv: plain CondConv, by mixed kernels.
        trained: over-parameterized: the experts' kernels are composed once a step.
        folded: the deployed layer; always equal to ``condconv``.
    """

    convolution: Cost
    condconv: Cost
    trained: Cost
    folded: Cost

    @property
    def layer(self) -> LayerCost:
        """The same for a row of a summary, where the plain layer is plain CondConv."""
        return LayerCost(self.condconv, self.trained, self.trained, self.folded)


def condconv_cost(
    spec: CondConvSpec,
    output_size: Sequence[int],
    *,
    batch_size: int = 1,
    bias: bool = False,
    routing: bool = True,
    routing_bias: bool = False,
) -> CondConvCost:
    """Count what one layer costs when it mixes kernels.

    Per image, a plain convolution's multiply-accumulates grow by those of mixing, E |kernel|, of
    mixing biases, E O, and of routing, I E. Additions, the pooling's too, are not counted.

    Args:
        spec: the layer's sizes.
        output_size: the output's spatial size, in positions.
        batch_size: images per step.
        bias: whether the experts have biases.
        routing: whether the layer has its own routing.
        routing_bias: whether that has a bias, E numbers.

    Returns:
        The costs of the plain convolution, and of the layer plain, in training, and folded.

    Raises:
        ValueError: a size is not positive.

    Source: arXiv 1904.04971, section 3: inference costs one convolution and the mixing.

    Example:
        >>> spec = CondConvSpec(64, 64, (3, 3), num_experts=8)
        >>> cost = condconv_cost(spec, (14, 14))
        >>> round(cost.condconv.macs / cost.convolution.macs, 3)
        1.041
    """
    one = layer_cost(spec.expert, output_size, batch_size=batch_size, bias=bias)
    E, kernel = spec.num_experts, math.prod(spec.expert.kernel_shape)
    mixing = E * (kernel + (spec.out_channels if bias else 0))
    router = math.prod(spec.routing_shape) if routing else 0
    held = router + (E if routing_bias else 0)
    plain = Cost(E * one.plain.parameters + held, one.plain.macs + batch_size * (mixing + router))
    if not spec.has_D:
        return CondConvCost(one.plain, plain, plain, plain)
    composition = one.kernel.macs - one.plain.macs
    trained = Cost(E * one.kernel.parameters + held, plain.macs + E * composition)
    return CondConvCost(one.plain, plain, trained, plain)


def cheaper_evaluation(spec: CondConvSpec, output_size: Sequence[int]) -> str:
    """What ``evaluation="auto"`` does: "kernels" or "outputs", for any batch size.

    A model of the time per image, in multiply-accumulates, at P output positions: mixing kernels
    costs |kernel| (E + P) and moves |kernel| numbers through memory; convolving with every expert
    costs E |kernel| P + E O P and moves E O P. A number moved counts as
    :data:`MACS_PER_NUMBER`. Every term is per image, so the batch size does not matter.

    Args:
        spec: the layer's sizes.
        output_size: the output's spatial size, in positions.

    Example:
        >>> spec = CondConvSpec(64, 64, (3, 3), num_experts=4)
        >>> cheaper_evaluation(spec, (14, 14)), cheaper_evaluation(spec, (1, 1))
        ('kernels', 'outputs')
    """
    if any(size < 1 for size in output_size):
        raise ValueError(
            messages.layer.error("sizes must be positive", {"output_size": output_size})
        )
    E, P, kernel = spec.num_experts, math.prod(output_size), math.prod(spec.expert.kernel_shape)
    outputs = E * spec.out_channels * P
    by_kernels = kernel * (E + P) + MACS_PER_NUMBER * kernel
    by_outputs = E * kernel * P + (1 + MACS_PER_NUMBER) * outputs
    return "kernels" if by_kernels <= by_outputs else "outputs"
