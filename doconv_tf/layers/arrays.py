"""The variables of a layer as NumPy arrays in the canonical layout, and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from doconv_keras.layers import arrays
from doconv_keras.layers.arrays import WithW, in_layout, itemsize, write_W

__all__ = [
    "WithW",
    "compensate_",
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


def load_plain(layer: WithW, store: Any) -> bool:
    """Load a plain layer's variables, see :func:`doconv_keras.layers.arrays.load_plain`."""
    variables = layer._trainable_variables + layer._non_trainable_variables
    return arrays.load_plain(ops, to_numpy, layer, variables, store)


read_W = partial(arrays.read_W, to_numpy)
compensate_ = partial(arrays.compensate_, to_numpy)
folded_kernel = partial(arrays.folded_kernel, to_numpy)
