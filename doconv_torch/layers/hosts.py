"""torch's own convolutions: which there are, their sizes, and why one has to stay plain."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from doconv_core import DOConvSpec, messages
from doconv_torch import messages as torch_messages

HOSTS: dict[type[nn.Module], type[Any]] = {}
"""Every convertible class, matched exactly, with what it becomes; our layers enter themselves."""

_COMPUTATION = (
    *("forward", "_conv_forward", "_output_padding", "__call__", "_call_impl"),
    *("weight", "bias", "__getattr__", "__getattribute__", "__setattr__"),
)
"""What a subclass must leave as it is in order to compute what its base class does."""

OUR_ATTRIBUTES = {"D", "W_extra", "D_mul", "composition", "spec"}


def is_convolution(module: nn.Module) -> bool:
    """Whether a module belongs in the summary: torch's, quantized ones, other libraries' too."""
    if isinstance(module, nn.Sequential):  # fused for quantization, but still of plain layers
        return False
    called_so = "Conv" in type(module).__name__
    has_kernel = "weight" in module._parameters and hasattr(module, "kernel_size")
    return isinstance(module, _ConvNd) or (called_so and (_for_quantization(module) or has_kernel))


def host_of(kind: type[nn.Module]) -> type[nn.Module] | None:
    """The convertible class whose forward a class has unchanged: it, or what it is derived from."""
    host: Any = next((each for each in kind.__mro__ if each in HOSTS), None)
    if host is None:
        return None
    own = kind.__mro__[: kind.__mro__.index(host)]
    same = all(getattr(kind, name, None) is getattr(host, name, None) for name in _COMPUTATION)
    ours: Any = HOSTS[host]
    taken = any(vars(each).keys() & _names_added_to(ours, host) for each in own)
    slots = any(vars(each).get("__slots__") for each in own)
    return host if same and not taken and not slots else None


@cache
def _names_added_to(ours: Any, host: Any) -> set[str]:
    """What a subclass must not have of its own: our layer's names would take their place."""
    added = set(dir(ours)) - set(dir(host))
    return OUR_ATTRIBUTES | {name for name in added if not name.startswith("__")}


def is_adapter(module: nn.Module) -> bool:
    """Whether a module trains something small beside a layer (LoRA), to be merged into it later."""
    # Not _modules itself: a scripted module's cannot be iterated.
    names = (*module._modules.keys(), *module._parameters.keys())
    base = dict(module.named_children()).get("base_layer")
    wraps = hasattr(base, "weight")  # DLA's stem is a Sequential
    return wraps or any(name.startswith("lora_") for name in names)


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
    if _for_quantization(module):
        return messages.model.QUANTIZED
    if not isinstance(module, _ConvNd):
        return torch_messages.OTHER_CLASS
    if parametrize.is_parametrized(module):
        return torch_messages.PARAMETRIZED
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        return messages.model.RECOMPUTED_WEIGHT
    if module._buffers or module._modules or set(module._parameters) != {"weight", "bias"}:
        return messages.model.OTHER_ARRAYS
    if OUR_ATTRIBUTES & module.__dict__.keys():
        return messages.model.NAME_TAKEN
    if not module.weight.is_floating_point():
        return messages.model.NOT_FLOATING
    if is_sharded(module.weight):
        return torch_messages.SHARDED
    if not has_lazy_weight(module) and tuple(module.weight.shape) != _shape_of_weight(module):
        return torch_messages.OTHER_SIZES
    if all(size == 1 for size in module.kernel_size):
        return messages.model.POINTWISE
    if any_subclass:
        return ""
    if "forward" in module.__dict__:
        return messages.model.INSTANCE_FORWARD
    return "" if host_of(type(module)) else torch_messages.OWN_FORWARD


def _shape_of_weight(conv: _ConvNd) -> tuple[int, ...]:
    channels = (conv.out_channels, conv.in_channels)
    first, second = reversed(channels) if conv.transposed else channels
    return first, second // conv.groups, *conv.kernel_size


def _for_quantization(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.ao.nn")
