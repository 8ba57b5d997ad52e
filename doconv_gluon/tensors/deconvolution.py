"""``Deconvolution`` whose kernel is computed, which MXNet 1.9.1 cannot differentiate on a CPU.

Its oneDNN backward pass writes the kernel's gradient without first giving that array memory. A
parameter's gradient has memory, an intermediate's has none yet: "could not execute a primitive",
or the process ends. So here the value and the input's gradient are the host's own, and the
kernel's gradient comes from the same function in another form: a transposed convolution of stride
s is an ordinary one with s times as many outputs per dimension, its phases, put in turn.

(A custom operator does not help: beside oneDNN's layouts, MXNet 1.9.1 gives it arrays with wrong
values, and loses what it writes.)
"""

from __future__ import annotations

import math
from typing import Any

from doconv_gluon.mxnet import mx

Array = Any  # an NDArray or a Symbol


def deconvolution(F: Any, inputs: list[Array], arguments: dict[str, Any]) -> Array:
    """The host's ``Deconvolution`` with a computed kernel.

    Args:
        F: ``mxnet.nd`` or ``mxnet.sym``.
        inputs: x (B, I, *in), kernel (I, O/g, *k), and the bias (O,) where there is one.
        arguments: the host operator's.

    Numerics: bit for bit the host's value.
    """
    if arguments["layout"].endswith("C"):  # no CPU runs it, and only a CPU has the fault
        return F.Deconvolution(*inputs, **arguments, name="fwd")
    x, kernel, *bias = inputs
    # Its own copy, because the operator turns its kernel's layout to and fro while it reads it.
    fixed = [F.BlockGrad(kernel) * 1, *map(F.BlockGrad, bias)]
    y = F.Deconvolution(x, *fixed, **arguments, name="fwd")
    if F is mx.nd and not mx.autograd.is_recording():
        return y
    same = _as_convolution(F, F.BlockGrad(x), kernel, arguments)
    if bias:
        ones = (1,) * len(arguments["kernel"])
        same = F.broadcast_add(same, F.reshape(bias[0], shape=(1, -1, *ones)))
    return y + (same - F.BlockGrad(same))  # plus zero, which has the gradient


def _as_convolution(F: Any, x: Array, kernel: Array, arguments: dict[str, Any]) -> Array:
    """The transposed convolution of ``x``, without bias, up to rounding.

    In one dimension, output s*n + r is the sum over j of x[n - j] * taps[s*j + r], where the taps
    are the kernel's with ``dilate - 1`` zeros between them. So the outputs of phase r come from a
    convolution with m taps, every s-th one, in reverse.
    """
    names = ("kernel", "stride", "dilate", "pad", "adj")
    dimensions = list(zip(*(arguments[name] for name in names), strict=True))
    groups, channels = arguments["num_group"], arguments["num_filter"]
    extents = [dilate * (size - 1) + 1 for size, _, dilate, _, _ in dimensions]
    m = [
        math.ceil((extent + adj) / stride)
        for extent, (_, stride, _, _, adj) in zip(extents, dimensions, strict=True)
    ]
    phases = 1
    for axis, (size, stride, dilate, _, _) in enumerate(dimensions):
        after = math.prod(arguments["kernel"][axis + 1 :])
        taps = F.reshape(kernel, shape=(-1, size, after))
        taps = _with_length(
            F, _apart(F, taps, size, dilate, after), size * dilate, m[axis] * stride
        )
        taps = F.reshape(taps, shape=(-1, phases, math.prod(m[:axis]), m[axis], stride, after))
        kernel = F.transpose(F.reverse(taps, axis=3), axes=(0, 1, 4, 2, 3, 5))
        phases *= stride
    kernel = F.reshape(kernel, shape=(groups, -1, channels // groups, phases, math.prod(m)))
    kernel = F.transpose(kernel, axes=(0, 2, 3, 1, 4))
    y = F.Convolution(
        x,
        F.reshape(kernel, shape=(channels * phases, -1, *m)),
        kernel=m,
        pad=[taps - 1 for taps in m],
        num_filter=channels * phases,
        num_group=groups,
        no_bias=True,
    )
    for axis in reversed(range(len(dimensions))):
        _, stride, _, pad, adj = dimensions[axis]
        y = _in_turn(F, y, axis, stride, len(dimensions))
        beyond = m[axis] * stride - extents[axis] + pad - adj
        y = F.slice_axis(y, axis=axis + 2, begin=pad, end=-beyond or None)
    return y


def _apart(F: Any, taps: Array, size: int, dilate: int, after: int) -> Array:
    """(-1, size, after) -> (-1, size * dilate, after), ``dilate - 1`` zeros behind each tap."""
    taps = F.reshape(taps, shape=(-1, size, 1, after))
    taps = _with_length(F, taps, 1, dilate, axis=2)
    return F.reshape(taps, shape=(-1, size * dilate, after))


def _with_length(F: Any, array: Array, length: int, wanted: int, axis: int = 1) -> Array:
    """Zeros added at the end of an axis, or its end cut off."""
    if wanted <= length:
        return F.slice_axis(array, axis=axis, begin=0, end=wanted)
    zero = F.zeros_like(F.slice_axis(array, axis=axis, begin=0, end=1))
    return F.concat(array, F.broadcast_axis(zero, axis=axis, size=wanted - length), dim=axis)


def _in_turn(F: Any, y: Array, axis: int, stride: int, ndim: int) -> Array:
    """(B, C * stride, .., n, ..) -> (B, C, .., n * stride, ..), n and stride interleaved."""
    y = F.reshape(y, shape=(0, -4, -1, stride, *(0,) * ndim))
    order = [0, 1, *range(3, ndim + 3)]
    order.insert(axis + 3, 2)
    y = F.transpose(y, axes=order)
    return F.reshape(y, shape=(0, 0, *(0,) * axis, -3, *(0,) * (ndim - axis - 1)))
