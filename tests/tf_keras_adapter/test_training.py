"""fit, custom loops and strategies: D is trained, and never in silence not at all."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from doconv_tf_keras import convert, fold
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.do_conv import DOConv2D
from tests.tf_keras_adapter.helpers import (
    Backbone,
    L,
    assert_same_values,
    batch,
    compile_,
    over_parameterized,
    own_name,
    randomize,
    run,
    small_functional,
    subclassed,
    values,
)

BUILD = {"functional": small_functional, "subclassed": subclassed, "backbone": Backbone}


def moved(model: Any) -> list[bool]:
    return [bool(layer.D.numpy().any()) for layer in over_parameterized(model)]


FIT = {
    **{f"{name}-graph": (build, False) for name, build in BUILD.items()},
    "functional-xla": (small_functional, True),
}


@pytest.mark.integration("tf_keras: model.fit", "convert", "train", "fold")
@pytest.mark.parametrize(("build", "jit_compile"), FIT.values(), ids=FIT)
def test_fit_trains_every_D_and_the_folded_model_predicts_the_same(
    build: Any, jit_compile: bool
) -> None:
    model, (x, labels) = convert(build(), inplace=True), batch()
    compile_(model, jit_compile=jit_compile).fit(x, labels, epochs=3, verbose=0)
    assert all(moved(model))
    trained = run(model, x)
    fold(model, inplace=True)
    np.testing.assert_allclose(run(model, x), trained, rtol=1e-3, atol=1e-4)


def test_the_first_step_moves_W_as_the_plain_model_s() -> None:
    """At D = 0 the gradient of W is the plain kernel's, so one step of SGD is the same."""
    plain, (x, labels) = small_functional(), batch()
    ours = convert(plain)
    for model in (plain, ours):
        compile_(model).fit(x, labels, epochs=1, verbose=0)
    W = {v.name: v.numpy() for v in ours.trainable_variables}
    for v in plain.trainable_variables:
        np.testing.assert_allclose(W[v.name], v.numpy(), rtol=1e-4, atol=1e-6, err_msg=v.name)


def test_a_step_is_traced_once() -> None:
    calls = []

    class Counting(DOConv2D):
        def call(self, inputs: Any) -> Any:
            calls.append(inputs.shape)
            return super().call(inputs)

    model = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), Counting(3, 3), L.Flatten()])
    x, labels = batch()
    compile_(model).fit(x, labels, epochs=1, verbose=0)
    traced = len(calls)
    model.fit(x, labels, epochs=5, verbose=0)
    assert len(calls) == traced


def test_an_optimizer_that_would_not_train_D_is_refused() -> None:
    model, (x, labels) = compile_(small_functional()), batch()
    model.fit(x, labels, epochs=1, verbose=0)
    before = values(model)
    with pytest.raises(ValueError, match=re.escape(tf_keras_messages.optimizer_is_built("small"))):
        convert(model, inplace=True)
    assert_same_values(values(model), before)
    model.fit(x, labels, epochs=1, verbose=0)  # still the plain model, still compiled
    compile_(model)
    convert(model, inplace=True).fit(x, labels, epochs=2, verbose=0)
    assert all(moved(model))


def test_a_legacy_optimizer_takes_D_as_it_comes() -> None:
    """As Model Garden's do: they make the slots of a variable when they first see it."""
    model, (x, labels) = small_functional(), batch()
    compile_(model, tf_keras.optimizers.legacy.SGD(0.1, momentum=0.9))
    model.fit(x, labels, epochs=1, verbose=0)
    convert(model, inplace=True).fit(x, labels, epochs=2, verbose=0)
    assert all(moved(model))


@pytest.mark.parametrize("build", [small_functional, subclassed])
def test_what_was_traced_before_is_traced_anew(build: Any) -> None:
    model, (x, labels) = build(), batch()
    plain = model.predict(x, verbose=0)
    convert(model, inplace=True)
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain)
    compile_(model).fit(x, labels, epochs=3, verbose=0)
    trained = model.predict(x, verbose=0)
    assert abs(trained - plain).max() > 1e-3
    fold(model, inplace=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), trained, rtol=1e-3, atol=1e-4)


