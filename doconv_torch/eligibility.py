"""Which modules can be over-parameterized, and the reason for each that cannot."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from doconv_core import messages
from doconv_torch.layers import LAYERS, DOConvNd

HOSTS: dict[type[nn.Module], type[DOConvNd]] = {layer.host: layer for layer in LAYERS}
"""Every convertible class, matched exactly, with what it becomes."""

_WRAPPERS = ("DistributedDataParallel", "FullyShardedDataParallel")


def is_convolution(module: nn.Module) -> bool:
    """Whether a module belongs in the summary: torch's convolutions, quantized ones too."""
    quantized = type(module).__module__.startswith("torch.ao.nn") and "Conv" in str(type(module))
    return isinstance(module, _ConvNd) or quantized


def is_sharded(tensor: Tensor) -> bool:
    """Whether a parameter is a DTensor, of which this process holds a part only."""
    return hasattr(tensor, "full_tensor")


def why_plain(module: nn.Module, *, any_subclass: bool = False) -> str:
    """Why convert leaves a convolution as it is; "" where it can be over-parameterized.

    Args:
        module: a convolution.
        any_subclass: do not object to a subclass (its weight will be parametrized instead).
    """
    if not isinstance(module, _ConvNd):
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
    if not module.weight.is_floating_point():
        return messages.NOT_FLOATING
    if is_sharded(module.weight):
        return messages.SHARDED
    return messages.POINTWISE if all(size == 1 for size in module.kernel_size) else ""


def check_ready(model: nn.Module) -> None:
    """Raise where converting would fail later, or go wrong in silence.

    Raises:
        ValueError: a lazy convolution (its shape is not known yet), or a wrapper for distributed
            training (it has already listed the parameters it synchronizes).
    """
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in _WRAPPERS:
            raise ValueError(messages.wrapped(name, kind))
        if isinstance(module, _ConvNd) and is_lazy(module.weight):
            raise ValueError(messages.uninitialized(name, kind))
