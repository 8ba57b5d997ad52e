"""The way in which a layer holds D: as a DO-Conv layer.

What is written for a whole model asks this, and knows no class of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doconv_core.kernel.layout import from_canonical
from doconv_core.model.family import Family, Spec
from doconv_keras.layers.folding import why_not_foldable


class Convolutions(NamedTuple):
    """A framework's convolutions, and our layers that they become.

    Attributes:
        ours: the base class of our layers.
        is_convolution: whether a layer is one, or of a subclass; our layers are.
        class_for: the class of ours that one becomes or is; None for what is never converted.
        why_plain: why one has to stay plain; "" where it need not.
    """

    ours: type
    is_convolution: Callable[[Any], bool]
    class_for: Callable[[Any], Any]
    why_plain: Callable[[Any], str]


class DOConvFamily:
    """Convolutions, and our layers that they become."""

    def __init__(self, convolutions: Convolutions) -> None:
        self._of = convolutions

    def considers(self, layer: Any) -> bool:
        return self._of.is_convolution(layer)

    def holds(self, layer: Any) -> bool:
        return isinstance(layer, self._of.ours)

    is_over_parameterized = holds

    def why_plain(self, layer: Any) -> str:
        return self._of.why_plain(layer)

    def why_not_foldable(self, layer: Any) -> str:
        return why_not_foldable(layer)

    def kind(self, layer: Any) -> str:
        return type(layer).__name__

    def spec_of(self, layer: Any) -> Spec | None:
        ours = self._of.class_for(layer)
        known = layer.built and ours is not None and ours.W_of(layer) is not None
        return self.converted_spec(layer, getattr(layer, "D_mul", None)) if known else None

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        spec: Spec = self._of.class_for(layer).spec_of(layer, D_mul)
        return spec

    def own_routing(self, layer: Any) -> Any:
        return None

    def write_kernel(self, layer: Any, W: NDArray[np.floating[Any]]) -> None:
        """Write a canonical kernel into a plain convolution."""
        ours = self._of.class_for(layer)
        ours.W_of(layer).assign(from_canonical(ours.spec_of(layer), W, ours.layout))


def family_of(families: Sequence[Family], layer: Any) -> Family | None:
    """Whose a layer is; None for what no family considers."""
    return next((family for family in families if family.considers(layer)), None)
