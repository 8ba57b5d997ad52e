"""The neutral state of a model: its DO-Conv and CondConv layers, for any framework."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from doconv_core import LayerState, State, check_state, messages
from doconv_torch import messages as torch_messages
from doconv_torch.layers.arrays import OverParameterized, to_tensor
from doconv_torch.layers.hosts import is_sharded
from doconv_torch.model.walk import layers


def get_state(model: nn.Module) -> State:
    """Copy the arrays of every DO-Conv and CondConv layer, in the canonical layout.

    Args:
        model: any module; its other parameters (of batch norms, say) are not included.

    Returns:
        Layer name -> :class:`doconv_core.LayerState`. bfloat16, which NumPy lacks, comes as
        float32 (exactly).

    Raises:
        ValueError: a layer's arrays are sharded, or on the meta device.

    Example:
        >>> from doconv_torch import DOConv2d
        >>> get_state(nn.Sequential(DOConv2d(3, 8, 3)))["0"].W.shape
        (8, 3, 9)
    """
    state: State = {}
    for layer in layers(model):
        bias = layer.module.bias
        _check_readable(layer)
        R, routing_bias = _routing(layer)
        state[layer.name] = LayerState(
            layer.spec,
            layer.read_W(_to_numpy),
            None if layer.D is None else _to_numpy(layer.D),
            None if bias is None else _to_numpy(bias),
            None if R is None else _to_numpy(R.T),
            None if routing_bias is None else _to_numpy(routing_bias),
        )
    return state


@torch.no_grad()
def set_state(model: nn.Module, state: State) -> None:
    """Write a neutral state into a converted model, casting to its types.

    Args:
        model: a model with the same DO-Conv and CondConv layers, under the same names.
        state: as from ``get_state``, in any framework.

    Raises:
        ValueError: a layer is missing, unexpected or of another size. Nothing is written then.
    """
    check_state(get_state(model), state)
    written: list[tuple[Tensor, Tensor]] = []
    for layer in layers(model):
        given, (R, routing_bias) = state[layer.name], _routing(layer)
        written += layer.write_W(given.W)
        if layer.D is not None and given.D is not None:
            written.append((layer.D, to_tensor(given.D)))
        if layer.module.bias is not None and given.bias is not None:
            written.append((layer.module.bias, to_tensor(given.bias)))
        if R is not None and given.routing is not None:
            written.append((R, to_tensor(given.routing.T)))
        if routing_bias is not None and given.routing_bias is not None:
            written.append((routing_bias, to_tensor(given.routing_bias)))
    for parameter, tensor in written:
        parameter.copy_(tensor)


def _routing(layer: OverParameterized) -> tuple[Tensor | None, Tensor | None]:
    """Weight (E, I) and bias (E,) of a CondConv layer's own routing, as far as it has them."""
    routing = layer.family.own_routing(layer.module)
    return (None, None) if routing is None else (routing.weight, routing.bias)


def _check_readable(layer: OverParameterized) -> None:
    own = (layer.weight, layer.D, layer.W_extra, layer.module.bias)
    for array in (*own, *_routing(layer)):
        if array is not None and (array.is_meta or is_sharded(array)):
            reason = messages.model.NO_VALUES_YET if array.is_meta else torch_messages.SHARDED
            raise ValueError(messages.model.cannot_read(layer.name, reason))


def _to_numpy(tensor: Tensor) -> NDArray[np.floating[Any]]:
    tensor = tensor.detach().cpu()
    if tensor.dtype is torch.bfloat16:
        tensor = tensor.float()
    return tensor.numpy().copy()
