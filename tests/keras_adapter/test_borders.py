"""Where other people's code begins: what convert and fold find there, and what they say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import doconv_tf
from doconv_tf import DOConv2D, convert, fold, summary
from doconv_tf import messages as keras_messages
from tests.keras_adapter.helpers import (
    BACKEND,
    batch,
    over_parameterized,
    randomize,
    run,
    small_functional,
    small_sequential,
)

L = keras.layers


# --- the legacy tf_keras -----------------------------------------------------------------


class Legacy:
    """What tf_keras's symbolic tensors look like from outside."""

    __module__ = "tf_keras.src.engine.keras_tensor"
    shape, dtype = (None, 8, 8, 4), "float32"


LAYERS = {
    "DOConv2D": lambda: DOConv2D(4, 3),
    "CondConv2D": lambda: doconv_tf.CondConv2D(4, 3),
    "XSepConv2D": lambda: doconv_tf.XSepConv2D(5),
    "Routing": lambda: doconv_tf.Routing(4),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_a_layer_that_tf_keras_calls_says_what_to_use(make: Any) -> None:
    layer = make()
    layer.build((None, 8, 8, 4))
    with pytest.raises(TypeError, match="works on Keras 3, not on the legacy tf_keras"):
        layer.call(Legacy())


def test_so_does_from_conv() -> None:
    with pytest.raises(TypeError, match="works on Keras 3, not on the legacy tf_keras"):
        DOConv2D.from_conv(Legacy())


# --- layers that are not converted -------------------------------------------------------


@pytest.mark.parametrize("built", [True, False], ids=["built", "not built"])
def test_recurrent_convolutions_have_a_row_and_a_reason(built: bool) -> None:
    recurrent = L.ConvLSTM2D(3, (3, 2), name="recurrent")
    layers = [keras.Input((5, 8, 8, 4))] * built + [recurrent, L.Conv2D(4, 3, name="conv")]
    model = keras.Sequential(layers)
    (row, _) = summary(model, (1, 5, 8, 8, 4)) if built else summary(model)
    assert (row.name, row.kind, row.K, row.S) == ("recurrent", "ConvLSTM2D", 6, None)
    assert row.reason == keras_messages.RECURRENT
    if built:
        assert [row.reason for row in summary(convert(model))] == [keras_messages.RECURRENT, ""]


def test_most_left_for_one_reason_is_said() -> None:
    class Doubled(L.Conv2D):
        def call(self, x: Any) -> Any:
            return 2 * super().call(x)

    layers = [Doubled(4, 3, padding="same") for _ in range(3)]
    model = keras.Sequential([keras.Input((8, 8, 4)), *layers, L.Conv2D(3, 3)])
    with pytest.warns(UserWarning, match="left 3, for one reason: a subclass may compute"):
        convert(model)


def test_large_kernels_are_told_of_and_can_be_left() -> None:
    layers = [L.DepthwiseConv2D(31, padding="same", name="large"), L.Conv2D(4, 3, name="small")]
    model = keras.Sequential([keras.Input((8, 8, 16)), *layers])
    with pytest.warns(UserWarning, match=r"D has 14,7\d\d,\d\d\d numbers") as said:
        convert(model)
    (said,) = [each for each in said if "numbers" in str(each.message)]
    assert "layer 'large' has the most" in str(said.message)
    assert Path(said.filename) == Path(__file__)
    assert [row.S for row in summary(convert(model, max_kernel_elements=25))] == [None, 9]


def test_names_pick_layers() -> None:
    model = small_functional()
    for where, expected in {
        "inner": ["inner/conv"],
        ("stem", "inner"): ["stem", "inner/conv"],
        "inner/conv": ["inner/conv"],
    }.items():
        rows = summary(convert(model, where=where)).converted
        assert [row.name for row in rows] == expected
    with pytest.raises(ValueError, match="every name in `where`"):
        convert(model, where=["inn"])
    with pytest.raises(TypeError, match="`where` must be a function"):
        convert(model, where=3)


def test_K_columns_are_what_none_means() -> None:
    for layer in (
        *over_parameterized(convert(small_functional(), D_mul="K")),
        DOConv2D(4, 3, D_mul="K"),
    ):
        assert layer.D_mul is None
    assert DOConv2D.from_conv(_built(), D_mul="K").spec.S == 9


def _built() -> L.Layer:
    layer = L.Conv2D(4, 3)
    layer.build((None, 8, 8, 4))
    return layer


# --- what fold cannot reach --------------------------------------------------------------


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TFSMLayer is TensorFlow's")
def test_fold_tells_of_a_saved_model(tmp_path: Path) -> None:
    model = convert(small_sequential())
    for folder, exported in (("unfolded", model), ("folded", fold(model))):
        exported.export(tmp_path / folder, verbose=False)
    loaded = [
        keras.Sequential([keras.Input((8, 8, 4)), L.TFSMLayer(tmp_path / name, "serve")])
        for name in ("unfolded", "folded")
    ]
    with pytest.warns(UserWarning, match="a loaded SavedModel or a wrapped module holds 2 D's"):
        fold(loaded[0], inplace=True)
    fold(loaded[1], inplace=True)


@pytest.mark.skipif(BACKEND != "torch", reason="TorchModuleWrapper is PyTorch's")
def test_fold_tells_of_a_wrapped_module() -> None:
    import torch

    class Converted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(4, 4, 3)
            self.conv.D = torch.nn.Parameter(torch.zeros(4, 9, 9))

        def forward(self, x: Any) -> Any:
            return self.conv(x)

    model = keras.Sequential([keras.Input((4, 8, 8)), L.TorchModuleWrapper(Converted())])
    with pytest.warns(UserWarning, match="a wrapped module holds 1 D's"):
        fold(model, inplace=True)


# --- optimizers --------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda O: O.SGD(0.01, momentum=0.9),
    "SGD plain": lambda O: O.SGD(0.01),
    "Adam": lambda O: O.Adam(0.01, amsgrad=True),
    "RMSprop": lambda O: O.RMSprop(0.01, momentum=0.9, centered=True),
    "Adafactor": lambda O: O.Adafactor(0.01),
    "Adagrad": lambda O: O.Adagrad(0.01),
    "Ftrl": lambda O: O.Ftrl(0.01),
    "Lion": lambda O: O.Lion(0.001),
    "Muon": lambda O: O.Muon(0.01),
    "accumulation": lambda O: O.Adam(0.01, gradient_accumulation_steps=2),
    "loss scale": lambda O: O.LossScaleOptimizer(O.SGD(0.01, momentum=0.9)),
}


