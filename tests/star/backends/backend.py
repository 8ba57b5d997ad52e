"""What a framework must offer to take part in the star of tests (see tests/star/test_conv.py).

`DOCONV_BACKENDS=torch,keras,tf_keras,gluon` makes a named framework that cannot be imported an
error; unset, every framework that is missing is skipped with the reason.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pytest

from doconv_core import LayerState, State
from doconv_core.frameworks import FRAMEWORKS
from tests.architecture import house
from tests.star.cases.conv import Arrays, Case
from tests.star.oracles.conv import Gradients
from tests.star.training import Loss

NAMES = tuple(FRAMEWORKS)


class Backend(ABC):
    """One framework. Arrays that go in and come out are NumPy, in the canonical layout."""

    name: str

    def unsupported(self, case: Case) -> str:
        """Why the host framework has no such layer at all; "" where it has."""
        return ""

    @abstractmethod
    def layer(self, case: Case, arrays: Arrays, *, composition: str = "kernel") -> Any:
        """The DO-Conv layer of a case, holding the arrays (written by ``set_state``)."""

    @abstractmethod
    def plain(self, case: Case, kernel: np.ndarray, bias: np.ndarray | None) -> Any:
        """The host's own layer of a case, holding a canonical kernel (O, I/g, K)."""

    @abstractmethod
    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        """The output (B, O, *out) for (B, I, *in), of a layer or network."""

    @abstractmethod
    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> Gradients:
        """Gradients of ``(output * grad_y).sum()``; bias is None where the layer has none."""

    @abstractmethod
    def train(
        self, layer: Any, x: np.ndarray, target: np.ndarray, loss: Loss, *, steps: int, lr: float
    ) -> Any:
        """``steps`` of plain SGD by the host's optimizer, on the loss summed over the outputs.

        Returns the trained layer, or network.
        """

    @abstractmethod
    def states(self, model: Any) -> State:
        """What ``get_state`` reads from a layer or network."""

    @abstractmethod
    def set_states(self, model: Any, state: State) -> None:
        """``set_state``."""

    def state(self, layer: Any) -> LayerState:
        """What ``get_state`` reads from a single layer."""
        return self.states(layer)[""]

    @abstractmethod
    def kernel(self, layer: Any) -> np.ndarray:
        """The composed kernel of a DO-Conv layer, or the kernel of a plain one (canonical)."""

    @abstractmethod
    def fold(self, layer: Any) -> Any:
        """The plain layer that ``layer.fold()`` gives."""

    @abstractmethod
    def convert(self, model: Any, **options: Any) -> Any:
        """What ``convert`` gives for a plain layer or network; ``options`` are its own."""

    @abstractmethod
    def load_official(self, model: Any, checkpoint: dict[str, np.ndarray], source: str) -> None:
        """``load_official``."""

    @abstractmethod
    def network(self, layers: list[Any]) -> Any:
        """The host's chain of layers, as :meth:`plain` makes them, with a ReLU after each."""


def names() -> tuple[str, ...]:
    """The frameworks to test: those of DOCONV_BACKENDS, or all."""
    required = os.environ.get("DOCONV_BACKENDS")
    return tuple(required.split(",")) if required else NAMES


def with_neighbours() -> tuple[str, ...]:
    """Those of them whose adapters have CondConv and XSepConv."""
    return tuple(name for name in names() if FRAMEWORKS[name].adapter not in house.WITHOUT)


def load(name: str, kind: str = "backend") -> Any:
    """The backend of that name; where it is missing, a skip, or an error if it was asked for.

    ``kind`` is the first word of its file's name: "backend" for a :class:`Backend`.
    """
    try:
        module = importlib.import_module(f"tests.star.backends.{kind}_{name}")
    except ImportError as error:
        if "DOCONV_BACKENDS" in os.environ:
            raise
        pytest.skip(f"{name} cannot be imported here: {error}")
    return module.BACKEND
