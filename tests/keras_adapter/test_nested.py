"""A model that is changed in place inside others: those see the change, or refuse to go on."""

from __future__ import annotations

import gc
import re
from typing import Any

import keras
import numpy as np
import pytest

from doconv_tf import CondConv2D, convert, convert_depthwise, fold
from doconv_tf import messages as keras_messages
from doconv_tf.layers.nesting import everything, holders
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import (
    BACKEND,
    batch,
    over_parameterized,
    randomize,
    run,
    small_functional,
)
from tests.keras_adapter.test_training import compile_

L = keras.layers


def inside_another() -> tuple[keras.Model, keras.Model]:
    """A model, and one that holds it."""
    inner = small_functional()
    return inner, keras.Sequential([keras.Input((8, 8, 4)), inner, L.Dense(3)], name="outer")


def beside_another() -> tuple[keras.Model, keras.Model]:
    """A model, and one made of some of its layers."""
    model = small_functional()
    return model, keras.Model(model.input, L.Flatten()(model.get_layer("up").output))


NESTED = {"inside": inside_another, "beside": beside_another}
every_nesting = pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)


def predict(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return model.predict(x, verbose=0)


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def fitted_before(outer: keras.Model) -> Any:
    return pytest.warns(UserWarning, match=re.escape(keras_messages.holder_is_fitted(outer.name)))


def refuses_to_fit() -> Any:
    return pytest.raises(ValueError, match=r"Unknown variable|optimizer was built with")


@pytest.mark.parametrize(
    ("nested", "composition", "D_mul"),
    [(inside_another, "kernel", None), (beside_another, "feature", 12)],
    ids=["inside-kernel", "beside-feature-12"],
)
def test_after_folding_the_other_one_predicts_and_trains_the_plain_layers(
    nested: Any, composition: str, D_mul: int | None
) -> None:
    inner, outer = nested()
    convert(inner, D_mul=D_mul, inplace=True)
    randomize(inner)
    for layer in over_parameterized(inner):
        layer.composition = composition
    x, labels = batch()
    compile_(outer).fit(x, labels, verbose=0)
    before = predict(outer, x)
    fold(inner, inplace=True)
    close(predict(outer, x), before)
    if BACKEND == "jax":  # Keras's optimizer there wants to update all that it was built for
        compile_(outer)
    outer.fit(x, labels, epochs=2, verbose=0)
    assert abs(predict(outer, x) - before).max() > 1e-3
    close(predict(outer, x), run(outer, x))


@every_nesting
def test_after_conversion_a_fitted_one_trains_D_once_it_is_compiled_anew(nested: Any) -> None:
    inner, outer = nested()
    x, labels = batch()
    compile_(outer).fit(x, labels, verbose=0)
    plain = predict(outer, x)
    with fitted_before(outer):
        convert(inner, inplace=True)
    np.testing.assert_array_equal(predict(outer, x), plain)
    compile_(outer).fit(x, labels, epochs=3, verbose=0)
    inside = {id(layer) for layer in everything(outer)}
    trained = [layer for layer in over_parameterized(inner) if id(layer) in inside]
    assert all(abs(to_numpy(layer.D)).max() > 0 for layer in trained)
    assert len(trained) == 5


@pytest.mark.filterwarnings("ignore:The model 'outer' holds layers that were changed:UserWarning")
def test_after_conversion_a_fitted_one_refuses_to_go_on_without_D() -> None:
    inner, outer = inside_another()
    compile_(outer).fit(*batch(), verbose=0)
    convert(inner, inplace=True)
    with refuses_to_fit():
        outer.fit(*batch(), verbose=0)


def test_a_fitted_one_goes_on_where_the_converted_layers_are_frozen() -> None:
    inner, outer = inside_another()
    inner.trainable = False
    compile_(outer).fit(*batch(), verbose=0)
    convert(inner, inplace=True)  # of which there is nothing to warn
    outer.fit(*batch(), verbose=0)
    assert not any(to_numpy(layer.D).any() for layer in over_parameterized(inner))


@every_nesting
def test_one_that_has_predicted_before_conversion_follows_what_is_trained(nested: Any) -> None:
    inner, outer = nested()
    x = batch()[0]
    predict(outer, x)
    convert(inner, inplace=True)
    randomize(inner)
    close(predict(outer, x), run(outer, x))


def test_one_that_was_only_compiled_trains_D() -> None:
    inner, outer = inside_another()
    compile_(outer)
    convert(inner, inplace=True)
    outer.fit(*batch(), epochs=3, verbose=0)
    assert all(abs(to_numpy(layer.D)).max() > 0 for layer in over_parameterized(inner))


def test_after_replacing_a_fitted_one_refuses_to_go_on_with_what_is_gone() -> None:
    inner = keras.Sequential([keras.Input((8, 8, 4)), L.DepthwiseConv2D(5, padding="same")])
    outer = keras.Sequential([keras.Input((8, 8, 4)), inner, L.Flatten(), L.Dense(3)], name="outer")
    x, labels = batch()
    compile_(outer).fit(x, labels, verbose=0)
    predict(outer, x)
    with fitted_before(outer):
        convert_depthwise(inner, inplace=True)
    np.testing.assert_allclose(predict(outer, x), run(outer, x), rtol=1e-5, atol=1e-6)
    with refuses_to_fit():
        outer.fit(x, labels, verbose=0)


def cond_conv() -> keras.Model:
    layer = CondConv2D(6, 3, num_experts=3, D_mul=12)
    return keras.Sequential([keras.Input((8, 8, 4)), layer])


FUNCTIONS = {
    "kernel": lambda: convert(small_functional()),
    "kernel-more-columns": lambda: convert(small_functional(), D_mul=20),
    "feature": lambda: by_features(convert(small_functional())),
    "feature-more-columns": lambda: by_features(convert(small_functional(), D_mul=20)),
    "condconv": cond_conv,
}


def by_features(model: keras.Model) -> keras.Model:
    for layer in over_parameterized(model):
        layer.composition = "feature"
    return model


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("build", FUNCTIONS.values(), ids=FUNCTIONS)
def test_after_folding_a_function_of_one_s_own_predicts_the_same(build: Any) -> None:
    import tensorflow as tf

    model, x = build(), tf.constant(batch()[0])
    randomize(model)
    traced = tf.function(lambda x: model(x, training=False))
    traces = traced.experimental_get_tracing_count
    before = traced(x).numpy()
    fold(model, inplace=True)
    close(traced(x).numpy(), before)
    assert traces() == 1


@pytest.mark.skipif(BACKEND != "torch", reason="what torch.nn.Module.parameters lists")
def test_torch_s_list_of_the_other_one_s_parameters_follows() -> None:
    inner, outer = inside_another()
    for change in (convert, fold):
        change(inner, inplace=True)
        listed = set(map(id, outer.parameters()))
        assert listed == {id(variable.value) for variable in outer.variables}


def test_only_what_holds_a_changed_layer_is_traced_anew() -> None:
    inner, outer = inside_another()
    other, x = small_functional(), batch()[0]
    predict(other, x)
    predict(outer, x)
    kept = other.predict_function
    convert(inner, inplace=True)
    assert other.predict_function is kept is not None
    assert outer.predict_function is None


def test_a_layer_that_was_never_constructed_holds_nothing() -> None:
    class Broken(L.Layer):
        def __init__(self) -> None:
            raise RuntimeError

    inner, outer = inside_another()
    broken = Broken.__new__(Broken)
    assert any(each is broken for each in gc.get_objects())
    found = holders(inner)
    assert outer in found
    assert broken not in found
