"""Training steps of tf_keras networks, and of the same ones in Keras 3, on TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.frame.timing import Step
from benchmarks.subjects.work import Work
from benchmarks.with_keras import step as keras_3
from benchmarks.with_tf_keras.networks import NETWORKS
from doconv_tf_keras import convert

KERAS_3 = {"plain in Keras 3": "plain", "DO-Conv in Keras 3": "DO-Conv"}
"""What ``with_keras`` calls them."""

WAYS = ("plain", "DO-Conv", *KERAS_3)
"""The ways of training that are compared."""


def step(work: Work, way: str) -> Step:
    """A training step; every way of training starts from the same function."""
    if way in KERAS_3:
        return keras_3.step(work, KERAS_3[way])
    tf_keras.utils.set_random_seed(0)
    model = NETWORKS[work.network](work.size)
    if way == "DO-Conv":
        model = convert(model)
    optimizer = tf_keras.optimizers.SGD(0.01, 0.9)
    optimizer.build(model.trainable_variables)
    loss_of = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(work.batch, work.size, work.size, 3)), tf.float32)
    labels = tf.constant(random.integers(0, 10, work.batch))

    @tf.function(jit_compile=bool(work.compiler))
    def train(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        trained = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        return loss

    return lambda: train(images, labels).numpy()
