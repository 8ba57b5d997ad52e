"""What convert and fold leave alone, and what they refuse: with the reason, and nothing changed."""

from __future__ import annotations

import logging
import re
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

import doconv_tf
import doconv_tf_keras
from doconv_core import messages
from doconv_tf_keras import convert, fold
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.nesting import everything
from tests.tf_keras_adapter.helpers import (
    L,
    batch,
    over_parameterized,
    run,
    small_functional,
    small_sequential,
    subclassed,
)


def warns(message: str) -> Any:
    return pytest.warns(UserWarning, match=f"^{re.escape(message)}$")


def with_(change: Any) -> tf_keras.Model:
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 4)), L.Conv2D(4, 3, name="conv")])
    change(model.layers[0])
    return model


class OwnConv(L.Conv2D):
    """It may compute something else."""

    def call(self, x: Any) -> Any:
        return 2 * super().call(x)


class OwnDOConv(doconv_tf_keras.DOConv2D):
    pass


def replace_call(layer: Any) -> None:
    layer.call = lambda x: x


def normalized() -> Any:
    # Not built: where tf.keras is Keras 3, tf_keras 2.21 takes its InputSpec for its own.
    conv = L.Conv2D(4, 3, name="conv")
    conv.build((None, 8, 8, 4))
    return L.SpectralNormalization(conv, name="norm")


REASONS: dict[str, tuple[Any, str]] = {
    "pointwise": (
        lambda: tf_keras.Sequential([tf_keras.Input((8, 8, 4)), L.Conv2D(4, 1)]),
        messages.model.POINTWISE,
    ),
    "subclass": (
        lambda: tf_keras.Sequential([tf_keras.Input((8, 8, 4)), OwnConv(4, 3)]),
        messages.model.OWN_FORWARD,
    ),
    "name-taken": (
        lambda: with_(lambda layer: setattr(layer, "composition", "the user's")),
        messages.model.NAME_TAKEN,
    ),
    "recurrent": (
        lambda: tf_keras.Sequential([tf_keras.Input((5, 8, 8, 4)), L.ConvLSTM2D(3, (3, 2))]),
        tf_keras_messages.RECURRENT,
    ),
    "instance-call": (lambda: with_(replace_call), messages.model.INSTANCE_FORWARD),
    "spectral-norm": (normalized, messages.model.RECOMPUTED_WEIGHT),
    "other-variables": (
        lambda: with_(lambda layer: layer.add_weight("mask", (4,))),
        messages.model.OTHER_ARRAYS,
    ),
}


