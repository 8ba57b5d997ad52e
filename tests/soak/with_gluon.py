"""Gluon's network of the soak."""

from __future__ import annotations

import numpy as np

from doconv_gluon import convert, fold
from doconv_gluon.mxnet import mx
from tests.soak.subject import Subject


class Network(Subject):
    array = mx.nd.NDArray

    def __init__(self) -> None:
        mx.random.seed(0)
        nn = mx.gluon.nn
        self.model = nn.HybridSequential()
        self.model.add(
            nn.Conv2D(8, 3, padding=1, in_channels=3, activation="relu"),
            nn.Conv2D(8, 3, groups=8, in_channels=8),
            nn.Conv2DTranspose(4, 2, strides=2, in_channels=8),
            nn.Dense(5, in_units=576),
        )
        self.model.initialize(mx.init.Xavier())
        self.trainer = self._trainer()
        convert(self.model, inplace=True, trainer=self.trainer)
        generator = np.random.default_rng(1)
        self.x = mx.nd.array(generator.normal(size=(4, 3, 8, 8)))
        self.target = mx.nd.arange(4)
        self.loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()

    def _trainer(self) -> mx.gluon.Trainer:
        return mx.gluon.Trainer(
            self.model.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9}
        )

    def step(self) -> None:
        with mx.autograd.record():
            loss = self.loss(self.model(self.x), self.target)
        loss.backward()
        self.trainer.step(4)
        loss.wait_to_read()

    def cycle(self) -> None:
        fold(self.model, inplace=True)
        self.step()
        convert(self.model, inplace=True, trainer=self.trainer)
        self.step()

    def control(self) -> None:
        self.step()
        self.step()

    def weights(self) -> bytes:
        parameters = self.model.collect_params().values()
        return b"".join(each.data().asnumpy().tobytes() for each in parameters)

    def predict(self) -> bytes:
        return self.model(self.x).asnumpy().tobytes()
