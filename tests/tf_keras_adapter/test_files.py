"""Round trips: every way in which tf_keras and TensorFlow write a model, unfolded and folded."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import doconv_tf_keras
from doconv_keras.layers import exporting
from doconv_tf_keras import convert, fold
from doconv_tf_keras.layers.do_conv import LAYERS
from tests.tf_keras_adapter.helpers import (
    LAYER_NAMES,
    Backbone,
    L,
    arguments,
    assert_same_values,
    batch,
    image,
    over_parameterized,
    randomize,
    run,
    small_functional,
    small_sequential,
    subclassed,
    values,
)

pytestmark = [
    # What tf_keras says of its own older format.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
    # NumPy 1.26 beside TensorFlow 2.21's SavedModel reader.
    pytest.mark.filterwarnings("ignore:.*`np.object` :FutureWarning"),
]


def trained() -> tf_keras.Model:
    """A converted model, some of whose layers have more columns, with random variables."""
    model = convert(small_functional(), where=lambda name, layer: name != "stem")
    convert(model, D_mul=14, inplace=True)
    randomize(model)
    assert len(over_parameterized(model)) == 5
    return model


def by_keras_file(model: Any, path: Path) -> Any:
    model.save(path / "model.keras")
    return tf_keras.models.load_model(path / "model.keras")


def by_h5_file(model: Any, path: Path) -> Any:
    model.save(path / "model.h5")
    return tf_keras.models.load_model(path / "model.h5")


def by_saved_model(model: Any, path: Path) -> Any:
    model.save(path / "model", save_format="tf")
    return tf_keras.models.load_model(path / "model")


def _by_weights(model: Any, path: Path) -> Any:
    model.save_weights(path)
    other = convert(small_functional(), where=lambda name, layer: name != "stem")
    convert(other, D_mul=14, inplace=True)
    other = fold(other) if not over_parameterized(model) else other
    other.load_weights(path)
    return other


def by_weights_h5_file(model: Any, path: Path) -> Any:
    return _by_weights(model, path / "model.weights.h5")


def by_old_weights_file(model: Any, path: Path) -> Any:
    return _by_weights(model, path / "weights.h5")


def by_weights_checkpoint(model: Any, path: Path) -> Any:
    return _by_weights(model, path / "weights")


def by_config(model: Any, path: Path) -> Any:
    other = type(model).from_config(model.get_config())
    other.set_weights(values(model))
    return other


def by_json(model: Any, path: Path) -> Any:
    other = tf_keras.models.model_from_json(model.to_json())
    other.set_weights(values(model))
    return other


def by_pickle(model: Any, path: Path) -> Any:
    return pickle.loads(pickle.dumps(model))


def by_deepcopy(model: Any, path: Path) -> Any:
    return copy.deepcopy(model)


TRIPS = [by_keras_file, by_h5_file, by_saved_model, by_weights_h5_file, by_old_weights_file,
         by_weights_checkpoint, by_config, by_json, by_pickle, by_deepcopy]  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["unfolded", "folded"])
def written(request: pytest.FixtureRequest) -> tf_keras.Model:
    """What every trip writes, and nobody changes."""
    return fold(trained()) if request.param else trained()


@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.__name__)
def test_round_trip(trip: Any, written: tf_keras.Model, tmp_path: Path) -> None:
    again = trip(written, tmp_path)
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in written.layers]
    assert_same_values(values(again), values(written))
    x = batch()[0]
    np.testing.assert_array_equal(run(again, x), run(written, x))


@pytest.fixture(scope="module")
def every_layer() -> tf_keras.Model:
    """One of each class, beside one another: a file of TensorFlow's takes a second or two."""
    inputs = [tf_keras.Input(image(name).shape[1:]) for name in LAYER_NAMES]
    layers = [cls(**arguments(cls.__name__), D_mul=26, name=cls.__name__) for cls in LAYERS]
    ends = [layer(each) for layer, each in zip(layers, inputs, strict=True)]
    model = tf_keras.Model(inputs, ends)
    randomize(model)
    return model


