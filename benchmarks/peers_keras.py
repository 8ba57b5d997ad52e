"""Ways to train a convolution that ours is compared with, re-expressed for comparison only.

Each function turns the k x k convolutions of a plain network (k > 1) into its own kind of layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

import doconv_tf


class Official(keras.layers.Conv2D):
    """DO-Conv as the authors' code composes it: an identity array added to D, one einsum."""

    def build(self, input_shape: Any) -> None:
        K = math.prod(self.kernel_size)
        self.D = self.add_weight(shape=(K, K, input_shape[-1]), initializer="zeros", name="D")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        shape = self.kernel.shape
        kernel = official_kernel(ops.reshape(self.kernel, (-1, self.D.shape[2], shape[3])), self.D)
        outputs = self.convolution_op(inputs, ops.reshape(kernel, shape))
        return self.activation(outputs if self.bias is None else outputs + self.bias)


def official_kernel(W: Any, D: Any) -> Any:
    """W (K, I, O/g) and D (K, K, I) to a kernel like W."""
    K, _, I = D.shape
    identity = ops.tile(ops.reshape(ops.eye(K), (K, K, 1)), (1, 1, I))
    return ops.einsum("msi,sio->mio", D + identity, W)


def official(model: keras.Model) -> keras.Model:
    """A copy of the network, with the authors' way of composing."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        convolution = type(layer) is keras.layers.Conv2D and math.prod(layer.kernel_size) > 1
        return (Official if convolution else type(layer)).from_config(layer.get_config())

    new = keras.models.clone_model(model, clone_function=copy)
    for ours, theirs in zip(new.layers, model.layers, strict=True):
        zeros = [ours.D.numpy()] if isinstance(ours, Official) else []  # its first weight
        ours.set_weights([*zeros, *theirs.get_weights()])
    return new


def feature(model: keras.Model) -> keras.Model:
    """Our layers by feature composition."""
    model = doconv_tf.convert(model)
    for layer in model.layers:
        if hasattr(layer, "composition"):
            layer.composition = "feature"
    return model


PEERS: dict[str, Callable[[keras.Model], keras.Model]] = {
    "DO-Conv": doconv_tf.convert,
    "official way": official,
    "feature composition": feature,
}
