"""fit, as users call it: D is trained, nothing is traced twice, and never in silence not at all."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

from doconv_tf import convert, fold
from doconv_tf import messages as keras_messages
from doconv_tf.layers.do_conv import DOConv2D
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import (
    BACKEND,
    batch,
    over_parameterized,
    run,
    small_functional,
    subclassed,
    values,
)

# torch.compile has no place in a test, nor has jax operation by operation in training.
JIT = {"tensorflow": [False, True], "jax": [True], "torch": [False]}[BACKEND]
every_jit = pytest.mark.parametrize("jit_compile", JIT, ids=[f"jit-{jit}" for jit in JIT])
BUILD = {"functional": small_functional, "subclassed": subclassed}


def compile_(model: Any, *, jit_compile: bool = False, **more: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, loss, jit_compile=jit_compile, **more)
    return model


@pytest.mark.integration("model.fit", "convert", "train", "fold")
@every_jit
@pytest.mark.parametrize("kind", BUILD)
def test_fit_trains_every_D_and_the_folded_model_predicts_the_same(
    kind: str, jit_compile: bool
) -> None:
    model = compile_(convert(BUILD[kind](), inplace=True), jit_compile=jit_compile)
    x, labels = batch()
    # Three steps: D's gradient passes through W, and the first also moves what is before it.
    model.fit(x, labels, epochs=3, verbose=0)
    for layer in over_parameterized(model):
        assert abs(to_numpy(layer.D)).max() > 0, layer.name
    trained = run(model, x)
    fold(model, inplace=True)
    np.testing.assert_allclose(run(model, x), trained, rtol=1e-3, atol=1e-4)


def test_the_first_step_moves_W_as_the_plain_model_s() -> None:
    """At D = 0 the gradient of W is the plain kernel's, so one step of SGD is the same."""
    plain, x, labels = small_functional(), *batch()
    ours = convert(plain)
    for model in (plain, ours):
        compile_(model).fit(x, labels, epochs=1, verbose=0)
    W = {v.path: to_numpy(v) for v in ours.trainable_variables}
    for variable in plain.trainable_variables:
        np.testing.assert_allclose(
            W[variable.path], to_numpy(variable), rtol=1e-4, atol=1e-6, err_msg=variable.path
        )


@pytest.mark.skipif(BACKEND == "torch", reason="eager: nothing is traced")
def test_a_step_is_traced_once_and_runs_no_python() -> None:
    calls = []

    class Counting(DOConv2D):
        def call(self, inputs: Any) -> Any:
            calls.append(inputs.shape)
            return super().call(inputs)

    model = keras.Sequential([keras.Input((8, 8, 4)), Counting(3, 3), keras.layers.Flatten()])
    model = compile_(model, jit_compile=True)
    x, labels = batch()
    model.fit(x, labels, epochs=1, verbose=0)
    traced = len(calls)
    model.fit(x, labels, epochs=5, verbose=0)
    assert len(calls) == traced


def test_an_optimizer_that_would_not_train_D_is_refused() -> None:
    model, (x, labels) = compile_(small_functional()), batch()
    model.fit(x, labels, epochs=1, verbose=0)
    before = values(model)
    with pytest.raises(ValueError, match=re.escape(keras_messages.optimizer_is_built("small"))):
        convert(model, inplace=True)
    for ours, theirs in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.fit(x, labels, epochs=1, verbose=0)  # still the plain model, still compiled

    compile_(model)
    convert(model, inplace=True)
    model.fit(x, labels, epochs=2, verbose=0)
    assert all(abs(to_numpy(layer.D)).max() > 0 for layer in over_parameterized(model))


@pytest.mark.parametrize("kind", BUILD)
def test_what_was_traced_before_is_traced_anew(kind: str) -> None:
    model, (x, labels) = BUILD[kind](), batch()
    plain = model.predict(x, verbose=0)
    convert(model, inplace=True)
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain)
    compile_(model).fit(x, labels, epochs=3, verbose=0)
    trained = model.predict(x, verbose=0)
    assert abs(trained - plain).max() > 1e-3
    fold(model, inplace=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), trained, rtol=1e-3, atol=1e-4)
    assert set(model.evaluate(x, labels, verbose=0, return_dict=True)) == {"loss"}


def test_a_copy_is_not_compiled_and_a_loss_of_one_s_own_is_no_obstacle() -> None:
    model = small_functional()
    model.compile("sgd", lambda y, p: keras.ops.mean(p))
    copy = convert(model)
    assert model.compiled
    assert not copy.compiled
    with pytest.raises(ValueError, match="must call `compile"):
        copy.fit(*batch(), verbose=0)
    compile_(copy).fit(*batch(), epochs=1, verbose=0)
    assert not fold(copy).compiled


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.GradientTape")
def test_a_custom_training_loop() -> None:
    import tensorflow as tf

    model, (x, labels) = convert(small_functional()), batch()
    optimizer = keras.optimizers.Adam(1e-2)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    traces = []

    @tf.function
    def step(x: Any, labels: Any) -> Any:
        traces.append(1)
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    losses = [float(step(tf.constant(x), tf.constant(labels))) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert len(traces) == 2  # the first also makes the optimizer's variables


def test_weight_decay_may_leave_D_out() -> None:
    """By variables: Keras 3.15 looks for names in TensorFlow's own, and so finds none."""
    model, (x, labels) = convert(small_functional()), batch()
    D = [v for v in model.trainable_variables if v.name == "D"]
    assert D
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(D)
    model.compile(optimizer, loss=lambda labels, outputs: 0.0 * outputs)
    model.train_on_batch(x, labels)
    for variable in model.trainable_variables:
        expected = 1.0 if variable.name == "D" else 0.99
        np.testing.assert_allclose(variable, expected, rtol=1e-6)