@pytest.mark.parametrize("trip", [by_keras_file, by_h5_file, by_saved_model],
                         ids=lambda trip: trip.__name__)  # fmt: skip
def test_every_layer_reloads_its_own_file(
    trip: Any, every_layer: tf_keras.Model, tmp_path: Path
) -> None:
    again = trip(every_layer, tmp_path)
    x = [tf.constant(image(name)) for name in LAYER_NAMES]
    for cls, ours, theirs in zip(LAYERS, again(x), every_layer(x), strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=cls.__name__)
        layer = again.get_layer(cls.__name__)
        assert (type(layer), layer.D_mul) == (cls, 26)


def test_a_layer_inside_a_wrapper_reloads(tmp_path: Path) -> None:
    inputs = tf_keras.Input((5, 8, 4))
    model = convert(tf_keras.Model(inputs, L.TimeDistributed(L.Conv1D(6, 3))(inputs)))
    randomize(model)
    again = by_keras_file(model, tmp_path)
    assert_same_values(values(again), values(model))


@pytest.mark.parametrize("file", ["folded.weights.h5", "folded.h5", "folded"])
def test_a_folded_file_is_the_untouched_model_s(file: str, tmp_path: Path) -> None:
    model = trained()
    folded = fold(model)
    folded.save_weights(tmp_path / file)
    untouched = small_functional()
    untouched.load_weights(tmp_path / file)
    x = batch()[0]
    np.testing.assert_array_equal(run(untouched, x), run(folded, x))
    np.testing.assert_allclose(run(untouched, x), run(model, x), rtol=1e-4, atol=1e-5)


class Pair(L.Layer):
    """A .weights.h5 file has a layer's own layers under the names of its attributes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv, self.separable = L.Conv2D(4, 3), L.SeparableConv2D(3, 3)

    def call(self, x: Any) -> Any:
        return self.separable(self.conv(x))


def pair() -> tf_keras.Model:
    return tf_keras.Sequential([tf_keras.Input((8, 8, 4)), Pair()])


@pytest.mark.integration(
    "tf_keras: .weights.h5 files",
    resume="a plain one: layers that are attributes; else load, then convert",
)
def test_plain_weights_load_where_layers_are_attributes(tmp_path: Path) -> None:
    plain, converted, x = pair(), convert(pair(), D_mul=20, inplace=True), batch()[0]
    randomize(converted)
    plain.save_weights(tmp_path / "plain.weights.h5")
    converted.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(run(converted, x), run(plain, x))
    for layer in over_parameterized(converted):
        assert not layer.D.numpy().any()
        assert layer.W_extra.numpy()[-2:].any()  # where D alone acts


def test_plain_weights_of_layers_that_are_called_otherwise_are_told_of(tmp_path: Path) -> None:
    plain, converted = small_sequential(), convert(small_sequential())
    plain.save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match=r"load it into the plain model, then convert\(\)"):
        converted.load_weights(tmp_path / "plain.weights.h5")


# --- tf.train.Checkpoint -------------------------------------------------------------------

BUILD = {"functional": small_functional, "backbone": Backbone, "subclassed": subclassed}
every_build = pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)


@pytest.mark.integration("tf_keras: checkpoints", "save", "resume")
@every_build
def test_a_checkpoint_of_a_converted_model_goes_into_another(build: Any, tmp_path: Path) -> None:
    ours, theirs = (convert(build(), D_mul=11, inplace=True) for _ in range(2))
    randomize(ours)
    path = tf.train.Checkpoint(model=ours).save(tmp_path / "checkpoint")
    tf.train.Checkpoint(model=theirs).restore(path).assert_consumed()
    assert_same_values(values(theirs), values(ours))


@pytest.mark.integration("tf_keras: checkpoints", "fold")
@every_build
def test_a_checkpoint_of_a_folded_model_goes_strictly_into_the_untouched_one(
    build: Any, tmp_path: Path
) -> None:
    model, untouched = convert(build(), D_mul=11, inplace=True), build()
    randomize(model)
    fold(model, inplace=True)
    path = tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")
    tf.train.Checkpoint(model=untouched).restore(path).assert_consumed()
    assert_same_values(values(untouched), values(model))
    assert not [name for name, _ in tf.train.list_variables(path) if "/D/" in name]


@every_build
def test_a_checkpoint_of_the_plain_model_goes_into_the_converted_one(
    build: Any, tmp_path: Path
) -> None:
    plain, model, x = build(), convert(build(), D_mul=11, inplace=True), batch()[0]
    randomize(plain)
    path = tf.train.Checkpoint(model=plain).save(tmp_path / "checkpoint")
    status = tf.train.Checkpoint(model=model).restore(path)
    with pytest.raises(AssertionError, match=r"D|W_extra"):  # TensorFlow names what it has not
        status.assert_consumed()
    status.expect_partial()
    np.testing.assert_array_equal(run(model, x), run(plain, x))


@every_build
def test_a_model_that_is_converted_afterwards_still_reads_its_plain_checkpoint(
    build: Any, tmp_path: Path
) -> None:
    model, x = build(), batch()[0]
    randomize(model)
    path, y = tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint"), run(model, x)
    convert(model, inplace=True)
    for layer in over_parameterized(model):
        layer._kernel.assign(layer._kernel * 0)
    tf.train.Checkpoint(model=model).restore(path).expect_partial()
    np.testing.assert_array_equal(run(model, x), y)


# --- elsewhere -----------------------------------------------------------------------------

ELSEWHERE = """
import sys, tf_keras
unfolded, folded = sys.argv[1:]
tf_keras.models.load_model(folded)
assert not any(name.startswith("doconv") for name in sys.modules)
try:
    tf_keras.models.load_model(unfolded)
