"""convert_depthwise on whole models: what is replaced, what is left and why, and what stays."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from doconv_core import messages
from doconv_tf import XSepConv2D, convert, convert_depthwise, fold
from doconv_tf.layers.nesting import everything
from tests.keras_adapter.helpers import BACKEND, run, values

L = keras.layers


def images(*size: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, *size, 4)).astype(np.float32)


def depthwise(size: int = 5, **given: Any) -> L.Layer:
    return L.DepthwiseConv2D(size, **{"padding": "same", **given})


@keras.saving.register_keras_serializable(package="doconv_tests_xsepconv")
class Block(L.Layer):
    """A layer that holds convolutions."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv = depthwise(7, use_bias=False, name="conv")
        self.norm = L.BatchNormalization(name="norm")

    def build(self, input_shape: Any) -> None:
        self.conv.build(input_shape)
        self.norm.build(input_shape)

    def call(self, x: Any) -> Any:
        return self.norm(self.conv(x))


def network() -> keras.Model:
    """Depthwise layers that can be replaced, and some that cannot."""
    x = inputs = keras.Input((33, 26, 4))
    x = L.Conv2D(4, 3, padding="same", name="stem")(x)
    x = depthwise(strides=2, activation="relu", name="strided")(x)
    x = depthwise(3, name="small")(x)
    x = Block(name="block")(x)
    x = L.Conv2D(4, 5, padding="same", groups=4, dilation_rate=(1, 2), name="grouped")(x)
    x = depthwise(padding="valid", name="valid")(x)
    x = L.SeparableConv2D(4, 5, padding="same", name="separable")(x)
    return keras.Model(inputs, x, name="small")


def replaced(model: Any) -> dict[str, XSepConv2D]:
    return {layer.name: layer for layer in everything(model) if isinstance(layer, XSepConv2D)}


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_large_depthwise_layers_are_replaced(inplace: bool) -> None:
    model = network()
    before, layers = values(model), list(map(id, everything(model)))
    names = [layer.name for layer in everything(model)]
    changed = convert_depthwise(model, inplace=inplace, D_mul="K")
    assert (changed is model) == inplace
    found = replaced(changed)
    assert [(name, layer.corner) for name, layer in found.items()] == [
        ("strided", 0),
        ("conv", 1),
        ("grouped", 2),
    ]
    assert found["strided"].D_mul == [4, 5, 5]
    assert found["strided"].vertical.activation is keras.activations.relu
    assert not found["conv"].vertical.use_bias
    assert found["conv"].kernel_size == 7
    assert found["grouped"].dilation_rate == (1, 2)
    x = images(33, 26)
    assert run(changed, x).shape == (2, 13, 9, 4)
    paths = [v.path for v in changed.trainable_variables]
    assert len(set(paths)) == len(paths)
    assert "block/conv/square/kernel" in [v.path for v in changed.variables]
    if inplace:
        own = [layer.name for layer in everything(model) if id(layer) in layers]
        assert own == names
    else:
        assert not replaced(model)
        for ours, theirs in zip(values(model), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_what_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "doconv"):
        convert_depthwise(network(), where=lambda name, _: name != "block/conv")
    assert [record for record in caplog.record_tuples if record[0] == "doconv"] == [
        (
            "doconv",
            logging.INFO,
            "convert_depthwise: 2 of 7 convolutions replaced; "
            f"2 left: {messages.neighbours.NOT_DEPTHWISE}; "
            f"1 left: {messages.neighbours.SMALL_OR_UNEVEN}; "
            f"1 left: {messages.model.NOT_SELECTED}; "
            f"1 left: {messages.neighbours.NOT_SAME_PADDING}",
        ),
        ("doconv", logging.WARNING, messages.neighbours.not_preserving(2)),
    ]


def sequential(*layers: L.Layer) -> keras.Sequential:
    return keras.Sequential([keras.Input((9, 8, 4)), *layers])


class Own(L.DepthwiseConv2D):
    """A subclass, whose call may be its own."""


LEFT: dict[str, tuple[Callable[[], Any], str]] = {
    "over-parameterized": (
        lambda: convert(sequential(depthwise())),
        messages.neighbours.FOLD_FIRST,
    ),
    "multiplier": (
        lambda: sequential(depthwise(depth_multiplier=2)),
        messages.neighbours.NOT_DEPTHWISE,
    ),
    "subclass": (lambda: sequential(Own(5, padding="same")), messages.model.OWN_FORWARD),
    "transposed": (
        lambda: sequential(L.Conv2DTranspose(4, 5, padding="same")),
        messages.neighbours.NOT_DEPTHWISE,
    ),
}


