"""One layer back to its plain form."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from doconv_core import messages
from doconv_core.model.folding import fold_layers
from doconv_torch import messages as torch_messages
from doconv_torch.layers.arrays import OverParameterized, folded_kernel, is_writable
from doconv_torch.layers.hosts import is_sharded

Module = TypeVar("Module", bound=nn.Module)


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


def folded_copy(module: Module) -> Module:
    """A copy of one of our layers, or of what consists of them, made plain."""
    plain = copy.deepcopy(module)
    fold_layers(_layers_in(plain), folded_kernel, _restore)
    return plain


def _layers_in(module: nn.Module) -> list[OverParameterized]:
    found = []
    for name, each in module.named_modules():
        if getattr(each, "is_over_parameterized", False):
            layer: Any = each
            found.append(OverParameterized(name, layer, layer.spec, *arrays_of(layer)))
            check_foldable(found[-1], layer.why_not_foldable())
    return found


@torch.no_grad()
def _restore(layer: OverParameterized, kernel: Tensor) -> None:
    layer.module.restore_()
    weight = layer.weight
    if not is_writable(weight):
        weight = nn.Parameter(torch.empty_like(weight), weight.requires_grad)
        layer.module.weight = weight
    weight.copy_(kernel)
    weight.grad = None


def arrays_of(module: Any) -> tuple[Any, Any, Any]:
    """weight, D and W_extra, where a layer of ours has them."""
    own = module._parameters
    return own.get("weight"), own.get("D"), own.get("W_extra")
