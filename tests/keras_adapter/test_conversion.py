"""convert and fold on whole models: nothing changes but the layers, nothing is half done."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest

import doconv_tf
from doconv_tf import convert, fold
from doconv_tf.layers.nesting import everything, named_layers
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import (
    BACKEND,
    batch,
    over_parameterized,
    randomize,
    randomize_D,
    run,
    small_functional,
    small_sequential,
    subclassed,
    values,
)

L = keras.layers


def time_distributed() -> keras.Model:
    inputs = keras.Input((8, 8, 4))
    x = L.TimeDistributed(L.Conv1D(6, 3, name="inside"), name="each")(inputs)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def shared() -> keras.Model:
    """One convolution used twice in a model, and once in each of two nested ones."""
    conv = L.Conv2D(4, 3, padding="same", name="conv")
    x = inputs = keras.Input((8, 8, 4))
    x = conv(conv(x))
    for name in ("left", "right"):
        inner = keras.Input((8, 8, 4))
        x = keras.Model(inner, conv(inner), name=name)(x)
    return keras.Model(inputs, x)


def block_in_functional() -> keras.Model:
    from tests.keras_adapter.helpers import Block

    inputs = keras.Input((8, 8, 4))
    return keras.Model(inputs, Block(4, name="block")(inputs))


MODELS = {
    "functional": (small_functional, 5),
    "sequential": (small_sequential, 2),
    "time-distributed": (time_distributed, 1),
    "shared": (shared, 1),
    "block": (block_in_functional, 3),
    "subclassed": (subclassed, 7),
}
every_model = pytest.mark.parametrize("kind", MODELS)
inplace_or_not = pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])


def make(kind: str, inplace: bool = True) -> tuple[Any, int]:
    if kind == "subclassed" and not inplace:
        pytest.skip("a model without a config cannot be copied")
    build, count = MODELS[kind]
    model = build()
    randomize(model)
    return model, count


@inplace_or_not
@every_model
def test_the_output_stays_and_the_folded_model_is_the_plain_one(kind: str, inplace: bool) -> None:
    model, count = make(kind, inplace)
    x, before = batch()[0], values(model)
    y = run(model, x)
    types = [type(layer) for layer in everything(model)]
    names = list(named_layers(model))

    converted = convert(model, inplace=inplace)
    assert (converted is model) == inplace
    assert len(over_parameterized(converted)) == count
    np.testing.assert_array_equal(run(converted, x), y)
    assert list(named_layers(converted)) == names
    paths = [v.path for v in converted.trainable_variables]
    assert len(set(paths)) == len(paths)

    randomize_D(converted)
    trained = run(converted, x)
    assert not np.array_equal(trained, y)
    folded = fold(converted, inplace=inplace)
    np.testing.assert_allclose(run(folded, x), trained, rtol=1e-4, atol=1e-5)
    assert [type(layer) for layer in everything(folded)] == types
    assert list(named_layers(folded)) == names
    assert [v.shape for v in folded.variables] == [v.shape for v in model.variables]
    if not inplace:
        for ours, theirs in zip(values(model), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert over_parameterized(model) == []


@pytest.mark.parametrize("kind", ["functional", "sequential", "time-distributed", "shared"])
def test_the_folded_model_has_the_config_of_the_original(kind: str) -> None:
    model, _ = make(kind)
    assert fold(convert(model)).get_config() == model.get_config()


@inplace_or_not
@every_model
def test_twice_is_once(kind: str, inplace: bool) -> None:
    model, _ = make(kind, inplace)
    once = convert(model, inplace=inplace)
    randomize_D(once)
    twice = convert(once, D_mul=99, inplace=inplace)
    for ours, theirs in zip(values(twice), values(once), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    folded = fold(twice, inplace=inplace)
    again = fold(folded, inplace=inplace)
    for ours, theirs in zip(values(again), values(folded), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sharing_stays() -> None:
    converted = convert(shared())
    conv = converted.get_layer("conv")
    assert type(conv) is doconv_tf.DOConv2D
    assert converted.get_layer("left").get_layer("conv") is conv
    assert converted.get_layer("right").get_layer("conv") is conv
    assert len(converted.trainable_variables) == 3


def test_a_copy_shares_no_variable_and_keeps_every_flag() -> None:
    model = small_functional()
    randomize(model)
    model.get_layer("stem").trainable = False
    model.get_layer("inner").trainable = False
    model.get_layer("norm").moving_mean.assign(np.arange(6.0))
    converted = convert(model)
    ours, theirs = set(map(id, converted.variables)), set(map(id, model.variables))
    assert not ours & theirs
    flags = {name: layer.trainable for name, layer in named_layers(model).items()}
    assert {n: layer.trainable for n, layer in named_layers(converted).items()} == flags
    assert not converted.get_layer("stem").D.trainable
    assert not converted.get_layer("inner").get_layer("conv").D.trainable
    assert converted.get_layer("depthwise").D.trainable
    np.testing.assert_array_equal(to_numpy(converted.get_layer("norm").moving_mean), range(6))


def test_a_frozen_kernel_variable_gets_a_frozen_D() -> None:
    model = small_sequential()
    model.layers[0].kernel.trainable = False
    converted = convert(model, inplace=True)
    assert not converted.layers[0].D.trainable
    assert converted.layers[1].D.trainable


def test_in_place_the_very_same_layers_and_kernels_stay() -> None:
    model = small_functional()
    layers, kernel = list(map(id, everything(model))), model.get_layer("stem").kernel
    paths = [v.path for v in model.variables]
    convert(model, inplace=True)
    assert list(map(id, everything(model))) == layers
    assert model.get_layer("stem")._kernel is kernel
    assert [v.path for v in model.variables if v.name not in ("D", "W_extra")] == paths
    fold(model, inplace=True)
    assert model.get_layer("stem").kernel is kernel
    assert [v.path for v in model.variables] == paths


def test_a_folded_layer_keeps_no_trace() -> None:
    model = small_functional()
    before = [set(vars(layer)) for layer in everything(model)]
    fold(convert(model, D_mul=30, inplace=True), inplace=True)
    for layer, names in zip(everything(model), before, strict=True):
        assert set(vars(layer)) - names <= {"_self_tracked_trackables"}
        if hasattr(layer, "_trackable_children"):  # what TensorFlow would put into a SavedModel
            assert not {"D", "W_extra"} & set(layer._trackable_children())


def test_where_takes_names_and_layers() -> None:
    seen: dict[str, Any] = {}

    def backbone(name: str, layer: Any) -> bool:
        seen[name] = layer
        return name.startswith("inner/") or name == "up"

    converted = convert(small_functional(), where=backbone)
    assert sorted(seen) == ["depthwise", "inner/conv", "separable", "stem", "up"]
    assert isinstance(seen["stem"], L.Conv2D)
    assert {layer.name for layer in over_parameterized(converted)} == {"up", "conv"}


def test_a_shared_layer_is_picked_by_any_of_its_names() -> None:
    converted = convert(shared(), where=lambda name, layer: name == "right/conv")
    assert len(over_parameterized(converted)) == 1


def test_layers_of_one_name_are_told_apart() -> None:
    class Twins(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="twins")
            self.held = [L.Conv2D(4, 3, name="conv"), L.Conv2D(4, 3, name="conv")]

    assert list(named_layers(Twins())) == ["", "conv", "conv_1"]


@pytest.mark.parametrize("drawn", [False, True], ids=["none before", "drawn before"])
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_what_is_drawn_next_does_not_depend_on_conversion(inplace: bool, drawn: bool) -> None:
    @keras.saving.register_keras_serializable(package="doconv_tests_conversion")
    def global_draw(shape: Any, dtype: Any = None) -> Any:
        return keras.random.normal(shape, dtype=dtype) * np.random.rand()  # noqa: NPY002

    conv = L.Conv2D(4, 3, kernel_initializer=global_draw)
    model = keras.Sequential([keras.Input((8, 8, 4)), conv, L.Conv2D(4, 3), L.Dropout(0.5)])

    def next_numbers(change: Any) -> list[Any]:
        keras.utils.set_random_seed(0)
        if drawn:
            keras.random.uniform(())
        change()
        array = to_numpy(keras.random.uniform((3,)))
        return [random.random(), np.random.rand(), *array]  # noqa: NPY002

    expected = next_numbers(lambda: None)

    def convert_and_fold() -> None:
        converted = convert(model, D_mul=12, W_extra_init="random", inplace=inplace)
        fold(converted, inplace=inplace)

    assert next_numbers(convert_and_fold) == expected
    assert next_numbers(lambda: fold(convert(model, D_mul=12, inplace=inplace))) == expected


def test_the_root_may_be_a_convolution() -> None:
    conv = L.Conv2D(4, 3, name="mine")
    conv.build((None, 8, 8, 4))
    converted = convert(conv)
    assert type(converted) is doconv_tf.DOConv2D
    assert type(conv) is L.Conv2D
    assert converted.name == "mine"
    assert convert(conv, inplace=True) is conv
    assert type(conv) is doconv_tf.DOConv2D


def test_D_mul_reaches_every_layer() -> None:
    assert {
        layer.spec.S for layer in over_parameterized(convert(small_functional(), D_mul=11))
    } == {11}


def test_custom_objects_need_not_be_registered_to_be_copied() -> None:
    def activation(x: Any) -> Any:
        return keras.ops.relu(x) * 2

    class Penalty(keras.regularizers.Regularizer):
        def __call__(self, x: Any) -> Any:
            return keras.ops.sum(x)

        def get_config(self) -> dict[str, Any]:
            return {}

    class Scale(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    conv = L.Conv2D(4, 3, activation=activation, kernel_regularizer=Penalty())
    model = keras.Sequential([keras.Input((8, 8, 4)), conv, Scale(), L.Lambda(lambda x: x + 1)])
    converted = convert(model)
    x = batch()[0]
    np.testing.assert_array_equal(run(converted, x), run(model, x))
    assert converted.layers[0].activation is activation
    assert type(converted.layers[0].kernel_regularizer) is Penalty


def test_two_lambdas_are_not_mistaken_for_each_other() -> None:
    convs = [L.Conv2D(4, 3, activation=lambda x, k=k: x * k) for k in (2, 3)]
    model = keras.Sequential([keras.Input((8, 8, 4)), *convs])
    x = batch()[0]
    y = run(model, x)
    with pytest.raises(ValueError, match="Pass inplace=True"):
        convert(model)
    np.testing.assert_array_equal(run(convert(model, inplace=True), x), y)


@pytest.mark.skipif(BACKEND != "torch", reason="what torch.nn.Module.parameters lists")
@pytest.mark.parametrize("kind", ["functional", "block", "subclassed"])
def test_torch_s_own_list_of_parameters_follows(kind: str) -> None:
    model, _ = make(kind)
    for change in (lambda: convert(model, inplace=True), lambda: fold(model, inplace=True)):
        assert len(list(model.parameters())) == len(model.variables)
        change()
        listed = set(map(id, model.parameters()))
        assert {id(v.value) for v in model.trainable_variables} <= listed
        assert len(listed) == len(model.variables)
