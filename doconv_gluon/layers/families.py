"""What can have a D: Gluon's convolutions, those of a SymbolBlock, and CondConv's experts.

What is written for a whole model asks these, and knows no class of layers. See
:class:`doconv_core.model.family.Family`.
"""

from __future__ import annotations

from typing import Any

from doconv_core import messages
from doconv_core.kernel.initialization import Start
from doconv_core.model.family import Spec
from doconv_gluon.layers import folding
from doconv_gluon.layers.arrays import (
    converted_experts_spec,
    converted_spec,
    form_of,
    has_sizes,
    has_values,
    spec_of,
)
from doconv_gluon.layers.condconv import CondConvNd
from doconv_gluon.layers.do_conv import DOConvNd, class_for
from doconv_gluon.layers.graphs import GraphConvolution
from doconv_gluon.layers.hosts import is_convolution, why_plain
from doconv_gluon.layers.routing import Routing
from doconv_gluon.tensors.initialization import new_parameters


class DOConvFamily:
    """Gluon's convolutions, and our layers that they become."""

    def considers(self, layer: Any) -> bool:
        """Whether a block is of this kind, plain or over-parameterized."""
        return is_convolution(layer)

    def holds(self, layer: Any) -> bool:
        """Whether it is a layer of ours."""
        return isinstance(layer, DOConvNd)

    def is_over_parameterized(self, layer: Any) -> bool:
        """Whether it has been converted."""
        return self.holds(layer)

    def why_plain(self, layer: Any) -> str:
        """Why convert leaves it as it is; "" where it can be over-parameterized."""
        return why_plain(layer)

    def why_not_foldable(self, layer: Any) -> str:
        """Why its plain form cannot be computed; "" where it can."""
        return folding.why_not_foldable(layer)

    def kind(self, layer: Any) -> str:
        """What a summary calls it."""
        return type(layer).__name__

    def spec_of(self, layer: Any) -> Spec | None:
        """Its sizes as it is; None where it waits for its first input."""
        if not has_sizes(layer):
            return None
        return layer.spec if self.holds(layer) else spec_of(layer)

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        """The sizes that a plain one has when over-parameterized; see :func:`converted_spec`.

        Raises:
            ValueError: D_mul is too small.
        """
        return converted_spec(layer, D_mul)

    def own_routing(self, layer: Any) -> Any:
        """The routing that it holds of its own; else None."""
        return None

    def new_parameters(self, layer: Any, D_mul: int, start: Start) -> dict[str, Any]:
        """D and W_extra for a plain one, by name; see :func:`new_parameters`."""
        form, experts = form_of(layer, D_mul), getattr(layer, "num_experts", None)
        return new_parameters(form, layer.weight, layer.params.prefix, experts, start)

    def over_parameterize_(self, layer: Any, D_mul: int, parameters: dict[str, Any]) -> None:
        """Make a plain one ours, with these."""
        layer.__class__ = class_for(type(layer))
        layer.over_parameterize_(D_mul, "kernel", parameters)


class CondConvFamily(DOConvFamily):
    """CondConv layers, whose experts get a D each."""

    def considers(self, layer: Any) -> bool:
        return isinstance(layer, CondConvNd)

    holds = considers

    def is_over_parameterized(self, layer: Any) -> bool:
        return bool(layer.is_over_parameterized)

    def why_plain(self, layer: Any) -> str:
        return str(layer.why_plain())

    def kind(self, layer: Any) -> str:
        return "DO-CondConv" if layer.is_over_parameterized else "CondConv"

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        return converted_experts_spec(layer, "K" if D_mul is None else D_mul)

    def own_routing(self, layer: Any) -> Any:
        return layer.routing if isinstance(layer.routing, Routing) else None

    def over_parameterize_(self, layer: Any, D_mul: int, parameters: dict[str, Any]) -> None:
        layer.over_parameterize_(D_mul, parameters)


class GraphFamily(DOConvFamily):
    """Convolutions in the graph of a SymbolBlock."""

    def considers(self, layer: Any) -> bool:
        return isinstance(layer, GraphConvolution)

    def holds(self, layer: Any) -> bool:
        return bool(layer.is_over_parameterized)

    def why_plain(self, layer: Any) -> str:
        return str(layer.why_plain())

    def why_not_foldable(self, layer: Any) -> str:
        return "" if has_values(layer) else messages.model.NO_VALUES_YET

    def kind(self, layer: Any) -> str:
        return "DOConvolution" if layer.is_over_parameterized else "Convolution"

    def over_parameterize_(self, layer: Any, D_mul: int, parameters: dict[str, Any]) -> None:
        layer.over_parameterize_(D_mul, parameters)


FAMILIES = (CondConvFamily(), GraphFamily(), DOConvFamily())


def family_of(block: Any) -> DOConvFamily | None:
    """Whose a block is; None for what no family considers."""
    return next((family for family in FAMILIES if family.considers(block)), None)
