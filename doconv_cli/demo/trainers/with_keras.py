"""The demo's network and training loop in Keras 3, on whichever backend Keras runs."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

import doconv_tf
from doconv_cli.demo.trainers.trainer import (
    BATCH_SIZE,
    CHANNELS,
    CLASSES,
    LEARNING_RATE,
    MOMENTUM,
    Trainer,
)


def network() -> keras.Sequential:
    """The plain network: what a user has, without a word of DO-Conv."""
    first, second, third = CHANNELS
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(first, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(second, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Conv2D(third, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(CLASSES),
        ]
    )


class DemoTrainer(Trainer):
    file_name = "folded.weights.h5"

    def __init__(self, seed: int, *, over_parameterized: bool) -> None:
        keras.utils.set_random_seed(seed)
        model = network()
        self._train(doconv_tf.convert(model) if over_parameterized else model)

    def _train(self, model: keras.Model) -> DemoTrainer:
        self.model = model
        model.compile(
            optimizer=keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return self

    def epoch(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        self.model.fit(
            _channels_last(images), labels, batch_size=BATCH_SIZE, shuffle=False, verbose=0
        )

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        # Called, not `predict`, which would trace a graph for each of the demo's many models.
        out: NDArray[np.float32] = keras.ops.convert_to_numpy(
            self.model(_channels_last(images), training=False)
        )
        return out

    def parameters(self) -> int:
        return int(self.model.count_params())

    def _of(self, model: keras.Model) -> DemoTrainer:
        return DemoTrainer.__new__(DemoTrainer)._train(model)

    def convert(self) -> DemoTrainer:
        return self._of(doconv_tf.convert(self.model))

    def fold(self) -> DemoTrainer:
        return self._of(doconv_tf.fold(self.model))

    def reload(self, path: Path) -> DemoTrainer:
        self.model.save_weights(path)
        untouched = network()
        untouched.load_weights(path)
        return self._of(untouched)


def _channels_last(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.transpose(0, 2, 3, 1)
