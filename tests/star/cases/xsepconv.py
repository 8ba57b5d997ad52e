"""XSepConv in the star: the cases that all frameworks must agree on, and what each must offer.

``tests/xsepconv_NAME.py`` holds one :class:`XSepConvBackend` and its instance, ``BACKEND``.
Frameworks are chosen as in tests/star/backends/backend.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from doconv_core import XSepConvSpec
from tests.star.oracles.xsepconv import XSepConvOracle

Triple = tuple[Any, ...]
"""One array for each of the three convolutions, None where it has none."""


@dataclass(frozen=True)
class XSepCase:
    id: str
    spec: XSepConvSpec
    size: tuple[int, int] = (6, 7)
    bias: bool = True

    @property
    def oracle(self) -> XSepConvOracle:
        return XSepConvOracle(self.spec)


class XSepArrays(NamedTuple):
    """Canonical float32 arrays of one case."""

    x: np.ndarray
    """(B, C, H, W)"""
    W: Triple
    """each (C, 1, S)"""
    D: Triple
    """each (C, K, S); None for a convolution that is not over-parameterized"""
    bias: np.ndarray | None
    grad_y: np.ndarray


class XSepGradients(NamedTuple):
    """Gradients of the arrays of the same names."""

    x: np.ndarray
    W: Triple
    D: Triple
    bias: np.ndarray | None


def arrays(case: XSepCase, kind: str = "integer", *, batch: int = 2, seed: int = 0) -> XSepArrays:
    """Random data; integers in [-3, 3], and D in [-1, 1].

    D is smaller so that sums over three layers stay below 2**24, and exact in float32.
    """
    rng = np.random.default_rng(seed)

    def draw(*shape: int, limit: int = 3) -> np.ndarray:
        if kind == "integer":
            return rng.integers(-limit, limit + 1, shape).astype(np.float32)
        return rng.normal(size=shape).astype(np.float32)

    spec = case.spec
    x = draw(batch, spec.channels, *case.size)
    W = tuple(draw(*part.conv.W_shape) for part in spec.parts)
    D = tuple(draw(*part.conv.D_shape, limit=1) if part.D_mul else None for part in spec.parts)
    bias = draw(spec.channels) if case.bias else None
    return XSepArrays(x, W, D, bias, draw(*case.oracle(x, W, D).shape))


def magnitudes(data: XSepArrays) -> XSepArrays:
    """Data for which the oracle gives the sums of the magnitudes of the terms that it adds up."""

    def size(array: Any) -> Any:
        return tuple(map(size, array)) if isinstance(array, tuple) else (
            None if array is None else abs(array)
        )  # fmt: skip

    return XSepArrays(*map(size, data))


def expected_gradients(case: XSepCase, data: XSepArrays) -> XSepGradients:
    """By the oracle."""
    parts = case.oracle.gradients(data.x, data.W, data.D, data.grad_y)
    D = tuple(p.D if given is not None else None for p, given in zip(parts, data.D, strict=True))
    bias = parts[-1].bias if case.bias else None
    return XSepGradients(parts[0].x, tuple(part.W for part in parts), D, bias)


def named(gradients: XSepGradients) -> dict[str, np.ndarray]:
    """Every array that there is, by name."""
    found = {"x": gradients.x, "bias": gradients.bias}
    for name in ("W", "D"):
        for number, array in enumerate(getattr(gradients, name)):
            found[f"{name} of convolution {number}"] = array
    return {name: array for name, array in found.items() if array is not None}


def case(id: str, *, size: tuple[int, int] = (6, 7), bias: bool = True, **given: Any) -> XSepCase:
    spec = XSepConvSpec(**{"channels": 3, "kernel_size": 5, "D_mul": "K", **given})
    return XSepCase(id, spec, size, bias)


CASES = [
    # plain, and where the zeros of the 2 x 2 kernel are
    case("plain", D_mul=None),
    case("top-left", corner=0),
    case("top-right", corner=1),
    case("bottom-right", corner=2),
    case("bottom-left", corner=3),
    # kernels, and images smaller than they are
    case("7x7", kernel_size=7, size=(5, 8)),
    case("9x9", kernel_size=9, size=(4, 6), D_mul=None),
    case("one-channel", channels=1),
    # columns
    case("more-columns", D_mul=11, corner=1),
    case("one-over-parameterized", D_mul=(None, "K", None)),
    case("different-columns", D_mul=(9, None, 5), corner=2),
    # geometry
    case("stride", stride=2, corner=3),
    case("stride-even-size", stride=2, size=(6, 8)),
    case("stride-plain", stride=2, D_mul=None, bias=False),
    case("vertical-stride", stride=(2, 1)),
    case("horizontal-stride", stride=(1, 3), size=(5, 8)),
    case("different-strides", stride=(2, 3), size=(7, 8), corner=1),
    case("dilation", dilation=2, size=(7, 8)),
    case("different-dilations", dilation=(1, 3), corner=2),
    case("stride-and-dilation", stride=2, dilation=(2, 1), size=(8, 8)),
    case("stride-on-one-axis-dilation-on-the-other", stride=(1, 2), dilation=(2, 1)),
    case("no-bias", bias=False),
]


def ids(case: XSepCase) -> str:
    return case.id


class XSepConvBackend(ABC):
    """One framework. Arrays that go in and come out are NumPy, in the canonical layout."""

    name: str

    def unsupported(self, case: XSepCase) -> str:
        """Why the host framework has no such layer at all; "" where it has."""
        return ""

    @abstractmethod
    def layer(self, case: XSepCase, arrays: XSepArrays) -> Any:
        """The XSepConv layer of a case, holding the arrays."""

    @abstractmethod
    def forward(self, layer: Any, x: np.ndarray) -> np.ndarray:
        """The output (B, C, *out) for (B, C, H, W)."""

    @abstractmethod
    def gradients(self, layer: Any, x: np.ndarray, grad_y: np.ndarray) -> XSepGradients:
        """Gradients of ``(output * grad_y).sum()``."""

    @abstractmethod
    def states(self, layer: Any) -> dict[str, Any]:
        """What ``get_state`` reads."""

    @abstractmethod
    def fold(self, layer: Any) -> Any:
        """What ``layer.fold()`` gives."""

    @abstractmethod
    def kernels(self, layer: Any) -> Triple:
        """The kernels (C, 1, K) of the three convolutions of a plain layer."""
