"""The specification as a table: every kind of layer that all frameworks must agree on.

A case is a layer and an input size. `arrays` draws its data: integers in [-3, 3], for which
every correct float32 implementation is bitwise equal to the oracle, or Gaussian. D is always
random: at initialization (D = 0) most mistakes are invisible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from doconv_core import DOConvSpec
from tests.star.oracles.conv import Oracle

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    id: str
    spec: DOConvSpec
    size: Ints
    """Spatial size of the input."""
    stride: Ints
    padding: Ints
    """On both sides of each dimension."""
    dilation: Ints
    output_padding: Ints
    padding_mode: str
    bias: bool

    @property
    def ndim(self) -> int:
        return len(self.size)

    @property
    def oracle(self) -> Oracle:
        return Oracle(
            self.spec,
            stride=self.stride,
            padding=[(p, p) for p in self.padding],
            dilation=self.dilation,
            padding_mode=self.padding_mode,
            output_padding=self.output_padding,
        )


class Arrays(NamedTuple):
    """Canonical float32 arrays of one case."""

    x: np.ndarray
    """(B, I, *in)"""
    W: np.ndarray
    D: np.ndarray | None
    bias: np.ndarray | None
    grad_y: np.ndarray
    """(B, O, *out), the gradient that arrives from above."""


def arrays(case: Case, kind: str = "integer", *, batch: int = 2, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        if kind == "integer":
            return rng.integers(-3, 4, shape).astype(np.float32)
        return rng.normal(size=shape).astype(np.float32)

    x = draw(batch, case.spec.in_channels, *case.size)
    W = draw(*case.spec.W_shape)
    D = draw(*case.spec.D_shape) if case.spec.has_D else None
    bias = draw(case.spec.out_channels) if case.bias else None
    grad_y = draw(*case.oracle(x, W, D).shape)
    return Arrays(x, W, D, bias, grad_y)


def case(
    id: str, channels: Ints, kernel_size: Ints, size: Ints, *, groups: int = 1,
    D_mul: int | None = None, transposed: bool = False, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, output_padding: Any = 0, padding_mode: str = "zeros", bias: bool = True,
) -> Case:  # fmt: skip
    def per_dimension(value: Any) -> Ints:
        return value if isinstance(value, tuple) else (value,) * len(size)

    spec = DOConvSpec(*channels, kernel_size, groups, D_mul, transposed)
    sizes = map(per_dimension, (stride, padding, dilation, output_padding))
    return Case(id, spec, size, *sizes, padding_mode, bias)


CASES = [
    # the three groupings
    case("conv", (4, 6), (3, 3), (6, 7), padding=1),
    case("grouped", (4, 6), (3, 3), (6, 7), groups=2, padding=1),
    case("depthwise", (4, 4), (3, 3), (6, 7), groups=4, padding=1),
    case("depthwise-multiplier", (4, 8), (3, 3), (6, 7), groups=4, padding=1),
    # kernels
    case("rectangular", (3, 5), (1, 4), (5, 8)),
    case("even", (3, 5), (2, 2), (5, 6)),
    case("pointwise", (4, 6), (1, 1), (5, 5)),
    case("pointwise-grouped", (4, 6), (1, 1), (5, 5), groups=2),
    # more columns than kernel elements
    case("copies", (4, 6), (2, 2), (5, 6), D_mul=8),
    case("free-columns", (4, 6), (3, 3), (6, 6), D_mul=14),
    case("free-columns-grouped", (4, 6), (2, 3), (6, 6), groups=2, D_mul=15),
    case("free-columns-depthwise", (3, 6), (2, 2), (5, 5), groups=3, D_mul=7),
    # geometry
    case("stride", (4, 6), (3, 3), (9, 8), stride=(2, 3), padding=(1, 0)),
    case("dilation", (4, 6), (3, 3), (9, 8), dilation=(2, 1), padding=(2, 1)),
    case("stride-grouped", (4, 6), (3, 2), (9, 8), groups=2, stride=2, padding=(0, 1)),
    case("no-bias", (4, 6), (3, 3), (6, 7), bias=False),
    # padding modes
    case("reflect", (4, 6), (3, 3), (6, 7), padding=(2, 1), padding_mode="reflect"),
    case("replicate", (4, 6), (3, 3), (6, 7), padding=(2, 1), padding_mode="replicate"),
    case("circular", (4, 6), (3, 3), (6, 7), padding=(2, 1), padding_mode="circular", groups=2),
    # other numbers of dimensions
    case("1d", (4, 6), (3,), (9,), stride=(2,), padding=1),
    case("1d-grouped", (4, 6), (4,), (9,), groups=2, dilation=2, D_mul=6),
    case("1d-depthwise", (4, 4), (5,), (9,), groups=4, padding=2),
    case("3d", (2, 4), (2, 3, 2), (4, 5, 4), padding=(1, 0, 1)),
    case("3d-grouped", (4, 4), (3, 2, 2), (4, 5, 4), groups=2, stride=(1, 2, 1)),
    # transposed
    case("transposed", (4, 6), (3, 3), (5, 4), transposed=True),
    case("transposed-stride", (4, 6), (3, 2), (5, 4), transposed=True, stride=(2, 3),
          padding=(1, 0), output_padding=(1, 2)),
    case("transposed-dilation", (4, 6), (2, 3), (5, 4), transposed=True, dilation=2, padding=1),
    case("transposed-grouped", (4, 6), (3, 3), (5, 4), groups=2, transposed=True, stride=2),
    case("transposed-depthwise", (4, 8), (3, 3), (5, 4), groups=4, transposed=True, padding=1),
    case("transposed-free-columns", (4, 6), (2, 2), (5, 4), D_mul=7, transposed=True, stride=2),
    case("transposed-1d", (4, 6), (4,), (6,), transposed=True, stride=2, padding=1),
    case("transposed-3d", (2, 4), (2, 2, 2), (3, 3, 2), transposed=True, stride=2),
    case("transposed-no-bias", (4, 6), (3, 3), (5, 4), transposed=True, bias=False),
]  # fmt: skip


def ids(case: Case) -> str:
    return case.id


def where(predicate: Callable[[Case], bool]) -> list[Case]:
    return [case for case in CASES if predicate(case)]
