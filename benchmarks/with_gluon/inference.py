"""What a Gluon network is made of, and its prediction."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

import doconv_gluon as adapter
from benchmarks.subjects.work import Work
from benchmarks.with_gluon.step import clock, mx, network

__all__ = ["adapter", "arrays", "clock", "images", "modules", "network", "operators", "predict"]


def images(work: Work) -> Any:
    """A batch."""
    return mx.nd.random.normal(shape=(work.batch, 3, work.size, work.size))


def predict(net: Any, x: Any) -> NDArray[np.float32]:
    """In prediction mode, hybridized."""
    if not net._active:
        net.hybridize()
    outputs: NDArray[np.float32] = net(x).asnumpy()
    return outputs


def modules(net: Any) -> list[str]:
    """The class of each block."""
    found = [f"{type(net).__module__}.{type(net).__name__}"]
    return found + [name for child in net._children.values() for name in modules(child)]


def operators(net: Any, x: Any) -> list[Any]:
    """The operators of its symbol, with their attributes.

    Those of variables say what was known when the symbol was made; :func:`arrays` says what is so.
    """
    nodes = json.loads(net(mx.sym.var("data")).tojson())["nodes"]
    return [(each["op"], each["op"] != "null" and each.get("attrs")) for each in nodes]


def arrays(net: Any) -> list[Any]:
    """Name, shape and bytes of each parameter."""
    return [
        (name, each.shape, each.data().asnumpy().nbytes)
        for name, each in net._collect_params_with_prefix().items()
    ]
