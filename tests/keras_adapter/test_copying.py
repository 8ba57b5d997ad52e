"""convert and fold by copy: the copy is what the original is, whatever a model is made of."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_tf import convert, fold
from doconv_tf.layers.nesting import everything
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import BACKEND, randomize_D, run

L = keras.layers

Made = tuple[keras.Model, np.ndarray]


def images() -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, (4, 8, 8, 4)).astype(np.float32)


def adapted_normalization() -> Made:
    """Its mean and variance are tensors that it derives from its variables."""
    x, norm = images(), L.Normalization()
    norm.adapt(x)
    return keras.Sequential([keras.Input((8, 8, 4)), norm, L.Conv2D(3, 3)]), x


def normalization_in_a_layer() -> Made:
    x = images()

    @keras.saving.register_keras_serializable(package="doconv_tests_copying")
    class Stem(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.norm, self.conv = L.Normalization(), L.Conv2D(3, 3)

        def call(self, x: Any) -> Any:
            return self.conv(self.norm(x))

    stem = Stem()
    stem.norm.adapt(x)
    return keras.Sequential([keras.Input((8, 8, 4)), stem, L.Conv2D(3, 3)]), x


def adapted_lookup() -> Made:
    """Its vocabulary is an asset."""
    lookup = L.IntegerLookup(output_mode="multi_hot")
    lookup.adapt(np.array([[5, 7, 9, 11]]))
    inputs = keras.Input((4,), dtype="int64")
    x = L.Reshape((5, 1))(L.Rescaling(1.0)(lookup(inputs)))
    x = L.Conv1D(3, 3)(x)
    return keras.Model(inputs, x), np.array([[5, 9, 1, 1], [7, 7, 11, 5]])


def adapted_discretization() -> Made:
    x, bins = images()[:, :, 0, 0], L.Discretization(num_bins=4)
    bins.adapt(x)
    inputs = keras.Input((8,))
    y = L.Reshape((8, 1))(L.Rescaling(1.0)(bins(inputs)))
    return keras.Model(inputs, L.Conv1D(3, 3)(y)), x


def automatic_names() -> Made:
    """Layers within layers that nobody has named: made anew, they are called otherwise."""

    class Unnamed(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.rescaling, self.conv = L.Rescaling(0.5), L.Conv2D(4, 3, padding="same")
            self.rest = [L.BatchNormalization(), L.DepthwiseConv2D(3)]

        def call(self, x: Any) -> Any:
            x = self.conv(self.rescaling(x))
            for layer in self.rest:
                x = layer(x)
            return x

    layers = [Unnamed(), L.Dropout(0.5), Unnamed()]
    return keras.Sequential([keras.Input((8, 8, 4)), *layers]), images()


def layer_and_operator() -> Made:
    """``layers.Add`` beside the operator ``+``, whose class is called Add too."""
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(4, 3, padding="same")(inputs)
    x = L.Multiply()([L.Add()([x, inputs]) + inputs, x]) * 2
    return keras.Model(inputs, L.Subtract()([x, inputs]) - x), images()


def changed_after_it_was_made() -> Made:
    """What a layer holds beside its variables: plain values and their containers, functions."""

    class Scale(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor, self.note = 1.0, "new"
            self.shift = np.zeros(4, np.float32)
            self.slope = keras.ops.ones((4,))
            self.pair, self.steps, self._table = (1.0, (1.0,)), [1.0], {"by": [1.0]}
            self.bent, self.made = keras.ops.abs, _times(1.0)
            self.own = lambda x: x * self.factor

        def call(self, x: Any) -> Any:
            x = x * self.slope * self.pair[1][0] + keras.ops.convert_to_tensor(self.shift)
            x = self.own(self.made(x)) * self.steps[-1] * self._table["by"][0]
            return self.later(self.bent(x)) if hasattr(self, "later") else x

    scale = Scale()
    scale.factor, scale.note = 3.0, "annealed"
    scale.shift, scale.slope = np.arange(4, dtype=np.float32), keras.ops.arange(4.0)
    scale.pair, scale._table = (2.0, (2.0,)), {"by": [3.0]}
    scale.steps.append(5.0)
    scale.bent, scale.made, scale.later = keras.ops.tanh, _times(7.0), lambda x: keras.ops.exp(-x)
    return keras.Sequential([keras.Input((8, 8, 4)), scale, L.Conv2D(3, 3)]), images()


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda x: x * factor


def _lambdas() -> list[L.Layer]:
    """With globals, which Keras's config of a lambda lacks."""
    masked = L.Lambda(
        lambda x: keras.ops.abs(x), lambda shape: keras.ops.shape(np.zeros((2, *shape[1:]))),
        mask=lambda x, mask=None: keras.ops.any(x, axis=-1),
    )  # fmt: skip
    return [L.Conv2D(4, 3), L.Lambda(lambda x: keras.ops.tanh(x)), masked]


