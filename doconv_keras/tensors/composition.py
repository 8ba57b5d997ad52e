"""The forward mathematics: what composition makes of W and D.

The formula is in :mod:`doconv_core.kernel.composition`. Everything here is a pure function of
tensors with static shapes, so a traced step holds a few operations and no Python. ``ops`` is
:data:`Ops`.

Keras puts a kernel's spatial axes first; ``layout`` says what the two channel axes after them are
(see :mod:`doconv_core.kernel.layout`): "kIO" (I/g, O), "kIM" (I, O/I) for depthwise layers, or
"kOI" (O, I) for transposed ones.
"""

from __future__ import annotations

from typing import Any

from doconv_core import DOConvSpec, identity

Ops = Any
"""``keras.ops``, or what has its functions of the same names, as far as they are used."""

Tensor = Any


def compose(ops: Ops, spec: DOConvSpec, layout: str, kernel: Any, W_extra: Any, D: Any) -> Tensor:
    """The kernel of the plain convolution.

    Args:
        ops: the operations.
        spec: the layer's sizes.
        layout: of ``kernel``.
        kernel: W's first K columns, (*k, two channel axes).
        W_extra: W's columns beyond the kernel's own, (S - K, two channel axes); None if S = K.
        D: (I, K, S).

    Returns:
        The kernel, in the shape and precision of ``kernel``.

    Numerics: residual form, in the arrays' precision; the identity is never multiplied.
    """
    # One product per input channel, with the output channel innermost; the identity's part joins it
    # there, while both are in the cache, so that one transpose brings both back. Not by ops.matmul,
    # which in float64 on torch computes in float32 (Keras 3.15).
    D, K = ops.convert_to_tensor(D), spec.K
    W = _channel_first(ops, spec, layout, columns_first(ops, spec, kernel, W_extra))
    plain = W[:, :K] if spec.S > K else W  # TensorFlow copies a slice, even of all
    for start in range(K, spec.S - spec.free_columns, K):  # the further copies of the identity
        plain = plain + W[:, start : start + K]
    return ops.reshape(_channel_last(ops, spec, layout, plain + D @ W), tuple(kernel.shape))


def columns_first(ops: Ops, spec: DOConvSpec, kernel: Any, W_extra: Any) -> Tensor:
    """W as (S, two channel axes)."""
    W = ops.reshape(kernel, (spec.K, *kernel.shape[-2:]))
    return W if W_extra is None else ops.concatenate([W, W_extra], axis=0)


def whole_D(ops: Ops, spec: DOConvSpec, D: Any) -> Tensor:
    """Identity + D, (I, K, S): what feature composition convolves with."""
    return D + ops.convert_to_tensor(identity(spec.K, spec.S), dtype=D.dtype)


def depthwise_kernel(ops: Ops, spec: DOConvSpec, D: Any) -> Tensor:
    """The first kernel of feature composition: (*k, I, S), of a depthwise convolution."""
    return ops.reshape(
        ops.transpose(whole_D(ops, spec, D), (1, 0, 2)), (*spec.kernel_size, -1, spec.S)
    )


def transposed_depthwise_kernel(ops: Ops, spec: DOConvSpec, D: Any) -> Tensor:
    """The same for a transposed layer: (*k, I*S, I), dense, as Keras has no groups there."""
    I = spec.in_channels
    kernel = ops.transpose(whole_D(ops, spec, D), (1, 0, 2))[..., None]
    blocks = kernel * ops.reshape(ops.eye(I, dtype=D.dtype), (I, 1, I))
    return ops.reshape(blocks, (*spec.kernel_size, I * spec.S, I))


def pointwise_kernel(ops: Ops, spec: DOConvSpec, layout: str, kernel: Any, W_extra: Any) -> Tensor:
    """The second kernel of feature composition: (1, .., 1, I/g*S, O), with g groups."""
    W = _channel_first(ops, spec, layout, columns_first(ops, spec, kernel, W_extra))
    g, fan_in = spec.groups, spec.in_channels // spec.groups * spec.S
    W = ops.transpose(ops.reshape(W, (g, fan_in, -1)), (1, 0, 2))
    ones = (1,) * len(spec.kernel_size)
    return ops.reshape(W, (*ones, fan_in, spec.out_channels))


def _channel_first(ops: Ops, spec: DOConvSpec, layout: str, W: Any) -> Tensor:
    """(columns, two channel axes) -> (I, columns, O/g)."""
    if layout == "kOI":
        return ops.transpose(W, (2, 0, 1))
    if layout == "kIM":
        return ops.transpose(W, (1, 0, 2))
    g, columns = spec.groups, W.shape[0]
    W = ops.reshape(W, (columns, spec.in_channels // g, g, spec.out_channels // g))
    return ops.reshape(ops.transpose(W, (2, 1, 0, 3)), (spec.in_channels, columns, -1))


def _channel_last(ops: Ops, spec: DOConvSpec, layout: str, product: Any) -> Tensor:
    """(I, columns, O/g) -> (columns, two channel axes), the inverse."""
    if layout == "kOI":
        return ops.transpose(product, (1, 2, 0))
    if layout == "kIM":
        return ops.transpose(product, (1, 0, 2))
    g, columns = spec.groups, product.shape[1]
    product = ops.reshape(product, (g, spec.in_channels // g, columns, spec.out_channels // g))
    return ops.reshape(ops.transpose(product, (2, 1, 0, 3)), (columns, -1, spec.out_channels))
