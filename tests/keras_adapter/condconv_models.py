"""Small models with CondConv layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from doconv_tf import CondConv2D, Routing
from tests.keras_adapter.helpers import randomize

L = keras.layers


def functional(D_mul: Any = None) -> keras.Model:
    """A plain convolution, and CondConv layers that share a routing, own one, or are 1x1."""
    x = inputs = keras.Input((8, 8, 4), name="image")
    x = L.Conv2D(6, 3, padding="same", activation="relu", name="stem")(x)
    alpha = Routing(3, name="shared")(x)
    given = {"num_experts": 3, "routing": False}
    x = CondConv2D(6, 3, groups=6, use_bias=False, D_mul=D_mul, name="depthwise", **given)(x, alpha)
    x = CondConv2D(8, 1, name="pointwise", **given)(x, alpha)
    given = {"routing_bias": True, "D_mul": D_mul}
    x = CondConv2D(6, 3, strides=2, groups=2, name="grouped", **given)(x)
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, L.Dense(3, name="head")(x), name="network")


@keras.saving.register_keras_serializable(package="doconv_tests")
class CondBlock(L.Layer):
    """Makes its own layers, so that a copy of it makes them as they were before conversion."""

    def __init__(self, D_mul: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.D_mul = D_mul
        self.conv = CondConv2D(4, 3, D_mul=D_mul, name="conv")

    def build(self, input_shape: Any) -> None:
        self.conv.build(input_shape)

    def call(self, x: Any) -> Any:
        return self.conv(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "D_mul": self.D_mul}


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.block, self.pool, self.head = CondBlock(), L.GlobalAveragePooling2D(), L.Dense(3)

    def call(self, x: Any) -> Any:
        return self.head(self.pool(self.block(x)))

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError


def subclassed() -> Subclassed:
    model = Subclassed()
    model(np.zeros((1, 8, 8, 4), np.float32))
    return model


def trained(D_mul: Any = "K") -> keras.Model:
    model = functional(D_mul)
    randomize(model)
    return model
