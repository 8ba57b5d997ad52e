"""Files that version 0.1 has written, with every class in them, go on being read."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from doconv_tf import convert, fold, summary
from tests.keras_adapter.helpers import run

STORED = Path(__file__).parents[1] / "stored" / "v4c3cd6c"


@pytest.fixture
def recorded() -> tuple[np.ndarray, np.ndarray]:
    with np.load(STORED / "model.npz") as file:
        return file["x"], file["y"]


def test_a_model_loads_and_computes_what_it_did(recorded: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = recorded
    model = keras.saving.load_model(STORED / "model.keras")
    np.testing.assert_allclose(run(model, x), y, atol=1e-6)
    np.testing.assert_allclose(run(fold(model), x), y, atol=1e-6)
    assert all(row.S is not None for row in summary(model))


def test_weights_load_into_the_model_made_anew(recorded: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = recorded
    model = keras.saving.load_model(STORED / "model.keras")
    anew = convert(keras.models.clone_model(model))
    assert not np.allclose(run(anew, x), y, atol=1e-3)
    anew.load_weights(STORED / "model.weights.h5")
    np.testing.assert_allclose(run(anew, x), y, atol=1e-6)
