"""The neutral state of a model's layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from doconv_core import LayerState, State, check_state
from doconv_keras.layers.arrays import ToNumPy, WithW, read_W, write_W
from doconv_keras.model.walk import FamilyOf

Named = Iterable[tuple[str, WithW]]
"""Layers of ours with their names."""


def get_state(to_numpy: ToNumPy, family_of: FamilyOf, layers: Named) -> State:
    """The arrays of those that are built, in the canonical layout."""
    return {name: _state(to_numpy, family_of, layer) for name, layer in layers if layer.built}


def set_state(to_numpy: ToNumPy, family_of: FamilyOf, layers: Named, state: State) -> None:
    """Write a state into layers, casting to their types.

    Raises:
        ValueError: a layer is missing, unexpected or of another size. Nothing is written then.
    """
    layers = [(name, layer) for name, layer in layers if layer.built]
    check_state(get_state(to_numpy, family_of, layers), state)
    for name, layer in layers:
        given = state[name]
        write_W(layer, given.W)
        if layer.D is not None:
            layer.D.assign(given.D)
        if given.bias is not None:
            layer.bias.assign(given.bias)
        of_routing = (given.routing, given.routing_bias)
        for variable, array in zip(_routing(family_of, layer), of_routing, strict=True):
            if variable is not None:
                variable.assign(array)


def _state(to_numpy: ToNumPy, family_of: FamilyOf, layer: WithW) -> LayerState:
    D = None if layer.D is None else to_numpy(layer.D)
    # A separable layer's bias has the channels of its pointwise part.
    has_bias = layer.use_bias and not hasattr(layer, "pointwise_kernel")
    bias = to_numpy(layer.bias) if has_bias else None
    own = (None if each is None else to_numpy(each) for each in _routing(family_of, layer))
    return LayerState(layer.spec, read_W(to_numpy, layer), D, bias, *own)


def _routing(family_of: FamilyOf, layer: WithW) -> tuple[Any, Any]:
    """Matrix and bias of a CondConv layer's own routing, as far as it has them."""
    family = family_of(layer)
    routing = None if family is None else family.own_routing(layer)
    return (None, None) if routing is None else (routing.kernel, routing.bias)
