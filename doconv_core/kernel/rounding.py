"""From float64 to the type of a parameter with one rounding, also to bfloat16, which NumPy lacks.

Frameworks round float64 to float16 and bfloat16 through float32, that is, twice: the result can be
the neighbour of the nearest number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def round_once(exact: NDArray[np.float64], dtype: DTypeLike) -> NDArray[Any]:
    """Round to the nearest number of a type, ties to even; what is too large becomes infinite.

    Args:
        exact: of any shape.
        dtype: a NumPy floating-point type (ml_dtypes' bfloat16 too), or the text "bfloat16".

    Returns:
        The same shape, of that type; for the text, float32 that holds bfloat16 numbers.

    Example:
        >>> round_once(np.array([1 + 2.0**-8 + 2.0**-40]), "bfloat16")  # just above a middle
        array([1.0078125], dtype=float32)
    """
    with np.errstate(over="ignore"):
        if type_name(dtype) != "bfloat16":
            return exact.astype(dtype)
        single = exact.astype(np.float32)
    # Round to odd first: towards zero, then the last bit says that something was lost. What is
    # lost can then no longer turn into a middle between two bfloat16 numbers.
    away, inexact = np.abs(single) > np.abs(exact), single != exact
    bits: NDArray[Any] = single.reshape(-1).view(np.uint32)
    bits = np.where(inexact.reshape(-1), bits - away.reshape(-1) | 1, bits)
    # Then to the nearest multiple of 2**16, ties to even.
    bits = bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000
    rounded = bits.astype(np.uint32).view(np.float32).reshape(exact.shape)
    return rounded if isinstance(dtype, str) else rounded.astype(dtype)


def type_name(dtype: DTypeLike) -> str:
    """A type's name, such as "float16"; "bfloat16" too, whether or not NumPy knows it."""
    return dtype if isinstance(dtype, str) else np.dtype(dtype).name