if BACKEND != "jax":  # where Keras (3.15) fits a model with averages once only
    OPTIMIZERS["EMA"] = lambda O: O.Adam(0.01, use_ema=True)


def _compiled(optimizer: Any) -> keras.Model:
    model = convert(small_sequential())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss, run_eagerly=BACKEND != "jax")  # as is faster
    model.fit(*batch(), epochs=2, verbose=0)
    return model


def _slots(optimizer: Any) -> list[list[Any]]:
    """What an optimizer remembers, a list with a variable for each that it trains."""
    lists = {name: each for name, each in vars(optimizer).items() if isinstance(each, list)}
    # Not the lists of all, nor TensorFlow's own bookkeeping.
    others = ("_self_", "_variables", "_trainable_variables")
    return [each for name, each in lists.items() if each and not name.startswith(others)]


@pytest.mark.integration("model.fit", "fold", "save", "resume")
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_an_optimizer_forgets_D_when_its_model_is_folded_in_place(
    make: Any, tmp_path: Path
) -> None:
    model = fold(_compiled(make(keras.optimizers)), inplace=True)
    assert set(map(len, _slots(model.optimizer))) <= {len(model.trainable_variables)}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")  # else it warns, and skips them
    loaded.run_eagerly = model.run_eagerly
    ours, theirs = model.optimizer.variables, loaded.optimizer.variables
    assert [v.shape for v in ours] == [v.shape for v in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one.value, other.value)))
    # Both go on alike, and where they stood.
    for each in (model, loaded):
        each.fit(*batch(), epochs=2, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_averages_begin_anew_with_the_folded_kernels() -> None:
    model = _compiled(keras.optimizers.Adam(0.01, use_ema=True))
    randomize(model)
    fold(model, inplace=True)
    kernels, x = model.get_weights(), batch()[0]
    y = run(model, x)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    assert not np.array_equal(kernels[-1], model.get_weights()[-1])  # of the head
    np.testing.assert_array_equal(kernels[0], model.get_weights()[0])
    assert y.shape == run(model, x).shape


def test_the_originals_optimizer_refuses_a_copy() -> None:
    model = small_sequential()
    model.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*batch(), verbose=0)
    copy = convert(model)
    copy.compile(model.optimizer, loss=model.loss)
    with pytest.raises(ValueError, match="variable"):
        copy.fit(*batch(), verbose=0)


# --- files of the plain model ------------------------------------------------------------


@pytest.mark.integration(
    ".weights.h5 files", resume="a plain one: layers that are attributes; else load, then convert"
)
def test_plain_weights_load_where_layers_are_attributes(tmp_path: Path) -> None:
    plain, converted = _block(), convert(_block(), D_mul=11)
    randomize(converted)
    plain.save_weights(tmp_path / "plain.weights.h5")
    converted.load_weights(tmp_path / "plain.weights.h5")
    x = batch()[0]
    np.testing.assert_array_equal(run(converted, x), run(plain, x))
    assert all(not np.any(layer.D) for layer in over_parameterized(converted))


class Pair(L.Layer):
    """Keras's files have a layer's own layers under the names of its attributes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv, self.separable = L.Conv2D(4, 3), L.SeparableConv2D(3, 3)

    def build(self, input_shape: Any) -> None:
        self.conv.build(input_shape)
        self.separable.build(self.conv.compute_output_shape(input_shape))

    def call(self, x: Any) -> Any:
        return self.separable(self.conv(x))


def _block() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 4)), Pair()])


def test_a_file_of_the_layer_itself_loads_its_D(tmp_path: Path) -> None:
    model, other = convert(_block()), convert(_block())
    randomize(model)
    model.save_weights(tmp_path / "converted.weights.h5")
    other.load_weights(tmp_path / "converted.weights.h5")
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_decay_by_the_optimizer_acts_on_D_and_the_kernels_regularizer_does_not() -> None:
    layer = DOConv2D(4, 3, kernel_regularizer=keras.regularizers.L2(0.1))
    layer.build((None, 8, 8, 4))
    layer._kernel.assign(np.zeros(layer._kernel.shape))
    layer.D.assign(np.ones(layer.D.shape))
    assert [float(keras.ops.convert_to_numpy(loss)) for loss in layer.losses] == [0]
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    zeros = [keras.ops.zeros(v.shape) for v in layer.trainable_variables]
    optimizer.apply(zeros, layer.trainable_variables)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.D.value), 0.95, rtol=1e-6)
