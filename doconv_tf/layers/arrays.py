"""The variables of a layer as NumPy arrays in the canonical layout, and back.

A CondConv layer's canonical arrays have an axis of experts in front.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from doconv_core import fold_kernel
from doconv_core.kernel.layout import from_canonical, to_canonical
from doconv_tf import messages as keras_messages

WithW = Any
"""A layer of ours, which keeps W in its kernel variable."""


def to_numpy(variable: Any) -> NDArray[np.floating[Any]]:
    """A copy; bfloat16, which NumPy lacks, comes as float32 (exactly)."""
    # Of the value: Keras 3.15's Variable lacks what NumPy 2 asks of __array__.
    array = np.array(ops.convert_to_numpy(variable.value))
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def itemsize(dtype: str) -> int:
    """Bytes of one number; bfloat16 is no type of NumPy's."""
    return int("".join(filter(str.isdigit, dtype))) // 8


def read_W(layer: WithW) -> NDArray[np.floating[Any]]:
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


def folded_kernel(name: str, layer: WithW) -> NDArray[np.floating[Any]]:
    """The kernel in the host's layout, or the experts', by float64; ``name`` is for errors."""
    W, D = read_W(layer), None if layer.D is None else to_numpy(layer.D)
    return in_layout(layer, fold_kernel(layer.spec, W, D, layer.variable_dtype, name))


def load_plain(layer: WithW, store: Any) -> bool:
    """Load the variables of the plain layer, which computes the same as this one with D = 0.

    Returns:
        False where they are not those of the plain layer, but of this one.

    Raises:
        ValueError: there are none.
    """
    variables = layer._trainable_variables + layer._non_trainable_variables
    if variables and not store.keys():
        raise ValueError(keras_messages.file_of_plain(layer.path))
    ours = [id(variable) for variable in (layer.D, layer.W_extra) if variable is not None]
    plain = [variable for variable in variables if id(variable) not in ours]
    if not ours or len(store.keys()) != len(plain):
        return False
    for number, variable in enumerate(plain):
        variable.assign(store[str(number)])
    layer.D.assign(ops.zeros(layer.D.shape))
    if (extra := layer.W_extra) is not None:
        copies = layer.spec.extra_columns - layer.spec.free_columns
        values = to_numpy(extra)  # (..., S - K, I/g, O); D alone acts in the free columns
        values[..., :copies, :, :] = 0
        extra.assign(values)
    return True


def in_layout(
    layer: WithW, array: NDArray[np.floating[Any]], *, spatial: bool = True
) -> NDArray[np.floating[Any]]:
    return from_canonical(layer.spec, array, layer.layout, spatial=spatial)
