"""What convert and fold leave alone, and what they refuse: with the reason, and nothing changed."""

from __future__ import annotations

import logging
import re
from typing import Any

import keras
import numpy as np
import pytest

import doconv_tf
from doconv_core import messages
from doconv_tf import convert, fold
from doconv_tf import messages as keras_messages
from doconv_tf.layers.nesting import everything
from tests.keras_adapter.autodiff import to_numpy
from tests.keras_adapter.helpers import (
    batch,
    over_parameterized,
    run,
    small_functional,
    small_sequential,
    subclassed,
)

L = keras.layers


inplace_or_not = pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])


def warns(message: str) -> Any:
    return pytest.warns(UserWarning, match=f"^{re.escape(message)}$")


def normalized() -> keras.Model:
    conv = L.Conv2D(4, 3, name="conv")
    return keras.Sequential([keras.Input((8, 8, 4)), L.SpectralNormalization(conv, name="norm")])


def with_(change: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((8, 8, 4)), L.Conv2D(4, 3, name="conv")])
    change(model.layers[0])
    return model


class OwnConv(L.Conv2D):
    def call(self, x: Any) -> Any:
        return super().call(x)


def add_a_variable(layer: Any) -> None:
    layer._tracker.unlock()
    layer.add_weight(name="mask", shape=(4,))


REASONS = {
    "pointwise": (
        lambda: keras.Sequential([keras.Input((8, 8, 4)), L.Conv2D(4, 1)]),
        messages.model.POINTWISE,
    ),
    "subclass": (
        lambda: keras.Sequential([keras.Input((8, 8, 4)), OwnConv(4, 3)]),
        messages.model.OWN_FORWARD,
    ),
    "instance-call": (
        lambda: with_(lambda layer: setattr(layer, "call", lambda x: x)),
        messages.model.INSTANCE_FORWARD,
    ),
    "lora": (lambda: with_(lambda layer: layer.enable_lora(2)), keras_messages.LORA),
    "spectral-norm": (normalized, messages.model.RECOMPUTED_WEIGHT),
    "other-variables": (lambda: with_(add_a_variable), messages.model.OTHER_ARRAYS),
}


@pytest.mark.parametrize(("build", "reason"), REASONS.values(), ids=REASONS.keys())
def test_what_is_left_alone_and_why(
    build: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = build()
    with caplog.at_level(logging.INFO, "doconv"), warns(messages.model.NOTHING_CONVERTED):
        convert(model, inplace=True)
    assert caplog.messages == [f"convert: 0 of 1 convolutions over-parameterized; 1 left: {reason}"]
    assert over_parameterized(model) == []
    (row,) = doconv_tf.summary(model)
    assert row.reason == reason


def test_the_log_says_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "doconv"):
        fold(convert(small_functional(), where=lambda name, layer: name != "stem"))
    assert caplog.messages == [
        "convert: 4 of 6 convolutions over-parameterized; "
        f"1 left: {messages.model.NOT_SELECTED}; 1 left: {messages.model.POINTWISE}",
        "fold: 4 convolutions folded",
    ]


class Spare(keras.layers.Layer):
    """A block that holds more than it calls, as an official one of the Model Garden does."""

    def __init__(self) -> None:
        super().__init__(name="block")
        self.conv = L.Conv2D(4, 3, name="conv")
        self.spare = L.Conv2D(4, 3, name="spare")

    def build(self, shape: Any) -> None:
        self.conv.build(shape)

    def call(self, x: Any) -> Any:
        return self.conv(x)


@pytest.mark.parametrize(
    "holder", [Spare, lambda: keras.Sequential([Spare()])], ids=["block", "model"]
)
def test_a_layer_that_is_never_called_stays_and_is_told(holder: Any) -> None:
    block, (x, _) = holder(), batch()
    expected = run(block, x)
    with warns(messages.model.mostly_left(1, 1, messages.model.NEVER_CALLED)):
        convert(block, inplace=True)
    np.testing.assert_array_equal(run(block, x), expected)
    conv, spare = doconv_tf.summary(block)
    assert (conv.reason, spare.reason) == ("", messages.model.NEVER_CALLED)


def unbuilt() -> keras.Sequential:
    return keras.Sequential([L.Conv2D(4, 3, name="conv")])


def fitted() -> keras.Model:
    model = small_functional()
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def not_finite() -> keras.Model:
    model = convert(small_sequential())
    model.layers[1].D.assign(np.full(model.layers[1].D.shape, np.nan))
    return model


class _Legacy:
    __module__ = "tf_keras.src.engine.functional"


class OwnDOConv(doconv_tf.DOConv2D):
    pass


