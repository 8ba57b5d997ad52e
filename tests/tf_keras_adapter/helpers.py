"""Random variables, small models, and comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from doconv_tf_keras.layers.base import DOConvNd
from doconv_tf_keras.layers.do_conv import LAYERS
from doconv_tf_keras.layers.hosts import HOSTS
from doconv_tf_keras.layers.nesting import everything

L = tf_keras.layers
CLASSES = {host.__name__: (host, layer) for host, layer in HOSTS.items()}
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


def image(name: str, *, seed: int = 0) -> np.ndarray:
    """A batch of two with 4 channels, integers in [-3, 3]."""
    shape = (2, *(7, 6, 5)[: rank_of(name)], 4)
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def randomize(layer: Any, *, kind: str = "gaussian", seed: int = 0) -> None:
    """Write random values into every variable: integers in [-3, 3], or Gaussian."""
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        shape = tuple(variable.shape)
        values = rng.integers(-3, 4, shape) if kind == "integer" else 0.1 * rng.normal(size=shape)
        # a variance must not be negative
        values = abs(values) if "variance" in variable.name else values
        variable.assign(values.astype(np.float32))


def randomize_D(model: Any, *, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for layer in over_parameterized(model):
        layer.D.assign(0.1 * rng.normal(size=tuple(layer.D.shape)))


def over_parameterized(model: Any) -> list[DOConvNd]:
    return [layer for layer in everything(model) if isinstance(layer, DOConvNd)]


def own_name(variable: Any) -> str:
    return variable.name.rpartition("/")[2].removesuffix(":0")


def values(model: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def assert_same_values(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def run(model: Any, x: np.ndarray) -> np.ndarray:
    return model(tf.constant(x), training=False).numpy()


def small_functional() -> tf_keras.Model:
    """One of everything that convert has an opinion on, with a branch and a nested model."""
    inner_input = tf_keras.Input((None, None, 6))
    inner = tf_keras.Model(
        inner_input, L.Conv2D(6, 3, padding="same", name="conv")(inner_input), name="inner"
    )
    x = inputs = tf_keras.Input((8, 8, 4), name="image")
    x = L.Conv2D(6, 3, padding="same", activation="relu", name="stem")(x)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Add(name="add")([x, L.DepthwiseConv2D(3, padding="same", name="depthwise")(x)])
    x = inner(x)
    x = L.SeparableConv2D(6, 3, name="separable")(x)
    x = L.Conv2DTranspose(5, 2, strides=2, name="up")(x)
    x = L.Conv2D(4, 1, name="pointwise")(x)
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return tf_keras.Model(inputs, L.Dense(3, name="head")(x), name="small")


def small_sequential() -> tf_keras.Sequential:
    return tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 4)),
            L.Conv2D(6, 3, activation="relu"),
            L.DepthwiseConv2D(2),
            L.GlobalAveragePooling2D(),
            L.Dense(3),
        ],
        name="small",
    )


@tf_keras.saving.register_keras_serializable(package="doconv_tests")
class Block(L.Layer):
    """A layer that makes its convolutions in build, as Model Garden's blocks do."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape: Any) -> None:
        self.first, *self.rest = [
            L.Conv2D(self.filters, 3, padding="same", kernel_regularizer="l2") for _ in range(3)
        ]
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        for layer in (self.first, *self.rest):
            x = layer(x)
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}


class Backbone(tf_keras.Model):
    """A functional model by its constructor, and remade by it, as Model Garden's backbones are."""

    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        inputs = tf_keras.Input((8, 8, 4))
        x = L.Conv2D(width, 3, use_bias=False)(inputs)
        x = L.BatchNormalization()(x)
        x = Block(width)(L.Activation("relu")(x))
        x = x + L.Conv2D(width, 3, padding="same")(x)
        super().__init__(inputs=inputs, outputs=L.GlobalAveragePooling2D()(x), **kwargs)
        self.width = width

    def get_config(self) -> dict[str, Any]:
        return {"width": self.width, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Backbone:
        return cls(**config)


class Subclassed(tf_keras.Model):
    """A model without a config of its own."""

    def __init__(self, widths: tuple[int, ...] = (4, 4)) -> None:
        super().__init__(name="subclassed")
        self.blocks = [Block(width, name=f"block{i}") for i, width in enumerate(widths)]
        self.pool = L.GlobalAveragePooling2D()
        self.head = L.Dense(3)
        self.extra = tf_keras.Sequential([L.Conv2D(4, 3, name="inside")], name="seq")

    def call(self, x: Any, training: bool = False) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(self.extra(x)))

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError


def subclassed() -> Subclassed:
    model = Subclassed()
    model(tf.zeros((1, 8, 8, 4)))
    return model


def batch(*, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels for the small models."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, 8, 8, 4)).astype(np.float32), np.array([0, 1, 2, 0])


def compile_(model: Any, optimizer: Any = None, **more: Any) -> Any:
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or tf_keras.optimizers.SGD(0.1, momentum=0.9), loss, **more)
    return model
