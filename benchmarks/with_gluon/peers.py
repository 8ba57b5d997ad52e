"""Ways to train a convolution that ours is compared with, re-expressed for comparison only.

Each function turns the k x k convolutions of a plain network (k > 1) into its own kind of layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import doconv_gluon  # first: it makes MXNet importable beside today's NumPy

import mxnet as mx  # isort: skip
from mxnet.gluon import nn  # isort: skip


class Official(nn.Conv2D):
    """DO-Conv as the authors' code composes it: W and D repeated for each other, multiplied."""

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None, D: Any = None) -> Any:
        I, k = self._in_channels, self._kwargs["kernel"]
        kernel = official_kernel(F, weight, D, math.prod(k), I, self._channels, tuple(k))
        return super().hybrid_forward(F, x, kernel, bias)


def official_kernel(F: Any, weight: Any, D: Any, K: int, I: int, O: int, k: tuple[int, ...]) -> Any:
    """From weight (O, I, *k) and D (K, K, I) to a kernel like weight, with g = 1."""
    W = F.reshape(F.transpose(weight, axes=(2, 3, 1, 0)), shape=(1, K, I, O))
    identity = F.tile(F.reshape(F.eye(K), shape=(K, K, 1)), reps=(1, 1, I))
    whole = F.tile(F.expand_dims(D + identity, axis=-1), reps=(1, 1, 1, O))
    kernel = F.sum(whole * F.tile(W, reps=(K, 1, 1, 1)), axis=1)
    return F.transpose(F.reshape(kernel, shape=(*k, I, O)), axes=(3, 2, 0, 1))


def _convolutions(block: Any) -> list[Any]:
    found = [block] if type(block) is nn.Conv2D else []
    return found + [each for child in block._children.values() for each in _convolutions(child)]


def official(net: Any) -> Any:
    """The same network, its layers changed in place to the authors' way of composing."""
    for layer in _convolutions(net):
        I, *k = layer.weight.shape[1:]
        if math.prod(k) > 1:
            layer.__class__, layer._in_channels = Official, I
            shape = (math.prod(k), math.prod(k), I)
            layer.D = layer.params.get("D", shape=shape, init=mx.init.Zero())
            layer.D.initialize()
    return net


PEERS: dict[str, Callable[[Any], Any]] = {
    "DO-Conv": doconv_gluon.convert,
    "official way": official,
}
