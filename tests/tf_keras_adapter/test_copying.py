"""A copy computes what the original does: also what config and variables of a layer do not say."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from doconv_tf_keras import convert, fold
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.nesting import everything
from tests.tf_keras_adapter.helpers import L, own_name, randomize_D, run

Made = tuple[tf_keras.Model, np.ndarray]


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, shape or (4, 8, 8, 4)).astype(np.float32)


def sequential(*layers: Any) -> Made:
    return tf_keras.Sequential([tf_keras.Input((8, 8, 4)), *layers]), images()


def adapted_normalization() -> Made:
    """Whose mean and variance follow from its variables."""
    normalization = L.Normalization()
    normalization.adapt(images())
    return sequential(normalization, L.Conv2D(4, 3))


def adapted_lookup() -> Made:
    """Whose vocabulary is an asset."""
    x, lookup = np.random.default_rng(0).integers(0, 9, (8, 8)), L.IntegerLookup()
    lookup.adapt(x[:, :6])
    inputs = tf_keras.Input((8,), dtype="int64")
    y = L.Reshape((8, 1))(L.Rescaling(1.0)(lookup(inputs)))
    return tf_keras.Model(inputs, L.Conv1D(3, 3)(y)), x


def adapted_discretization() -> Made:
    x, bins = images(4, 8), L.Discretization(num_bins=4)
    bins.adapt(x)
    inputs = tf_keras.Input((8,))
    y = L.Reshape((8, 1))(L.Rescaling(1.0)(bins(inputs)))
    return tf_keras.Model(inputs, L.Conv1D(3, 3)(y)), x


def layer_and_operator() -> Made:
    """``layers.Add`` beside the operator ``+``."""
    inputs = tf_keras.Input((8, 8, 4))
    x = L.Conv2D(4, 3, padding="same")(inputs)
    x = L.Multiply()([L.Add()([x, inputs]) + inputs, x]) * 2
    return tf_keras.Model(inputs, L.Subtract()([x, inputs]) - x), images()


def changed_after_it_was_made() -> Made:
    """What a layer holds beside its variables: plain values and their containers, functions."""

    class Scale(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor, self.shift, self.slope = 1.0, np.zeros(4, np.float32), tf.ones(4)
            self.pair, self.steps, self._table = (1.0, (1.0,)), [1.0], {"by": [1.0]}
            self.bent, self.made = tf.abs, times(1.0)
            self.own = lambda x: x * self.factor

        def call(self, x: Any) -> Any:
            x = x * self.slope * self.pair[1][0] + tf.constant(self.shift)
            x = self.own(self.made(x)) * self.steps[-1] * self._table["by"][0]
            return self.later(self.bent(x)) if hasattr(self, "later") else x

    scale = Scale()
    scale.factor, scale.shift, scale.slope = 3.0, np.arange(4, dtype=np.float32), tf.range(4.0)
    scale.pair, scale._table = (2.0, (2.0,)), {"by": [3.0]}
    scale.steps.append(5.0)
    scale.bent, scale.made, scale.later = tf.tanh, times(7.0), lambda x: tf.exp(-x)
    return sequential(scale, L.Conv2D(3, 3))


def times(factor: float) -> Callable[[Any], Any]:
    return lambda x: x * factor


def own_way_of_saving() -> Made:
    class Table(L.Layer):
        entries: dict[str, float] = {"scale": 1.0}  # noqa: RUF012

        def save_own_variables(self, store: Any) -> None:
            store["scale"] = np.array(self.entries["scale"])

        def load_own_variables(self, store: Any) -> None:
            self.entries = {"scale": float(np.array(store["scale"]))}

        def call(self, x: Any) -> Any:
            return x * self.entries["scale"]

    table = Table()
    table.entries = {"scale": 5.0}
    return sequential(table, L.Conv2D(3, 3))


MODELS = [adapted_normalization, adapted_lookup, adapted_discretization, layer_and_operator,
          changed_after_it_was_made, own_way_of_saving]  # fmt: skip


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_copy_computes_the_same_and_is_called_the_same(make: Callable[[], Made]) -> None:
    model, x = make()
    y, converted = run(model, x), convert(model)
    randomize_D(converted)
    folded = fold(converted)
    np.testing.assert_allclose(
        folded.predict(x, verbose=0), run(converted, x), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(run(convert(model), x), y)
    for copy in (converted, folded):
        assert [each.name for each in everything(copy)] == [each.name for each in everything(model)]
        names = [getattr(v, "name", "") for v in copy.weights]
        assert [name for name in names if "/D:" not in name] == [
            getattr(v, "name", "") for v in model.weights
        ]
    np.testing.assert_array_equal(run(model, x), y)


def test_a_compiled_model_is_copied_uncompiled_whatever_it_was_compiled_with() -> None:
    model, x = adapted_normalization()
    model.compile("adam", loss="mse", metrics=["mae"], loss_weights=2.0, run_eagerly=True)
    model.fit(x, model.predict(x, verbose=0), verbose=0)
    copy = convert(model)
    assert (copy._is_compiled, copy.optimizer, copy.run_eagerly) == (False, None, False)


def forgets() -> Made:
    """A layer that does not load what it saves."""

    class Forgets(L.Layer):
        entries: tuple[int, ...] = ()

        def save_own_variables(self, store: Any) -> None:
            store["entries"] = np.array(self.entries)

        def load_own_variables(self, store: Any) -> None:
            pass

        def call(self, x: Any) -> Any:
            return x

    layer = Forgets(name="forgets")
    layer.entries = deque([1, 2])  # no tuple of plain values, which would be copied
    return sequential(layer, L.Conv2D(3, 3))


def grows() -> Made:
    """A layer with a variable that neither its constructor nor its build makes."""
    conv = L.Conv2D(3, 3)
    model, x = sequential(conv, L.ReLU(name="grows"))
    model.layers[-1].add_weight("further", (2,))
    return model, x


def called_otherwise() -> Made:
    dense = L.Dense(4, name="layer")
    call = dense.call
    dense.call = lambda x: 2 * call(x)
    return sequential(dense, L.Conv2D(3, 3))


def hooked() -> Made:
    """A function that would act on the original."""
    dense = L.Dense(4, name="layer")
    dense.hook = lambda x: x + dense.bias
    return sequential(dense, L.Conv2D(3, 3))


def penalized() -> Made:
    dense = L.Dense(4, name="layer", kernel_regularizer="l2")
    dense.add_loss(lambda: tf.reduce_sum(dense.bias**2))
    return sequential(dense, L.Conv2D(3, 3))


REFUSED = {
    "losses": (penalized, tf_keras_messages.has_other_losses("layer", 2, 1)),
    "call": (called_otherwise, tf_keras_messages.belongs_to_it("layer", "call")),
    "hook": (hooked, tf_keras_messages.belongs_to_it("layer", "hook")),
    "saves otherwise": (forgets, tf_keras_messages.loads_otherwise("forgets", "entries")),
    "another variable": (grows, tf_keras_messages.has_other_variables("net", 3, 2)),
}


@pytest.mark.parametrize(("make", "fault"), REFUSED.values(), ids=REFUSED)
def test_a_copy_that_would_be_another_model_is_refused(make: Any, fault: str) -> None:
    model, _ = make()
    model._name = "net"
    with pytest.raises(ValueError, match="cannot be copied") as caught:
        convert(model)
    assert fault in str(caught.value).replace('\\"', '"').replace("\\'", "'")
    assert not [v for v in model.weights if own_name(v) == "D"]
    with pytest.raises(ValueError, match="cannot be copied"):
        fold(model)
