"""The two evaluations of CondConv in ``keras.ops``, equal to rounding.

The formula is in :mod:`doconv_core.neighbours.condconv`; which one costs less in
:func:`doconv_core.costs.condconv.cheaper_evaluation`. Everything here has the channels last. Sizes
are asked for by ``ops.shape``, because a graph of TensorFlow may be for any batch and any image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

Tensor = Any  # of whichever backend Keras runs on


class Window(NamedTuple):
    """Where a convolution looks."""

    kernel_size: Sequence[int]
    strides: Sequence[int]
    dilation_rate: Sequence[int]
    padding: str


def pad(x: Tensor, window: Window) -> Tensor:
    """Zeros around x (N, *in, I), after which the padding is "valid"."""
    if window.padding == "valid":
        return x
    widths = [(0, 0)]
    for size, k, s, d in zip(ops.shape(x)[1:-1], *window[:3], strict=True):
        reach = d * (k - 1)
        if window.padding == "causal":
            widths.append((reach, 0))
            continue
        # "same": the last window begins where a stride has led, `behind` the last position.
        behind = (size - 1) % s if s > 1 else 0
        larger = max if isinstance(behind, int) else ops.maximum
        total = larger(reach - behind, 0)
        widths.append((total // 2, total - total // 2))
    return ops.pad(x, [*widths, (0, 0)])


def by_kernels(x: Tensor, kernels: Tensor, alpha: Tensor, groups: int, window: Window) -> Tensor:
    """Mix the kernels, then one batched product of each example's windows with its own kernel.

    The same sums as a convolution with the examples in its groups. But XLA, to which TensorFlow
    leaves convolutions with groups too, takes 4 to 300 times as long for one of so many groups
    (Keras 3.15 with TensorFlow 2.21 and with jax, on a CPU).

    Args:
        x: (N, *in, I), padded.
        kernels: (E, *k, I/g, O).
        alpha: (N, E).
        groups: g.
        window: of the convolution.

    Returns:
        (N, *out, O).

    Numerics: mixed in the kernels' precision, then rounded to that of x.
    """
    experts, outputs = kernels.shape[0], kernels.shape[-1]
    batch, *size, _ = ops.shape(x)
    out = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, *window[:3], strict=True)
    ]  # fmt: skip
    # Sorted by groups while there are experts, not examples: (E, g, K I/g, O/g).
    grouped = ops.reshape(kernels, (experts, -1, groups, outputs // groups))
    grouped = ops.transpose(grouped, (0, 2, 1, 3))
    # Products by @, because ops.matmul in float64 on torch computes in float32 (Keras 3.15).
    mixed = ops.cast(alpha, kernels.dtype) @ ops.reshape(grouped, (experts, -1))
    mixed = ops.reshape(ops.cast(mixed, x.dtype), (batch, *grouped.shape[1:]))
    product = _windows(x, groups, out, window) @ mixed
    product = ops.transpose(product, (0, 2, 1, 3))  # (N, positions, g, O/g)
    return ops.reshape(product, (batch, *out, outputs))


def _windows(x: Tensor, groups: int, out: Sequence[Any], window: Window) -> Tensor:
    """What each position of the output sees: (N, g, positions, K I/g)."""
    batch, channels = ops.shape(x)[0], x.shape[-1]
    seen = []
    for offset in itertools.product(*map(range, window.kernel_size)):
        axes = zip(offset, out, window.strides, window.dilation_rate, strict=True)
        slices = [slice(o * d, o * d + (n - 1) * s + 1, s) for o, n, s, d in axes]
        seen.append(x[(slice(None), *slices)])
    windows, positions, K = ops.stack(seen, axis=-2), math.prod(out), len(seen)
    windows = ops.reshape(windows, (batch, positions, K, groups, channels // groups))
    windows = ops.transpose(windows, (0, 3, 1, 2, 4))
    return ops.reshape(windows, (batch, groups, positions, K * (channels // groups)))


def by_outputs(x: Tensor, kernels: Tensor, alpha: Tensor, groups: int, window: Window) -> Tensor:
    """Convolve with every expert, then mix the outputs; arguments as :func:`by_kernels`.

    Numerics: mixed in the outputs' precision, that of x.
    """
    experts, *k, fan_in, outputs = kernels.shape
    # (*k, I/g, O E), where each group has its outputs of every expert.
    grouped = ops.reshape(kernels, (experts, -1, groups, outputs // groups))
    grouped = ops.transpose(grouped, (1, 2, 0, 3))
    y = ops.conv(
        x,
        ops.cast(ops.reshape(grouped, (*k, fan_in, experts * outputs)), x.dtype),
        strides=list(window.strides),
        padding="valid",
        dilation_rate=list(window.dilation_rate),
        data_format="channels_last",
    )
    batch, *out, _ = ops.shape(y)
    y = ops.reshape(y, (batch, *out, groups, experts, outputs // groups))
    shares = ops.reshape(ops.cast(alpha, y.dtype), (batch, *(1,) * len(out), 1, experts, 1))
    # No einsum: with an ellipsis, TensorFlow 2.21's by oneDNN writes beyond its arrays at times.
    mixed = ops.sum(y * shares, axis=-2)
    return ops.reshape(mixed, (batch, *out, outputs))
