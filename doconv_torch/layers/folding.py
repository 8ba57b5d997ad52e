"""One layer back to its plain form."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from doconv_core import messages
from doconv_torch import messages as torch_messages
from doconv_torch.layers.arrays import OverParameterized, folded_weight
from doconv_torch.layers.hosts import is_sharded


def why_not_foldable(module: Any) -> str:
    """Why a layer of ours has no plain form; "" where it has."""
    if parametrize.is_parametrized(module):
        return torch_messages.PARAMETRIZED
    if not {"weight", "D", "W_extra"} <= module._parameters.keys():
        return messages.model.RECOMPUTED_WEIGHT
    return "" if "host" in vars(type(module)) else messages.model.OWN_FORWARD


def check_foldable(layer: OverParameterized, reason: str) -> None:
    """Raise ValueError where a plain layer cannot be restored from its arrays."""
    if reason:
        raise ValueError(
            messages.model.cannot_fold(layer.name, type(layer.module).__name__, reason)
        )
    for array in (layer.weight, layer.D, layer.W_extra):
        if array is not None and is_sharded(array):
            raise ValueError(torch_messages.sharded(layer.name, type(array).__name__))


def folded_copy(module: Any) -> nn.Module:
    """A copy of one of our layers, made plain."""
    plain = copy.deepcopy(module)
    if not plain.is_over_parameterized:
        return plain
    layer = OverParameterized("", plain, plain.spec, *arrays_of(plain))
    check_foldable(layer, plain.why_not_foldable())
    kernel = folded_weight(layer)
    plain.restore_()
    with torch.no_grad():
        plain.weight.copy_(kernel)
    plain.weight.grad = None
    return plain


def arrays_of(module: Any) -> tuple[Any, Any, Any]:
    """weight, D and W_extra, where a layer of ours has them."""
    own = module._parameters
    return own.get("weight"), own.get("D"), own.get("W_extra")
