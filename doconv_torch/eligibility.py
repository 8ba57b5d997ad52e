"""Which modules can be over-parameterized, which folded, and the reason for each that cannot."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from doconv_core import messages
from doconv_torch.arrays import OverParameterized, over_parameterized
from doconv_torch.base import DOConvNd
from doconv_torch.condconv import CONDCONV_LAYERS
from doconv_torch.condconv_base import CondConvNd
from doconv_torch.layers import LAYERS
from doconv_torch.parametrization import weight_parametrizations

HOSTS: dict[type[nn.Module], type[DOConvNd]] = {layer.host: layer for layer in LAYERS}
"""Every convertible class, matched exactly, with what it becomes."""

_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
_WRAPPERS = {"DistributedDataParallel", *_SHARDED}
_OUR_NAMES = {"D", "W_extra", "D_mul", "composition", "spec"}


def is_convolution(module: nn.Module) -> bool:
    """Whether a module belongs in the summary: torch's convolutions, quantized ones too."""
    if isinstance(module, nn.Sequential):  # fused for quantization, but still of plain layers
        return False
    quantized = _for_quantization(module) and "Conv" in type(module).__name__
    return isinstance(module, _ConvNd) or quantized


def is_candidate(module: nn.Module) -> bool:
    """Whether convert considers a module: a convolution, or a CondConv layer."""
    return is_convolution(module) or isinstance(module, CondConvNd)


def is_sharded(tensor: Tensor) -> bool:
    """Whether a parameter is a DTensor, of which this process holds a part only."""
    return hasattr(tensor, "full_tensor")


def has_lazy_weight(module: nn.Module) -> bool:
    """Whether a layer waits for its first input to know its sizes."""
    # Not module.weight: reading a parametrized one computes it, and may change its buffers.
    weight = module._parameters.get("weight")
    return weight is not None and is_lazy(weight)


def why_plain(module: nn.Module, *, any_subclass: bool = False) -> str:
    """Why convert leaves a convolution as it is; "" where it can be over-parameterized.

    Args:
        module: a convolution, or a CondConv layer.
        any_subclass: do not object to a subclass (its weight will be parametrized instead).
    """
    if isinstance(module, CondConvNd):
        return _why_experts_plain(module)
    if not isinstance(module, _ConvNd) or _for_quantization(module):
        return messages.QUANTIZED
    if parametrize.is_parametrized(module):
        return messages.PARAMETRIZED
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        return messages.RECOMPUTED_WEIGHT
    if type(module) not in HOSTS and not any_subclass:
        return messages.OWN_FORWARD
    if "forward" in module.__dict__ and not any_subclass:
        return messages.INSTANCE_FORWARD
    if module._buffers or module._modules or set(module._parameters) != {"weight", "bias"}:
        return messages.OTHER_ARRAYS
    if _OUR_NAMES & module.__dict__.keys():
        return messages.NAME_TAKEN
    if not module.weight.is_floating_point():
        return messages.NOT_FLOATING
    if is_sharded(module.weight):
        return messages.SHARDED
    return messages.POINTWISE if all(size == 1 for size in module.kernel_size) else ""


def _why_experts_plain(module: CondConvNd) -> str:
    if parametrize.is_parametrized(module):
        return messages.PARAMETRIZED
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        return messages.RECOMPUTED_WEIGHT
    if type(module) not in CONDCONV_LAYERS:
        return messages.OWN_FORWARD
    if "forward" in module.__dict__:
        return messages.INSTANCE_FORWARD
    if is_sharded(module.weight):
        return messages.SHARDED
    return messages.POINTWISE if module.spec.K == 1 else ""


def check_ready(model: nn.Module) -> None:
    """Raise where converting would fail later, or go wrong in silence.

    Raises:
        ValueError: a lazy convolution (its shape is not known yet), or a wrapper for distributed
            training (it has already listed the parameters it synchronizes).
    """
    for name, module in model.named_modules():
        kind = type(module).__name__
        if _is_one_of(_WRAPPERS, module):
            raise ValueError(messages.wrapped(name, kind))
        if isinstance(module, _ConvNd) and has_lazy_weight(module):
            raise ValueError(messages.uninitialized(name, kind))


def check_foldable(model: nn.Module) -> None:
    """Raise where a plain layer cannot be restored from its arrays.

    Raises:
        ValueError: a layer is of a subclass, pruned or parametrized, or its arrays are sharded.
    """
    for name, module in model.named_modules():
        if _is_one_of(_SHARDED, module):
            raise ValueError(messages.sharded(name, type(module).__name__))
    for layer in over_parameterized(model):
        kind = type(layer.module).__name__
        if reason := _why_not_foldable(layer):
            raise ValueError(messages.cannot_fold(layer.name, kind, reason))
        for array in (layer.weight, layer.D, layer.W_extra):
            if array is not None and is_sharded(array):
                raise ValueError(messages.sharded(layer.name, type(array).__name__))


def _why_not_foldable(layer: OverParameterized) -> str:
    module = layer.module
    if not isinstance(module, (DOConvNd, CondConvNd)):  # its only parametrization must be ours
        return messages.PARAMETRIZED if len(weight_parametrizations(module)) > 1 else ""
    if parametrize.is_parametrized(module):
        return messages.PARAMETRIZED
    if not {"weight", "D", "W_extra"} <= module._parameters.keys():
        return messages.RECOMPUTED_WEIGHT
    return "" if type(module) in (*LAYERS, *CONDCONV_LAYERS) else messages.OWN_FORWARD


def _is_one_of(names: set[str], module: nn.Module) -> bool:
    # By name: torch.distributed is not part of every build.
    return any(kind.__name__ in names for kind in type(module).__mro__)


def _for_quantization(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.ao.nn")
