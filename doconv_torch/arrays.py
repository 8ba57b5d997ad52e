"""One view of an over-parameterized layer: DO-Conv, parametrized, or CondConv."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from doconv_core import CondConvSpec, DOConvSpec, fold_kernel
from doconv_core.layout import from_canonical, to_canonical
from doconv_torch.base import DOConvNd
from doconv_torch.condconv_base import CondConvNd
from doconv_torch.parametrization import over_parameterization, weight_parametrizations

ArraysKey = tuple[int, int, int]


class OverParameterized(NamedTuple):
    """The parameters of one over-parameterized convolution, and the module they are in."""

    name: str
    module: _ConvNd | CondConvNd
    spec: DOConvSpec
    weight: Tensor
    D: Tensor | None
    W_extra: Tensor | None

    @property
    def key(self) -> ArraysKey:
        """Equal for layers that share all their arrays."""
        return id(self.weight), id(self.D), id(self.W_extra)

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
        return to_tensor(from_canonical(self.spec, array, self.layout, spatial=spatial))


class StackedExperts(OverParameterized):
    """A CondConv layer, whose experts side by side are one kernel: ``spec`` is the stacked one."""

    __slots__ = ()

    def W(self, to_numpy: Callable[[Tensor], NDArray[Any]]) -> NDArray[Any]:
        return super().W(lambda array: to_numpy(array.flatten(0, 1)))

    def in_layout(self, array: NDArray[Any], *, spatial: bool = True) -> Tensor:
        stacked = super().in_layout(array, spatial=spatial)
        return stacked.unflatten(0, self.weight.shape[:2])


def to_float64(tensor: Tensor) -> NDArray[np.float64]:
    """Exact, for every floating-point type."""
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def to_tensor(array: NDArray[Any]) -> Tensor:
    """A copy: torch warns of arrays that are read only, and refuses negative strides."""
    return torch.from_numpy(array.copy())


def over_parameterized(model: nn.Module) -> Iterator[OverParameterized]:
    """Every over-parameterized layer of a model, shared ones once."""
    for layer in with_state(model):
        if not isinstance(layer.module, CondConvNd) or layer.module.spec.has_D:
            yield layer


def with_state(model: nn.Module) -> Iterator[OverParameterized]:
    """The same, and plain CondConv layers: what a neutral state holds."""
    for name, module in model.named_modules():
        if isinstance(module, CondConvNd):
            arrays = (module.weight, module.D, module.W_extra)
            yield StackedExperts(name, module, module.spec.stacked, *arrays)
        elif isinstance(module, DOConvNd):
            yield OverParameterized(
                name, module, module.spec, module.weight, module.D, module.W_extra
            )
        elif (parametrization := over_parameterization(module)) is not None:
            assert isinstance(module, _ConvNd)
            assert isinstance(parametrization.spec, DOConvSpec)
            yield OverParameterized(
                name,
                module,
                parametrization.spec,
                weight_parametrizations(module).original,
                parametrization.D,
                parametrization.W_extra,
            )


def experts_spec(layer: CondConvNd, D_mul: int | None) -> CondConvSpec:
    """The sizes that a plain CondConv layer has when over-parameterized."""
    return replace(layer.spec, D_mul="K" if D_mul is None else D_mul)


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
    D = None if layer.D is None else to_float64(layer.D).reshape(layer.spec.D_shape)
    dtype = str(layer.weight.dtype).removeprefix("torch.")
    kernel = fold_kernel(layer.spec, layer.W(to_float64), D, dtype, layer.name)
    return layer.in_layout(kernel).to(layer.weight.dtype)  # exact; bfloat16 came as float32


def restore_class(layer: OverParameterized) -> None:
    """Turn the module back into what it was before conversion; ``weight`` keeps its values."""
    module = layer.module
    if isinstance(module, (DOConvNd, CondConvNd)):
        module.restore_()
        return
    # Copies of a parametrized module share its class, and torch (2.13) would take `weight` out of
    # that: give this one a class of its own first.
    kind = type(module)
    module.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    # It puts weight behind bias; a plain layer's state has it first.
    for name in [name for name in module._parameters if name != "weight"]:
        module._parameters[name] = module._parameters.pop(name)


def users_of_weights(
    model: nn.Module, layers: list[OverParameterized]
) -> dict[int, set[ArraysKey | None]]:
    """Per weight's id, what its users take it for: the arrays of a layer, or itself (None)."""
    users: dict[int, set[ArraysKey | None]] = {id(layer.weight): set() for layer in layers}
    holders: set[nn.Module] = set()
    for layer in layers:
        users[id(layer.weight)].add(layer.key)
        holders.add(layer.module)
        if parametrize.is_parametrized(layer.module):
            holders.add(weight_parametrizations(layer.module))
    for module in set(model.modules()) - holders:
        for parameter in module._parameters.values():
            if id(parameter) in users:
                users[id(parameter)].add(None)
    return users
