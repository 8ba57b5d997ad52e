"""What a layer costs: parameters and multiply-accumulates, plain, in training, and folded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from doconv_core import messages
from doconv_core.kernel.spec import DOConvSpec


class Cost(NamedTuple):
    """Parameters (a count) and multiply-accumulates (MACs) of one forward pass of a batch."""

    parameters: int
    macs: int

    def __add__(self, other: object) -> Cost:  # costs add up; they do not concatenate
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


class LayerCost(NamedTuple):
    """The costs of the four forms of one layer.

    Attributes:
        plain: the layer before conversion.
        kernel: training by kernel composition: composition once a step, then the plain layer.
        feature: training by feature composition: a depthwise, then a 1x1 convolution.
        folded: the deployed layer; always equal to ``plain``.
    """

    plain: Cost
    kernel: Cost
    feature: Cost
    folded: Cost

    def __add__(self, other: object) -> LayerCost:
        if not isinstance(other, LayerCost):
            return NotImplemented
        return LayerCost(*(a + b for a, b in zip(self, other, strict=True)))


def layer_cost(
    spec: DOConvSpec,
    output_size: Sequence[int],
    *,
    input_size: Sequence[int] | None = None,
    batch_size: int = 1,
    bias: bool = False,
) -> LayerCost:
    """Count what one layer costs.

    Additions, the bias's too, are not counted, as in the paper. Composing a kernel depends
    neither on the image nor on the batch, so its share falls as either grows.

    Args:
        spec: the layer's sizes.
        output_size: the output's spatial size, in positions.
        input_size: the input's, needed for a transposed layer, whose kernel acts at every
            input position.
        batch_size: images per step.
        bias: whether the layer has a bias (O parameters).

    Returns:
        The costs of the plain, kernel-composed, feature-composed and folded layer.

    Raises:
        ValueError: a transposed layer without ``input_size``, or a size that is not positive.

    Source: arXiv 2006.12030, section 3.2, "training efficiency" (there for one image).

    Example:
        >>> layer_cost(DOConvSpec(64, 64, (3, 3)), (56, 56)).plain
        Cost(parameters=36864, macs=115605504)
    """
    if spec.transposed and input_size is None:
        raise ValueError(
            messages.layer.error(
                "a transposed layer's cost needs `input_size`",
                {"input_size": input_size},
                "Pass the spatial size of its input.",
            )
        )
    sizes = (batch_size, *output_size, *(input_size or ()))
    if any(size < 1 for size in sizes):
        raise ValueError(messages.layer.error("sizes must be positive", {"sizes": sizes}))
    I, O, g, K, S = spec.in_channels, spec.out_channels, spec.groups, spec.K, spec.S
    outputs = batch_size * math.prod(output_size)
    # positions at which the kernel's elements are applied
    positions = batch_size * math.prod(input_size or ()) if spec.transposed else outputs

    biases = O if bias else 0
    plain = Cost(O * (I // g) * K + biases, O * (I // g) * K * positions)
    if not spec.has_D:
        return LayerCost(plain, plain, plain, plain)
    trained = O * (I // g) * S + I * K * S + biases
    composition = O * (I // g) * K * S
    kernel = Cost(trained, composition + plain.macs)
    feature = Cost(trained, I * K * S * positions + O * (I // g) * S * outputs)
    return LayerCost(plain, kernel, feature, plain)
