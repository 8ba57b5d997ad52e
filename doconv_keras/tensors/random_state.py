"""The state of the generators of random numbers, from which Keras seeds what gets no seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def kept(*further: Any) -> Iterator[None]:
    """Put Python's and NumPy's generators back where they were, whatever is made meanwhile.

    So what a user makes next starts alike, whether a model was converted before or not.

    Args:
        further: generators with the methods of ``random.Random``.
    """
    states = [(each, each.getstate()) for each in (random, *further)]
    state_of_numpy = np.random.get_state()  # noqa: NPY002 (what users still draw from)
    try:
        yield
    finally:
        for each, state in states:
            each.setstate(state)
        np.random.set_state(state_of_numpy)  # noqa: NPY002
