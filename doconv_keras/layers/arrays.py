"""The variables of a layer as NumPy arrays in the canonical layout, and back.

A layer keeps W in ``_kernel``, S - K columns more in ``W_extra``, and knows its ``spec`` and
``layout``. A CondConv layer's canonical arrays have an axis of experts in front.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core import fold_kernel
from doconv_core.kernel.layout import from_canonical, to_canonical

WithW = Any
"""A layer of ours, which keeps W in its kernel variable."""

ToNumPy = Callable[[Any], NDArray[np.floating[Any]]]
"""Of a variable; bfloat16, which NumPy lacks, comes as float32 (exactly)."""


def itemsize(dtype: str) -> int:
    """Bytes of one number; bfloat16 is no type of NumPy's."""
    return int("".join(filter(str.isdigit, dtype))) // 8


def read_W(to_numpy: ToNumPy, layer: WithW) -> NDArray[np.floating[Any]]:
    """W of a built layer, (O, I/g, S)."""
    spec, layout = layer.spec, layer.layout
    variables = [layer._kernel] + ([] if layer.W_extra is None else [layer.W_extra])
    columns = [to_canonical(spec, to_numpy(v), layout) for v in variables]
    return np.concatenate(columns, axis=-1)


def write_W(layer: WithW, W: NDArray[np.floating[Any]]) -> None:
    """Write a canonical W into a built layer."""
    K = layer.spec.K
    layer._kernel.assign(in_layout(layer, W[..., :K]))
    if layer.W_extra is not None:
        layer.W_extra.assign(in_layout(layer, W[..., K:], spatial=False))


def folded_kernel(to_numpy: ToNumPy, name: str, layer: WithW) -> NDArray[np.floating[Any]]:
    """The kernel in the host's layout, or the experts', by float64; ``name`` is for errors."""
    W, D = read_W(to_numpy, layer), None if layer.D is None else to_numpy(layer.D)
    return in_layout(layer, fold_kernel(layer.spec, W, D, layer.variable_dtype, name))


def in_layout(
    layer: WithW, array: NDArray[np.floating[Any]], *, spatial: bool = True
) -> NDArray[np.floating[Any]]:
    return from_canonical(layer.spec, array, layer.layout, spatial=spatial)
