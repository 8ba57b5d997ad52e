"""Over-parameterization of convolutions that are not torch's own, through torch's parametrize.

A subclass with its own forward (a padding rule, weight standardization) reads ``self.weight``.
Here that attribute becomes the composed kernel, and the class stays what it is.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from doconv_core import CondConvSpec, DOConvSpec
from doconv_core.kernel.initialization import Start
from doconv_torch.layers.exporting import warn_if_exporting
from doconv_torch.tensors.composition import compose, outside_autocast
from doconv_torch.tensors.initialization import DEFAULT, arrays_beside, zeros_for


class OverParameterization(nn.Module):
    """The parametrization ``weight -> composed kernel``; holds D and W_extra.

    Those of a CondConv layer too, which composes its kernels itself.

    Args:
        spec: the sizes of the convolution, which has more than one kernel element.
        weight: its weight.
        generator: for the start values that are drawn; None means torch's own.
        start: what they are.

    Shape:
        - weight, and the result: the convolution's own.
    """

    def __init__(
        self,
        spec: DOConvSpec | CondConvSpec,
        weight: Tensor,
        generator: torch.Generator | None = None,
        start: Start = DEFAULT,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.D, self.W_extra = arrays_beside(spec, weight, generator, start)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        return super()._apply(zeros_for(self._parameters, fn), recurse)

    def forward(self, weight: Tensor) -> Tensor:
        spec, D = self.spec, self.D
        assert D is not None
        assert isinstance(spec, DOConvSpec)
        warn_if_exporting()
        with outside_autocast(D.device.type):
            return compose(
                weight,
                D,
                self.W_extra,
                (spec.in_channels, spec.out_channels),
                spec.groups,
                spec.transposed,
                list(spec.kernel_size),
                spec.S,
            )


def over_parameterization(module: nn.Module) -> OverParameterization | None:
    """The parametrization that ``convert(..., subclasses="parametrize")`` gave a module."""
    if not (isinstance(module, _ConvNd) and parametrize.is_parametrized(module, "weight")):
        return None
    first = weight_parametrizations(module)[0]
    return first if isinstance(first, OverParameterization) else None


def weight_parametrizations(module: nn.Module) -> parametrize.ParametrizationList:
    """All parametrizations of a module's weight; the module must have one."""
    return cast(nn.ModuleDict, module.parametrizations)["weight"]  # type: ignore[return-value]


def restore_(module: nn.Module) -> None:
    """Take the parametrization off; ``weight`` keeps its values."""
    # Copies of a parametrized module share its class, and torch (2.13) would take `weight` out of
    # that: give this one a class of its own first.
    kind = type(module)
    module.__class__ = type(kind.__name__, kind.__bases__, dict(vars(kind)))
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
    # It puts weight behind bias; a plain layer's state has it first.
    for name in [name for name in module._parameters if name != "weight"]:
        module._parameters[name] = module._parameters.pop(name)
