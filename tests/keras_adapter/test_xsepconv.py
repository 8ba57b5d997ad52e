"""XSepConv2D in Keras's ways of using a layer."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import messages
from doconv_tf import XSepConv2D, convert, fold, get_state, set_state, summary
from doconv_tf.layers.base import DOConvNd
from tests.keras_adapter import autodiff
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import BACKEND, randomize, run, values

L = keras.layers


def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 9, 8, 4)).astype(np.float32)


def model(**given: Any) -> keras.Model:
    """An XSepConv layer in a model, with random variables."""
    inputs = keras.Input((9, 8, 4))
    arguments = {"strides": 2, "corner": 1, "D_mul": "K", "activation": "relu", **given}
    layer = XSepConv2D(5, **arguments, name="xsep")
    made = keras.Model(inputs, layer(inputs))
    randomize(made)
    return made


def test_the_variables() -> None:
    paths = [v.path.split("/", 1)[1] for v in model(D_mul=None).variables]
    assert paths == ["square/kernel", "horizontal/kernel", "vertical/kernel", "vertical/bias"]


def test_bad_sizes_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match=re.escape(messages.neighbours.not_separable(3))):
        XSepConv2D(3)


def test_strides_are_equal_on_both_axes_of_every_convolution() -> None:
    """TensorFlow has no others but by oneDNN on a CPU; the star shows that the result is right."""
    layer = XSepConv2D(5, strides=(2, 3))
    assert [conv.strides for conv in layer.convolutions] == [(1, 1), (3, 3), (2, 2)]


def test_convolutions_with_one_initializer_start_from_different_values() -> None:
    layer = XSepConv2D(5, depthwise_initializer=keras.initializers.RandomNormal())
    layer.build((None, None, None, 4))
    horizontal, vertical = (to_numpy(conv.kernel).ravel() for conv in layer.convolutions[1:])
    assert not np.array_equal(horizontal, vertical)


def test_features_keep_their_variance_at_birth() -> None:
    x = np.random.default_rng(0).normal(size=(1, 12, 12, 256)).astype(np.float32)
    assert 0.5 < run_layer(XSepConv2D(5), x)[:, 3:-3, 3:-3].var() < 2


def test_arguments_of_the_host_come_back_in_the_config() -> None:
    """Of all that DepthwiseConv2D takes, but what XSepConv decides."""
    given = {
        "activation": "relu",
        "use_bias": True,
        "depthwise_initializer": keras.initializers.RandomNormal(stddev=2.0, seed=3),
        "bias_initializer": "ones",
        "depthwise_regularizer": keras.regularizers.L2(0.5),
        "bias_regularizer": keras.regularizers.L1(0.5),
        "activity_regularizer": keras.regularizers.L1(0.25),
        "depthwise_constraint": keras.constraints.NonNeg(),
        "bias_constraint": keras.constraints.MaxNorm(3),
        "data_format": "channels_last",
        "name": "xsep",
        "dtype": "mixed_bfloat16",
        "trainable": False,
    }
    host = L.DepthwiseConv2D(5, **given).get_config()
    layer = XSepConv2D(5, (2, 1), dilation_rate=(1, 2), **given, corner=3, D_mul=(None, "K", 8))
    config = layer.get_config()
    ours = ("kernel_size", "strides", "dilation_rate")
    theirs = ("padding", "depth_multiplier", *ours)
    assert {k: v for k, v in config.items() if k not in (*ours, "corner", "D_mul")} == {
        k: v for k, v in host.items() if k not in theirs
    } | {"activity_regularizer": config["activity_regularizer"]}
    assert {name: config[name] for name in (*ours, "corner", "D_mul")} == {
        "kernel_size": 5,
        "strides": (2, 1),
        "dilation_rate": (1, 2),
        "corner": 3,
        "D_mul": [None, 5, 8],
    }
    assert XSepConv2D.from_config(config).get_config() == config


def by_file(made: Any, path: Path) -> Any:
    made.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def by_weights_file(made: Any, path: Path) -> Any:
    made.save_weights(path / "model.weights.h5")
    other = keras.models.clone_model(made)
    randomize(other, seed=5)
    other.load_weights(path / "model.weights.h5")
    return other


def by_state(made: Any, path: Path) -> Any:
    other = model()
    randomize(other, seed=5)
    set_state(other, get_state(made))
    return other


def by_saved_model(made: Any, path: Path) -> Callable[..., Any]:
    if BACKEND != "tensorflow":
        pytest.skip("TensorFlow's own format")
    made.export(path / "saved", verbose=False)
    served = L.TFSMLayer(path / "saved", call_endpoint="serve")
    return lambda x, training: served(x)


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "fold": lambda made, path: fold(made),
    "file": by_file,
    "folded file": lambda made, path: by_file(fold(made), path),
    "weights file": by_weights_file,
    "neutral state": by_state,
    "deepcopy": lambda made, path: copy.deepcopy(made),
    "SavedModel": by_saved_model,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_every_way_leads_to_the_same_output(way: Any, tmp_path: Path) -> None:
    made, x = model(), images()
    np.testing.assert_allclose(run(way(made, tmp_path), x), run(made, x), rtol=1e-4, atol=1e-5)


def test_convert_may_take_one_of_the_three_and_a_file_keeps_it(tmp_path: Path) -> None:
    made = convert(model(D_mul=None), where=lambda name, _: name == "xsep/square", D_mul=6)
    assert list(get_state(made)) == ["xsep/square"]
    loaded = by_file(made, tmp_path)
    assert loaded.get_layer("xsep").D_mul == [6, None, None]
    np.testing.assert_array_equal(run(loaded, images()), run(made, images()))


def test_convert_and_fold_change_the_three() -> None:
    plain = model(D_mul=None)
    made = convert(plain)
    layer = made.get_layer("xsep")
    assert layer.D_mul == [4, 5, 5]
    assert all(isinstance(conv, DOConvNd) for conv in layer.convolutions)
    np.testing.assert_array_equal(run(made, images()), run(plain, images()))
    assert fold(made).get_config() == plain.get_config()
    np.testing.assert_array_equal(values(fold(made))[0], values(plain)[0])


def test_summary_has_a_row_for_each_of_the_three() -> None:
    rows = summary(model(), (1, 9, 8, 4))
    assert [(row.name, row.K, row.S) for row in rows] == [
        ("xsep/square", 4, 4),
        ("xsep/horizontal", 5, 5),
        ("xsep/vertical", 5, 5),
    ]
    plain = sum(row.macs[0] for row in rows if row.macs)
    assert plain == 4 * (4 * 9 * 8 + 5 * 9 * 4 + 5 * 5 * 4)


@pytest.mark.parametrize("how", autodiff.WAYS)
def test_sizes_that_are_not_known_when_traced(how: str) -> None:
    layer = XSepConv2D(5, strides=2)
    inputs = keras.Input((None, None, 4))
    made = keras.Model(inputs, layer(inputs))
    assert made.output_shape == (None, None, None, 4)
    y = autodiff.forward(lambda x: made(x, training=False), images(), how)
    assert y.shape == (2, 5, 4, 4)


def test_channels_first_is_channels_last_turned() -> None:
    last, first = (
        XSepConv2D(5, (2, 1), dilation_rate=(1, 2), data_format=f"channels_{where}", corner=1)
        for where in ("last", "first")
    )
    x = images()
    last.build(x.shape)
    first.build((None, 4, 9, 8))
    randomize(last)
    first.set_weights(last.get_weights())
    turned = run_layer(first, np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(turned.transpose(0, 2, 3, 1), run_layer(last, x), 1e-5, 1e-5)


def run_layer(layer: Any, x: np.ndarray) -> np.ndarray:
    return to_numpy(layer(keras.ops.convert_to_tensor(x)))


def test_it_trains_by_fit() -> None:
    made = model(D_mul=11)
    made.compile("sgd", "mse")
    before = values(made)
    made.fit(images(), np.zeros((2, 5, 4, 4), np.float32), verbose=0)
    assert all(
        not np.array_equal(ours, theirs) for ours, theirs in zip(values(made), before, strict=True)
    )
