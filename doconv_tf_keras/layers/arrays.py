"""The variables of a layer as NumPy arrays in the canonical layout, and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_keras.layers import arrays
from doconv_keras.layers.arrays import WithW, itemsize, write_W
from doconv_tf_keras.tensors.composition import Ops
from doconv_tf_keras.tensors.initialization import uncast

__all__ = ["WithW", "compensate_", "folded_kernel", "itemsize", "load_plain", "read_W", "to_numpy",
           "write_W"]  # fmt: skip


def to_numpy(variable: Any) -> NDArray[np.floating[Any]]:
    """A copy; bfloat16, which NumPy lacks, comes as float32 (exactly)."""
    array = np.array(uncast(variable).numpy())
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def load_plain(layer: WithW, store: Any) -> bool:
    """Load a plain layer's variables, see :func:`doconv_keras.layers.arrays.load_plain`."""
    variables = layer._trainable_weights + layer._non_trainable_weights
    return arrays.load_plain(Ops, to_numpy, layer, variables, store)


read_W = partial(arrays.read_W, to_numpy)
compensate_ = partial(arrays.compensate_, to_numpy)
folded_kernel = partial(arrays.folded_kernel, to_numpy)
