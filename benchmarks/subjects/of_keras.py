"""The networks that are measured in Keras 3 and in tf_keras, which build them by the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def networks(keras: Any) -> dict[str, Callable[[int], Any]]:
    """Functions of the images' size, by name, that build the models of one of the two.

    Args:
        keras: the module, ``keras`` or ``tf_keras``.
    """
    layers = keras.layers

    def conv(x: Any, filters: int, size: int, strides: int = 1) -> Any:
        x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    def resnet18(size: int) -> Any:
        """ResNet-18 with the stem for small images: 3x3, and no pooling."""
        inputs = keras.Input((size, size, 3))
        x = layers.ReLU()(conv(inputs, 64, 3))
        for stage in range(4):
            filters = 64 * 2**stage
            for block in range(2):
                strides = 2 if stage and not block else 1
                branch = layers.ReLU()(conv(x, filters, 3, strides))
                branch = conv(branch, filters, 3)
                if strides > 1:
                    x = conv(x, filters, 1, strides)
                x = layers.ReLU()(layers.Add()([x, branch]))
        return keras.Model(inputs, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)))

    def resnet50(size: int) -> Any:
        """The one that comes with Keras, with random weights."""
        return keras.applications.ResNet50(
            weights=None, input_shape=(size, size, 3), classifier_activation=None
        )

    def tiny(size: int) -> Any:
        """Two convolutions, to show that a program works."""
        inputs = keras.Input((size, size, 3))
        x = conv(layers.ReLU()(conv(inputs, 4, 3)), 4, 3)
        return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))

    return {"tiny": tiny, "resnet18": resnet18, "resnet50": resnet50}
