"""A network of somebody's own, as ``--network package.module:factory`` takes it."""

from __future__ import annotations

import keras


def network(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Two convolutions, batch norm and dropout."""
    layers = keras.layers
    return keras.Sequential([
        keras.Input(input_shape), layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, 2, use_bias=False), layers.BatchNormalization(), layers.ReLU(),
        layers.Dropout(0.2), layers.DepthwiseConv2D(3, 2), layers.GlobalAveragePooling2D(),
        layers.Dense(classes),
    ])  # fmt: skip
