"""Two replicas on one CPU, in a process of their own: TensorFlow must be told before it starts.

Prints, for a way to convert, the greatest difference to training without a strategy, and the kinds
of variables.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from doconv_tf import convert, convert_depthwise, fold

L = keras.layers

CPU, *_ = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

X = np.random.default_rng(0).normal(size=(16, 8, 8, 4)).astype(np.float32)
Y = np.arange(16) % 3


def made() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [L.Conv2D(6, 3, activation="relu"), L.DepthwiseConv2D(2), L.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input((8, 8, 4)), *layers, L.Dense(3)])


def trained(model: keras.Model) -> np.ndarray:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, jit_compile=False)  # XLA takes seconds
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return np.concatenate([keras.ops.convert_to_numpy(v).ravel() for v in model.variables])


def kinds(model: keras.Model) -> list[str]:
    return sorted({type(v.value).__name__ for v in model.variables})


def scope(inside: str) -> Any:
    return STRATEGY.scope() if inside == "inside" else nullcontext()


def way(build: str, change: str, inplace: bool, expected: np.ndarray) -> dict[str, Any]:
    with scope(build):
        model = made()
    before = kinds(model), len(model.variables)
    try:
        with scope(change):
            model = convert(model, inplace=inplace)
    except ValueError as error:
        return {"error": str(error), "left": (kinds(model), len(model.variables)) == before}
    difference = float(np.abs(trained(model) - expected).max())
    same = np.abs(fold(model)(X, training=False) - model(X, training=False)).max()
    return {"kinds": kinds(model), "difference": difference, "folded": float(same)}


def replaced() -> list[str]:
    with STRATEGY.scope():
        model = keras.Sequential([keras.Input((8, 8, 4)), L.DepthwiseConv2D(5, padding="same")])
    return kinds(convert_depthwise(model, inplace=True, D_mul="K"))


if __name__ == "__main__":
    expected = trained(convert(made()))
    ways = {
        f"{build} {change} {inplace}": way(build, change, inplace, expected)
        for build in ("inside", "outside")
        for change in ("inside", "outside")
        for inplace in (False, True)
    }
    json.dump(ways | {"replaced": replaced()}, sys.stdout)
