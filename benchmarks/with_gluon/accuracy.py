"""One run of a study in MXNet Gluon."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.accuracy import order
from benchmarks.accuracy.data.images import Data, Part
from benchmarks.accuracy.run import Outcome, Recipe, Run, outcome
from doconv_gluon import convert  # first: it makes MXNet importable

import mxnet as mx  # isort: skip
from mxnet import autograd, gluon  # isort: skip
from mxnet.gluon import nn  # isort: skip

ARMS = {"plain": lambda net: net, "DO-Conv": convert}


def sample(classes: int) -> Any:
    """The authors' Gluon sample: LeNet with tanh everywhere, also after its last layer."""
    net = nn.HybridSequential()
    for channels in (20, 50):
        net.add(nn.Conv2D(channels, 5, activation="tanh"), nn.MaxPool2D(2, 2))
    net.add(nn.Dense(500, activation="tanh"), nn.Dense(classes, activation="tanh"))
    return net


def train(run: Run, recipe: Recipe, data: Data) -> Outcome:
    """Train one network; the recipe is SGD's without momentum, at a constant rate."""
    mx.random.seed(run.seed)
    images, labels = data.training
    net = sample(data.classes)
    net.initialize(mx.init.Xavier(magnitude=2.24))
    net(mx.nd.array(images[:1]))  # Gluon learns its shapes from a first batch
    net = ARMS[run.arm](net)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": run.rate})
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    losses: list[float] = []
    validation: list[float] = []
    for indices in order.epochs(run, recipe):
        total = mx.nd.zeros(1)
        for start in range(0, len(indices), recipe.batch):
            batch = indices[start : start + recipe.batch]
            x, y = mx.nd.array(images[batch]), mx.nd.array(labels[batch])
            with autograd.record():
                loss = loss_of(net(x), y)
            loss.backward()
            trainer.step(len(batch))
            total += loss.sum()
        mean = float(total.asscalar()) / len(indices)
        if not np.isfinite(mean):
            break
        losses.append(mean)
        if len(data.validation.labels):
            validation.append(accuracy(net, data.validation))
    return outcome(run, losses, validation, accuracy(net, data.test), data.classes)


def accuracy(net: Any, part: Part) -> float:
    """Percentage of the images classified correctly."""
    starts = range(0, len(part.labels), 1000)
    outputs = [net(mx.nd.array(part.images[start : start + 1000])).asnumpy() for start in starts]
    return 100 * float(np.mean(np.concatenate(outputs).argmax(1) == part.labels))
