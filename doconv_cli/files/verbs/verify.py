"""Holding what was written against a float64 composition."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from doconv_cli.files.formats.checkpoint import CheckpointFile
from doconv_cli.files.hints import Hints
from doconv_cli.files.layers.layers import Array, DOLayer, Layer

# digits of the significand, the exponent of the smallest number
_TYPES = {
    "float16": (11, -24),
    "bfloat16": (8, -133),
    "float32": (24, -149),
    "float64": (53, -1074),
}


def ulps(actual: Array, exact: Array, dtype: str) -> float:
    """The largest difference, in units in the last place of the exact number in a type."""
    digits, smallest = _TYPES[dtype]
    _, exponents = np.frexp(exact)
    units = np.ldexp(1.0, np.maximum(exponents - digits, smallest))
    return float(np.max(np.abs(actual - exact) / units, initial=0.0))


def verify_fold(layers: Iterable[DOLayer], written: CheckpointFile, dtype: str | None) -> float:
    """The largest difference of the written kernels from their float64 compositions, in ulps.

    Raises:
        ValueError: it is more than the half that rounding once may cause.
    """
    return _checked(
        ulps(written.kernel(layer.weight), layer.kernel("float64"), dtype or layer.dtype)
        for layer in layers
    )


def verify_convert(
    layers: Iterable[Layer], source: CheckpointFile, written: CheckpointFile, hints: Hints
) -> float:
    """The same for the kernels that the written layers compose, against those of the source."""
    found = {layer.name: layer for layer in written.layers(hints)}
    return _checked(
        ulps(_kernel(found[layer.name], written), _kernel(layer, source), layer.dtype)
        for layer in layers
    )


def _checked(differences: Iterable[float]) -> float:
    largest = max(differences)
    if not largest <= 0.5:
        raise ValueError(f"the written kernels differ by {largest:.3g} ulp, not by at most 0.5")
    return largest


def _kernel(layer: Layer, file: CheckpointFile) -> Array:
    return layer.kernel("float64") if isinstance(layer, DOLayer) else file.kernel(layer.weight)
