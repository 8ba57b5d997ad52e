"""Subclasses of tf_keras's convolutions: what only constructs its layer otherwise is converted."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from doconv_core import messages
from doconv_tf_keras import DOConv2D, convert, fold, get_state, set_state, summary
from tests.tf_keras_adapter.helpers import L, assert_same_values, batch, randomize, run, values

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*`np.object` :FutureWarning"),
]


@tf_keras.saving.register_keras_serializable(package="doconv_tests_subclasses")
class Same(L.Conv2D):
    """Constructed otherwise, and described by its config."""

    default = "a class attribute that Conv2D does not know"

    def __init__(self, filters: int, kernel_size: Any = 3, **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, **{"padding": "same", **kwargs})
        self.of_its_own = 7

    def helper(self) -> int:
        return self.of_its_own


class Further(Same):
    """A subclass of a subclass."""


class OtherCall(L.Conv2D):
    def call(self, x: Any) -> Any:
        return 2 * super().call(x)


class OtherOperation(L.Conv2D):
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return 2 * super().convolution_op(inputs, kernel)


class OtherBuild(L.Conv2D):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)


def standardized(host: Any, name: str = "kernel") -> type[L.Layer]:
    """A host whose kernel is computed from the one it keeps."""

    def kernel(self: Any) -> Any:
        return self._raw - tf.reduce_mean(self._raw, axis=0, keepdims=True)

    def keep(self: Any, value: Any) -> None:
        self._raw = value

    return type(f"Standardized{host.__name__}", (host,), {name: property(kernel, keep)})


class NameTaken(L.Conv2D):
    D = 3


class BelowAnotherCall(OtherCall):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def model_with(layer: Any) -> tf_keras.Model:
    head = L.Conv2D(3, 3, name="head")
    return tf_keras.Sequential([tf_keras.Input((8, 8, 4)), layer, head])


@pytest.mark.parametrize("kind", [Same, Further], ids=lambda kind: kind.__name__)
def test_one_that_is_only_constructed_otherwise_is_converted_and_comes_back(kind: Any) -> None:
    model, x = model_with(kind(4, name="mine")), batch()[0]
    y = run(model, x)
    converted = convert(model)
    np.testing.assert_array_equal(run(converted, x), y)
    mine = converted.get_layer("mine")
    assert isinstance(mine, kind)
    assert isinstance(mine, DOConv2D)
    assert (type(mine).__name__, mine.helper()) == (f"DO{kind.__name__}", 7)
    assert type(convert(model).get_layer("mine")) is type(mine)
    assert [row.kind for row in summary(converted)] == [f"DO{kind.__name__}", "DOConv2D"]

    randomize(converted)
    y = run(converted, x)
    for folded in (fold(converted), fold(copy.deepcopy(converted))):
        assert type(folded.get_layer("mine")) is kind
        np.testing.assert_allclose(run(folded, x), y, rtol=1e-4, atol=1e-5)
    assert type(fold(converted, inplace=True).get_layer("mine")) is kind


@pytest.mark.parametrize("kind", [Same, Further], ids=lambda kind: kind.__name__)
def test_one_within_a_wrapper(kind: Any) -> None:
    """Which looks for its class by the bare name, registered or not."""
    inputs = tf_keras.Input((2, 8, 8, 4))
    model = convert(tf_keras.Model(inputs, L.TimeDistributed(kind(4))(inputs)))
    randomize(model)
    folded, x = fold(model), np.stack([batch()[0]] * 2, 1)
    np.testing.assert_allclose(run(folded, x), run(model, x), rtol=1e-4, atol=1e-5)
    assert (type(model.layers[1].layer).__name__, type(folded.layers[1].layer)) == (
        f"DO{kind.__name__}",
        kind,
    )


def by_file(name: str, **options: Any) -> Any:
    def trip(model: Any, folder: Path) -> Any:
        model.save(folder / name, **options)
        return tf_keras.models.load_model(folder / name)

    return trip


TRIPS = {
    "keras": by_file("model.keras"),
    "h5": by_file("model.h5"),
    "tf": by_file("model", save_format="tf"),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("trip", TRIPS.values(), ids=TRIPS)
def test_its_files(trip: Any, tmp_path: Path) -> None:
    model = convert(model_with(Same(4, name="mine")))
    randomize(model)
    again = trip(model, tmp_path)
    assert type(again.get_layer("mine")) is type(model.get_layer("mine"))
    assert_same_values(values(again), values(model))
    np.testing.assert_array_equal(run(again, batch()[0]), run(model, batch()[0]))


def test_its_states_and_checkpoints_are_those_of_the_plain_one(tmp_path: Path) -> None:
    models = [convert(model_with(Same(4, name="mine"))) for _ in range(2)]
    randomize(models[0])
    set_state(models[1], get_state(models[0]))
    np.testing.assert_array_equal(*(get_state(model)["mine"].D for model in models))
    plain = fold(models[0])
    path = tf.train.Checkpoint(model=plain).save(tmp_path / "plain")
    tf.train.Checkpoint(model=models[1]).restore(path).expect_partial()
    for layer in models[1].layers:
        layer.D.assign(0 * layer.D)
    np.testing.assert_array_equal(run(models[1], batch()[0]), run(plain, batch()[0]))


@pytest.mark.parametrize(
    "kind",
    [
        OtherCall,
        OtherOperation,
        OtherBuild,
        NameTaken,
        BelowAnotherCall,
        standardized(L.Conv2D),
        standardized(L.DepthwiseConv2D, "depthwise_kernel"),
        standardized(L.SeparableConv2D, "depthwise_kernel"),
        standardized(L.Conv2DTranspose),
    ],
    ids=lambda kind: kind.__name__,
)
def test_one_that_may_compute_something_else_is_left(kind: Any) -> None:
    given = (3,) if issubclass(kind, L.DepthwiseConv2D) else (4, 3)
    model, x = model_with(kind(*given)), batch()[0]
    y = run(model, x)
    converted = convert(model)
    assert [row.reason for row in summary(converted)] == [messages.model.OWN_FORWARD, ""]
    np.testing.assert_array_equal(run(converted, x), y)


def test_a_name_of_ours_on_a_layer() -> None:
    layer = L.Conv2D(4, 3)
    layer.spec = "the user's"
    model = convert(model_with(layer), inplace=True)
    assert [row.reason for row in summary(model)] == [messages.model.NAME_TAKEN, ""]
    assert layer.spec == "the user's"
