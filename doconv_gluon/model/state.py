"""The neutral state of a model: its DO-Conv and CondConv layers, for any framework."""

from __future__ import annotations

from typing import Any

from doconv_core import LayerState, State, check_state, messages
from doconv_gluon.layers.arrays import check_writable, has_values, read_D, read_W, write, write_W
from doconv_gluon.layers.families import family_of
from doconv_gluon.model.walk import layers


def get_state(model: Any) -> State:
    """Copy the arrays of every DO-Conv and CondConv layer, in the canonical layout.

    Args:
        model: any Block; its other parameters (of batch norms, say) are not included.

    Returns:
        Layer name, as ``save_parameters`` has it -> :class:`doconv_core.LayerState`.

    Raises:
        ValueError: a layer has no values yet.

    Example:
        >>> from doconv_gluon import DOConv2D
        >>> layer = DOConv2D(8, 3, in_channels=3)
        >>> layer.initialize()
        >>> get_state(layer)[""].W.shape
        (8, 3, 9)
    """
    state: State = {}
    for name, layer in layers(model).items():
        routing = _own_routing(layer)
        if not all(has_values(block) for block in (layer, routing) if block is not None):
            raise ValueError(messages.model.cannot_read(name, messages.model.NO_VALUES_YET))
        bias = None if layer.bias is None else layer.bias.data().asnumpy()
        own = [None if p is None else p.data().asnumpy() for p in _routing(layer)]
        R = None if own[0] is None else own[0].T
        arrays = (read_W(layer, layer.spec), read_D(layer), bias, R, own[1])
        state[name] = LayerState(layer.spec, *arrays)
    return state


def set_state(model: Any, state: State) -> None:
    """Write a neutral state into a converted model, casting to its types.

    Args:
        model: a model with the same DO-Conv and CondConv layers, under the same names.
        state: as from ``get_state``, in any framework.

    Raises:
        ValueError: a layer is missing, unexpected or of another size, the model has no values
            yet, or a Trainer keeps them on the servers of a distributed kvstore. Nothing is
            written then.
    """
    check_state(get_state(model), state)
    for name, layer in layers(model).items():
        check_writable(name, *layer._reg_params.values(), *_routing(layer))
    for name, layer in layers(model).items():
        given = state[name]
        write_W(layer, layer.spec, given.W)
        if given.D is not None:
            write(layer.D, given.D)
        if given.bias is not None:
            write(layer.bias, given.bias)
        R, routing_bias = _routing(layer)
        if given.routing is not None:
            write(R, given.routing.T)
        if given.routing_bias is not None:
            write(routing_bias, given.routing_bias)


def _routing(layer: Any) -> tuple[Any, Any]:
    """Weight (E, I) and bias (E,) of a CondConv layer's own routing, as far as it has them."""
    routing = _own_routing(layer)
    return (None, None) if routing is None else (routing.weight, routing.bias)


def _own_routing(layer: Any) -> Any:
    family = family_of(layer)
    return None if family is None else family.own_routing(layer)
