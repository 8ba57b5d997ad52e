"""One run of a study in Keras, on its TensorFlow backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.accuracy import order
from benchmarks.accuracy.data.images import Data, Part
from benchmarks.accuracy.run import Outcome, Recipe, Run, outcome
from benchmarks.with_keras.networks import keras  # it chooses the backend
from doconv_tf import convert

import tensorflow as tf  # isort: skip

ARMS = {"plain": lambda model: model, "DO-Conv": convert}


def sample(size: tuple[int, int, int], classes: int) -> keras.Model:
    """The authors' TensorFlow sample: two 3x3 convolutions of 32 and 8 filters, no pooling."""
    return keras.Sequential(
        [
            keras.Input(size),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def train(run: Run, recipe: Recipe, data: Data) -> Outcome:
    """Train one network, on one thread; the recipe is Adam's, at a constant rate."""
    _single_thread()
    keras.utils.set_random_seed(run.seed)
    images, labels = _channels_last(data.training.images), data.training.labels
    model = ARMS[run.arm](sample(images.shape[1:], data.classes))
    model.compile(
        optimizer=keras.optimizers.Adam(run.rate),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        jit_compile=False,
    )
    losses: list[float] = []
    validation: list[float] = []
    for indices in order.epochs(run, recipe):
        history = model.fit(
            images[indices], labels[indices], recipe.batch, shuffle=False, verbose=0
        )
        loss = history.history["loss"][0]
        if not np.isfinite(loss):
            break
        losses.append(loss)
        if len(data.validation.labels):
            validation.append(accuracy(model, data.validation))
    return outcome(run, losses, validation, accuracy(model, data.test), data.classes)


def accuracy(model: keras.Model, part: Part) -> float:
    """Percentage of the images classified correctly."""
    outputs = model.predict(_channels_last(part.images), 1000, verbose=0)
    return 100 * float(np.mean(outputs.argmax(1) == part.labels))


def _channels_last(images: Any) -> Any:
    return images.transpose(0, 2, 3, 1)


def _single_thread() -> None:
    """Before TensorFlow has started; afterwards it refuses to change."""
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
