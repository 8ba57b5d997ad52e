"""Keras's network of the soak, on TensorFlow."""

from __future__ import annotations

import keras
import numpy as np

from doconv_tf import convert, fold
from tests.soak.subject import Subject


class Network(Subject):
    array = keras.Variable
    cost = 10  # every change is traced anew

    def __init__(self) -> None:
        keras.backend.clear_session()  # it keeps every graph, of plain networks too
        keras.utils.set_random_seed(0)
        layers = keras.layers
        self.model = keras.Sequential(
            [
                keras.Input((8, 8, 3)), layers.Conv2D(8, 3, activation="relu", padding="same"),
                layers.DepthwiseConv2D(3), layers.Conv2DTranspose(4, 2, strides=2),
                layers.Flatten(), layers.Dense(5),
            ]
        )  # fmt: skip
        convert(self.model, inplace=True)
        self.compile()
        generator = np.random.default_rng(1)
        self.x = generator.normal(size=(4, 8, 8, 3)).astype(np.float32)
        self.target = np.arange(4)

    def compile(self) -> None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, jit_compile=False)

    def step(self) -> None:
        self.model.train_on_batch(self.x, self.target)

    def cycle(self) -> None:
        for change in (fold, convert):
            # Anew: a compiled model whose optimizer is built is not converted.
            self.model.compile()
            change(self.model, inplace=True)
            self.compile()
            self.step()

    def control(self) -> None:
        # Keras 3.15 on TensorFlow 2.21 keeps 5 MiB of each traced step and 0.07 of each bare
        # compile() of a plain network, in no object of Python's. Folding and converting alone keep
        # 0.001 a cycle, so a cycle is held against as many compile() and steps as it has.
        for _ in range(2):
            self.model.compile()
            self.compile()
            self.step()

    def weights(self) -> bytes:
        return b"".join(each.tobytes() for each in self.model.get_weights())

    def predict(self) -> bytes:
        return np.asarray(self.model(self.x, training=False)).tobytes()
