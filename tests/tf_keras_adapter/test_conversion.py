"""convert and fold on whole models: nothing changes but the layers, nothing is half done."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras.src.engine.functional import get_network_config

import doconv_tf_keras
from doconv_core import DOConvSpec, layer_cost, messages
from doconv_tf_keras import convert, fold, get_state, load_official, set_state, summary
from doconv_tf_keras.layers.nesting import everything, named_layers
from tests.tf_keras_adapter.helpers import (
    Backbone,
    Block,
    L,
    assert_same_values,
    batch,
    over_parameterized,
    own_name,
    randomize,
    randomize_D,
    run,
    small_functional,
    small_sequential,
    subclassed,
    values,
)


def time_distributed() -> tf_keras.Model:
    inputs = tf_keras.Input((8, 8, 4))
    x = L.TimeDistributed(L.Conv1D(6, 3, name="inside"), name="each")(inputs)
    return tf_keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def shared() -> tf_keras.Model:
    """One convolution used twice in a model, and once in each of two nested ones."""
    conv = L.Conv2D(4, 3, padding="same", name="conv")
    x = inputs = tf_keras.Input((8, 8, 4))
    x = conv(conv(x))
    for name in ("left", "right"):
        inner = tf_keras.Input((8, 8, 4))
        x = tf_keras.Model(inner, conv(inner), name=name)(x)
    return tf_keras.Model(inputs, x)


def block_in_functional() -> tf_keras.Model:
    inputs = tf_keras.Input((8, 8, 4))
    return tf_keras.Model(inputs, Block(4, name="block")(inputs))


def with_a_lambda() -> tf_keras.Model:
    layers = [L.Conv2D(4, 3), L.Lambda(lambda x: 2 * x)]
    return tf_keras.Sequential([tf_keras.Input((8, 8, 4)), *layers])


MODELS: dict[str, tuple[Any, int]] = {
    "functional": (small_functional, 5),
    "sequential": (small_sequential, 2),
    "time-distributed": (time_distributed, 1),
    "shared": (shared, 1),
    "block": (block_in_functional, 3),
    "backbone": (Backbone, 5),
    "lambda": (with_a_lambda, 1),
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
    types, names = [type(layer) for layer in everything(model)], list(named_layers(model))
    paths = [v.name for v in model.variables]

    converted = convert(model, inplace=inplace)
    assert (converted is model) == inplace
    assert len(over_parameterized(converted)) == count
    np.testing.assert_array_equal(run(converted, x), y)
    assert list(named_layers(converted)) == names
    kept = [v.name for v in converted.variables if own_name(v) != "D"]
    assert sorted(kept) == sorted(paths)

    randomize_D(converted)
    trained = run(converted, x)
    assert not np.array_equal(trained, y)
    folded = fold(converted, inplace=inplace)
    np.testing.assert_allclose(run(folded, x), trained, rtol=1e-4, atol=1e-5)
    assert [type(layer) for layer in everything(folded)] == types
    assert list(named_layers(folded)) == names
    assert [v.name for v in folded.variables] == paths
    if not inplace:
        assert_same_values(values(model), before)
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
    assert_same_values(values(twice), values(once))
    folded = fold(twice, inplace=inplace)
    assert_same_values(values(fold(folded, inplace=inplace)), values(folded))


def test_sharing_stays() -> None:
    converted = convert(shared())
    conv = converted.get_layer("conv")
    assert type(conv) is doconv_tf_keras.DOConv2D
    assert converted.get_layer("left").get_layer("conv") is conv
    assert converted.get_layer("right").get_layer("conv") is conv
    assert len(converted.trainable_variables) == 3


@pytest.mark.parametrize("kind", ["functional", "backbone"])
def test_a_copy_shares_no_variable_and_keeps_every_flag(kind: str) -> None:
    model, _ = make(kind)
    for layer in everything(model)[::3]:
        layer.trainable = False
    converted = convert(model)
    assert not {id(v) for v in converted.variables} & {id(v) for v in model.variables}
    for ours, theirs in zip(everything(converted), everything(model), strict=True):
        assert ours.trainable == theirs.trainable
    trained = {id(v) for v in converted.trainable_variables}
    for layer in over_parameterized(converted):
        assert (id(layer.D) in trained) == (id(layer._kernel) in trained)


def test_a_copied_graph_can_be_looked_into_and_copied_again() -> None:
    copy = convert(fold(convert(Backbone())))
    names = [layer.name for layer in copy.layers]
    assert [each["name"] for each in get_network_config(copy)["layers"]] == names
    assert [copy.get_layer(name).name for name in names] == names


def test_in_place_the_very_same_layers_and_kernels_stay() -> None:
    model = small_functional()
    layers, kernel = list(map(id, everything(model))), model.get_layer("stem").kernel
    convert(model, inplace=True)
    assert list(map(id, everything(model))) == layers
    assert model.get_layer("stem")._kernel is kernel
    fold(model, inplace=True)
    assert model.get_layer("stem").kernel is kernel


def test_a_folded_layer_keeps_no_trace() -> None:
    model = small_functional()
    before = [set(vars(layer)) for layer in everything(model)]
    fold(convert(model, D_mul=30, inplace=True), inplace=True)
    for layer, names in zip(everything(model), before, strict=True):
        assert set(vars(layer)) == names
        assert not {"D", "W_extra"} & set(layer._trackable_children())


def test_where_takes_names_and_layers() -> None:
    converted = convert(small_functional(), where=["inner", "up"])
    assert {layer.name for layer in over_parameterized(converted)} == {"up", "conv"}
    converted = convert(shared(), where=lambda name, layer: name == "right/conv")
    assert len(over_parameterized(converted)) == 1


@pytest.mark.filterwarnings("ignore:.*`np.object` :FutureWarning")
def test_a_model_that_was_saved_as_a_saved_model_is_converted_and_folded(tmp_path: Path) -> None:
    """Its layers then have a ``call`` of their own, which is that of their class."""
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), L.Conv2D(3, 3)])
    model.save(tmp_path / "plain", save_format="tf")
    x = batch()[0]
    y = run(model, x)
    np.testing.assert_array_equal(run(convert(model), x), y)
    convert(model, inplace=True).layers[0].composition = "feature"  # by a call of ours
    randomize_D(model)
    np.testing.assert_allclose(run(model, x), run(fold(model), x), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "converted", save_format="tf")
    y = run(model, x)
    for folded in (fold(model), fold(model, inplace=True)):
        assert type(folded.layers[0]) is L.Conv2D
        np.testing.assert_allclose(run(folded, x), y, rtol=1e-4, atol=1e-5)


def _seed_python() -> None:
    vars(tf_keras.src.backend._SEED_GENERATOR).pop("generator", None)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    tf.random.set_seed(0)


@pytest.mark.parametrize(
    "seed",
    [_seed_python, lambda: tf_keras.utils.set_random_seed(0)],
    ids=["Python's seed", "tf_keras's"],
)
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_what_is_drawn_next_does_not_depend_on_conversion(inplace: bool, seed: Any) -> None:
    model = small_sequential()

    def next_numbers(change: Any) -> list[Any]:
        seed()
        change()
        drawn = tf_keras.initializers.RandomUniform()((2,)).numpy()
        drawn = [*drawn, float(tf.random.uniform(())), np.random.rand()]  # noqa: NPY002
        return [random.random(), *drawn]

    expected = next_numbers(lambda: None)
    assert next_numbers(lambda: fold(convert(model, D_mul=12, inplace=inplace))) == expected


def test_the_root_may_be_a_convolution() -> None:
    conv = L.Conv2D(4, 3, name="mine")
    conv.build((None, 8, 8, 4))
    converted = convert(conv)
    assert type(converted) is doconv_tf_keras.DOConv2D
    assert type(conv) is L.Conv2D
    assert converted.name == "mine"
    again = doconv_tf_keras.DOConv2D.from_conv(conv, D_mul=12)
    assert_same_values(values(again.fold()), values(conv))


def test_custom_objects_need_not_be_registered_to_be_copied() -> None:
    def activation(x: Any) -> Any:
        return tf.nn.relu(x) * 2

    class Scale(L.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    conv = L.Conv2D(4, 3, activation=activation)
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), conv, Scale()])
    converted, x = convert(model), batch()[0]
    np.testing.assert_array_equal(run(converted, x), run(model, x))
    assert converted.layers[0].activation is activation


# --- summary, states, the authors' checkpoints ----------------------------------------------


def test_a_summary_has_the_costs_of_the_core_and_a_forecast() -> None:
    plain = small_functional()
    model = convert(plain)
    rows = {row.name: row for row in summary(model, (2, 8, 8, 4))}
    assert list(rows) == ["stem", "depthwise", "inner/conv", "separable", "up", "pointwise"]
    stem = layer_cost(DOConvSpec(4, 6, (3, 3)), (8, 8), batch_size=2, bias=True)
    assert rows["stem"].macs == (stem.plain.macs, stem.kernel.macs, stem.folded.macs)
    up = DOConvSpec(6, 5, (2, 2), transposed=True)
    up_cost = layer_cost(up, (12, 12), input_size=(6, 6), batch_size=2, bias=True)
    assert rows["up"].macs[0] == up_cost.plain.macs
    assert rows["pointwise"].reason == messages.model.POINTWISE
    D = sum(int(np.prod(v.shape)) for v in model.variables if own_name(v) == "D")
    assert summary(plain).totals.forecast == summary(model).totals.added == D
    assert not any("call" in vars(layer) for layer in everything(model))


def test_the_neutral_state_moves_between_models() -> None:
    ours, theirs = (convert(small_functional(), D_mul=14) for _ in range(2))
    randomize(ours)
    randomize(theirs, seed=1)
    state = get_state(ours)
    assert list(state) == ["stem", "depthwise", "inner/conv", "separable", "up"]
    set_state(theirs, state)
    for name, layer in get_state(theirs).items():
        np.testing.assert_array_equal(layer.W, state[name].W)
        np.testing.assert_array_equal(layer.D, state[name].D)
    assert state["separable"].bias is None
    with pytest.raises(ValueError, match="layer names must be the model's"):
        set_state(theirs, {"stem": state["stem"]})


def test_a_whole_checkpoint_of_the_authors_trains_on_or_is_deployed() -> None:
    """D is random: while it is zero, their layers and ours coincide."""
    layers = [L.Conv2D(6, 3, name="stem"), L.BatchNormalization(name="norm"),
              L.Conv2D(3, 1, name="head")]  # fmt: skip
    plain = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), *layers])
    trained = convert(plain)
    rng = np.random.default_rng(0)
    kernel, D = rng.normal(size=(9, 4, 6)), 0.1 * rng.normal(size=(9, 9, 4))
    checkpoint = {f"norm/{name}:0": rng.uniform(1, 2, 6)
                  for name in ("gamma", "beta", "moving_mean", "moving_variance")}  # fmt: skip
    checkpoint |= {"head/kernel:0": rng.normal(size=(1, 1, 6, 3)), "head/bias:0": np.ones(3)}
    checkpoint |= {"stem/kernel:0": kernel, "stem/D:0": D, "stem/bias:0": np.ones(6)}
    load_official(trained, checkpoint)
    load_official(plain, checkpoint)
    np.testing.assert_allclose(get_state(trained)["stem"].D, D.transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(run(trained, batch()[0]), run(plain, batch()[0]), rtol=1e-4,
                               atol=1e-5)  # fmt: skip
    del checkpoint["norm/beta:0"]
    with pytest.raises(ValueError, match="norm/beta"):
        load_official(plain, checkpoint)


# --- what is told -------------------------------------------------------------------------


def test_large_kernels_are_told_of_and_can_be_left() -> None:
    layers = [L.DepthwiseConv2D(31, padding="same", name="large"), L.Conv2D(4, 3, name="small")]
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 16)), *layers])
    told = r"D has 14,7\d\d,\d\d\d numbers.* 'large' has the most"
    with pytest.warns(UserWarning, match=told) as said:
        convert(model)
    assert Path(said[0].filename) == Path(__file__)
    assert [row.S for row in summary(convert(model, max_kernel_elements=25))] == [None, 9]


def test_it_is_told_when_most_is_left_for_one_reason() -> None:
    class Doubled(L.Conv2D):
        def call(self, x: Any) -> Any:
            return 2 * super().call(x)

    layers = [Doubled(4, 3, padding="same") for _ in range(3)]
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), *layers, L.Conv2D(3, 3)])
    with pytest.warns(UserWarning, match="left 3, for one reason: a subclass may compute"):
        convert(model, inplace=True)


def test_a_D_that_no_layer_of_ours_holds_is_told_of_by_fold() -> None:
    class Loaded(L.Layer):
        def build(self, shape: Any) -> None:
            self.D = self.add_weight("D", (3, 9, 9))

    model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), Loaded(name="loaded")])
    with pytest.warns(UserWarning, match="a loaded SavedModel holds 1 D's, .*loaded/D:0"):
        fold(model, inplace=True)
