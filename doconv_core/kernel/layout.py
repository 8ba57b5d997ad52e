"""Where frameworks put the axes of a convolution's array, and the way to the canonical one.

A layout is a string: `k` stands for the spatial axes (or, in W_extra, for the one axis of extra
columns), the capitals for the channel axes:

    "OIk"  (O, I/g, *k)   PyTorch, Gluon: convolution
    "IOk"  (I, O/g, *k)   PyTorch, Gluon: transposed convolution
    "kIO"  (*k, I/g, O)   Keras: convolution
    "kOI"  (*k, O/g, I)   Keras: transposed convolution
    "kIM"  (*k, I, O/I)   Keras: depthwise convolution
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core.kernel.spec import KernelSpec

LAYOUTS = ("OIk", "IOk", "kIO", "kOI", "kIM")


def to_canonical(spec: KernelSpec, array: NDArray[Any], layout: str) -> NDArray[Any]:
    """Bring an array of a framework to (O, I/g, columns), the spatial axes flattened.

    Axes in front, as of experts, stay in front.
    """
    if spec.leading:
        return np.stack([to_canonical(spec.expert, each, layout) for each in array])
    g, O, I = spec.groups, spec.out_channels, spec.in_channels
    if layout.startswith("k"):
        array = array.reshape(-1, *array.shape[-2:]).transpose(1, 2, 0)
    else:
        array = array.reshape(*array.shape[:2], -1)
    columns = array.shape[-1]
    if layout == "OIk":
        return array
    if layout == "kIO":
        return array.transpose(1, 0, 2)
    if layout == "kOI":  # the grouped axis is I, the last one
        array = array.transpose(1, 0, 2)
    # (I, O/g, columns), of "IOk" and, with g = I, of "kIM": turn within each group
    return array.reshape(g, I // g, O // g, columns).swapaxes(1, 2).reshape(O, I // g, columns)


def from_canonical(
    spec: KernelSpec, array: NDArray[Any], layout: str, *, spatial: bool = True
) -> NDArray[Any]:
    """Inverse of :func:`to_canonical`.

    Args:
        spec: the layer's sizes.
        array: (O, I/g, columns).
        layout: one of :data:`LAYOUTS`.
        spatial: unflatten the columns to the kernel's spatial axes (columns = K);
            False keeps them one axis, as in W_extra.
    """
    if spec.leading:
        each = (from_canonical(spec.expert, one, layout, spatial=spatial) for one in array)
        return np.stack([*each])
    g, O, I = spec.groups, spec.out_channels, spec.in_channels
    columns = array.shape[-1]
    axes = spec.kernel_size if spatial else (columns,)
    if layout not in ("OIk", "kIO"):
        array = array.reshape(g, O // g, I // g, columns).swapaxes(1, 2)
        array = array.reshape(I, O // g, columns)
    if layout in ("kIO", "kOI"):
        array = array.transpose(1, 0, 2)
    if layout.startswith("k"):
        array = array.transpose(2, 0, 1)
        return np.ascontiguousarray(array).reshape(*axes, *array.shape[1:])
    return np.ascontiguousarray(array).reshape(*array.shape[:2], *axes)
