"""What a Keras network is made of, and its prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import doconv_tf as adapter
from benchmarks.subjects.work import Work
from benchmarks.with_keras.step import clock, keras, network, tf

__all__ = ["adapter", "arrays", "clock", "images", "modules", "network", "operators", "predict"]


def images(work: Work) -> Any:
    """A batch."""
    return tf.random.normal((work.batch, work.size, work.size, 3))


def predict(net: keras.Model, x: Any) -> NDArray[np.float32]:
    """In inference mode, as a graph."""
    outputs: NDArray[np.float32] = _graph(net)(x).numpy()
    return outputs


def modules(net: keras.Model) -> list[str]:
    """The class of each layer."""
    return [f"{type(each).__module__}.{type(each).__name__}" for each in net.layers]


def operators(net: keras.Model, x: Any) -> list[Any]:
    """The graph's operations, and the shapes that they give."""
    graph = _graph(net).get_concrete_function(x).graph
    return [
        (each.type, [str(output.shape) for output in each.outputs])
        for each in graph.get_operations()
    ]


def arrays(net: keras.Model) -> list[Any]:
    """Path, shape and bytes of each variable."""
    return [(each.path, tuple(each.shape), each.numpy().nbytes) for each in net.variables]


def _graph(net: keras.Model) -> Any:
    if net not in _GRAPHS:
        _GRAPHS[net] = tf.function(lambda x: net(x, training=False))
    return _GRAPHS[net]


_GRAPHS: dict[keras.Model, Any] = {}
