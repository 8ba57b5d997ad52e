"""Folded, a model is handed on as the plain one would be; unfolded, correctly, and it is said."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_tf import convert, fold
from doconv_tf.layers import exporting
from tests.keras_adapter.helpers import BACKEND, randomize_D, run

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="exported by TensorFlow")

Run = Callable[[np.ndarray], np.ndarray]
X = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)


def network(groups: int = 2) -> keras.Model:
    """At 64 channels no exporter folds a composition by itself, as a constant."""
    keras.utils.set_random_seed(0)
    L = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            L.Conv2D(64, 3, padding="same", activation="relu"),
            L.DepthwiseConv2D(3),
            L.Conv2D(8, 3, strides=2, groups=groups),
            L.GlobalAveragePooling2D(),
            L.Dense(3),
        ],
        name="exported",
    )


def saved_model(model: keras.Model, folder: Path) -> tuple[Run, Counter[str]]:
    """TensorFlow Serving's: the graph of its signature."""
    import tensorflow as tf

    model.export(folder / "served", verbose=False)
    served = tf.saved_model.load(str(folder / "served"))
    graph = served.signatures["serving_default"].graph.as_graph_def()
    called = [node for function in graph.library.function for node in function.node_def]
    kinds = Counter(node.op for node in (*graph.node, *called))
    return lambda x: served.serve(x).numpy(), kinds


def litert(model: keras.Model, folder: Path) -> tuple[Run, Counter[str]]:
    """What phones run."""
    from tests.keras_adapter.litert import Interpreter

    model.export(str(folder / "model.tflite"), format="litert", verbose=False)
    interpreter = Interpreter((folder / "model.tflite").read_bytes())
    return interpreter, interpreter.operators


FORMATS = {"SavedModel": saved_model, "LiteRT": litert}
every_format = pytest.mark.parametrize("export", FORMATS.values(), ids=FORMATS)


@pytest.mark.integration("SavedModel", "fold", "export")
@pytest.mark.integration("LiteRT (TFLite)", "fold", "export")
@every_format
def test_a_folded_model_is_exported_as_the_plain_one(export: Any, tmp_path: Path) -> None:
    plain = network()
    model = convert(plain)
    randomize_D(model)
    folded = fold(model)
    (tmp_path / "folded").mkdir()
    files = (export(plain, tmp_path), export(folded, tmp_path / "folded"))
    runs, kinds = zip(*files, strict=True)
    assert kinds[0] == kinds[1]
    np.testing.assert_allclose(runs[1](X), run(model, X), rtol=1e-4, atol=1e-5)
    assert abs(runs[1](X) - runs[0](X)).max() > 1e-3


@pytest.mark.integration("SavedModel", export="unfolded: correct, told once")
@pytest.mark.integration("LiteRT (TFLite)", export="unfolded: correct, told once")
@every_format
def test_an_unfolded_one_computes_the_same_and_it_is_told_once(export: Any, tmp_path: Path) -> None:
    model = convert(network())
    randomize_D(model)
    exporting.warn.cache_clear()
    with pytest.warns(UserWarning, match="not folded: the graph is right") as told:
        exported, _ = export(model, tmp_path)
    assert len(told) == 1
    np.testing.assert_allclose(exported(X), run(model, X), rtol=1e-4, atol=1e-5)


@pytest.mark.integration(".keras files", "save")
def test_saving_to_train_on_says_nothing(tmp_path: Path) -> None:
    model = convert(network())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save(tmp_path / "model.keras")
        model.save_weights(tmp_path / "model.weights.h5")
