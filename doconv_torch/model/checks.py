"""What has to be so before a whole model is converted or folded."""

from __future__ import annotations

from torch import nn

from doconv_core import messages
from doconv_torch import messages as torch_messages
from doconv_torch.layers.families import family_of
from doconv_torch.layers.folding import check_foldable as check_layer
from doconv_torch.layers.hosts import has_lazy_weight
from doconv_torch.model.walk import over_parameterized

_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
_WRAPPERS = {"DistributedDataParallel", *_SHARDED}


def check_ready(model: nn.Module) -> None:
    """Raise where converting would fail later, or go wrong in silence.

    Raises:
        ValueError: a lazy convolution (its shape is not known yet), or a wrapper for distributed
            training (it has already listed the parameters it synchronizes).
    """
    for name, module in model.named_modules():
        kind = type(module).__name__
        if _is_one_of(_WRAPPERS, module):
            raise ValueError(torch_messages.wrapped(name, kind))
        if family_of(module) is not None and has_lazy_weight(module):
            raise ValueError(messages.model.uninitialized(name, kind))


def check_foldable(model: nn.Module) -> None:
    """Raise where a plain layer cannot be restored from its arrays.

    Raises:
        ValueError: a layer is of a subclass, pruned or parametrized, or its arrays are sharded.
    """
    for name, module in model.named_modules():
        if _is_one_of(_SHARDED, module):
            raise ValueError(torch_messages.sharded(name, type(module).__name__))
    for layer in over_parameterized(model):
        check_layer(layer, layer.family.why_not_foldable(layer.module))


def _is_one_of(names: set[str], module: nn.Module) -> bool:
    # By name: torch.distributed is not part of every build.
    return any(kind.__name__ in names for kind in type(module).__mro__)
