"""The two evaluations of CondConv in PyTorch, equal to rounding.

The formula is in :mod:`doconv_core.neighbours.condconv`; which one costs less in
:func:`doconv_core.costs.condconv.cheaper_evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from doconv_torch.tensors.composition import outside_autocast

Convolution = Callable[..., Tensor]
"""Of input, weight, bias and groups; stride, padding and dilation are settled."""


def by_kernels(
    conv: Convolution, x: Tensor, kernels: Tensor, bias: Tensor | None, alpha: Tensor, groups: int
) -> Tensor:
    """Mix the kernels, then one convolution whose groups are those of every example.

    Args:
        conv: the convolution.
        x: (N, I, *in).
        kernels: (E, O, I/g, *k).
        bias: (E, O) or None.
        alpha: (N, E).
        groups: g.

    Returns:
        (N, O, *out).

    Numerics: mixed in the parameters' precision, outside autocast.
    """
    batch = x.shape[0]
    with outside_autocast(x.device.type):
        alpha = alpha.to(kernels.dtype)
        mixed = (alpha @ kernels.flatten(1)).unflatten(1, kernels.shape[1:]).flatten(0, 1)
        mixed_bias = None if bias is None else (alpha @ bias).flatten()
    one_image = x.reshape(1, batch * x.shape[1], *x.shape[2:])
    y = conv(one_image, mixed, mixed_bias, groups=batch * groups)
    return y.reshape(batch, kernels.shape[1], *y.shape[2:])


def by_outputs(
    conv: Convolution, x: Tensor, kernels: Tensor, bias: Tensor | None, alpha: Tensor, groups: int
) -> Tensor:
    """Convolve with every expert, then mix the outputs; arguments as :func:`by_kernels`.

    Numerics: mixed in the outputs' precision.
    """
    experts, g = kernels.shape[0], groups

    def by_group(array: Tensor) -> Tensor:
        """(E, O, ...) to (E O, ...), where each group has its outputs of every expert."""
        return array.unflatten(1, (g, -1)).transpose(0, 1).flatten(0, 2)

    bias = None if bias is None else by_group(bias)
    y = conv(x, by_group(kernels), bias, groups=g).unflatten(1, (g, experts, -1))
    mixed = torch.einsum("ngeo...,ne->ngo...", y, alpha.to(y.dtype))
    return mixed.flatten(1, 2)
