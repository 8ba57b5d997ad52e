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


class Peer(keras.layers.Conv2D):
    """A convolution with the authors' array D, (K, K, I), beside its kernel."""

    def build(self, input_shape: Any) -> None:
        K = math.prod(self.kernel_size)
        self.D = self.add_weight(shape=(K, K, input_shape[-1]), initializer="zeros", name="D")
        super().build(input_shape)


class Official(Peer):
    """DO-Conv as the authors' code composes it: an identity array added to D, one einsum."""

    def call(self, inputs: Any) -> Any:
        shape = self.kernel.shape
        kernel = official_kernel(ops.reshape(self.kernel, (-1, self.D.shape[2], shape[3])), self.D)
        outputs = self.convolution_op(inputs, ops.reshape(kernel, shape))
        return self.activation(outputs if self.bias is None else outputs + self.bias)


class Feature(Peer):
    """Feature composition by a depthwise convolution and a 1x1 one.

    By ``depthwise_conv``: the gradient of a convolution with a group per channel, which serves any
    grouping, takes TensorFlow 2.21 tens of times longer on a CPU.
    """

    def call(self, inputs: Any) -> Any:
        outputs = by_feature(inputs, self.kernel, self.D, self.strides, self.padding)
        return self.activation(outputs if self.bias is None else outputs + self.bias)


def official_kernel(W: Any, D: Any) -> Any:
    """W (K, I, O/g) and D (K, K, I) to a kernel like W."""
    return ops.einsum("msi,sio->mio", _whole(D), W)


def by_feature(x: Any, kernel: Any, D: Any, strides: Any = 1, padding: str = "same") -> Any:
    """The convolution with W (*k, I, O) and D (K, K, I), on features."""
    *k, I, O = kernel.shape
    depthwise = ops.reshape(ops.transpose(_whole(D), (0, 2, 1)), (*k, I, -1))
    features = ops.depthwise_conv(x, depthwise, strides, padding)
    pointwise = ops.transpose(ops.reshape(kernel, (-1, I, O)), (1, 0, 2))
    return ops.conv(features, ops.reshape(pointwise, (1, 1, -1, O)))


def _whole(D: Any) -> Any:
    K, _, I = D.shape
    return D + ops.tile(ops.reshape(ops.eye(K), (K, K, 1)), (1, 1, I))


def replaced(model: keras.Model, peer: type[Peer]) -> keras.Model:
    """A copy of the network with another kind of layer."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        convolution = type(layer) is keras.layers.Conv2D and math.prod(layer.kernel_size) > 1
        return (peer if convolution else type(layer)).from_config(layer.get_config())

    new = keras.models.clone_model(model, clone_function=copy)
    for ours, theirs in zip(new.layers, model.layers, strict=True):
        zeros = [ours.D.numpy()] if isinstance(ours, Peer) else []  # its first weight
        ours.set_weights([*zeros, *theirs.get_weights()])
    return new


FEATURE = "feature composition"
PEERS: dict[str, Callable[[keras.Model], keras.Model]] = {
    "DO-Conv": doconv_tf.convert,
    "official way": lambda model: replaced(model, Official),
    FEATURE: lambda model: replaced(model, Feature),
}