@pytest.mark.parametrize(("build", "reason"), LEFT.values(), ids=LEFT.keys())
def test_what_is_left(build: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    model = build()
    with (
        caplog.at_level(logging.INFO, "doconv"),
        pytest.warns(UserWarning, match=re.escape(messages.neighbours.NOTHING_REPLACED)),
    ):
        convert_depthwise(model, inplace=True)
    assert not replaced(model)
    assert f"left: {reason}" in caplog.text


def test_a_layer_used_twice_becomes_one() -> None:
    conv = depthwise(name="conv")
    inputs, x = keras.Input((9, 8, 4)), keras.Input((9, 8, 4))
    inner = keras.Model(x, conv(x), name="inner")
    model = keras.Model(inputs, conv(conv(inner(inputs))))
    changed = convert_depthwise(model, where=lambda name, _: name == "inner/conv")
    assert changed.get_layer("conv") is changed.get_layer("inner").get_layer("conv")
    assert len(changed.variables) == 4
    assert run(changed, images(9, 8)).shape == (2, 9, 8, 4)


def test_the_corners_go_on_and_twice_is_once() -> None:
    model = sequential(*(depthwise(name=f"conv{i}") for i in range(6)))
    convert_depthwise(model, where=lambda name, _: int(name[-1]) % 2 == 0, inplace=True)
    convert_depthwise(model, inplace=True)
    assert [layer.corner for layer in model.layers] == [0, 3, 1, 0, 2, 1]
    before = values(model)
    convert_depthwise(model, inplace=True)
    for ours, theirs in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_layer_becomes_exactly_an_XSepConv() -> None:
    conv = depthwise(name="conv", dtype="mixed_bfloat16", trainable=False)
    conv.build((None, 9, 8, 4))
    assert convert_depthwise(conv, inplace=True) is conv
    assert type(conv) is XSepConv2D
    assert conv.dtype_policy.name == conv.square.dtype_policy.name == "mixed_bfloat16"
    assert len(conv.trainable_variables) == 4  # they are new
    fresh = XSepConv2D(5)
    fresh.build((None, 9, 8, 4))
    assert vars(fresh).keys() - vars(conv).keys() == {"build", "quantize"}
    assert not vars(conv).keys() - vars(fresh).keys()


def test_an_initializer_of_the_user_s_own_is_kept() -> None:
    conv = depthwise(depthwise_initializer="ones")
    conv.build((None, 9, 8, 4))
    kernel = convert_depthwise(conv).vertical.kernel
    assert (keras.ops.convert_to_numpy(kernel.value) == 1).all()


def test_an_error_leaves_the_model_as_it_was() -> None:
    model = network()
    layers = [(type(layer), set(vars(layer))) for layer in everything(model)]
    with pytest.raises(ValueError, match=re.escape(messages.layer.D_mul_too_small(5, (1, 7), 7))):
        convert_depthwise(model, D_mul=5, inplace=True)
    assert [(type(layer), set(vars(layer))) for layer in everything(model)] == layers


def test_refusals() -> None:
    with pytest.raises(TypeError, match="`model` must be"):
        convert_depthwise("model")  # type: ignore[type-var]
    with pytest.raises(ValueError, match="its shape must be known"):
        convert_depthwise(depthwise())
    model = sequential(depthwise())
    model.compile("sgd", "mse")
    model.fit(images(9, 8), images(9, 8), verbose=0)
    with pytest.raises(
        ValueError, match=re.escape(messages.neighbours.replaced_too_late(model.name))
    ):
        convert_depthwise(model, inplace=True)


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_it_trains_and_folds(inplace: bool) -> None:
    model = network()
    model.compile("sgd", "mse")
    x, target = images(33, 26), np.zeros((2, 13, 9, 4), np.float32)
    model.predict(x, verbose=0)  # what is compiled for the plain model must be forgotten
    model = convert_depthwise(model, inplace=inplace, D_mul="K")
    np.testing.assert_allclose(model.predict(x, verbose=0), run(model, x), rtol=1e-4, atol=1e-5)
    model.compile("sgd", "mse")
    before = values(model)
    model.fit(x, target, verbose=0)
    for variable, old in zip(model.variables, before, strict=True):
        assert not np.array_equal(keras.ops.convert_to_numpy(variable.value), old), variable.path
    y = run(model, x)
    np.testing.assert_allclose(model.predict(x, verbose=0), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(fold(model), x), y, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="what torch.nn.Module.parameters lists")
def test_torch_s_own_list_of_parameters_follows() -> None:
    model = network()
    listed = list(model.parameters())
    assert len(listed) == len(model.variables)
    convert_depthwise(model, inplace=True, D_mul="K")
    listed = list(model.parameters())
    assert {id(p) for p in listed} >= {id(v.value) for v in model.trainable_variables}
    assert len(listed) == len(model.variables)


def test_a_file_keeps_it(tmp_path: Path) -> None:
    model = convert_depthwise(sequential(depthwise(strides=2), depthwise(7)), D_mul=(None, "K", 9))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images(9, 8)
    np.testing.assert_array_equal(run(loaded, x), run(model, x))
    assert [layer.D_mul for layer in loaded.layers] == [[None, 5, 9], [None, 7, 9]]
    assert [layer.corner for layer in loaded.layers] == [0, 1]
