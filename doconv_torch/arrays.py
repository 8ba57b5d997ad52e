"""One view of an over-parameterized convolution, whether a DO-Conv layer or a parametrized one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from doconv_core import DOConvSpec, fold_kernel, messages
from doconv_core.layout import from_canonical, to_canonical
from doconv_torch.layers import DOConvNd
from doconv_torch.parametrization import over_parameterization


class OverParameterized(NamedTuple):
    """The parameters of one over-parameterized convolution, and the module they are in."""

    name: str
    module: _ConvNd
    spec: DOConvSpec
    weight: nn.Parameter
    D: nn.Parameter | None
    W_extra: nn.Parameter | None

    @property
    def layout(self) -> str:
        return "IOk" if self.spec.transposed else "OIk"

    def W(self, to_numpy: Callable[[Tensor], NDArray[Any]]) -> NDArray[Any]:
        """Canonical W, (O, I/g, S)."""
        arrays = [self.weight] if self.W_extra is None else [self.weight, self.W_extra]
        columns = [to_canonical(self.spec, to_numpy(array), self.layout) for array in arrays]
        return np.concatenate(columns, axis=2)

    def in_layout(self, array: NDArray[Any], *, spatial: bool = True) -> Tensor:
        """A canonical array (O, I/g, columns) as a tensor in the module's layout."""
        return torch.from_numpy(from_canonical(self.spec, array, self.layout, spatial=spatial))


def to_float64(tensor: Tensor) -> NDArray[np.float64]:
    """Exact, for every floating-point type."""
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def over_parameterized(model: nn.Module) -> Iterator[OverParameterized]:
    """Every over-parameterized convolution of a model, shared ones once."""
    for name, module in model.named_modules():
        if isinstance(module, DOConvNd):
            yield OverParameterized(
                name, module, module.spec, module.weight, module.D, module.W_extra
            )
        elif (parametrization := over_parameterization(module)) is not None:
            assert isinstance(module, _ConvNd)
            yield OverParameterized(
                name,
                module,
                parametrization.spec,
                module.parametrizations["weight"].original,
                parametrization.D,
                parametrization.W_extra,
            )


def plain_spec(conv: _ConvNd, D_mul: int | None) -> DOConvSpec:
    """The sizes that a plain convolution has when over-parameterized."""
    return DOConvSpec(
        conv.in_channels,
        conv.out_channels,
        tuple(conv.kernel_size),
        conv.groups,
        D_mul,
        conv.transposed,
    )


def folded_weight(layer: OverParameterized) -> Tensor:
    """The kernel in the shape of ``weight`` and rounded once to its type, on the CPU.

    Raises:
        ValueError: an array is not finite, or the kernel does not fit the type.
    """
    if layer.weight.is_meta:  # nothing to compute, but the structure can be folded
        return torch.empty_like(layer.weight)
    D = None if layer.D is None else to_float64(layer.D)
    if layer.weight.dtype is torch.bfloat16:  # NumPy has no such type
        kernel = fold_kernel(layer.spec, layer.W(to_float64), D, np.float64, layer.name)
        rounded = _to_bfloat16(layer.in_layout(kernel))
        if not rounded.isfinite().all():
            raise ValueError(messages.overflows(layer.name, torch.bfloat16))
        return rounded
    dtype = torch.empty(0, dtype=layer.weight.dtype).numpy().dtype
    return layer.in_layout(fold_kernel(layer.spec, layer.W(to_float64), D, dtype, layer.name))


def restore_class(layer: OverParameterized) -> None:
    """Turn the module back into what it was before conversion; ``weight`` keeps its values."""
    module = layer.module
    if isinstance(module, DOConvNd):
        module.restore_()
        return
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    # It puts weight behind bias; a plain layer's state has it first.
    for name in [name for name in module._parameters if name != "weight"]:
        module._parameters[name] = module._parameters.pop(name)


def _to_bfloat16(exact: Tensor) -> Tensor:
    """float64 to bfloat16 with one rounding; torch rounds through float32, that is, twice."""
    single = exact.float()
    error = exact - single.double()
    # float32 fell on the middle between two bfloat16 numbers: step to the side of the exact one
    middle = (single.view(torch.int32) & 0xFFFF) == 0x8000
    aside = torch.nextafter(
        single, torch.copysign(torch.full_like(single, math.inf), error.float())
    )
    return torch.where(middle & (error != 0), aside, single).bfloat16()
