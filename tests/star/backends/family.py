"""What a framework must offer for the star of CondConv (see tests/star/test_condconv.py).

``tests/family_NAME.py`` holds one such class and its instance, ``BACKEND``. Frameworks are chosen
as in tests/star/backends/backend.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from doconv_core import LayerState
from tests.star.cases.condconv import CondArrays, CondCase
from tests.star.oracles.condconv import CondConvGradients


class CondConvBackend(ABC):
    """One framework. Arrays that go in and come out are NumPy, in the canonical layout."""

    name: str

    def unsupported(self, case: CondCase) -> str:
        """Why the host framework has no such layer at all; "" where it has."""
        return ""

    def evaluations(self, case: CondCase) -> tuple[str, ...]:
        """What ``evaluation=`` may be for a case in this framework."""
        return ("auto", "kernels", "outputs")

    @abstractmethod
    def layer(
        self,
        case: CondCase,
        arrays: CondArrays,
        *,
        evaluation: str = "auto",
        routing: bool = False,
    ) -> Any:
        """The CondConv layer of a case, holding the arrays (written by ``set_state``).

        With ``routing=True`` it has its own routing, which holds ``arrays.R`` and, where they have
        one, ``arrays.routing_bias``.
        """

    @abstractmethod
    def forward(self, layer: Any, x: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
        """The output (N, O, *out) for (N, I, *in); alpha is None where the layer routes."""

    @abstractmethod
    def gradients(
        self, layer: Any, x: np.ndarray, grad_y: np.ndarray, alpha: np.ndarray | None = None
    ) -> CondConvGradients:
        """Gradients of ``(output * grad_y).sum()``.

        ``alpha`` of the result is None where the layer routes, ``R`` where it does not, and D
        and bias where it has none.
        """

    @abstractmethod
    def routing(self, x: np.ndarray, R: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        """Alpha (N, E) by a public ``Routing`` of R (I, E) and bias (E,), for (N, I, *in)."""

    @abstractmethod
    def state(self, layer: Any) -> LayerState:
        """What ``get_state`` reads from a single layer."""

    @abstractmethod
    def fold(self, layer: Any) -> Any:
        """What ``layer.fold()`` gives."""

    @abstractmethod
    def convert(self, model: Any, *, D_mul: int | None = None) -> Any:
        """What the model-level ``convert`` gives for a layer."""

    @abstractmethod
    def fold_model(self, model: Any) -> Any:
        """What the model-level ``fold`` gives for a layer."""
