"""Training steps of Keras networks, on its TensorFlow backend, as one graph or through XLA."""

from __future__ import annotations

from typing import Any

from benchmarks.frame.timing import Clock, Step, on_the_wall
from benchmarks.subjects.work import Work
from benchmarks.with_keras.networks import NETWORKS  # first: it chooses the backend
from benchmarks.with_keras.peers import FEATURE, PEERS

import keras  # isort: skip
import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip


def ways(work: Work) -> tuple[str, ...]:
    """The ways of training that are compared."""
    # XLA, in TensorFlow 2.21 on a CPU, takes a hundred times a plain step for the gradient of a
    # depthwise convolution.
    return ("plain", *(way for way in PEERS if not (work.compiler and way == FEATURE)))


def clock(work: Work) -> Clock:
    """What seconds are taken with."""
    return on_the_wall


def network(work: Work) -> keras.Model:
    """The plain network; always the same."""
    keras.utils.set_random_seed(0)
    return NETWORKS[work.network](work.size)


def training(work: Work, way: str) -> tuple[Step, list[Any]]:
    """A training step, and the arrays that are kept between steps."""
    model = PEERS.get(way, lambda same: same)(network(work))
    optimizer = keras.optimizers.SGD(0.01, 0.9)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(work.batch, work.size, work.size, 3)), tf.float32)
    labels = tf.constant(random.integers(0, 10, work.batch))

    @tf.function(jit_compile=bool(work.compiler))
    def train(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        trained = model.trainable_variables
        optimizer.apply(tape.gradient(loss, trained), trained)
        return loss

    kept = [*model.variables, *optimizer.variables, images, labels]
    return lambda: train(images, labels).numpy(), kept


def step(work: Work, way: str) -> Step:
    """A training step; every way of training starts from the same function."""
    return training(work, way)[0]
