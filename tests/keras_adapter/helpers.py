"""Random variables, small models, and comparisons."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from doconv_tf.layers.base import DOConvNd
from doconv_tf.layers.do_conv import LAYERS
from doconv_tf.layers.hosts import HOSTS
from doconv_tf.layers.nesting import everything
from tests.keras_adapter.autodiff import to_numpy

BACKEND = keras.backend.backend()
HOST_NAMES = [host.__name__ for host in HOSTS]
LAYER_NAMES = [layer.__name__ for layer in LAYERS]


def rank_of(name: str) -> int:
    return int(next(c for c in name if c.isdigit()))


def arguments(name: str, **more: Any) -> dict[str, Any]:
    """Sizes for a class of convolutions, by its name (of the host or of ours)."""
    given: dict[str, Any] = {"kernel_size": (2, 3, 2)[: rank_of(name)]}
    if "Depthwise" not in name:
        given["filters"] = 6
    if "Depthwise" in name or "Separable" in name:
        given["depth_multiplier"] = 2
    return given | more


def image(name: str, data_format: str = "channels_last", *, seed: int = 0) -> np.ndarray:
    """A batch of two with 4 channels, integers in [-3, 3]."""
    size = (7, 6, 5)[: rank_of(name)]
    shape = (2, *size, 4) if data_format == "channels_last" else (2, 4, *size)
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def randomize(layer: Any, *, kind: str = "gaussian", seed: int = 0) -> None:
    """Write random values into every floating variable: integers in [-3, 3], or Gaussian."""
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        if "float" not in variable.dtype:
            continue
        values = rng.integers(-3, 4, variable.shape) if kind == "integer" else (
            0.1 * rng.normal(size=variable.shape)
        )  # fmt: skip
        # a variance must not be negative
        variable.assign(abs(values) if "variance" in variable.name else values)


def randomize_D(model: Any, *, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for layer in over_parameterized(model):
        layer.D.assign(0.1 * rng.normal(size=layer.D.shape))


def over_parameterized(model: Any) -> list[DOConvNd]:
    return [layer for layer in everything(model) if isinstance(layer, DOConvNd)]


def values(model: Any) -> list[np.ndarray]:
    return [to_numpy(variable) for variable in model.variables]


def run(model: Any, x: np.ndarray) -> np.ndarray:
    return to_numpy(model(keras.ops.convert_to_tensor(x), training=False))


def small_functional() -> keras.Model:
    """One of everything that convert has an opinion on, with a branch and a nested model."""
    L = keras.layers
    inner_input = keras.Input((None, None, 6))
    inner = keras.Model(
        inner_input, L.Conv2D(6, 3, padding="same", name="conv")(inner_input), name="inner"
    )
    x = inputs = keras.Input((8, 8, 4), name="image")
    x = L.Conv2D(6, 3, padding="same", activation="relu", name="stem")(x)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Add(name="add")([x, L.DepthwiseConv2D(3, padding="same", name="depthwise")(x)])
    x = inner(x)
    x = L.SeparableConv2D(6, 3, name="separable")(x)
    x = L.Conv2DTranspose(5, 2, strides=2, name="up")(x)
    x = L.Conv2D(4, 1, name="pointwise")(x)
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, L.Dense(3, name="head")(x), name="small")


def small_sequential() -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            keras.layers.Conv2D(6, 3, activation="relu"),
            keras.layers.DepthwiseConv2D(2),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ],
        name="small",
    )


@keras.saving.register_keras_serializable(package="doconv_tests")
class Block(keras.layers.Layer):
    """A layer that holds convolutions: as an attribute and in a list."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.first, *self.rest = [
            keras.layers.Conv2D(filters, 3, padding="same", name=f"conv{i}") for i in range(3)
        ]

    def build(self, input_shape: Any) -> None:
        for layer in (self.first, *self.rest):
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, x: Any) -> Any:
        for layer in (self.first, *self.rest):
            x = layer(x)
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}


class Subclassed(keras.Model):
    """A model without a config of its own."""

    def __init__(self, widths: tuple[int, ...] = (4, 4)) -> None:
        super().__init__(name="subclassed")
        self.blocks = [Block(width, name=f"block{i}") for i, width in enumerate(widths)]
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.head = keras.layers.Dense(3)
        self.extra = keras.Sequential([keras.layers.Conv2D(4, 3, name="inside")], name="seq")

    def call(self, x: Any, training: bool = False) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(self.extra(x)))

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError


def subclassed() -> Subclassed:
    model = Subclassed()
    model(keras.ops.zeros((1, 8, 8, 4)))
    return model


def batch(*, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels for the small models."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, 8, 8, 4)).astype(np.float32), np.array([0, 1, 2, 0])
