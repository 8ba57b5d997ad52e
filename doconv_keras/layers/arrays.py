"""The variables of a layer as NumPy arrays in the canonical layout, and back.

A layer keeps W in ``_kernel``, S - K columns more in ``W_extra``, and knows its ``spec`` and
``layout``. A CondConv layer's canonical arrays have an axis of experts in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core import fold_kernel
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_keras.messages import file_of_plain
from doconv_keras.tensors.composition import Ops

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


def compensate_(to_numpy: ToNumPy, layer: WithW) -> None:
    """Take from the kernel variable what the identity's further copies add to it."""
    if layer.W_extra is None:
        return
    W, spec = read_W(to_numpy, layer), layer.spec
    for column in range(spec.K, spec.S - spec.free_columns, spec.K):
        W[..., : spec.K] -= W[..., column : column + spec.K]
    write_W(layer, W)


def load_plain(
    ops: Ops, to_numpy: ToNumPy, layer: WithW, variables: Sequence[Any], store: Any
) -> bool:
    """Load the variables of the plain layer, which computes the same as this one with D = 0.

    Args:
        ops: the operations.
        to_numpy: of a variable.
        layer: one of ours.
        variables: the layer's, in the order of its files.
        store: an array for each variable, by its number.

    Returns:
        False where they are not those of the plain layer, but of this one.

    Raises:
        ValueError: there are none.
    """
    if variables and not store.keys():
        raise ValueError(file_of_plain(getattr(layer, "path", layer.name)))
    ours = [id(variable) for variable in (layer.D, layer.W_extra) if variable is not None]
    plain = [variable for variable in variables if id(variable) not in ours]
    if not ours or len(store.keys()) != len(plain):
        return False
    for number, variable in enumerate(plain):
        variable.assign(store[str(number)])
    layer.D.assign(ops.zeros(layer.D.shape, layer.D.dtype))
    if (extra := layer.W_extra) is not None:
        copies = layer.spec.extra_columns - layer.spec.free_columns
        values = to_numpy(extra)  # (..., S - K, I/g, O); D alone acts in the free columns
        values[..., :copies, :, :] = 0
        extra.assign(values)
    return True


def folded_kernel(to_numpy: ToNumPy, name: str, layer: WithW) -> NDArray[np.floating[Any]]:
    """The kernel in the host's layout, or the experts', by float64; ``name`` is for errors."""
    W, D = read_W(to_numpy, layer), None if layer.D is None else to_numpy(layer.D)
    return in_layout(layer, fold_kernel(layer.spec, W, D, layer.variable_dtype, name))


def in_layout(
    layer: WithW, array: NDArray[np.floating[Any]], *, spatial: bool = True
) -> NDArray[np.floating[Any]]:
    return from_canonical(layer.spec, array, layer.layout, spatial=spatial)
