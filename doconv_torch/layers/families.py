"""The three ways in which a module holds D: as a DO-Conv layer, parametrized, or for each expert.

What is written for a whole model asks these, and knows no class of layers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from doconv_torch import messages as torch_messages
from doconv_torch.layers.condconv import CondConvNd
from doconv_torch.layers.do_conv import DOConvNd
from doconv_torch.layers.folding import arrays_of
from doconv_torch.layers.hosts import HOSTS, has_lazy_weight, is_convolution, plain_spec, why_plain
from doconv_torch.layers.parametrized import (
    OverParameterization,
    over_parameterization,
    restore,
    weight_parametrizations,
)
from doconv_torch.layers.routing import Routing
from doconv_torch.tensors.initialization import Spec


class DOConvFamily:
    """torch's convolutions, and our layers that they become."""

    def considers(self, module: Any) -> bool:
        return is_convolution(module)

    def holds(self, module: Any) -> bool:
        """Whether a module is a layer of ours, so that a neutral state has its arrays."""
        return isinstance(module, DOConvNd)

    def is_over_parameterized(self, module: Any) -> bool:
        return self.holds(module)

    def why_plain(self, module: Any, *, any_subclass: bool = False) -> str:
        return why_plain(module, any_subclass=any_subclass)

    def why_not_foldable(self, module: Any) -> str:
        return str(module.why_not_foldable())

    def spec(self, module: Any, D_mul: int | None = None) -> Spec:
        return plain_spec(module, D_mul)

    def spec_of(self, module: Any) -> Spec | None:
        """The sizes of a layer as it is; None for a quantized or lazy one."""
        if not isinstance(module, _ConvNd) or has_lazy_weight(module):
            return None
        return module.spec if self.holds(module) else plain_spec(module, None)

    def kind(self, module: Any) -> str:
        """What a summary calls it."""
        return type(module).__name__

    def arrays(self, module: Any) -> tuple[Any, ...]:
        """The layer's sizes, weight, D and W_extra."""
        return module.spec, *arrays_of(module)

    def own_routing(self, module: Any) -> Any:
        return None

    def over_parameterize_(self, module: Any, made: OverParameterization) -> None:
        if type(module) in HOSTS and "forward" not in module.__dict__:
            module.__class__ = HOSTS[type(module)]
            module.over_parameterize_(made.spec, made.D, made.W_extra)
        else:
            parametrize.register_parametrization(module, "weight", made)

    def restore_(self, module: Any) -> None:
        module.restore_()


class ParametrizedFamily(DOConvFamily):
    """Subclasses of torch's convolutions, whose forward reads ``self.weight``."""

    def holds(self, module: Any) -> bool:
        return over_parameterization(module) is not None

    considers = holds

    def why_not_foldable(self, module: Any) -> str:
        # its only parametrization must be ours
        return torch_messages.PARAMETRIZED if len(weight_parametrizations(module)) > 1 else ""

    def spec_of(self, module: Any) -> Spec | None:
        return self.arrays(module)[0]

    def arrays(self, module: Any) -> tuple[Any, ...]:
        ours = over_parameterization(module)
        assert ours is not None
        return ours.spec, weight_parametrizations(module).original, ours.D, ours.W_extra

    def restore_(self, module: Any) -> None:
        restore(module)


class CondConvFamily(DOConvFamily):
    """CondConv layers, whose experts get a D each."""

    def considers(self, module: Any) -> bool:
        return isinstance(module, CondConvNd)

    holds = considers

    def is_over_parameterized(self, module: Any) -> bool:
        return bool(module.is_over_parameterized)

    def why_plain(self, module: Any, *, any_subclass: bool = False) -> str:
        return str(module.why_plain())

    def spec(self, module: Any, D_mul: int | None = None) -> Spec:
        return replace(module.spec, D_mul="K" if D_mul is None else D_mul)

    def spec_of(self, module: Any) -> Spec | None:
        return module.spec

    def kind(self, module: Any) -> str:
        return str(module.spec.kind)

    def own_routing(self, module: Any) -> Any:
        return module.routing if isinstance(module.routing, Routing) else None

    def over_parameterize_(self, module: Any, made: OverParameterization) -> None:
        module.over_parameterize_(made.spec, made.D, made.W_extra)


FAMILIES = (CondConvFamily(), ParametrizedFamily(), DOConvFamily())


def family_of(module: nn.Module) -> DOConvFamily | None:
    """Whose a module is; None for what no family considers."""
    return next((family for family in FAMILIES if family.considers(module)), None)
