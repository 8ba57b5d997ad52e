"""The demo's network and training loop in MXNet Gluon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import doconv_gluon  # first: it makes MXNet importable beside today's NumPy
from doconv_cli.demo.trainers.trainer import (
    BATCH_SIZE,
    CHANNELS,
    CLASSES,
    LEARNING_RATE,
    MOMENTUM,
    Trainer,
)

import mxnet as mx  # isort: skip
from mxnet import autograd, gluon  # isort: skip
from mxnet.gluon import nn  # isort: skip


def network() -> Any:
    """The plain network: what a user has, without a word of DO-Conv."""
    first, second, third = CHANNELS
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(first, 3, padding=1, activation="relu"),
        nn.Conv2D(second, 3, strides=2, padding=1, activation="relu"),
        nn.Conv2D(third, 3, padding=1, activation="relu"),
        nn.GlobalAvgPool2D(),
        nn.Flatten(),
        nn.Dense(CLASSES),
    )
    return net


class DemoTrainer(Trainer):
    file_name = "folded.params"

    def __init__(self, seed: int, *, over_parameterized: bool) -> None:
        mx.random.seed(seed)
        net = network()
        net.initialize(mx.init.Xavier())
        net(mx.nd.zeros((1, 1, 8, 8)))  # Gluon learns its shapes from a first batch
        self._train(doconv_gluon.convert(net) if over_parameterized else net)

    def _train(self, net: Any) -> DemoTrainer:
        self.net = net
        net.hybridize()
        options = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM}
        self.trainer = gluon.Trainer(net.collect_params(), "sgd", options)
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
        return self

    def epoch(self, images: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        for start in range(0, len(images), BATCH_SIZE):
            x = mx.nd.array(images[start : start + BATCH_SIZE])
            y = mx.nd.array(labels[start : start + BATCH_SIZE])
            with autograd.record():
                loss = self.loss(self.net(x), y)
            loss.backward()
            self.trainer.step(len(x))
        mx.nd.waitall()  # Gluon runs ahead; an epoch is over when its work is done

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self.net(mx.nd.array(images)).asnumpy()
        return out

    def parameters(self) -> int:
        return sum(int(np.prod(p.shape)) for p in self.net.collect_params().values())

    def _of(self, net: Any) -> DemoTrainer:
        return DemoTrainer.__new__(DemoTrainer)._train(net)

    def convert(self) -> DemoTrainer:
        return self._of(doconv_gluon.convert(self.net))

    def fold(self) -> DemoTrainer:
        return self._of(doconv_gluon.fold(self.net))

    def reload(self, path: Path) -> DemoTrainer:
        self.net.save_parameters(str(path))
        untouched = network()
        untouched.load_parameters(str(path))
        return self._of(untouched)