except TypeError:
    print("refused")
import doconv_tf_keras
print(type(tf_keras.models.load_model(unfolded).get_layer("stem")).__name__)
"""


def test_a_fresh_process_loads_a_folded_file_and_another_once_we_are_imported(
    tmp_path: Path,
) -> None:
    """Before that tf_keras (2.21) takes the name of a class that it does not know for a layer."""
    model = trained()
    model.save(tmp_path / "unfolded.keras")
    fold(model).save(tmp_path / "folded.keras")
    files = [str(tmp_path / f"{name}.keras") for name in ("unfolded", "folded")]
    environment = {**os.environ, "PYTHONPATH": str(Path(doconv_tf_keras.__file__).parents[1])}
    command = [sys.executable, "-c", ELSEWHERE, *files]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["refused", "DOConv2D"]


@pytest.mark.integration("tf_keras: SavedModel", "fold", "export")
@pytest.mark.parametrize("folded", [False, True], ids=["unfolded", "folded"])
def test_a_saved_model_serves_what_was_trained(folded: bool, tmp_path: Path) -> None:
    model, x = trained(), batch()[0]
    y = run(model, x)
    if folded:
        fold(model, inplace=True)
    model.export(tmp_path / "exported")
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(x), y, rtol=1e-4, atol=1e-5)
    names = [v.name for v in exported.variables]
    assert any(name.endswith("D:0") for name in names) == (not folded)


EXPORTS = {  # Model.export (tf_keras 2.21) asks no layer what it holds, so none can tell
    "save": lambda model, path: model.save(path, save_format="tf"),
    "saved_model": lambda model, path: tf.saved_model.save(model, str(path)),
}


@pytest.mark.integration("tf_keras: SavedModel", export="unfolded: correct, told once")
@pytest.mark.parametrize("write", EXPORTS.values(), ids=EXPORTS)
def test_an_unfolded_graph_is_told_of_once(write: Any, tmp_path: Path) -> None:
    model = convert(small_sequential())
    exporting.warn.cache_clear()
    with pytest.warns(UserWarning, match="not folded: the graph is right") as told:
        write(model, tmp_path / "exported")
    assert len([each for each in told if "not folded" in str(each.message)]) == 1


def test_neither_a_folded_graph_nor_what_is_saved_to_train_on_is_told_of(tmp_path: Path) -> None:
    model = convert(small_sequential())
    exporting.warn.cache_clear()
    model.save(tmp_path / "model.keras")
    tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    fold(model).export(tmp_path / "folded")
    assert exporting.warn.cache_info().currsize == 0