def test_a_model_that_holds_a_converted_one_is_traced_anew_or_warned_of() -> None:
    inner = small_functional()
    outer = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), inner, L.Dense(3)], name="outer")
    x, labels = batch()
    compile_(outer).fit(x, labels, verbose=0)
    plain = outer.predict(x, verbose=0)
    said = re.escape(tf_keras_messages.holder_is_fitted("outer"))
    with pytest.warns(UserWarning, match=said):
        convert(inner, inplace=True)
    np.testing.assert_array_equal(outer.predict(x, verbose=0), plain)
    compile_(outer).fit(x, labels, epochs=3, verbose=0)
    assert all(moved(inner))
    trained = outer.predict(x, verbose=0)
    fold(inner, inplace=True)
    np.testing.assert_allclose(outer.predict(x, verbose=0), trained, rtol=1e-3, atol=1e-4)


def test_a_function_of_one_s_own_predicts_the_same_after_folding() -> None:
    model, x = convert(small_functional(), D_mul=12), tf.constant(batch()[0])
    randomize(model)
    traced = tf.function(lambda x: model(x, training=False))
    before = traced(x).numpy()
    fold(model, inplace=True)
    np.testing.assert_allclose(traced(x), before, rtol=1e-4, atol=1e-5)
    assert traced.experimental_get_tracing_count() == 1


def test_a_copy_is_not_compiled_and_a_loss_of_one_s_own_is_no_obstacle() -> None:
    model = small_functional()
    model.compile("sgd", lambda y, p: tf.reduce_mean(p))
    assert not convert(model)._is_compiled


def test_mixed_precision_trains() -> None:
    policy = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = convert(small_functional())
    finally:
        tf_keras.mixed_precision.set_global_policy(policy)
    x, labels = batch()
    compile_(model).fit(x, labels, epochs=3, verbose=0)
    assert all(moved(model))
    assert {v.dtype.name for v in model.variables} == {"float32"}
    y = model.predict(x, verbose=0).astype(np.float32)
    folded = fold(model).predict(x, verbose=0).astype(np.float32)
    np.testing.assert_allclose(folded, y, rtol=2e-2, atol=2e-2)


# --- distribution --------------------------------------------------------------------------


def mirrored() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["cpu:0"])


PLACES = ["inside", "outside", "copy-inside", "copy-outside"]


@pytest.mark.integration("tf_keras: MirroredStrategy", "convert", "train", "fold")
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("place", PLACES)
def test_D_is_made_in_the_model_s_strategy(place: str, policy: str) -> None:
    strategy, (x, labels) = mirrored(), batch()
    inplace = "copy" not in place
    with strategy.scope():
        inputs = tf_keras.Input((8, 8, 4))
        conv = L.Conv2D(4, 3, kernel_initializer="he_normal", dtype=policy)(inputs)
        head = L.Dense(3, dtype="float32")(L.GlobalAveragePooling2D()(conv))
        model = tf_keras.Model(inputs, head)
        before = run(model, x)
        if "inside" in place:
            model = convert(model, D_mul=11, inplace=inplace)
    if "outside" in place:
        model = convert(model, D_mul=11, inplace=inplace)
    for variable in model.variables:
        raw = getattr(variable, "_variable", variable)
        assert raw.distribute_strategy is strategy
    np.testing.assert_array_equal(run(model, x), before)
    with strategy.scope():
        compile_(model, tf_keras.optimizers.Adam(1e-2))
    model.fit(x, labels, epochs=3, verbose=0)
    assert all(moved(model))
    y = run(model, x)
    folded = fold(model)
    assert folded.variables[0].name == model.variables[0].name
    np.testing.assert_allclose(run(folded, x), y, rtol=2e-2, atol=2e-2)


def test_a_model_from_outside_the_scope_is_refused_in_it() -> None:
    model = small_functional()
    with (
        mirrored().scope(),
        pytest.raises(ValueError, match=re.escape(tf_keras_messages.made_outside("stem"))),
    ):
        convert(model, inplace=True)
    assert over_parameterized(model) == []


def test_weight_decay_may_leave_D_out() -> None:
    model = convert(small_functional())
    optimizer = tf_keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["/D:"])
    kept = {own_name(v) for v in model.trainable_variables if optimizer._use_weight_decay(v)}
    assert "D" not in kept
    assert "kernel" in kept


CHANGES = {
    "convert": lambda model: convert(model, inplace=True),
    "fold": lambda model: fold(model, inplace=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("place", ["replica", "traced"])
def test_a_model_is_not_changed_from_within(place: str, change: Any) -> None:
    strategy = mirrored()
    with strategy.scope():
        model = convert(small_functional())
    kinds, weights = [type(layer) for layer in model.layers], model.get_weights()
    within = strategy.run if place == "replica" else (lambda function: tf.function(function)())
    with pytest.raises(ValueError, match="cannot be changed from within"):
        within(lambda: change(model))
    assert [type(layer) for layer in model.layers] == kinds
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
