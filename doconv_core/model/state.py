"""The neutral state: DO-Conv layers' arrays in the canonical layout, free of any framework.

A state is a plain dictionary from layer name to :class:`LayerState`. Names are those of the
framework it was read from; rename the keys to move it to a model whose layers are called
differently: ``{new_name[name]: layer for name, layer in state.items()}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from doconv_core import messages
from doconv_core.kernel.spec import DOConvSpec
from doconv_core.neighbours.condconv import CondConvSpec


@dataclass(frozen=True, eq=False)
class LayerState:
    """The arrays of one DO-Conv or CondConv layer.

    Attributes:
        spec: the layer's sizes; those of CondConv put an axis of experts in front of each array.
        W: (O, I/g, S).
        D: (I, K, S), as offset from the identity; None for K = 1, and for plain CondConv.
        bias: (O,), or None.
        routing: (I, E), of a CondConv layer that has its own; else None.
        routing_bias: (E,), where that routing has one; else None.

    Raises:
        ValueError: an array does not have the shape that ``spec`` gives it.
    """

    spec: DOConvSpec | CondConvSpec
    W: NDArray[Any]
    D: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None
    routing: NDArray[Any] | None = None
    routing_bias: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        D_shape = self.spec.D_shape if self.spec.has_D else None
        if self.W.shape != self.spec.W_shape:
            raise ValueError(messages.layer.bad_shape("W", self.W.shape, self.spec.W_shape))
        if (None if self.D is None else self.D.shape) != D_shape:
            received = () if self.D is None else self.D.shape
            raise ValueError(messages.layer.bad_shape("D", received, D_shape or ()))
        if self.bias is not None and self.bias.shape != self.spec.bias_shape:
            raise ValueError(
                messages.layer.bad_shape("bias", self.bias.shape, self.spec.bias_shape)
            )
        for name in ("routing", "routing_bias"):
            array = getattr(self, name)
            # No layer but CondConv has a routing, and no routing a bias alone.
            possible = isinstance(self.spec, CondConvSpec) and self.routing is not None
            shape = getattr(self.spec, f"{name}_shape") if possible else ()
            if array is not None and array.shape != shape:
                raise ValueError(messages.layer.bad_shape(name, array.shape, shape))


State = dict[str, LayerState]


def check_state(model: Mapping[str, LayerState], state: Mapping[str, LayerState]) -> None:
    """Raise unless ``state`` fits a model: same names, same sizes, bias where it has one.

    Args:
        model: the model's own state, as its adapter's ``get_state`` reads it.
        state: what is to be written into it.

    Raises:
        ValueError: a layer is missing, unexpected, or of another size. Adapters call this
            before they write anything, so a model is never left half written.
    """
    missing, unexpected = sorted(model.keys() - state.keys()), sorted(state.keys() - model.keys())
    if missing or unexpected:
        raise ValueError(
            messages.layer.error(
                "the state's layer names must be the model's",
                {"missing": missing, "unexpected": unexpected},
                "Rename the state's keys, or convert the same layers.",
            )
        )
    for name, own in model.items():
        given = state[name]
        same = all(
            (getattr(given, array) is None) == (getattr(own, array) is None)
            for array in ("bias", "routing", "routing_bias")
        )
        if given.spec != own.spec or not same:
            raise ValueError(
                messages.layer.error(
                    f"the state of layer {name!r} must fit it",
                    {
                        "state": given.spec,
                        "state_bias": given.bias is not None,
                        "layer": own.spec,
                        "layer_bias": own.bias is not None,
                        "state_routing": given.routing is not None,
                        "layer_routing": own.routing is not None,
                        "state_routing_bias": given.routing_bias is not None,
                        "layer_routing_bias": own.routing_bias is not None,
                    },
                )
            )
