"""The way in which a layer of tf_keras holds D: as a DO-Conv layer.

What is written for a whole model asks this, and knows no class of layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core.kernel.layout import from_canonical
from doconv_core.model.family import Family, Spec
from doconv_tf_keras.layers.do_conv import DOConvNd
from doconv_tf_keras.layers.folding import why_not_foldable
from doconv_tf_keras.layers.hosts import class_for, is_convolution, why_plain


class DOConvFamily:
    """The convolutions of tf_keras, and our layers that they become."""

    def considers(self, layer: Any) -> bool:
        return is_convolution(layer)

    def holds(self, layer: Any) -> bool:
        return isinstance(layer, DOConvNd)

    is_over_parameterized = holds

    def why_plain(self, layer: Any) -> str:
        return why_plain(layer)

    def why_not_foldable(self, layer: Any) -> str:
        return why_not_foldable(layer)

    def kind(self, layer: Any) -> str:
        return type(layer).__name__

    def spec_of(self, layer: Any) -> Spec | None:
        return self.converted_spec(layer, getattr(layer, "D_mul", None)) if layer.built else None

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        spec: Spec = class_for(layer).spec_of(layer, D_mul)
        return spec

    def own_routing(self, layer: Any) -> Any:
        return None


FAMILIES: tuple[Family, ...] = (DOConvFamily(),)


def family_of(layer: Any) -> Family | None:
    """Whose a layer is; None for what no family considers."""
    return next((family for family in FAMILIES if family.considers(layer)), None)


def write_kernel(layer: Any, W: NDArray[np.floating[Any]]) -> None:
    """Write a canonical kernel into a plain convolution."""
    ours = class_for(layer)
    ours.W_of(layer).assign(from_canonical(ours.spec_of(layer), W, ours.layout))