CONVERT_ERRORS = {
    "D_mul": (small_functional, {"D_mul": 8}, messages.layer.D_mul_too_small(8, (3, 3), 9)),
    "not-built": (unbuilt, {}, messages.model.uninitialized("conv", "Conv2D")),
    "optimizer-built": (fitted, {}, keras_messages.optimizer_is_built("small")),
    "root-subclass": (
        lambda: OwnConv(4, 3),
        {},
        messages.model.cannot_convert("", "OwnConv", messages.model.OWN_FORWARD),
    ),
}


@pytest.mark.parametrize(
    ("build", "given", "message"), CONVERT_ERRORS.values(), ids=CONVERT_ERRORS.keys()
)
def test_an_error_of_convert_leaves_the_model_as_it_was(
    build: Any, given: dict[str, Any], message: str
) -> None:
    model = build()
    before = [(type(layer), list(vars(layer))) for layer in everything(model)]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        convert(model, **given, inplace=True)
    assert [(type(layer), list(vars(layer))) for layer in everything(model)] == before


def test_an_initializer_that_fails_leaves_the_model_as_it_was() -> None:
    model, x = small_functional(), batch()[0]
    y = run(model, x)
    count = len(model.variables)

    def fails(shape: Any, dtype: Any = None) -> Any:
        raise RuntimeError("no")

    model.get_layer("up").kernel_initializer = fails  # drawn for the free columns
    with pytest.raises(RuntimeError, match="no"):
        convert(model, D_mul=10, inplace=True)
    assert over_parameterized(model) == []
    assert len(model.variables) == count
    np.testing.assert_array_equal(run(model, x), y)


FOLD_ERRORS = {
    "not-finite": (not_finite, "cannot fold layer 'depthwise_conv2d.*': `D` must be finite"),
    "not-built": (
        lambda: keras.Sequential([doconv_tf.DOConv2D(4, 3, name="conv")]),
        re.escape(keras_messages.not_built("conv", "DOConv2D")),
    ),
    "subclass": (
        lambda: keras.Sequential([keras.Input((8, 8, 4)), OwnDOConv(4, 3, name="conv")]),
        re.escape(messages.model.cannot_fold("conv", "OwnDOConv", messages.model.OWN_FORWARD)),
    ),
}


@inplace_or_not
@pytest.mark.parametrize(("build", "message"), FOLD_ERRORS.values(), ids=FOLD_ERRORS.keys())
def test_an_error_of_fold_leaves_the_model_as_it_was(
    build: Any, message: str, inplace: bool
) -> None:
    model = build()
    count = len(over_parameterized(model))
    with pytest.raises(ValueError, match=message):
        fold(model, inplace=inplace)
    assert len(over_parameterized(model)) == count > 0


def test_a_model_without_a_config_says_to_pass_inplace() -> None:
    with pytest.raises(ValueError, match=r"the Subclassed cannot be copied.*Pass inplace=True"):
        convert(subclassed())


@pytest.mark.parametrize("verb", [convert, fold, doconv_tf.summary, doconv_tf.get_state])
def test_what_is_not_of_keras_3_is_named(verb: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(keras_messages.legacy_keras("_Legacy"))):
        verb(_Legacy())
    message = messages.layer.wrong_type("model", 3, "a Keras layer or model")
    with pytest.raises(TypeError, match=re.escape(message)):
        verb(3)


def _called_otherwise() -> L.Conv2D:
    conv = L.Conv2D(4, 3, name="conv")
    conv.build((None, 8, 8, 4))
    conv.call = lambda inputs: inputs
    return conv


FROM_CONV_ERRORS = {
    "called otherwise": (
        _called_otherwise(),
        ValueError,
        messages.model.cannot_convert("conv", "Conv2D", messages.model.INSTANCE_FORWARD),
    ),
    "class": (
        L.DepthwiseConv2D(3),
        TypeError,
        messages.layer.wrong_type("conv", L.DepthwiseConv2D(3), "a Conv2D"),
    ),
    "not-built": (
        L.Conv2D(4, 3, name="conv"),
        ValueError,
        messages.model.uninitialized("conv", "Conv2D"),
    ),
}


@pytest.mark.parametrize(
    ("conv", "kind", "message"), FROM_CONV_ERRORS.values(), ids=FROM_CONV_ERRORS.keys()
)
def test_errors_of_from_conv(conv: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        doconv_tf.DOConv2D.from_conv(conv)


def test_from_conv_of_a_pointwise_layer_has_no_D() -> None:
    conv = L.Conv2D(4, 1)
    conv.build((None, 8, 8, 4))
    layer = doconv_tf.DOConv2D.from_conv(conv)
    assert type(layer) is doconv_tf.DOConv2D
    assert layer.D is None
    np.testing.assert_array_equal(to_numpy(layer.fold().kernel), to_numpy(conv.kernel))
