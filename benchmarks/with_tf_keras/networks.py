"""Networks of tf_keras layers, the same as those of ``with_keras``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tf_keras
from tf_keras import layers


def _conv(x: Any, filters: int, size: int, strides: int = 1) -> Any:
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def resnet18(size: int) -> tf_keras.Model:
    """ResNet-18 with the stem for small images: 3x3, and no pooling."""
    inputs = tf_keras.Input((size, size, 3))
    x = layers.ReLU()(_conv(inputs, 64, 3))
    for stage in range(4):
        filters = 64 * 2**stage
        for block in range(2):
            strides = 2 if stage and not block else 1
            branch = layers.ReLU()(_conv(x, filters, 3, strides))
            branch = _conv(branch, filters, 3)
            if strides > 1:
                x = _conv(x, filters, 1, strides)
            x = layers.ReLU()(layers.Add()([x, branch]))
    return tf_keras.Model(inputs, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)))


def resnet50(size: int) -> tf_keras.Model:
    """The one that comes with tf_keras, with random weights."""
    return tf_keras.applications.ResNet50(
        weights=None, input_shape=(size, size, 3), classifier_activation=None
    )


def tiny(size: int) -> tf_keras.Model:
    """Two convolutions, to show that a program works."""
    inputs = tf_keras.Input((size, size, 3))
    x = _conv(layers.ReLU()(_conv(inputs, 4, 3)), 4, 3)
    return tf_keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


NETWORKS: dict[str, Callable[[int], tf_keras.Model]] = {
    "tiny": tiny,
    "resnet18": resnet18,
    "resnet50": resnet50,
}
"""The whole networks that are measured."""
