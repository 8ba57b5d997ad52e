"""The sizes of a convolution, read from what Keras's layers keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doconv_core import DOConvSpec


def spec_of(
    layout: str, shape: Sequence[int], layer: Any, D_mul: int | str | None = None
) -> DOConvSpec:
    """The sizes of a built layer.

    Args:
        layout: of its kernel, see :mod:`doconv_core.kernel.layout`.
        shape: of its kernel.
        layer: the layer, of ours or its host's.
        D_mul: columns of W.
    """
    if layout == "kIM":  # depthwise
        channels, multiplier = shape[-2:]
        return DOConvSpec(channels, channels * multiplier, layer.kernel_size, channels, D_mul)
    if layout == "kOI":  # transposed, which has no groups in Keras
        return DOConvSpec(shape[-1], layer.filters, layer.kernel_size, 1, D_mul, transposed=True)
    channels = shape[-2] * layer.groups
    return DOConvSpec(channels, layer.filters, layer.kernel_size, layer.groups, D_mul)
