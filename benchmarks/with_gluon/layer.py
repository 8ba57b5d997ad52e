"""One Gluon convolution: ways of composing its kernel, and its training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.frame.timing import Clock, Step, on_the_wall
from benchmarks.subjects.layers import CONVOLUTION, COPY, FEATURE, Layer, Pass
from benchmarks.subjects.work import USUAL, Variant
from benchmarks.with_gluon.peers import mx, official_kernel  # first: it makes MXNet importable
from doconv_gluon import convert
from doconv_gluon.tensors.composition import compose, depthwise_weight, pointwise_weight
from doconv_gluon.tensors.forms import Form

from mxnet import autograd, gluon  # isort: skip
from mxnet.gluon import nn  # isort: skip


def passes(layer: Layer, variant: Variant = USUAL, *, compiled: bool) -> dict[str, Pass]:
    """Forward and backward pass of each way, on one layer, hybridized; there is no compiler."""
    I, O, k, g = layer.sizes
    K, form = k * k, Form(O, (k, k), g, k * k, False, False)
    W = mx.nd.random.normal(shape=(O, I // g, k, k))
    D = mx.nd.random.normal(0, 0.01, shape=(I, K, K))
    D_official = mx.nd.transpose(D, axes=(1, 2, 0))
    x = mx.nd.random.normal(shape=(layer.batch, I, layer.size, layer.size))

    def by_channel(F: Any, W: Any) -> Any:  # (I, O/g, K)
        W = F.transpose(F.reshape(W, shape=(g, O // g, I // g, K)), axes=(0, 2, 1, 3))
        return F.reshape(W, shape=(I, O // g, K))

    def like_W(F: Any, kernel: Any) -> Any:
        kernel = F.reshape(kernel, shape=(g, I // g, O // g, K))
        return F.reshape(F.transpose(kernel, axes=(0, 2, 1, 3)), shape=(O, I // g, k, k))

    def batch_dot(F: Any, W: Any, D: Any) -> Any:
        product = F.batch_dot(by_channel(F, W), D, transpose_b=True)
        return W + like_W(F, product)

    def sums(F: Any, W: Any, D: Any) -> Any:
        columns = by_channel(F, W)
        # One sum, as MXNet 1.9.1 cannot hybridize a chain of additions here.
        terms = [
            F.broadcast_mul(
                F.reshape(F.slice_axis(D, axis=2, begin=s, end=s + 1), shape=(I, 1, K)),
                F.slice_axis(columns, axis=2, begin=s, end=s + 1),
            )
            for s in range(K)
        ]
        return like_W(F, F.add_n(columns, *terms))

    def convolution(F: Any, x: Any, W: Any, channels: int, k: int, groups: int) -> Any:
        return F.Convolution(
            *(x, W),
            kernel=(k, k),
            pad=(k // 2, k // 2),
            num_filter=channels,
            num_group=groups,
            no_bias=True,
        )

    def feature(F: Any, x: Any, W: Any, D: Any) -> Any:
        depthwise = depthwise_weight(F, form, D, dtype="float32")
        features = convolution(F, x, depthwise, I * K, k, I)
        return convolution(F, features, pointwise_weight(F, form, W, None), O, 1, g)

    found = {
        COPY: _pass(lambda F, W: W * 2, W),
        "ours": _pass(lambda F, W, D: compose(F, form, W, D), W, D),
        "batch_dot": _pass(batch_dot, W, D),
        "sums of K terms": _pass(sums, W, D),
        CONVOLUTION: _pass(lambda F, x, W: convolution(F, x, W, O, k, g), x, W),
        FEATURE: _pass(feature, x, W, D),
    }
    if g == 1:
        found["official way"] = _pass(
            lambda F, W, D: official_kernel(F, W, D, K, I, O, (k, k)), W, D_official
        )
    return found


def clock(variant: Variant) -> Clock:
    """What seconds are taken with."""
    return on_the_wall


class _Way(gluon.HybridBlock):
    def __init__(self, way: Callable[..., Any]) -> None:
        super().__init__()
        self.way = way

    def hybrid_forward(self, F: Any, *arrays: Any) -> Any:
        return self.way(F, *arrays)


def _pass(way: Callable[..., Any], *given: Any) -> Pass:
    arrays = [array.copy() for array in given]  # each with a gradient of its own
    for array in arrays:
        array.attach_grad()
    block = _Way(way)
    block.hybridize()

    def forward() -> Any:
        with autograd.record():
            output = block(*arrays)
        mx.nd.waitall()
        return output

    output = forward()
    gradient = mx.nd.random.normal(shape=output.shape)

    def backward() -> None:
        output.backward(gradient, retain_graph=True)
        mx.nd.waitall()

    return forward, backward


def step(layer: Layer, way: str, variant: Variant = USUAL) -> Step:
    """A training step of the layer alone, "plain" or "DO-Conv", hybridized."""
    I, O, k, g = layer.sizes
    net = nn.Conv2D(O, k, padding=k // 2, groups=g, in_channels=I, use_bias=False)
    net.initialize(mx.init.Xavier())
    if way == "DO-Conv":
        net = convert(net)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9})
    x = mx.nd.random.normal(shape=(layer.batch, I, layer.size, layer.size))
    x.attach_grad()  # inside a network, the layer before wants its gradient too

    def train() -> None:
        with autograd.record():
            loss = net(x).square().mean()
        loss.backward()
        trainer.step(1)
        mx.nd.waitall()

    return train
