"""A user's program, for type checkers (`make lint`, `make pyright`); never run."""

# mypy: disable-error-code="import-untyped"
from typing import assert_type

import tf_keras

from doconv_core import Summary
from doconv_tf_keras import DOConv2D, DODepthwiseConv2D, convert, fold, summary


def program(model: tf_keras.Sequential) -> None:  # made elsewhere: to pyright 1.1.414 a Functional
    layer = DOConv2D(8, 3, padding="same", activation="relu", name="conv", D_mul=9)
    assert_type(layer.fold(), tf_keras.layers.Conv2D)
    assert_type(DOConv2D.from_conv(tf_keras.layers.Conv2D(8, 3)), DOConv2D)
    assert_type(DODepthwiseConv2D(3).fold(), tf_keras.layers.DepthwiseConv2D)
    assert_type(convert(model, where=lambda name, layer: True), tf_keras.Sequential)
    assert_type(fold(model), tf_keras.Sequential)
    assert_type(summary(model), Summary)

    DOConv2D(8)  # type: ignore[call-arg]
    DOConv2D("8", 3)  # type: ignore[arg-type]
    DOConv2D(8, 3, composition="fast")  # type: ignore[arg-type]
