"""The evaluations of CondConv in MXNet, equal to rounding.

The formula is in :mod:`doconv_core.neighbours.condconv`; which one costs less in
:func:`doconv_core.costs.condconv.cheaper_evaluation`. A Symbol has no shape: where the batch size,
the input's channels or the number of positions may not be known, a code of ``reshape`` stands for
them (0 keeps an axis, -3 merges two, -4 splits one in two, -1 is whatever is left).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from doconv_gluon.tensors.composition import Array
from doconv_gluon.tensors.forms import Form


@dataclass(frozen=True)
class Mixture:
    """What the evaluations know of a layer.

    Attributes:
        experts: E.
        form: the sizes of one expert.
        geometry: ``kernel``, ``stride``, ``dilate`` and ``pad``, as the operators take them.
        dtype: of the parameters.
    """

    experts: int
    form: Form
    geometry: dict[str, Any]
    dtype: Any


def by_kernels(F: Any, mixture: Mixture, x: Array, kernels: Array, alpha: Array) -> Array:
    """Mix the kernels, then one convolution whose groups are those of every example.

    Args:
        F: ``mxnet.nd``; of a Symbol the number of groups, an attribute, would not be known.
        mixture: the layer's sizes.
        x: (N, I, *in).
        kernels: (E O, I/g, *k).
        alpha: (N, E).

    Returns:
        (N, O, *out), without the bias.
    """
    batch, form = x.shape[0], mixture.form
    mixed = F.dot(alpha, F.reshape(kernels, shape=(mixture.experts, -1)))
    y = F.Convolution(
        F.reshape(x, shape=(1, -1, *x.shape[2:])),
        F.reshape(mixed, shape=(batch * form.channels, -1, *form.kernel_size)),
        num_filter=batch * form.channels,
        num_group=batch * form.groups,
        no_bias=True,
        **mixture.geometry,
    )
    return F.reshape(y, shape=(batch, -1, *y.shape[2:]))


def by_columns(F: Any, mixture: Mixture, x: Array, kernels: Array, alpha: Array) -> Array:
    """Mix the kernels, then multiply each example's with its columns; for any batch size.

    Columns are what a kernel sees at each position: the convolution of one channel by K one-hot
    kernels. (``im2col`` is no faster, and MXNet 1.9.1 has it in two dimensions only.) Arguments
    and result as :func:`by_kernels`, but ``F`` may be ``mxnet.sym`` too.
    """
    form, ndim = mixture.form, len(mixture.form.kernel_size)
    g, O, K = form.groups, form.channels, form.K
    one_hot = F.reshape(F.eye(K, dtype=mixture.dtype), shape=(K, 1, *form.kernel_size))
    channels = F.expand_dims(F.reshape(x, shape=(-3, *(0,) * ndim)), axis=1)
    seen = F.Convolution(channels, one_hot, num_filter=K, no_bias=True, **mixture.geometry)
    columns = _reshaped(F, seen, (0, 0, -1), ndim)  # (N I, K, P)
    columns = F.reshape_like(columns, x, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
    columns = F.reshape(columns, shape=(0, -4, g, -1, 0, 0))  # (N, g, I/g, K, P)
    mixed = F.dot(alpha, F.reshape(kernels, shape=(mixture.experts, -1)))
    mixed = F.reshape(mixed, shape=(0, g, -1))  # (N, g, O/g I/g K)
    y = F.batch_dot(
        F.reshape(mixed, shape=(-3, -4, O // g, -1)), F.reshape(columns, shape=(-3, -3, 0))
    )
    y = F.reshape(F.reshape(y, shape=(-4, -1, g, 0, 0)), shape=(0, -3, 0))
    return _with_positions_of(F, y, seen, ndim)


def by_outputs(F: Any, mixture: Mixture, x: Array, kernels: Array, alpha: Array) -> Array:
    """Convolve with every expert, then mix the outputs; arguments as :func:`by_columns`."""
    E, form, ndim = mixture.experts, mixture.form, len(mixture.form.kernel_size)
    g, O = form.groups, form.channels
    if g > 1:  # each group's outputs of every expert; with one group they lie so
        kernels = F.reshape(kernels, shape=(E, g, O // g, -1))
        kernels = F.transpose(kernels, axes=(1, 0, 2, 3))
        kernels = F.reshape(kernels, shape=(E * O, -1, *form.kernel_size))
    every = F.Convolution(
        x, kernels, num_filter=E * O, num_group=g, no_bias=True, **mixture.geometry
    )
    y = F.reshape(_reshaped(F, every, (0, g, E, -1), ndim), shape=(-3, 0, 0))  # (N g, E, O/g P)
    shares = F.expand_dims(F.repeat(alpha, repeats=g, axis=0), axis=1)
    y = F.reshape(F.batch_dot(shares, y), shape=(-4, -1, g, -3))
    y = F.reshape(y, shape=(0, O, -1))
    return _with_positions_of(F, y, every, ndim)


def _reshaped(F: Any, y: Array, shape: tuple[int, ...], ndim: int) -> Array:
    """A convolution's output in another shape, fit to be reshaped again."""
    y = F.reshape(y, shape=shape)
    # In a graph, MXNet 1.9.1 fails on a second reshape of a three-dimensional convolution's output
    # ("could not create a primitive descriptor for a reorder primitive"), but not of a slice of it.
    return F.slice_axis(y, axis=0, begin=0, end=None) if ndim == 3 else y


def _with_positions_of(F: Any, y: Array, like: Array, ndim: int) -> Array:
    """(N, O, P) -> (N, O, *out), where ``like`` has these axes last."""
    return F.reshape_like(y, like, lhs_begin=2, lhs_end=3, rhs_begin=2, rhs_end=ndim + 2)