def lambdas_in_a_row() -> Made:
    return keras.Sequential([keras.Input((8, 8, 4)), *_lambdas()]), images()


def lambdas_in_a_graph() -> Made:
    y = inputs = keras.Input((8, 8, 4))
    for layer in _lambdas():
        y = layer(y)
    return keras.Model(inputs, y), images()


def own_way_of_saving() -> Made:
    """A layer that saves what is no variable, as Keras's guide shows it."""

    class Table(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.entries = {"scale": 1.0}

        def save_own_variables(self, store: Any) -> None:
            super().save_own_variables(store)
            store["scale"] = np.array(self.entries["scale"])

        def load_own_variables(self, store: Any) -> None:
            self.entries = {"scale": float(np.array(store["scale"]))}

        def call(self, x: Any) -> Any:
            return x * self.entries["scale"]

    table = Table()
    table.entries = {"scale": 5.0}
    return keras.Sequential([keras.Input((8, 8, 4)), table, L.Conv2D(3, 3)]), images()


def random_layers() -> Made:
    model = keras.Sequential([keras.Input((8, 8, 4)), L.Conv2D(3, 3), L.Dropout(0.5, seed=3)])
    model(images(), training=True)  # the generator has moved on
    return model, images()


# Keras makes tables and bins by TensorFlow only.
MODELS = [
    adapted_normalization,
    normalization_in_a_layer,
    *([adapted_lookup, adapted_discretization] if BACKEND == "tensorflow" else []),
    automatic_names,
    layer_and_operator,
    changed_after_it_was_made,
    lambdas_in_a_row,
    lambdas_in_a_graph,
    own_way_of_saving,
    random_layers,
]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_copy_computes_the_same_and_is_called_the_same(make: Callable[[], Made]) -> None:
    model, x = make()
    y = run(model, x)
    converted = convert(model)
    np.testing.assert_array_equal(run(converted, x), y)
    _assert_same_names(converted, model)

    randomize_D(converted)
    folded = fold(converted)
    np.testing.assert_allclose(run(folded, x), run(converted, x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(folded.predict(x, verbose=0), run(folded, x), rtol=1e-4, atol=1e-4)
    _assert_same_names(folded, model)
    np.testing.assert_array_equal(run(model, x), y)


def _assert_same_names(copy: keras.Model, model: keras.Model) -> None:
    assert [each.name for each in everything(copy)] == [each.name for each in everything(model)]
    assert [each.path for each in everything(copy)] == [each.path for each in everything(model)]
    paths = [v.path for v in copy.variables if v.name not in ("D", "W_extra")]
    assert paths == [v.path for v in model.variables]
    holders = {each.path for each in everything(model)}
    assert all(v.path.rpartition("/")[0] in holders for v in copy.variables if v.name == "D")


class Same(L.Layer):
    """What it is given."""

    def call(self, x: Any) -> Any:
        return x


class Forgetful(Same):
    """Saves what it does not load."""

    def save_own_variables(self, store: Any) -> None:
        store["memory"] = np.array(getattr(self, "memory", [0.0]))

    def load_own_variables(self, store: Any) -> None:
        pass


class Careless(Same):
    """Keeps an asset that it does not load."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = ["new"]

    def save_assets(self, folder: str) -> None:
        Path(folder, "words.txt").write_text(" ".join(self.words))

    def load_assets(self, folder: str) -> None:
        pass


class Grown(Same):
    """Has a variable that its constructor does not make, or a layer."""

    def grow(self, shape: tuple[int, ...] = (2,)) -> None:
        self._tracker.unlock()
        self.grown = self.add_weight(shape=shape, name="grown")

    def hold(self, layer: L.Layer) -> None:
        self._tracker.unlock()
        self.held = layer


class Shaped(Grown):
    """Makes the variable of another shape."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grow((3,))


class Replaced(Same):
    """Has put another layer where its constructor puts one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.held = L.Dropout(0.5, name="held")


def _forgetful() -> L.Layer:
    layer = Forgetful(name="layer")
    layer.memory = deque([1.0, 2.0])  # which is no plain value, and no list of them
    return layer


def _careless() -> L.Layer:
    layer = Careless(name="layer")
    layer.words = deque(["learned", "words"])
    return layer


def _grown() -> L.Layer:
    layer = Grown(name="layer")
    layer.grow()
    return layer


def _holding() -> L.Layer:
    layer = Grown(name="layer")
    layer.hold(L.ReLU())
    return layer


def _shaped() -> L.Layer:
    layer = Shaped(name="layer")
    layer._untrack_variable(layer.grown)
    layer.grow((2, 2))
    return layer


def _replaced() -> L.Layer:
    layer = Replaced(name="layer")
    layer._layers.remove(layer.held)
    layer.held = L.ReLU(name="held")
    return layer


def _called_otherwise() -> L.Layer:
    layer = L.Dense(4, name="layer")
    call = layer.call
    layer.call = lambda x: 2 * call(x)
    return layer


def _hooked() -> L.Layer:
    """A function that would act on the original."""
    layer = Same(name="layer")
    layer.hook = partial(np.add, layer)
    return layer


REFUSED = [
    (_called_otherwise, "'small/layer' has a function of its own as 'call'"),
    (_hooked, "'small/layer' has a function of its own as 'hook'"),
    (_forgetful, "'small/layer' does not load 'memory' as it has saved it"),
    (_careless, "'small/layer' does not load 'words.txt' as it has saved it"),
    (_grown, "'small' has 5 variables, and 4 when it is made anew"),
    (_holding, "'small/layer' holds 1 layers, and 0 when it is made anew"),
    (
        _shaped,
        "'layer/grown' is (2, 2) float32, and (3,) float32 when its layer is made anew",
    ),
    (_replaced, "'held', a ReLU, is a Dropout when its holder is made anew"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED, ids=lambda p: getattr(p, "__name__", ""))
def test_a_copy_that_would_be_another_model_is_refused(
    make: Callable[[], L.Layer], sentence: str
) -> None:
    layers = [make(), L.Conv2D(4, 3), L.Conv2D(4, 1)]
    model = keras.Sequential([keras.Input((8, 8, 4)), *layers], name="small")
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        convert(model)
    assert "Pass inplace=True" in str(raised.value)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        fold(model)
    assert [type(layer).__name__ for layer in model.layers[1:]] == ["Conv2D", "Conv2D"]
    convert(model, inplace=True)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strings are TensorFlow's")
@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_text(mode: str) -> None:
    text = L.TextVectorization(
        output_mode=mode, output_sequence_length=5 if mode == "int" else None
    )
    text.adapt(["the cat sat", "the dog sat down", "a mat"])
    inputs = keras.Input((1,), dtype="string")
    y = L.Rescaling(1.0)(text(inputs))
    y = L.Conv1D(3, 3)(L.Reshape((-1, 1))(y))
    model = keras.Model(inputs, y)
    x = keras.ops.convert_to_tensor(np.array([["the mat sat"], ["dog dog"]], object), "string")
    np.testing.assert_array_equal(to_numpy(convert(model)(x)), to_numpy(model(x)))


class Backbone(keras.Model):
    """A functional model with a class and a config of its own, as keras-hub's are."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        self.width = width
        image = keras.Input((8, 8, 4))
        x = L.Rescaling(0.5)(image)
        x = L.BatchNormalization()(L.Conv2D(width, 3, use_bias=False)(x))
        y = L.Conv2D(width, 3, padding="same")(L.ReLU()(x)) + x
        super().__init__(image, [x, y], **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"width": self.width, "name": self.name}


def test_a_functional_model_of_the_users_own_class() -> None:
    model, x = Backbone(4), images()
    copy = convert(model)
    assert type(copy) is Backbone
    assert copy.output_names == model.output_names
    _assert_same_names(copy, model)
    for ours, theirs in zip(run_all(copy, x), run_all(model, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def run_all(model: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    return [to_numpy(y) for y in model(keras.ops.convert_to_tensor(x), training=False)]


def test_penalties_constraints_and_rematerialization_come_along() -> None:
    with keras.RematScope("full"):
        conv = L.Conv2D(4, 3, name="conv", kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Sequential([keras.Input((8, 8, 4)), conv, L.Dense(4, name="dense")])
    dense = model.get_layer("dense")
    conv.bias.regularizer = dense.kernel.regularizer = keras.regularizers.L2(0.3)
    conv.kernel.regularizer = None  # it was given one
    dense.kernel.constraint, dense.bias.constraint = keras.constraints.NonNeg(), abs
    for copy in (convert(model), fold(convert(model))):
        np.testing.assert_allclose(*(sum(map(to_numpy, each.losses)) for each in (copy, model)))
        assert (len(copy.losses), copy.get_layer("conv")._remat_mode.mode) == (2, "full")
        assert type(copy.get_layer("dense").kernel.constraint) is keras.constraints.NonNeg
        assert copy.get_layer("dense").bias.constraint is abs
