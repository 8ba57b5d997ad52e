"""One Keras convolution: ways of composing its kernel, and its training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.frame.timing import Clock, Step, on_the_wall
from benchmarks.subjects.layers import CONVOLUTION, COPY, FEATURE, Layer, Pass
from benchmarks.subjects.work import USUAL, Variant
from benchmarks.with_keras.networks import keras  # first: it chooses the backend
from benchmarks.with_keras.peers import official_kernel
from doconv_core import DOConvSpec
from doconv_tf import convert
from doconv_tf.tensors.composition import compose, depthwise_kernel, pointwise_kernel

import tensorflow as tf  # isort: skip
from keras import ops  # isort: skip


def passes(layer: Layer, variant: Variant = USUAL, *, compiled: bool) -> dict[str, Pass]:
    """Forward and backward pass of each way, on one layer, as a graph; and through XLA."""
    I, O, k, g = layer.sizes
    K, spec = k * k, DOConvSpec(I, O, (k, k), g)
    W = tf.Variable(tf.random.normal((k, k, I // g, O)))
    D = tf.Variable(tf.random.normal((I, K, K)) * 0.01)
    D_official = tf.Variable(tf.transpose(D, (1, 2, 0)))
    x = tf.Variable(tf.random.normal((layer.batch, layer.size, layer.size, I)))

    def by_group(W: Any, D: Any) -> tuple[Any, Any]:
        return ops.reshape(W, (K, I // g, g, O // g)), ops.reshape(D, (g, I // g, K, K))

    def einsum(W: Any, D: Any) -> Any:
        columns, D = by_group(W, D)
        return W + ops.reshape(ops.einsum("gaks,sago->kago", D, columns), W.shape)

    def sums(W: Any, D: Any) -> Any:
        columns, D = by_group(W, D)
        D = ops.transpose(D, (3, 2, 1, 0))[..., None]
        kernel = columns
        for s in range(K):
            kernel = kernel + D[s] * columns[s]
        return ops.reshape(kernel, W.shape)

    def official(W: Any, D: Any) -> Any:
        return ops.reshape(official_kernel(ops.reshape(W, (K, I, O // g)), D), W.shape)

    def feature(x: Any, W: Any, D: Any) -> Any:
        depthwise = ops.reshape(depthwise_kernel(spec, D), (k, k, I, K))
        features = ops.depthwise_conv(x, depthwise, padding="same")  # see peers_keras.Feature
        return ops.conv(features, pointwise_kernel(spec, "kIO", W, None), padding="same")

    ways: dict[str, tuple[Callable[..., Any], list[Any]]] = {
        COPY: (lambda W: W * 2, [W]),
        "ours": (lambda W, D: compose(spec, "kIO", W, None, D), [W, D]),
        "one einsum": (einsum, [W, D]),
        "official way": (official, [W, D_official]),
        "sums of K terms": (sums, [W, D]),
    }
    found = {name: _pass(*each) for name, each in ways.items()}
    if compiled:
        found |= {f"{name}, XLA": _pass(*each, xla=True) for name, each in ways.items()}
    found[CONVOLUTION] = _pass(lambda x, W: ops.conv(x, W, padding="same"), [x, W])
    if g == 1:  # for others, a backward pass takes 20 s (see peers_keras.Feature)
        found[FEATURE] = _pass(feature, [x, W, D])
    return found


def clock(variant: Variant) -> Clock:
    """What seconds are taken with."""
    return on_the_wall


def _pass(way: Callable[..., Any], arrays: list[Any], *, xla: bool = False) -> Pass:
    @tf.function(jit_compile=xla)
    def forward() -> Any:
        return way(*arrays)

    gradient = tf.random.normal(forward().shape)

    @tf.function(jit_compile=xla)
    def backward() -> Any:  # the kernel itself is not needed for it, so no graph computes it
        with tf.GradientTape() as tape:
            output = way(*arrays)
        return tape.gradient(output, arrays, gradient)

    return forward, backward


def step(layer: Layer, way: str, variant: Variant = USUAL) -> Step:
    """A training step of the layer alone, "plain" or "DO-Conv", as a graph."""
    keras.utils.set_random_seed(0)
    I, O, k, g = layer.sizes
    images = keras.Input((layer.size, layer.size, I))
    conv = keras.layers.Conv2D(O, k, padding="same", groups=g, use_bias=False)
    model = keras.Model(images, conv(images))
    if way == "DO-Conv":
        model = convert(model)
    optimizer = keras.optimizers.SGD(0.01, 0.9)
    optimizer.build(model.trainable_variables)
    x = tf.random.normal((layer.batch, layer.size, layer.size, I))

    @tf.function
    def train(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)  # inside a network, the layer before wants its gradient too
            loss = ops.mean(ops.square(model(x, training=True)))
        trained = model.trainable_variables
        of_x, of_trained = tape.gradient(loss, (x, trained))
        optimizer.apply(of_trained, trained)
        return of_x

    return lambda: train(x)
