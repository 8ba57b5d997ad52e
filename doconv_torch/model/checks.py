"""What has to be so before a whole model is converted or folded."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable

from torch import distributed, nn

from doconv_core import messages
from doconv_core.model.planning import Candidate
from doconv_torch import messages as torch_messages
from doconv_torch.layers.families import family_of
from doconv_torch.layers.folding import check_foldable as check_layer
from doconv_torch.layers.hosts import has_lazy_weight
from doconv_torch.model.walk import over_parameterized

_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
_MERGES = {
    *("fuse", "reparameterize", "reparametrize", "reparam", "switch_to_deploy", "merge_kernel"),
    *("convert_to_deploy", "get_equivalent_kernel_bias", "repvgg_convert"),
}
"""What blocks of several branches call the merge of their branches, beside ``fuse_...``."""

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


def check_not_wrapped(model: nn.Module) -> None:
    """Raise where a wrapper for distributed training holds a model that changes in place.

    Raises:
        ValueError: there is one; a D that comes after it is never synchronized.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    own = {id(p) for p in model.parameters()}
    # A wrapper leaves no trace in what it wraps, so it has to be looked for.
    for found in gc.get_objects():
        kinds = {kind.__name__ for kind in type(found).__mro__}
        if (
            kinds & _WRAPPERS
            and isinstance(found, nn.Module)
            and own & {id(p) for p in found.parameters()}
        ):
            raise ValueError(torch_messages.wrapped_elsewhere(type(found).__name__))


def warn_if_merged_elsewhere(model: nn.Module, converted: Iterable[Candidate]) -> None:
    """Warn where converted layers lie in modules that merge their own weights.

    Such a merge (of RepVGG, MobileOne, RepLKNet, ...) reads ``weight`` as if it were the kernel.
    """
    inside = []
    for name in (name for each in converted for name in each.names[:1]):
        parts = name.split(".")
        for count in range(len(parts)):
            holder = ".".join(parts[:count])
            if method := _merge_of(model.get_submodule(holder)):
                inside.append((holder, method))
                break
    if inside:
        said = torch_messages.merged_elsewhere(len(inside), *inside[0])
        warnings.warn(said, UserWarning, stacklevel=3)


def _merge_of(module: nn.Module) -> str:
    names = (name for name in dir(type(module)) if name in _MERGES or name.startswith("fuse_"))
    return next((name for name in names if callable(getattr(type(module), name, None))), "")


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


def check_copied(model: nn.Module, copy: nn.Module) -> None:
    """Raise ValueError where a layer's own ``__deepcopy__`` knows no D, which would be lost."""
    there = {layer.name for layer in over_parameterized(copy)}
    for layer in over_parameterized(model):
        if layer.name not in there:
            kind = type(layer.module).__name__
            raise ValueError(torch_messages.copy_without_D(layer.name, kind))


def _is_one_of(names: set[str], module: nn.Module) -> bool:
    # By name: torch.distributed is not part of every build.
    return any(kind.__name__ in names for kind in type(module).__mro__)
