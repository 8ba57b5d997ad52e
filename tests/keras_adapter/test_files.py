"""Round trips: every way in which Keras writes a model, unfolded and folded."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import doconv_tf
from doconv_tf import convert, fold, get_state, set_state
from doconv_tf.layers.do_conv import LAYERS
from tests.keras_adapter.helpers import (
    BACKEND,
    LAYER_NAMES,
    arguments,
    batch,
    image,
    over_parameterized,
    randomize,
    run,
    small_functional,
    subclassed,
    values,
)

on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own formats")


def trained() -> keras.Model:
    """A converted model, some of whose layers have more columns, with random variables."""
    model = convert(small_functional(), where=lambda name, layer: name != "stem")
    convert(model, D_mul=14, inplace=True)
    randomize(model)
    assert len(over_parameterized(model)) == 5
    return model


def assert_same(ours: Any, theirs: Any) -> None:
    # a file knows lists only
    assert json.dumps(ours.get_config()) == json.dumps(theirs.get_config())
    for a, b in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    x = batch()[0]
    np.testing.assert_array_equal(run(ours, x), run(theirs, x))


def by_keras_file(model: Any, path: Path) -> Any:
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def by_weights_file(model: Any, path: Path) -> Any:
    model.save_weights(path / "model.weights.h5")
    other = keras.models.clone_model(model)
    other.load_weights(path / "model.weights.h5")
    return _named_like(other, model)


def by_config(model: Any, path: Path) -> Any:
    other = type(model).from_config(model.get_config())
    other.set_weights(values(model))
    return other


def by_clone(model: Any, path: Path) -> Any:
    other = keras.models.clone_model(model)
    other.set_weights(values(model))
    return _named_like(other, model)


def by_json(model: Any, path: Path) -> Any:
    other = keras.models.model_from_json(model.to_json())
    other.set_weights(values(model))
    return other


def by_pickle(model: Any, path: Path) -> Any:
    return pickle.loads(pickle.dumps(model))


def by_deepcopy(model: Any, path: Path) -> Any:
    return copy.deepcopy(model)


def _named_like(other: Any, model: Any) -> Any:
    for ours, theirs in zip(other.layers, model.layers, strict=True):
        ours.name = theirs.name  # clone_model names an input after its tensor
    return other


TRIPS = [by_keras_file, by_weights_file, by_config, by_clone, by_json, by_pickle, by_deepcopy]


@pytest.mark.integration(".keras files", "save", "resume")
@pytest.mark.integration(".weights.h5 files", "save", "resume")
@pytest.mark.parametrize("folded", [False, True], ids=["unfolded", "folded"])
@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.__name__)
def test_round_trip(trip: Any, folded: bool, tmp_path: Path) -> None:
    model = fold(trained()) if folded else trained()
    assert_same(trip(model, tmp_path), model)


@pytest.mark.parametrize("cls", LAYERS, ids=LAYER_NAMES)
def test_every_layer_reloads_its_own_file(cls: Any, tmp_path: Path) -> None:
    x = image(cls.__name__)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, cls(**arguments(cls.__name__), D_mul=26)(inputs))
    randomize(model)
    again = by_keras_file(model, tmp_path)
    np.testing.assert_array_equal(run(again, x), run(model, x))
    assert again.layers[1].D_mul == 26


@pytest.mark.integration(".weights.h5 files", "fold")
def test_a_folded_file_is_the_untouched_model_s(tmp_path: Path) -> None:
    model = trained()
    folded = fold(model)
    folded.save_weights(tmp_path / "folded.weights.h5")
    untouched = small_functional()
    untouched.load_weights(tmp_path / "folded.weights.h5")
    x = batch()[0]
    np.testing.assert_array_equal(run(untouched, x), run(folded, x))
    np.testing.assert_allclose(run(untouched, x), run(model, x), rtol=1e-4, atol=1e-5)


# Keras 3.15 first tries the parts that it finds, then raises.
@pytest.mark.integration(
    ".weights.h5 files", resume="a plain one refused: load it into the plain model, then convert"
)
@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_a_plain_file_does_not_load_into_an_unfolded_model(tmp_path: Path) -> None:
    """Convert after loading: Keras puts a layer's class into the path of its weights."""
    small_functional().save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match=r"load it into the plain model, then convert\(\)"):
        trained().load_weights(tmp_path / "plain.weights.h5")


