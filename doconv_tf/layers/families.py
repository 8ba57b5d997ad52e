"""The two ways in which a Keras layer holds D: as a DO-Conv layer, or for each expert.

What is written for a whole model asks these, and knows no class of layers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core.kernel.layout import from_canonical
from doconv_core.model.family import Family, Spec
from doconv_tf.layers.condconv import CondConvNd
from doconv_tf.layers.do_conv import DOConvNd
from doconv_tf.layers.folding import why_not_foldable
from doconv_tf.layers.hosts import class_for, is_convolution, why_plain


class DOConvFamily:
    """Keras's convolutions, and our layers that they become."""

    def considers(self, layer: Any) -> bool:
        return is_convolution(layer)

    def holds(self, layer: Any) -> bool:
        return isinstance(layer, DOConvNd)

    def is_over_parameterized(self, layer: Any) -> bool:
        return self.holds(layer)

    def why_plain(self, layer: Any) -> str:
        return why_plain(layer)

    def why_not_foldable(self, layer: Any) -> str:
        return why_not_foldable(layer)

    def kind(self, layer: Any) -> str:
        return type(layer).__name__

    def spec_of(self, layer: Any) -> Spec | None:
        known = layer.built and class_for(layer) is not None
        return self.converted_spec(layer, getattr(layer, "D_mul", None)) if known else None

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        ours = class_for(layer)
        assert ours is not None  # one that need not stay plain
        spec: Spec = ours.spec_of(layer, D_mul)
        return spec

    def own_routing(self, layer: Any) -> Any:
        return None


class CondConvFamily(DOConvFamily):
    """CondConv layers, whose experts get a D each."""

    def considers(self, layer: Any) -> bool:
        return isinstance(layer, CondConvNd)

    holds = considers

    def is_over_parameterized(self, layer: Any) -> bool:
        return bool(layer.is_over_parameterized)

    def kind(self, layer: Any) -> str:
        return "DO-CondConv" if layer.is_over_parameterized else "CondConv"

    def spec_of(self, layer: Any) -> Spec | None:
        return layer.spec if layer.built else None

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        return replace(layer.spec, D_mul="K" if D_mul is None else D_mul)

    def own_routing(self, layer: Any) -> Any:
        return layer.routing


FAMILIES: tuple[Family, ...] = (CondConvFamily(), DOConvFamily())


def family_of(layer: Any) -> Family | None:
    """Whose a layer is; None for what no family considers."""
    return next((family for family in FAMILIES if family.considers(layer)), None)


def write_kernel(layer: Any, W: NDArray[np.floating[Any]]) -> None:
    """Write a canonical kernel into a plain convolution."""
    ours = class_for(layer)
    assert ours is not None
    ours.W_of(layer).assign(from_canonical(ours.spec_of(layer), W, ours.layout))
