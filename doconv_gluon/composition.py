"""The forward mathematics in MXNet: kernel composition and feature composition.

The formula is in :mod:`doconv_core.composition`. Everything here works on NDArrays and on Symbols
(`F` is ``mxnet.nd`` or ``mxnet.sym``). A Symbol has no shape, so sizes are Python integers, and
the one that may not be known yet, the number of input channels, is a -1 in a reshape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Array = Any  # an NDArray or a Symbol


@dataclass(frozen=True)
class Form:
    """The sizes of a layer that are known before its first input, and how its arrays lie.

    Attributes:
        channels: O.
        kernel_size: one integer per spatial dimension.
        groups: g.
        D_mul: S.
        transposed: ``weight`` is (I, O/g, *k) instead of (O, I/g, *k).
        channels_last: the second channel axis of ``weight`` comes last, as with layout "NHWC".
    """

    channels: int
    kernel_size: tuple[int, ...]
    groups: int
    D_mul: int
    transposed: bool
    channels_last: bool

    @property
    def K(self) -> int:
        """Number of kernel elements."""
        return math.prod(self.kernel_size)

    @property
    def extra_columns(self) -> int:
        """Columns of ``W_extra``, S - K."""
        return self.D_mul - self.K

    @property
    def channel_axes(self) -> tuple[int, int]:
        """The first two axes of ``weight``, channels first; -1 where I is part of it."""
        outputs = self.channels // self.groups
        return (-1, outputs) if self.transposed else (self.channels, -1)

    @property
    def grouped_axes(self) -> tuple[int, ...]:
        """Its channel axes as the batched product takes them: rows are outputs of one group."""
        outputs = self.channels // self.groups
        return (-1, outputs) if self.transposed else (self.groups, outputs, -1)


def compose(
    F: Any,
    form: Form,
    weight: Array,
    D: Array,
    W_extra: Array | None = None,
    *,
    infer: bool = False,
    widen: bool = False,
) -> Array:
    """The kernel of the plain convolution, in the shape of ``weight``.

    One ``linalg_gemm`` computes ``W + W.D``. It reads W where it lies, with the channel as batch
    axis and the row axis anywhere, so no array is transposed or copied but D, the smallest.

    Args:
        F: ``mxnet.nd`` or ``mxnet.sym``.
        form: the layer's sizes.
        weight: the first K columns of W, in the host's layout.
        D: (I, K, S).
        W_extra: the other S - K columns: weight's channel axes, the spatial ones made one.
        infer: the number of input channels is not known yet, let it flow from the output to
            ``weight`` and from there to D.
        widen: compose in float32 and round once, for float16 parameters (which the product does
            not take).

    Numerics: residual form, in the parameters' precision. MXNet's automatic mixed precision
    lists ``linalg_gemm`` among the operators that stay in float32.
    """
    given = weight
    if widen:
        weight, D = F.cast(weight, dtype="float32"), F.cast(D, dtype="float32")
        W_extra = None if W_extra is None else F.cast(W_extra, dtype="float32")
    kernel = W = _grouped(F, form, weight, form.K)
    if W_extra is not None:
        extra = _grouped(F, form, W_extra, form.extra_columns)
        W = F.concat(kernel, extra, dim=len(form.grouped_axes))
        for start in range(0, form.extra_columns - form.K + 1, form.K):  # the identity's copies
            kernel = kernel + F.slice_axis(extra, axis=-1, begin=start, end=start + form.K)
    if infer:
        D = _with_shape_of(F, D, _like_D(F, form, W))
    # Parameters go through a reshape: with grad_req="add", MXNet 1.9.1 computes wrong gradients
    # for what linalg_gemm reads itself.
    if form.transposed:
        D = F.reshape(D, shape=(-1, form.K, form.D_mul))
        kernel = F.linalg_gemm(W, D, kernel, transpose_b=True)
    else:
        D = F.reshape(D, shape=(form.groups, -1, form.K, form.D_mul))
        D = F.transpose(D, axes=(0, 2, 1, 3))
        kernel = F.linalg_gemm(W, D, kernel, transpose_b=True, axis=-3)
    kernel = _spatial(F, form, kernel)
    if widen:
        kernel = F.cast(kernel, dtype="float16")
    return _with_shape_of(F, kernel, given) if infer else kernel


def depthwise_weight(F: Any, form: Form, D: Array, *, dtype: Any) -> Array:
    """Identity + D as the weight of a convolution with one group per input channel."""
    copies = F.tile(F.eye(form.K, dtype=dtype), reps=(1, form.D_mul // form.K))
    free = form.D_mul % form.K
    if free:
        copies = F.concat(copies, F.zeros((form.K, free), dtype=dtype), dim=1)
    whole = F.transpose(F.broadcast_add(D, F.expand_dims(copies, axis=0)), axes=(0, 2, 1))
    axes = (0, form.D_mul) if form.transposed else (-1, 1)
    return _host_layout(F, form, F.reshape(whole, shape=(*axes, *form.kernel_size)))


def pointwise_weight(F: Any, form: Form, weight: Array, W_extra: Array | None) -> Array:
    """W as the weight of a 1x1 convolution of I * S channels, (O, I/g * S, 1, ...)."""
    W = _grouped(F, form, weight, form.K)
    if W_extra is not None:
        extra = _grouped(F, form, W_extra, form.extra_columns)
        W = F.concat(W, extra, dim=len(form.grouped_axes))
    if form.transposed:  # the channel axes turn within each group
        shape = (form.groups, -1, form.channels // form.groups, form.D_mul)
        W = F.transpose(F.reshape(W, shape=shape), axes=(0, 2, 1, 3))
    ones = (1,) * len(form.kernel_size)
    return _host_layout(F, form, F.reshape(W, shape=(form.channels, -1, *ones)))


# --- layouts -------------------------------------------------------------------------------


def _grouped(F: Any, form: Form, array: Array, columns: int) -> Array:
    """An array of the host's layout as (g, O/g, I/g, columns), or (I, O/g, columns)."""
    if form.channels_last:
        first, second = form.channel_axes
        array = F.reshape(array, shape=(first, columns, second))
        array = F.transpose(array, axes=(0, 2, 1))
    return F.reshape(array, shape=(*form.grouped_axes, columns))


def _spatial(F: Any, form: Form, kernel: Array) -> Array:
    """Inverse of :func:`_grouped`, for K columns."""
    kernel = F.reshape(kernel, shape=(*form.channel_axes, *form.kernel_size))
    return _host_layout(F, form, kernel)


def _host_layout(F: Any, form: Form, array: Array) -> Array:
    ndim = len(form.kernel_size)
    return F.transpose(array, axes=(0, *range(2, ndim + 2), 1)) if form.channels_last else array


# --- the shape that is not known yet -------------------------------------------------------


def _like_D(F: Any, form: Form, W: Array) -> Array:
    """Some array of D's shape, made of one output's part of W."""
    one = F.reshape(F.slice_axis(W, axis=1, begin=0, end=1), shape=(-1, 1, form.D_mul))
    return F.broadcast_axis(one, axis=1, size=form.K)


def _with_shape_of(F: Any, array: Array, like: Array) -> Array:
    """``array``; MXNet now knows that both have one shape, in whichever way it gets to know it.

    A product's shape does not tell those of its factors. This operator copies nothing.
    """
    return F._internal._identity_with_attr_like_rhs(array, like)
