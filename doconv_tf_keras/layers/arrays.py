"""The variables of a layer as NumPy arrays in the canonical layout, and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_keras.layers import arrays
from doconv_keras.layers.arrays import WithW, itemsize, write_W
from doconv_tf_keras.tensors.initialization import uncast

__all__ = ["WithW", "folded_kernel", "itemsize", "read_W", "to_numpy", "write_W"]


def to_numpy(variable: Any) -> NDArray[np.floating[Any]]:
    """A copy; bfloat16, which NumPy lacks, comes as float32 (exactly)."""
    array = np.array(uncast(variable).numpy())
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


read_W = partial(arrays.read_W, to_numpy)
folded_kernel = partial(arrays.folded_kernel, to_numpy)
