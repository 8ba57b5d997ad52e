"""What the code for whole models may ask of the layers in them.

DO-Conv and CondConv, and what may come later, answer the same questions. So convert, fold, summary
and states are written once in each adapter and name no class of layers; the classes are named in
``layers/families.py`` alone.
"""

from __future__ import annotations

from typing import Any, Protocol

from doconv_core.kernel.spec import DOConvSpec
from doconv_core.neighbours.condconv import CondConvSpec

Spec = DOConvSpec | CondConvSpec


class Family(Protocol):
    """One kind of layers. ``layer`` is a layer of the framework that :meth:`considers` knows."""

    def considers(self, layer: Any) -> bool:
        """Whether a layer is of this kind, plain or over-parameterized."""

    def holds(self, layer: Any) -> bool:
        """Whether it is a layer of ours, so that a neutral state has its arrays."""

    def is_over_parameterized(self, layer: Any) -> bool:
        """Whether it has been converted: fold would change it."""

    def why_plain(self, layer: Any) -> str:
        """Why convert leaves it as it is; "" where it can be over-parameterized."""

    def why_not_foldable(self, layer: Any) -> str:
        """Why the plain form of an over-parameterized one is not known; "" where it is."""

    def kind(self, layer: Any) -> str:
        """What a summary calls it."""

    def spec_of(self, layer: Any) -> Spec | None:
        """Its sizes as it is; None where they are not known yet."""

    def converted_spec(self, layer: Any, D_mul: int | str | None = None) -> Spec:
        """The sizes that a plain one has when over-parameterized.

        Raises:
            ValueError: D_mul is too small for it.
        """

    def own_routing(self, layer: Any) -> Any:
        """The routing that it holds of its own, which a neutral state includes; else None."""
