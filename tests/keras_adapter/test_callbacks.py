"""Keras's callbacks save and resume what is trained, D with the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_tf import convert, fold
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import (
    BACKEND,
    batch,
    over_parameterized,
    run,
    small_sequential,
    values,
)

X, LABELS = batch()


def assert_same(ours: Any, theirs: Any) -> None:
    """To the bit on TensorFlow. On jax and torch two fits of a plain model differ too (1e-7)."""
    exact = BACKEND == "tensorflow"
    np.testing.assert_allclose(ours, theirs, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-7)


class PreemptionError(Exception):
    """What a cluster does to a job."""


class Interrupt(keras.callbacks.Callback):
    """Once the second epoch is over and saved."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise PreemptionError


def compiled() -> keras.Model:
    """As a job builds it, each time that it is started."""
    keras.utils.set_random_seed(0)
    model = convert(small_sequential())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    return model


def fit(model: keras.Model, *callbacks: Any, epochs: int = 4) -> keras.Model:
    model.fit(X, LABELS, epochs=epochs, callbacks=list(callbacks), verbose=0)
    return model


@pytest.mark.integration("BackupAndRestore", "convert", "train", "save", "resume")
def test_interrupted_and_resumed_it_is_what_it_would_have_been(tmp_path: Path) -> None:
    """To the bit: variables, D among them, and the optimizer's."""
    whole = fit(compiled())
    backup = str(tmp_path / "backup")
    with pytest.raises(PreemptionError):
        fit(compiled(), keras.callbacks.BackupAndRestore(backup), Interrupt())
    resumed = fit(compiled(), keras.callbacks.BackupAndRestore(backup))
    for ours, theirs in zip(values(resumed), values(whole), strict=True):
        assert_same(ours, theirs)
    for ours, theirs in zip(resumed.optimizer.variables, whole.optimizer.variables, strict=True):
        assert_same(to_numpy(ours.value), to_numpy(theirs.value))
    assert int(resumed.optimizer.iterations) == 4


@pytest.mark.integration("ModelCheckpoint", "convert", "train", "save", "resume", "fold")
@pytest.mark.parametrize("whole", [True, False], ids=["keras", "weights"])
def test_a_checkpoint_of_the_best_epoch_is_trained_on_and_folded(
    whole: bool, tmp_path: Path
) -> None:
    path = tmp_path / ("best.keras" if whole else "best.weights.h5")
    keep = keras.callbacks.ModelCheckpoint(
        path, monitor="loss", save_best_only=True, save_weights_only=not whole
    )
    model = fit(compiled(), keep, epochs=3)
    if whole:
        best = keras.models.load_model(path)
    else:
        best = compiled()
        best.optimizer.build(best.trainable_variables)  # else Keras leaves its variables out
        best.load_weights(path)
    assert_same(run(best, X), run(model, X))  # Adam's last epoch is the best
    for each in (best, model):
        fit(each, epochs=1)
    for ours, theirs in zip(values(best), values(model), strict=True):
        assert_same(ours, theirs)
    assert over_parameterized(best)
    np.testing.assert_allclose(run(fold(best), X), run(best, X), rtol=1e-4, atol=1e-5)