def test_a_subclassed_model_saves_and_loads_its_weights(tmp_path: Path) -> None:
    ours, theirs = (convert(subclassed(), inplace=True) for _ in range(2))
    randomize(ours)
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    x = batch()[0]
    np.testing.assert_array_equal(run(theirs, x), run(ours, x))


def test_the_neutral_state_moves_between_models() -> None:
    ours, theirs = trained(), trained()
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


ELSEWHERE = """
import sys, keras
unfolded, folded = sys.argv[1:]
keras.saving.load_model(folded)
assert not any(name.startswith("doconv") for name in sys.modules)
try:
    keras.saving.load_model(unfolded)
except TypeError as error:
    print(error)
import doconv_tf
print(type(keras.saving.load_model(unfolded).get_layer("stem")).__name__)
"""


@pytest.mark.integration(
    ".keras files", resume="in a new process: import doconv_tf", fold="needs no doconv"
)
def test_a_fresh_process_loads_a_folded_file_and_is_told_what_to_import_for_another(
    tmp_path: Path,
) -> None:
    model = trained()
    model.save(tmp_path / "unfolded.keras")
    fold(model).save(tmp_path / "folded.keras")
    files = [str(tmp_path / f"{name}.keras") for name in ("unfolded", "folded")]
    environment = {**os.environ, "PYTHONPATH": str(Path(doconv_tf.__file__).parents[1])}
    command = [sys.executable, "-c", ELSEWHERE, *files]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    message, loaded = result.stdout.strip().rsplit("\n", 1)
    assert "make sure they are all imported" in message
    assert "{'module': 'doconv_tf.layers.do_conv', 'class_name': 'DO" in message
    assert "'registered_name': 'doconv_tf>DO" in message
    assert loaded == "DOConv2D"


@pytest.mark.integration("SavedModel", "fold", "export")
@on_tensorflow
@pytest.mark.parametrize("folded", [False, True], ids=["unfolded", "folded"])
def test_saved_model(folded: bool, tmp_path: Path) -> None:
    import tensorflow as tf

    model, x = trained(), batch()[0]
    y = run(model, x)
    if folded:
        fold(model, inplace=True)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(x), y, rtol=1e-4, atol=1e-5)
    kept = {v.name.split("/")[-1].split(":")[0] for v in exported._all_variables}
    assert ("D" in kept) == (not folded)


@on_tensorflow
# TensorFlow 2.21 announces that its interpreter moves to a package of its own.
@pytest.mark.integration("LiteRT (TFLite)", "fold", export="fold first")
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_litert_of_a_folded_model(tmp_path: Path) -> None:
    import tensorflow as tf

    model, x = trained(), batch()[0][:1]
    y = run(model, x)
    fold(model, inplace=True).export(tmp_path / "exported", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "exported"))
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(output, y, rtol=1e-4, atol=1e-5)


@pytest.mark.integration("ModelCheckpoint", "save", "resume")
def test_a_checkpoint_callback_keeps_D(tmp_path: Path) -> None:
    model = trained()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    path = tmp_path / "best.keras"
    callback = keras.callbacks.ModelCheckpoint(str(path))
    model.fit(*batch(), epochs=1, verbose=0, callbacks=[callback])
    again = keras.saving.load_model(path)
    for ours, theirs in zip(values(again), values(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again.fit(*batch(), epochs=1, verbose=0)


def test_a_file_whose_class_is_not_imported_names_it_and_this_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras imports no package but its own, so its words are what a reader has."""
    trained().save(tmp_path / "model.keras")
    registered = keras.saving.get_custom_objects()
    for name in [name for name in registered if name.startswith("doconv_tf>")]:
        monkeypatch.delitem(registered, name)
    with pytest.raises(TypeError, match=r"(?s)could not be|Could not locate class") as caught:
        keras.saving.load_model(tmp_path / "model.keras")
    assert "doconv_tf>DO" in str(caught.value)
