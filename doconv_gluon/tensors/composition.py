"""The forward mathematics in MXNet: kernel composition and feature composition.

The formula is in :mod:`doconv_core.kernel.composition`. Everything here works on NDArrays and on
Symbols (`F` is ``mxnet.nd`` or ``mxnet.sym``). A Symbol has no shape, so sizes are Python integers,
and the one that may not be known yet, the number of input channels, is a -1 in a reshape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from doconv_gluon.tensors import native
from doconv_gluon.tensors.forms import Form

Array = Any  # an NDArray or a Symbol


def compose(
    F: Any,
    form: Form,
    weight: Array,
    D: Array,
    W_extra: Array | None = None,
    *,
    infer: bool = False,
    dtype: Any = np.float32,
) -> Array:
    """The kernel of the plain convolution, in the shape of ``weight``.

    One ``linalg_gemm`` over input channels computes ``W + W.D``. A transpose brings W to the
    layout it likes, another one the kernel back; nothing is larger than W.

    Args:
        F: ``mxnet.nd`` or ``mxnet.sym``.
        form: the layer's sizes.
        weight: the first K columns of W, in the host's layout.
        D: (I, K, S).
        W_extra: the other S - K columns: weight's channel axes, the spatial ones made one.
        infer: the number of input channels is not known yet, let it flow from the output to
            ``weight`` and from there to D.
        dtype: the parameters'. Those of float16, which the product does not take, are composed in
            float32 and rounded once.

    Numerics: residual form, in the parameters' precision. MXNet's automatic mixed precision
    lists ``linalg_gemm`` among the operators that stay in float32.
    """
    if W_extra is None and not infer and native.fits(F, form, weight, dtype):
        return native.compose(F, form, weight, D)
    given, widen = weight, np.dtype(dtype) == np.float16
    if widen:
        weight, D = F.cast(weight, dtype="float32"), F.cast(D, dtype="float32")
        W_extra = None if W_extra is None else F.cast(W_extra, dtype="float32")
    W = _whole_W(F, form, weight, W_extra)
    kernel = W if W_extra is None else F.slice_axis(W, axis=2, begin=0, end=form.K)
    for start in range(form.K, form.D_mul - form.K + 1, form.K):  # the identity's further copies
        kernel = kernel + F.slice_axis(W, axis=2, begin=start, end=start + form.K)
    if infer:
        D = with_shape_of(F, D, _like_D(F, form, W))
    # Through a reshape: with grad_req="add", MXNet 1.9.1 computes wrong gradients for a parameter
    # that linalg_gemm reads itself.
    D = F.reshape(D, shape=(-1, form.K, form.D_mul))
    kernel = _in_host_layout(F, form, F.linalg_gemm(W, D, kernel, transpose_b=True))
    if widen:
        kernel = F.cast(kernel, dtype="float16")
    return with_shape_of(F, kernel, given) if infer else kernel


def depthwise_weight(F: Any, form: Form, D: Array, *, dtype: Any) -> Array:
    """Identity + D as the weight of a convolution with one group per input channel."""
    copies = F.tile(F.eye(form.K, dtype=dtype), reps=(1, form.D_mul // form.K))
    free = form.D_mul % form.K
    if free:
        copies = F.concat(copies, F.zeros((form.K, free), dtype=dtype), dim=1)
    whole = F.transpose(F.broadcast_add(D, F.expand_dims(copies, axis=0)), axes=(0, 2, 1))
    axes = (0, form.D_mul) if form.transposed else (-1, 1)
    return _channels_last(F, form, F.reshape(whole, shape=(*axes, *form.kernel_size)))


def pointwise_weight(F: Any, form: Form, weight: Array, W_extra: Array | None) -> Array:
    """W as the weight of a 1x1 convolution of I * S channels, (O, I/g * S, 1, ...)."""
    W = _turned(F, form, _whole_W(F, form, weight, W_extra), form.D_mul)
    ones = (1,) * len(form.kernel_size)
    return _channels_last(F, form, F.reshape(W, shape=(form.channels, -1, *ones)))


# --- layouts -------------------------------------------------------------------------------


def _whole_W(F: Any, form: Form, weight: Array, W_extra: Array | None) -> Array:
    """All columns of W, (I, O/g, S)."""
    W = _by_input(F, form, weight, form.K)
    if W_extra is None:
        return W
    return F.concat(W, _by_input(F, form, W_extra, form.extra_columns), dim=2)


def _by_input(F: Any, form: Form, array: Array, columns: int) -> Array:
    """An array of the host's layout as (I, O/g, columns): a matrix for each input channel."""
    if form.channels_last:
        first, second = form.channel_axes
        array = F.transpose(F.reshape(array, shape=(first, columns, second)), axes=(0, 2, 1))
    if not form.transposed:
        array = F.reshape(array, shape=(form.groups, form.outputs, -1, columns))
        array = F.transpose(array, axes=(0, 2, 1, 3))
    return F.reshape(array, shape=(-1, form.outputs, columns))


def _in_host_layout(F: Any, form: Form, kernel: Array) -> Array:
    """Inverse of :func:`_by_input`, for K columns."""
    if not form.transposed:
        kernel = _turned(F, form, kernel, form.K)
    kernel = F.reshape(kernel, shape=(*form.channel_axes, *form.kernel_size))
    return _channels_last(F, form, kernel)


def _turned(F: Any, form: Form, array: Array, columns: int) -> Array:
    """(I, O/g, columns) -> (g, O/g, I/g, columns): the channel axes turned within each group."""
    array = F.reshape(array, shape=(form.groups, -1, form.outputs, columns))
    return F.transpose(array, axes=(0, 2, 1, 3))


def _channels_last(F: Any, form: Form, array: Array) -> Array:
    ndim = len(form.kernel_size)
    return F.transpose(array, axes=(0, *range(2, ndim + 2), 1)) if form.channels_last else array


# --- the shape that is not known yet -------------------------------------------------------


def _like_D(F: Any, form: Form, W: Array) -> Array:
    """Some array of D's shape, made of one output's part of W."""
    one = F.reshape(F.slice_axis(W, axis=1, begin=0, end=1), shape=(-1, 1, form.D_mul))
    return F.broadcast_axis(one, axis=1, size=form.K)


def with_shape_of(F: Any, array: Array, like: Array) -> Array:
    """``array``; MXNet now knows that both have one shape, in whichever way it gets to know it.

    A product's shape does not tell those of its factors. This operator copies nothing.
    """
    return F._internal._identity_with_attr_like_rhs(array, like)
