"""What the tests of CondConv share."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.star.backends.backend_gluon import ndarray


def images(channels: int, *, batch: int = 3, size: int = 7, ndim: int = 2, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return ndarray(rng.normal(size=(batch, channels, *(size,) * ndim)).astype(np.float32))


def trained(model: Any, size: float = 0.3, seed: int = 2) -> Any:
    """Initialize it where it is not, and give every parameter random values."""
    rng = np.random.default_rng(seed)
    for parameter in model.collect_params().values():
        if parameter._data is None:
            parameter.initialize()
        parameter.set_data(size * rng.normal(size=parameter.shape))
    return model
