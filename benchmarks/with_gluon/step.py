"""Training steps of GluonCV's networks, hybridized."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from benchmarks.frame.timing import Clock, Step, on_the_wall
from benchmarks.subjects.work import Work
from benchmarks.with_gluon.peers import PEERS  # first: it makes MXNet importable
from doconv_core.native import products
from doconv_gluon import model_zoo

import mxnet as mx  # isort: skip
from mxnet import autograd, gluon  # isort: skip
from mxnet.gluon import nn  # isort: skip


WITHOUT = ", no native kernel"
"""How the name of a way ends that goes without it, if there is one."""


def ways(work: Work) -> tuple[str, ...]:
    """The ways of training that are compared."""
    ours, *others = PEERS
    without = [f"{ours}{WITHOUT}"] if products.is_available() else []
    return ("plain", ours, *without, *others)


def clock(work: Work) -> Clock:
    """What seconds are taken with."""
    return on_the_wall


def network(work: Work) -> Any:
    """The plain network; always the same."""
    mx.random.seed(0)
    net = tiny() if work.network == "tiny" else model_zoo.get_plain_model(work.network)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, work.size, work.size)))  # Gluon learns its shapes from a first batch
    return net


def tiny() -> Any:
    """Two convolutions, to show that a program works."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, padding=1, use_bias=False), nn.BatchNorm(), nn.Activation("relu"))
    net.add(nn.Conv2D(4, 3, padding=1), nn.GlobalAvgPool2D(), nn.Dense(10))
    return net


def training(work: Work, way: str) -> tuple[Step, list[Any]]:
    """A training step, and the arrays that are kept between steps."""
    net = PEERS.get(way.removesuffix(WITHOUT), lambda same: same)(network(work))
    net.hybridize()
    options = {"learning_rate": 0.01, "momentum": 0.9}
    parameters = net.collect_params()
    trainer = gluon.Trainer(parameters, "sgd", options)
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    images = mx.nd.random.normal(shape=(work.batch, 3, work.size, work.size))
    labels = mx.nd.random.randint(0, 10, shape=(work.batch,)).astype("float32")

    def train() -> None:
        with autograd.record():
            loss = loss_of(net(images), labels)
        loss.backward()
        trainer.step(work.batch)
        mx.nd.waitall()  # Gluon runs ahead; a step is over when its work is done

    with products.unused() if way.endswith(WITHOUT) else nullcontext():
        train()  # here the graph is made
    kept = [images, labels]
    for each in parameters.values():
        kept.append(each.data())
        if each.grad_req != "null":
            kept += [each.grad(), each.data()]  # the momentum is as large as the parameter
    return train, kept


def step(work: Work, way: str) -> Step:
    """A training step; every way of training starts from the same function."""
    return training(work, way)[0]
