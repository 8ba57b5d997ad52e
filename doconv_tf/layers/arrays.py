"""The variables of a layer as NumPy arrays in the canonical layout, and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from doconv_keras.layers import arrays
from doconv_keras.layers.arrays import WithW, in_layout, itemsize, write_W
from doconv_tf import messages as keras_messages

__all__ = [
    "WithW",
    "folded_kernel",
    "in_layout",
    "itemsize",
    "load_plain",
    "read_W",
    "to_numpy",
    "write_W",
]


def to_numpy(variable: Any) -> NDArray[np.floating[Any]]:
    """A copy; bfloat16, which NumPy lacks, comes as float32 (exactly)."""
    # Of the value: Keras 3.15's Variable lacks what NumPy 2 asks of __array__.
    array = np.array(ops.convert_to_numpy(variable.value))
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


read_W = partial(arrays.read_W, to_numpy)
folded_kernel = partial(arrays.folded_kernel, to_numpy)


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
