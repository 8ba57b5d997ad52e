"""The variables of a layer as NumPy arrays in the canonical layout, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from doconv_core.layout import from_canonical, to_canonical
from doconv_tf.base import DOConvBase


def to_numpy(variable: Any) -> NDArray[np.floating[Any]]:
    """A copy; bfloat16, which NumPy lacks, comes as float32 (exactly)."""
    # Of the value: Keras 3.15's Variable lacks what NumPy 2 asks of __array__.
    array = np.array(ops.convert_to_numpy(variable.value))
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def canonical_W(layer: DOConvBase) -> NDArray[np.floating[Any]]:
    """W of a built layer, (O, I/g, S)."""
    variables = [layer._kernel] + ([] if layer.W_extra is None else [layer.W_extra])
    columns = [to_canonical(layer.spec, to_numpy(v), layer.layout) for v in variables]
    return np.concatenate(columns, axis=2)


def assign_W(layer: DOConvBase, W: NDArray[np.floating[Any]]) -> None:
    """Write a canonical W into a built layer."""
    spec, K = layer.spec, layer.spec.K
    layer._kernel.assign(from_canonical(spec, W[..., :K], layer.layout))
    if layer.W_extra is not None:
        layer.W_extra.assign(from_canonical(spec, W[..., K:], layer.layout, spatial=False))
