"""How close is close enough, and closeness of what to what."""

from __future__ import annotations

import numpy as np

from tests.star.cases.conv import Arrays
from tests.star.oracles.conv import Gradients

EPS = float(np.finfo(np.float32).eps)
ULPS = 16


def magnitudes(data: Arrays) -> Arrays:
    """Data for which an oracle gives the sums of the magnitudes of the terms that it adds up."""
    return Arrays(*(None if array is None else abs(array) for array in data))


def assert_close(actual: np.ndarray, expected: np.ndarray, terms: np.ndarray) -> None:
    """Within ``ULPS`` float32 roundings of the sum of the terms' magnitudes, elementwise."""
    np.testing.assert_array_less(abs(actual - expected), ULPS * EPS * terms + 1e-30)


def pairs(actual: Gradients, expected: Gradients, data: Arrays) -> dict:
    """Both gradients of every array that the layer has, by name."""
    given = {"x": data.x, "W": data.W, "D": data.D, "bias": data.bias}
    return {
        name: (getattr(actual, name), getattr(expected, name))
        for name, array in given.items()
        if array is not None
    }
