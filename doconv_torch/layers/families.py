"""The three ways in which a module holds D: as a DO-Conv layer, parametrized, or for each expert.

What is written for a whole model asks these, as :class:`doconv_core.model.family.Family` says, and
knows no class of layers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from doconv_core.model.family import Family, Spec
from doconv_torch import messages as torch_messages
from doconv_torch.layers import hosts, parametrized
from doconv_torch.layers.condconv import CondConvNd
from doconv_torch.layers.do_conv import DOConvNd, class_for
from doconv_torch.layers.folding import arrays_of
from doconv_torch.layers.parametrized import OverParameterization, over_parameterization
from doconv_torch.layers.routing import Routing


class DOConvFamily(Family):
    """torch's convolutions, and our layers that they become."""

    def considers(self, layer: Any) -> bool:
        return hosts.is_convolution(layer)

    def holds(self, layer: Any) -> bool:
        return isinstance(layer, DOConvNd)

    def is_over_parameterized(self, layer: Any) -> bool:
        return self.holds(layer)

    def why_plain(self, layer: Any, *, any_subclass: bool = False) -> str:
        """As the protocol says; a subclass may be taken for what it is, and parametrized."""
        return hosts.why_plain(layer, any_subclass=any_subclass)

    def why_not_foldable(self, layer: Any) -> str:
        return str(layer.why_not_foldable())

    def kind(self, layer: Any) -> str:
        return type(layer).__name__

    def spec_of(self, layer: Any) -> Spec | None:
        if not isinstance(layer, _ConvNd) or hosts.has_lazy_weight(layer):
            return None  # quantized, or without sizes yet
        ours: Any = layer
        return ours.spec if self.holds(layer) else hosts.spec_of(layer)

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        return hosts.spec_of(layer, D_mul)

    def own_routing(self, layer: Any) -> Any:
        return None

    def arrays(self, layer: Any) -> tuple[Any, Any, Any]:
        """weight, D and W_extra of one that :meth:`holds` knows."""
        return arrays_of(layer)

    def over_parameterize_(self, layer: Any, made: OverParameterization) -> None:
        """Give a plain layer its arrays, in place."""
        if hosts.host_of(type(layer)) and "forward" not in layer.__dict__:
            kind: Any = type(layer)
            layer.__class__ = class_for(kind)
            layer.over_parameterize_(made.spec, made.D, made.W_extra)
        else:
            parametrize.register_parametrization(layer, "weight", made)

    def restore_(self, layer: Any) -> None:
        """Make an over-parameterized layer plain, with whatever ``weight`` holds."""
        layer.restore_()


class ParametrizedFamily(DOConvFamily):
    """Subclasses of torch's convolutions, whose forward reads ``self.weight``."""

    def holds(self, layer: Any) -> bool:
        return over_parameterization(layer) is not None

    considers = holds

    def why_not_foldable(self, layer: Any) -> str:
        # its only parametrization must be ours
        several = len(parametrized.weight_parametrizations(layer)) > 1
        return torch_messages.PARAMETRIZED if several else ""

    def spec_of(self, layer: Any) -> Spec | None:
        return _ours(layer).spec

    def arrays(self, layer: Any) -> tuple[Any, Any, Any]:
        ours = _ours(layer)
        return parametrized.weight_parametrizations(layer).original, ours.D, ours.W_extra

    def restore_(self, layer: Any) -> None:
        parametrized.restore_(layer)


class CondConvFamily(DOConvFamily):
    """CondConv layers, whose experts get a D each."""

    def considers(self, layer: Any) -> bool:
        return isinstance(layer, CondConvNd)

    holds = considers

    def is_over_parameterized(self, layer: Any) -> bool:
        return bool(layer.is_over_parameterized)

    def why_plain(self, layer: Any, *, any_subclass: bool = False) -> str:
        return str(layer.why_plain())

    def kind(self, layer: Any) -> str:
        return str(layer.spec.kind)

    def spec_of(self, layer: Any) -> Spec | None:
        return layer.spec

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        return replace(layer.spec, D_mul="K" if D_mul is None else D_mul)

    def own_routing(self, layer: Any) -> Any:
        return layer.routing if isinstance(layer.routing, Routing) else None

    def over_parameterize_(self, layer: Any, made: OverParameterization) -> None:
        layer.over_parameterize_(made.spec, made.D, made.W_extra)


FAMILIES = (CondConvFamily(), ParametrizedFamily(), DOConvFamily())


def family_of(module: nn.Module) -> DOConvFamily | None:
    """Whose a module is; None for what no family considers."""
    return next((family for family in FAMILIES if family.considers(module)), None)


def _ours(layer: Any) -> OverParameterization:
    ours = over_parameterization(layer)
    assert ours is not None
    return ours