@pytest.mark.parametrize(("build", "reason"), REASONS.values(), ids=REASONS)
def test_what_is_left_alone_and_why(
    build: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = build()
    with caplog.at_level(logging.INFO, "doconv"), warns(messages.model.NOTHING_CONVERTED):
        convert(model, inplace=True)
    assert caplog.messages == [f"convert: 0 of 1 convolutions over-parameterized; 1 left: {reason}"]
    assert over_parameterized(model) == []
    (row,) = doconv_tf_keras.summary(model)
    assert row.reason == reason


class Spare(tf_keras.layers.Layer):
    """A block that holds more than it calls, as an official one of the Model Garden does."""

    def __init__(self) -> None:
        super().__init__(name="block")
        self.conv = L.Conv2D(4, 3, name="conv")
        self.spare = L.Conv2D(4, 3, name="spare")

    def call(self, x: Any) -> Any:
        return self.conv(x)


@pytest.mark.parametrize(
    "holder", [Spare, lambda: tf_keras.Sequential([Spare()])], ids=["block", "model"]
)
def test_a_layer_that_is_never_called_stays_and_is_told(holder: Any) -> None:
    block, (x, _) = holder(), batch()
    expected = run(block, x)
    with warns(messages.model.mostly_left(1, 1, messages.model.NEVER_CALLED)):
        convert(block, inplace=True)
    np.testing.assert_array_equal(run(block, x), expected)
    conv, spare = doconv_tf_keras.summary(block)
    assert (conv.reason, spare.reason) == ("", messages.model.NEVER_CALLED)


def unbuilt() -> tf_keras.Sequential:
    return tf_keras.Sequential([L.Conv2D(4, 3, name="conv")])


def fitted() -> tf_keras.Model:
    model = small_functional()
    model.compile(tf_keras.optimizers.SGD(), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def scaled() -> tf_keras.Model:
    model = small_functional()
    inner = tf_keras.optimizers.SGD()
    model.compile(tf_keras.mixed_precision.LossScaleOptimizer(inner), "mse")
    inner.build(model.trainable_variables)
    return model


def not_finite() -> tf_keras.Model:
    model = convert(small_sequential())
    model.layers[1].D.assign(np.full(tuple(model.layers[1].D.shape), np.nan))
    return model


CONVERT_ERRORS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "D_mul": (small_functional, {"D_mul": 8}, messages.layer.D_mul_too_small(8, (3, 3), 9)),
    "not-built": (unbuilt, {}, messages.model.uninitialized("conv", "Conv2D")),
    "optimizer-built": (fitted, {}, tf_keras_messages.optimizer_is_built("small")),
    "scaled-optimizer-built": (scaled, {}, tf_keras_messages.optimizer_is_built("small")),
    "root-subclass": (
        lambda: OwnConv(4, 3),
        {},
        messages.model.cannot_convert("", "OwnConv", messages.model.OWN_FORWARD),
    ),
}


@pytest.mark.parametrize(("build", "given", "message"), CONVERT_ERRORS.values(), ids=CONVERT_ERRORS)
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
    y, count = run(model, x), len(model.variables)

    def fails(shape: Any, dtype: Any = None) -> Any:
        raise RuntimeError("no")

    model.get_layer("up").kernel_initializer = fails  # drawn for the free columns
    with pytest.raises(RuntimeError, match="no"):
        convert(model, D_mul=10, inplace=True)
    assert over_parameterized(model) == []
    assert len(model.variables) == count
    np.testing.assert_array_equal(run(model, x), y)


FOLD_ERRORS: dict[str, tuple[Any, str]] = {
    "not-finite": (not_finite, "cannot fold layer 'depthwise_conv2d.*': `D` must be finite"),
    "not-built": (
        lambda: tf_keras.Sequential([doconv_tf_keras.DOConv2D(4, 3, name="conv")]),
        re.escape(tf_keras_messages.not_built("conv", "DOConv2D")),
    ),
    "subclass": (
        lambda: tf_keras.Sequential([tf_keras.Input((8, 8, 4)), OwnDOConv(4, 3, name="conv")]),
        re.escape(messages.model.cannot_fold("conv", "OwnDOConv", messages.model.OWN_FORWARD)),
    ),
}


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize(("build", "message"), FOLD_ERRORS.values(), ids=FOLD_ERRORS)
def test_an_error_of_fold_leaves_the_model_as_it_was(
    build: Any, message: str, inplace: bool
) -> None:
    model = build()
    count = len(over_parameterized(model))
    with pytest.raises(ValueError, match=message):
        fold(model, inplace=inplace)
    assert len(over_parameterized(model)) == count > 0


# --- copies --------------------------------------------------------------------------------


class Forgetful(tf_keras.Model):
    """Whose config does not say how deep it is."""

    def __init__(self, depth: int = 1) -> None:
        x = inputs = tf_keras.Input((8, 8, 4))
        for _ in range(depth):
            x = L.Conv2D(4, 3)(x)
        super().__init__(inputs, x, name="forgetful")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Forgetful:
        return cls(**config)


def put_in_place() -> tf_keras.Model:
    class Holder(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.held = L.Conv2D(4, 3)

        def call(self, x: Any) -> Any:
            return self.held(x)

    holder = Holder(name="holder")
    holder.held = L.DepthwiseConv2D(3, name="put")
    return tf_keras.Sequential([tf_keras.Input((8, 8, 4)), holder])


COPY_ERRORS: dict[str, tuple[Any, str]] = {
    "no-config": (subclassed, tf_keras_messages.cannot_copy("Subclassed", "NotImplementedError")),
    "fewer-layers": (
        lambda: Forgetful(2),
        tf_keras_messages.cannot_copy(
            "Forgetful", tf_keras_messages.holds_otherwise("forgetful", 4, 3)
        ),
    ),
    "another-layer": (
        put_in_place,
        tf_keras_messages.remade_otherwise("put", "DepthwiseConv2D", "Conv2D"),
    ),
}


@pytest.mark.parametrize(("build", "message"), COPY_ERRORS.values(), ids=COPY_ERRORS)
def test_a_copy_that_would_be_another_model_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        convert(build())
    assert message in str(caught.value).replace('\\"', '"')


# --- Keras 3 -------------------------------------------------------------------------------


def layer_of_keras_3() -> Any:
    layer = keras.layers.Conv2D(4, 3)
    layer.build((None, 8, 8, 4))
    return layer


VERBS = [convert, fold, doconv_tf_keras.summary, doconv_tf_keras.get_state,
         doconv_tf_keras.DOConv2D.from_conv]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_what_is_of_keras_3_is_told_which_package_to_use(verb: Any) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(tf_keras_messages.keras_3('Conv2D'))}$"):
        verb(layer_of_keras_3())


def test_so_is_a_tensor_of_keras_3() -> None:
    with pytest.raises(TypeError, match=re.escape(tf_keras_messages.keras_3("KerasTensor"))):
        doconv_tf_keras.DOConv2D(4, 3)(keras.Input((8, 8, 3)))


def layer_of_tf_keras() -> Any:
    layer = L.Conv2D(4, 3)
    layer.build((None, 8, 8, 4))
    return layer


OTHERS = {
    "convert": lambda: doconv_tf.convert(small_sequential()),
    "fold": lambda: doconv_tf.fold(layer_of_tf_keras()),
    "from_conv": lambda: doconv_tf.DOConv2D.from_conv(layer_of_tf_keras()),
    "called": lambda: doconv_tf.DOConv2D(4, 3)(tf_keras.Input((8, 8, 3))),
}


@pytest.mark.parametrize("use", OTHERS.values(), ids=OTHERS)
def test_what_is_of_tf_keras_is_told_the_reverse_by_the_other_package(use: Any) -> None:
    said = r"on Keras 3, not on the legacy tf_keras .* same names from doconv_tf_keras instead\."
    with pytest.raises(TypeError, match=said):
        use()


def test_what_is_no_layer_at_all_is_named() -> None:
    message = messages.layer.wrong_type("model", 3, "a tf_keras layer or model")
    with pytest.raises(TypeError, match=re.escape(message)):
        convert(3)  # type: ignore[type-var]


FROM_CONV_ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
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
    ("conv", "kind", "message"), FROM_CONV_ERRORS.values(), ids=FROM_CONV_ERRORS
)
def test_errors_of_from_conv(conv: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        doconv_tf_keras.DOConv2D.from_conv(conv)
