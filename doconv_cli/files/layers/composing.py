"""Composing a kernel a few channels at a time: the memory of one W, however large the layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from doconv_cli.files.layers.entries import RAW, Array, Content, Entry, narrowed, widened
from doconv_core import DOConvSpec, fold_kernel, identity

ELEMENTS = 1 << 18
"""How many are worked on at a time, in float64."""


def fold_in_pieces(
    name: str, spec: DOConvSpec, arrays: Mapping[str, Content], source: str, dtype: str
) -> Array:
    """A layer's folded kernel in PyTorch's layout, in the stored form of a type.

    It takes the place of the weight, which is read for it, where the type has as many bytes.

    Args:
        name: of the layer, for errors.
        spec: its sizes.
        arrays: weight, and where it has them D and W_extra.
        source: the weight's type.
        dtype: the kernel's.

    Raises:
        ValueError: an array is not finite, or the kernel does not fit the type.
    """
    weight = raw(arrays["weight"])
    extra = raw(arrays["W_extra"]) if "W_extra" in arrays else None
    fits = RAW[dtype] == RAW[source]
    out = weight if fits else np.empty(weight.shape, RAW[dtype])
    # (g, O/g, I/g, columns), views of the arrays
    W, kernel = (_grouped(spec, array) for array in (weight, out))
    W_extra = None if extra is None else _grouped(spec, extra)
    D = arrays.get("D")
    channels = spec.in_channels // spec.groups
    for groups, inputs in _pieces(spec):
        part = W[groups, :, inputs]
        g, O, a, _ = part.shape
        small = DOConvSpec(g * a, g * O, (spec.K,), g, spec.S)
        columns = [widened(np.ascontiguousarray(part), source)]
        if W_extra is not None:
            columns.append(widened(np.ascontiguousarray(W_extra[groups, :, inputs]), source))
        one = np.concatenate(columns, axis=3).reshape(small.W_shape)
        first = groups.start * channels + inputs.start
        d = None if D is None else widened(rows(D, first, first + g * a), D.dtype)
        made = narrowed(fold_kernel(small, one, d, dtype, name), dtype)
        kernel[groups, :, inputs] = made.reshape(g, O, a, spec.K)
    return out


def offset_size(spec: DOConvSpec, D: Content | None) -> float:
    """Size of D relative to the identity: the ratio of their Frobenius norms."""
    if D is None:
        return 0.0
    step = max(1, ELEMENTS // (spec.K * spec.S))
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is shown as such
        for start in range(0, spec.in_channels, step):
            piece = widened(rows(D, start, min(start + step, spec.in_channels)), D.dtype)
            total += float(np.square(piece.astype(np.float64)).sum())
    unit = np.linalg.norm(identity(spec.K, spec.S))
    return math.sqrt(total) / (math.sqrt(spec.in_channels) * float(unit))


def rows_agree(D: Content) -> bool:
    """Whether every input channel has the same D, so that it does not matter which is whose."""
    first, step = rows(D, 0, 1), max(1, ELEMENTS // math.prod(D.shape[1:]))
    return all(
        bool((rows(D, start, min(start + step, D.shape[0])) == first).all())
        for start in range(0, D.shape[0], step)
    )


def raw(content: Content) -> Array:
    """A content's whole array, the caller's own, in its stored form."""
    return content.raw() if isinstance(content, Entry) else np.array(content.make())


def rows(content: Content, start: int, stop: int) -> Array:
    """Some of an array along its first axis, in its stored form."""
    if isinstance(content, Entry) and content.strides is None:
        one = content.nbytes // content.shape[0]
        shape = (stop - start, *content.shape[1:])
        begin, nbytes = content.offset + start * one, one * (stop - start)
        return Entry(content.dtype, shape, content.source, begin, nbytes).raw()
    return raw(content)[start:stop]


def _grouped(spec: DOConvSpec, array: Array) -> Array:
    """A view (g, O/g, I/g, columns) of an array in PyTorch's layout."""
    g, O, a = spec.groups, spec.out_channels // spec.groups, spec.in_channels // spec.groups
    if spec.transposed:
        return array.reshape(g, a, O, -1).swapaxes(1, 2)
    return array.reshape(g, O, a, -1)


def _pieces(spec: DOConvSpec) -> Iterator[tuple[slice, slice]]:
    """Groups, and input channels of each, that are composed together."""
    g, a = spec.groups, spec.in_channels // spec.groups
    # W's and D's columns of one channel
    one = (spec.out_channels // g + spec.K) * spec.S
    several = max(1, ELEMENTS // (one * a))
    inputs = a if several > 1 or one * a <= ELEMENTS else max(1, ELEMENTS // one)
    for group in range(0, g, several):
        for start in range(0, a, inputs):
            yield slice(group, min(group + several, g)), slice(start, min(start + inputs, a))
