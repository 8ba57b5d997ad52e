"""Files and fit of Keras models with CondConv layers."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_tf import CondConv2D, convert, fold
from doconv_tf.layers.nesting import everything
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.condconv_models import functional, subclassed, trained
from tests.keras_adapter.helpers import BACKEND, batch, randomize, run, values


def by_keras_file(model: Any, path: Path) -> Any:
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def by_weights_file(model: Any, path: Path) -> Any:
    model.save_weights(path / "model.weights.h5")
    other = functional(model.get_layer("grouped").D_mul)
    other.load_weights(path / "model.weights.h5")
    return other


def by_pickle(model: Any, path: Path) -> Any:
    return pickle.loads(pickle.dumps(model))


def by_deepcopy(model: Any, path: Path) -> Any:
    return copy.deepcopy(model)


@pytest.mark.parametrize("D_mul", [None, 11], ids=["plain", "D_mul=11"])
@pytest.mark.parametrize(
    "trip",
    [by_keras_file, by_weights_file, by_pickle, by_deepcopy],
    ids=lambda trip: trip.__name__,
)
def test_round_trip(trip: Any, D_mul: Any, tmp_path: Path) -> None:
    model, x = trained(D_mul), batch()[0]
    again = trip(model, tmp_path)
    for ours, theirs in zip(values(again), values(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(run(again, x), run(model, x))
    assert [layer.get_config() for layer in again.layers] == [
        layer.get_config() for layer in model.layers
    ]


def test_a_plain_file_loads_into_an_over_parameterized_model(tmp_path: Path) -> None:
    plain, model = trained(None), functional(20)
    randomize(model, seed=1)
    plain.save_weights(tmp_path / "plain.weights.h5")
    model.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(run(model, batch()[0]), run(plain, batch()[0]))
    extra = to_numpy(model.get_layer("grouped").W_extra)
    assert not extra[:, :9].any()
    assert extra[:, 9:].all()  # D alone acts there, and must learn
    fold(model).save_weights(tmp_path / "folded.weights.h5")
    plain.load_weights(tmp_path / "folded.weights.h5")
    np.testing.assert_array_equal(run(model, batch()[0]), run(plain, batch()[0]))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own format")
def test_saved_model_takes_any_batch_size(tmp_path: Path) -> None:
    import tensorflow as tf

    model = trained(11)
    for name, each in (("unfolded", model), ("folded", fold(model))):
        each.export(tmp_path / name, verbose=False)
        exported = tf.saved_model.load(str(tmp_path / name))
        for count in (1, 3):
            x = batch()[0][:count]
            np.testing.assert_allclose(exported.serve(x), run(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [functional, subclassed], ids=["functional", "subclassed"])
def test_fit_trains_every_variable_and_folding_changes_nothing(build: Any) -> None:
    model, (x, labels) = convert(build(), inplace=True), batch()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    model.compile(optimizer, loss, jit_compile=BACKEND == "jax")
    before = values(model)
    # Batches of 3 and 1. The first steps also move what D's and the routing's gradients pass.
    model.fit(x, labels, batch_size=3, epochs=3, verbose=0, shuffle=False)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert (to_numpy(variable) != old).any(), variable.path
    y = run(model, x)
    fold(model, inplace=True)
    np.testing.assert_allclose(run(model, x), y, rtol=1e-3, atol=1e-4)
    assert not any(getattr(layer, "D", None) is not None for layer in everything(model))


def test_an_optimizer_that_would_not_train_D_is_refused() -> None:
    model, (x, labels) = functional(), batch()
    model.get_layer("stem").trainable = False
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, labels, verbose=0)
    with pytest.raises(ValueError, match="must come before the optimizer is built"):
        convert(model, inplace=True)
    assert model.get_layer("grouped").D is None


@pytest.mark.parametrize("D_mul", [None, "K"], ids=["plain", "over-parameterized"])
def test_the_authors_weights_load_exactly(D_mul: Any) -> None:
    """Their experts are rows, (E, kh * kw * I * O); their routing is a Dense layer with a bias.

    Source: condconv_layers.py of TensorFlow's TPU models, EfficientNet.
    """
    rng = np.random.default_rng(0)
    rows, R, r = (rng.normal(size=s).astype("float32") for s in ((3, 3 * 3 * 4 * 6), (4, 3), 3))
    layer = CondConv2D(6, 3, num_experts=3, routing_bias=True, use_bias=False, D_mul=D_mul)
    x = rng.normal(size=(2, 5, 5, 4)).astype("float32")
    layer.build(x.shape)
    layer._kernel.assign(rows.reshape(3, 3, 3, 4, 6))
    layer.routing.kernel.assign(R)
    layer.routing.bias.assign(r)
    alpha = 1 / (1 + np.exp(-(x.mean((1, 2)) @ R + r)))
    for n, image in enumerate(x):
        kernel = (alpha[n] @ rows).reshape(3, 3, 4, 6)
        expected = keras.ops.conv(image[None], kernel)
        np.testing.assert_allclose(to_numpy(layer(x))[n], to_numpy(expected)[0], atol=1e-4)
