"""Small networks, the random D that makes a mistake visible, and child processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import doconv_gluon
from doconv_gluon.layers.do_conv import LAYERS, DOConvNd
from doconv_gluon.model.walk import blocks_once
from doconv_gluon.mxnet import mx
from tests.star.backends.backend_gluon import ndarray

nn = mx.gluon.nn

CLASSES = [(layer, layer.host) for layer in LAYERS]
IDS = [layer.__name__ for layer in LAYERS]
ROOT = Path(__file__).resolve().parents[2]


class ConvSame(nn.Conv2D):
    """A subclass with a forward of its own."""

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        return super().hybrid_forward(F, F.concat(x, x, dim=2), weight, bias)


def network(*, known: bool = True, initialized: bool = True) -> Any:
    """A plain network with every common part; takes (B, 3, 8, 8).

    `known`: its input channels were given. If not, its parameters wait for the first input.
    """

    def after(channels: int) -> dict[str, int]:
        return {"in_channels": channels if known else 0}

    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(
            nn.Conv2D(8, 3, padding=1, activation="relu", **after(3)),
            nn.BatchNorm(in_channels=8 if known else 0),
            nn.Conv2D(8, 3, padding=1, groups=8, use_bias=False, **after(8)),
            nn.Conv2D(12, 1, **after(8)),
            nn.Conv2D(6, 3, strides=2, **after(12)),
            nn.Conv2DTranspose(4, 2, strides=2, **after(6)),
            nn.Dense(5, in_units=144 if known else 0),
        )
    if initialized:
        net.initialize(mx.init.Xavier())
    return net


def shared_pair() -> Any:
    """Two layers, one weight."""
    net = nn.HybridSequential()
    first = nn.Conv2D(3, 3, padding=1, in_channels=3, use_bias=False)
    net.add(first, nn.Conv2D(3, 3, padding=1, in_channels=3, use_bias=False, params=first.params))
    net.initialize()
    return net


def images(batch: int = 2, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return ndarray(rng.normal(size=(batch, 3, 8, 8)).astype(np.float32))


def layers_of(model: Any) -> dict[str, DOConvNd]:
    return {name: b for name, b in blocks_once(model).items() if isinstance(b, DOConvNd)}


def disturb(model: Any, size: float = 0.1, seed: int = 2) -> Any:
    """Give D and W_extra values, as training would."""
    rng = np.random.default_rng(seed)
    for layer in layers_of(model).values():
        for parameter in (layer.D, layer.W_extra):
            if parameter is not None:
                parameter.set_data(size * rng.normal(size=parameter.shape))
    return model


def trained_network(**options: Any) -> Any:
    return disturb(doconv_gluon.convert(network(), **options))


def values(model: Any) -> dict[str, list[Any]]:
    """Everything that must not change: values, gradients, identities and classes."""
    facts: dict[str, list[Any]] = {}
    for name, parameter in model.collect_params().items():
        gradient = None if parameter.grad_req == "null" else parameter.grad().asnumpy().tolist()
        facts[name] = [parameter.data().asnumpy().tolist(), gradient, id(parameter)]
    for name, block in blocks_once(model).items():
        facts[f"block {name}"] = [type(block), sorted(vars(block)), sorted(block._reg_params)]
    return facts


def step(net: Any, trainer: Any, x: Any) -> None:
    with mx.autograd.record():
        loss = (net(x) ** 2).sum()
    loss.backward()
    trainer.step(1)


def sgd(net: Any, momentum: float = 0.0, **more: Any) -> Any:
    options = {"learning_rate": 1e-3, "momentum": momentum}
    return mx.gluon.Trainer(net.collect_params(), "sgd", options, **more)


def in_child(code: str, timeout: float = 240) -> str:
    """Run code in a process of its own, warnings as errors; what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
