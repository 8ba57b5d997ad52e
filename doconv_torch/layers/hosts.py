"""torch's own convolutions: which there are, their sizes, and why one has to stay plain."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from doconv_core import DOConvSpec, messages
from doconv_torch import messages as torch_messages

HOSTS: dict[type[nn.Module], type[Any]] = {}
"""Every convertible class, matched exactly, with what it becomes; our layers enter themselves."""

OUR_ATTRIBUTES = {"D", "W_extra", "D_mul", "composition", "spec"}


def is_convolution(module: nn.Module) -> bool:
    """Whether a module belongs in the summary: torch's convolutions, quantized ones too."""
    if isinstance(module, nn.Sequential):  # fused for quantization, but still of plain layers
        return False
    quantized = _for_quantization(module) and "Conv" in type(module).__name__
    return isinstance(module, _ConvNd) or quantized


def ndim(host: type[nn.Module]) -> int:
    """The spatial dimensions of one of torch's convolution classes."""
    return int(host.__name__[-2])


def is_sharded(tensor: Tensor) -> bool:
    """Whether a parameter is a DTensor, of which this process holds a part only."""
    return hasattr(tensor, "full_tensor")


def has_lazy_weight(module: nn.Module) -> bool:
    """Whether a layer waits for its first input to know its sizes."""
    # Not module.weight: reading a parametrized one computes it, and may change its buffers.
    weight = module._parameters.get("weight")
    return weight is not None and is_lazy(weight)


def spec_of(conv: _ConvNd, D_mul: int | str | None = None) -> DOConvSpec:
    """The sizes that a plain convolution has when over-parameterized."""
    return DOConvSpec(
        conv.in_channels,
        conv.out_channels,
        tuple(conv.kernel_size),
        conv.groups,
        D_mul,
        conv.transposed,
    )


def why_plain(module: nn.Module, *, any_subclass: bool = False) -> str:
    """Why convert leaves a convolution as it is; "" where it can be over-parameterized.

    Args:
        module: a convolution.
        any_subclass: do not object to a subclass (its weight will be parametrized instead).
    """
    if not isinstance(module, _ConvNd) or _for_quantization(module):
        return messages.model.QUANTIZED
    if parametrize.is_parametrized(module):
        return torch_messages.PARAMETRIZED
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        return messages.model.RECOMPUTED_WEIGHT
    if type(module) not in HOSTS and not any_subclass:
        return messages.model.OWN_FORWARD
    if "forward" in module.__dict__ and not any_subclass:
        return messages.model.INSTANCE_FORWARD
    if module._buffers or module._modules or set(module._parameters) != {"weight", "bias"}:
        return messages.model.OTHER_ARRAYS
    if OUR_ATTRIBUTES & module.__dict__.keys():
        return messages.model.NAME_TAKEN
    if not module.weight.is_floating_point():
        return messages.model.NOT_FLOATING
    if is_sharded(module.weight):
        return torch_messages.SHARDED
    return messages.model.POINTWISE if all(size == 1 for size in module.kernel_size) else ""


def _for_quantization(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.ao.nn")
