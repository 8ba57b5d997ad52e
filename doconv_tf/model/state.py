"""The neutral state of a model: its DO-Conv and CondConv layers, for any framework."""

from __future__ import annotations

from typing import Any

import keras

from doconv_core import LayerState, State, check_state
from doconv_tf.layers.arrays import WithW, read_W, to_numpy, write_W
from doconv_tf.layers.families import family_of
from doconv_tf.layers.nesting import check_keras
from doconv_tf.layers.swapping import check_changeable
from doconv_tf.model.walk import layers


def get_state(model: keras.layers.Layer) -> State:
    """Copy the arrays of every DO-Conv and CondConv layer, in the canonical layout.

    Args:
        model: any built layer or model; its other variables are not included.

    Returns:
        Layer name ("block/conv") -> :class:`doconv_core.LayerState`. bfloat16, which NumPy
        lacks, comes as float32 (exactly). Of a separable layer it is the depthwise part; the
        bias, which follows the pointwise part, is not included.

    Example:
        >>> from doconv_tf import DOConv2D
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), DOConv2D(8, 3, name="conv")])
        >>> get_state(model)["conv"].W.shape
        (8, 3, 9)
    """
    return {name: _state(layer) for name, layer in _with_state(model).items()}


def set_state(model: keras.layers.Layer, state: State) -> None:
    """Write a neutral state into a converted model, casting to its types.

    Args:
        model: a model with the same DO-Conv and CondConv layers, under the same names.
        state: as from ``get_state``, in any framework.

    Raises:
        ValueError: a layer is missing, unexpected or of another size. Nothing is written then.
    """
    check_keras(model)
    check_changeable(model)
    check_state(get_state(model), state)
    for name, layer in _with_state(model).items():
        given = state[name]
        write_W(layer, given.W)
        if layer.D is not None:
            layer.D.assign(given.D)
        if given.bias is not None:
            layer.bias.assign(given.bias)
        if given.routing is not None:
            _routing_matrix(layer).assign(given.routing)


def _with_state(model: keras.layers.Layer) -> dict[str, WithW]:
    check_keras(model)
    return {name: layer for name, layer in layers(model) if layer.built}


def _state(layer: WithW) -> LayerState:
    D = None if layer.D is None else to_numpy(layer.D)
    # A separable layer's bias has the channels of its pointwise part.
    has_bias = layer.use_bias and not hasattr(layer, "pointwise_kernel")
    bias = to_numpy(layer.bias) if has_bias else None
    R = _routing_matrix(layer)
    routing = None if R is None else to_numpy(R)
    return LayerState(layer.spec, read_W(layer), D, bias, routing)


def _routing_matrix(layer: WithW) -> Any:
    """Of a CondConv layer with a routing of its own, else None."""
    family = family_of(layer)
    routing = None if family is None else family.own_routing(layer)
    return None if routing is None else routing.kernel
