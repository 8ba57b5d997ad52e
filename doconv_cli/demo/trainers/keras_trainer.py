"""The demo's network and training loop in Keras: in Keras 3 or in the legacy tf_keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_cli.demo.trainers.trainer import (
    BATCH_SIZE,
    CHANNELS,
    CLASSES,
    LEARNING_RATE,
    MOMENTUM,
    Trainer,
)


def network(keras: Any) -> Any:
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


class KerasTrainer(Trainer):
    file_name = "folded.weights.h5"

    keras: Any
    """The framework; a subclass says which."""

    adapter: Any
    """Our package for it."""

    def __init__(self, seed: int, *, over_parameterized: bool) -> None:
        self.keras.utils.set_random_seed(seed)
        model = network(self.keras)
        self._train(self.adapter.convert(model) if over_parameterized else model)

    def _train(self, model: Any) -> KerasTrainer:
        self.model = model
        model.compile(
            optimizer=self.keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
            loss=self.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return self

    def epoch(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        self.model.fit(
            _channels_last(images), labels, batch_size=BATCH_SIZE, shuffle=False, verbose=0
        )

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        # Called, not `predict`, which would trace a graph for each of the demo's many models.
        return self.to_numpy(self.model(_channels_last(images), training=False))

    @staticmethod
    def to_numpy(tensor: Any) -> NDArray[np.float32]:
        """Of a tensor."""
        return np.asarray(tensor)

    def parameters(self) -> int:
        return int(self.model.count_params())

    def _of(self, model: Any) -> KerasTrainer:
        return type(self).__new__(type(self))._train(model)

    def convert(self) -> KerasTrainer:
        return self._of(self.adapter.convert(self.model))

    def fold(self) -> KerasTrainer:
        return self._of(self.adapter.fold(self.model))

    def reload(self, path: Path) -> KerasTrainer:
        self.model.save_weights(path)
        untouched = network(self.keras)
        untouched.load_weights(path)
        return self._of(untouched)


def _channels_last(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.transpose(0, 2, 3, 1)
