"""Settings of the tests of Keras."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def xla_where_it_is_asked_for() -> Iterator[None]:
    """On TensorFlow ``jit_compile="auto"`` is a graph, as ``False`` is.

    Keras takes XLA for every model that is not compiled otherwise, in predict() too, and XLA takes
    seconds where the graph takes a fraction. Tests of it say ``jit_compile=True``, or "jit".
    """
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        yield
        return
    import keras

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda _: False)
        yield
