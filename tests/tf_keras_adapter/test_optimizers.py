"""What an optimizer remembers of D goes when its model is folded in place; the rest stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from doconv_tf_keras import convert, fold
from tests.tf_keras_adapter.helpers import (
    L,
    assert_same_values,
    batch,
    compile_,
    over_parameterized,
    randomize,
    values,
)

O = tf_keras.optimizers
OPTIMIZERS: dict[str, Any] = {
    "Adam": lambda: O.Adam(0.01, amsgrad=True, use_ema=True),
    "RMSprop": lambda: O.RMSprop(0.01, momentum=0.9, centered=True),
    "loss scale": lambda: tf_keras.mixed_precision.LossScaleOptimizer(O.SGD(0.01, momentum=0.9)),
    "legacy Adam": lambda: O.legacy.Adam(0.01, amsgrad=True),
}


def plain() -> tf_keras.Sequential:
    layers = [L.Conv2D(3, 3), L.BatchNormalization(), L.DepthwiseConv2D(2), L.Flatten(), L.Dense(3)]
    return tf_keras.Sequential([tf_keras.Input((8, 8, 4)), *layers])


def trained(optimizer: Any, model: Any = None) -> tf_keras.Sequential:
    model = model or convert(plain(), D_mul=10, inplace=True)
    compile_(model, optimizer, run_eagerly=True).fit(*batch(), verbose=0)
    return model


def state(optimizer: Any) -> dict[str, np.ndarray]:
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    variables = optimizer.variables
    return {v.name: v.numpy() for v in (variables() if callable(variables) else variables)}


@pytest.mark.integration("tf_keras: model.fit", "fold", "save", "resume")
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_forgets_D_when_its_model_is_folded_in_place(
    make: Any, tmp_path: Path
) -> None:
    model = trained(make())
    before = state(model.optimizer)
    fold(model, inplace=True)
    after = state(model.optimizer)
    assert after.keys() < before.keys()
    assert not [name for name in after if "/D" in name or "W_extra" in name]
    for name, value in after.items():
        if "average/" not in name:
            np.testing.assert_array_equal(value, before[name])

    # A checkpoint of it goes, with nothing left over, into one that has never seen a D.
    untouched = trained(make(), plain())
    assert len(after) == len(state(untouched.optimizer))
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "folded")
    status = tf.train.Checkpoint(model=untouched, optimizer=untouched.optimizer).restore(path)
    status.assert_consumed()
    assert_same_values(list(state(untouched.optimizer).values()), list(after.values()))

    # Both go on alike, and where they stood.
    for each in (model, untouched):
        each.fit(*batch(), epochs=2, verbose=0, shuffle=False)
    assert_same_values(values(untouched), values(model))


def test_an_optimizer_that_never_knew_D_stays_as_it_is() -> None:
    model = convert(plain(), inplace=True)
    optimizer = O.Adam(0.01)
    optimizer.build(model.layers[-1].trainable_variables)
    compile_(model, optimizer)
    before = state(optimizer)
    fold(model, inplace=True)
    after = state(optimizer)
    assert before.keys() == after.keys()
    assert_same_values(list(after.values()), list(before.values()))


FILES = {  # tf_keras (2.21) writes no legacy optimizer's state into a .keras file
    "keras": ("Adam", "model.keras"),
    "h5, legacy": ("legacy Adam", "model.h5"),
}


@pytest.mark.parametrize(("optimizer", "file"), FILES.values(), ids=FILES)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_a_file_of_a_folded_model_resumes(optimizer: str, file: str, tmp_path: Path) -> None:
    model = trained(OPTIMIZERS[optimizer]())
    fold(model, inplace=True)
    model.save(tmp_path / file)
    again = tf_keras.models.load_model(tmp_path / file)
    assert_same_values(*(list(state(each.optimizer).values()) for each in (again, model)))


def test_after_a_checkpoint_the_next_one_holds_no_D(tmp_path: Path) -> None:
    """An optimizer remembers what it has told the first one of itself."""
    model = trained(O.Adam(0.01))
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    checkpoint.save(tmp_path / "unfolded")
    fold(model, inplace=True)
    path = checkpoint.save(tmp_path / "folded")
    shapes = [tuple(shape) for _, shape in tf.train.list_variables(path)]
    assert (4, 9, 10) not in shapes  # D's and its slots'
    assert shapes.count((3, 3, 4, 3)) > 1  # W's


def test_averages_begin_anew_with_the_folded_kernels() -> None:
    model = trained(O.Adam(0.01, use_ema=True))
    randomize(model)
    fold(model, inplace=True)
    kernels = values(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    assert not np.array_equal(kernels[-2], model.get_weights()[-2])  # of the head
    for layer in (0, 2):
        kernel = model.layers[layer].get_weights()[0]
        np.testing.assert_array_equal(kernel, next(k for k in kernels if k.shape == kernel.shape))


def test_the_optimizer_of_a_model_that_holds_the_folded_one_forgets_too() -> None:
    inner = convert(plain())
    outer = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), inner])
    trained(O.Adam(0.01), outer)
    fold(inner, inplace=True)
    assert not [name for name in state(outer.optimizer) if "/D" in name]
    outer.fit(*batch(), verbose=0)


def test_a_strategy_s_and_a_mixed_model_s_optimizer_forget_too() -> None:
    """Their variables are wrapped, and known by what is within."""
    with tf.distribute.MirroredStrategy(["cpu:0"]).scope():
        layers = [L.Conv2D(3, 3, dtype="mixed_bfloat16"), L.Flatten(), L.Dense(3, dtype="float32")]
        model = convert(tf_keras.Sequential([tf_keras.Input((8, 8, 4)), *layers]))
        optimizer = compile_(model, O.Adam(0.01, use_ema=True)).optimizer
        optimizer.build(model.trainable_variables)
    fold(model, inplace=True)
    assert not [name for name in state(optimizer) if "/D" in name]
    assert len(optimizer._index_dict) == len(model.trainable_variables) == 4
    model.fit(*batch(), verbose=0)


def test_the_original_s_optimizer_does_not_train_a_copy_in_silence() -> None:
    model = trained(O.Adam(0.01), plain())
    copy = compile_(convert(model), model.optimizer, run_eagerly=True)
    with pytest.raises(KeyError, match="cannot recognize variable"):  # tf_keras's own
        copy.fit(*batch(), verbose=0)


def test_a_legacy_one_trains_it() -> None:
    model = trained(O.legacy.Adam(0.01), plain())
    copy = compile_(convert(model), model.optimizer, run_eagerly=True)
    copy.fit(*batch(), verbose=0)
    assert all(layer.D.numpy().any() for layer in over_parameterized(copy))
