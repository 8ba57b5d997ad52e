"""The specification of CondConv as a table, beside that of DO-Conv (tests/star/cases/conv.py).

Alpha given from outside is drawn in quarters, and everything else as integers in [-3, 3], so that
every correct float32 implementation is bitwise equal to the oracle, whether it mixes kernels or
outputs. D is always random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from doconv_core.neighbours.condconv import CondConvSpec
from tests.star.cases.conv import Case, Ints
from tests.star.cases.conv import case as conv_case
from tests.star.oracles.condconv import CondConvOracle


@dataclass(frozen=True)
class CondCase:
    id: str
    conv: Case
    """Sizes of one expert, and the geometry that all share."""
    spec: CondConvSpec
    batch: int
    routing_bias: bool = False
    """Whether a routing of the layer's own has one."""

    @property
    def oracle(self) -> CondConvOracle:
        conv = self.conv
        return CondConvOracle(
            self.spec,
            stride=conv.stride,
            padding=[(p, p) for p in conv.padding],
            dilation=conv.dilation,
            padding_mode=conv.padding_mode,
        )


class CondArrays(NamedTuple):
    """Canonical float32 arrays of one case."""

    x: np.ndarray
    """(N, I, *in)"""
    W: np.ndarray
    """(E, O, I/g, S)"""
    D: np.ndarray | None
    """(E, I, K, S)"""
    bias: np.ndarray | None
    """(E, O)"""
    alpha: np.ndarray
    """(N, E), for a layer that is routed from outside."""
    R: np.ndarray
    """(I, E), for a layer that has its own routing."""
    grad_y: np.ndarray
    """(N, O, *out), the gradient that arrives from above."""
    routing_bias: np.ndarray | None = None
    """(E,), of a routing that has one."""


def arrays(case: CondCase, kind: str = "integer", *, seed: int = 0) -> CondArrays:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        if kind == "integer":
            return rng.integers(-3, 4, shape).astype(np.float32)
        return rng.normal(size=shape).astype(np.float32)

    spec = case.spec
    x = draw(case.batch, spec.in_channels, *case.conv.size)
    W = draw(*spec.W_shape)
    D = draw(*spec.D_shape) if spec.has_D else None
    bias = draw(*spec.bias_shape) if case.conv.bias else None
    alpha = (rng.integers(0, 5, (case.batch, spec.num_experts)) / 4).astype(np.float32)
    R = draw(*spec.routing_shape)
    grad_y = draw(*case.oracle(x, W, D, bias, alpha).shape)
    routing_bias = draw(*spec.routing_bias_shape) if case.routing_bias else None
    return CondArrays(x, W, D, bias, alpha, R, grad_y, routing_bias)


def case(
    id: str, channels: Ints, kernel_size: Ints, size: Ints, *, experts: int = 3,
    D_mul: int | str | None = "K", batch: int = 2, groups: int = 1, routing_bias: bool = False,
    **geometry: Any,
) -> CondCase:  # fmt: skip
    spec = CondConvSpec(*channels, kernel_size, groups, experts, D_mul)
    columns = spec.S if spec.has_D else None
    conv = conv_case(id, channels, kernel_size, size, groups=groups, D_mul=columns, **geometry)
    return CondCase(id, conv, spec, batch, routing_bias)


CASES = [
    # plain CondConv, in the three groupings
    case("plain", (4, 6), (3, 3), (6, 7), D_mul=None, padding=1),
    case("plain-grouped", (4, 6), (3, 3), (6, 7), groups=2, D_mul=None, routing_bias=True),
    case("plain-depthwise", (4, 8), (3, 3), (6, 7), groups=4, D_mul=None, padding=1),
    # over-parameterized
    case("conv", (4, 6), (3, 3), (6, 7), padding=1, routing_bias=True),
    case("grouped", (4, 6), (3, 3), (6, 7), groups=2, padding=1),
    case("depthwise", (4, 4), (3, 3), (6, 7), groups=4, padding=1, routing_bias=True),
    case("depthwise-multiplier", (4, 8), (3, 3), (6, 7), groups=4, padding=1),
    case("pointwise", (4, 6), (1, 1), (5, 5)),
    case("even", (3, 5), (2, 2), (5, 6)),
    case("rectangular", (3, 5), (1, 4), (5, 8)),
    # more columns than kernel elements
    case("copies", (4, 6), (2, 2), (5, 6), D_mul=8, routing_bias=True),
    case("free-columns-grouped", (4, 6), (2, 3), (6, 6), groups=2, D_mul=15),
    # experts and examples
    case("one-expert", (4, 6), (3, 3), (6, 6), experts=1, routing_bias=True),
    case("eight-experts", (3, 4), (2, 2), (5, 5), experts=8),
    case("batch-of-one", (4, 6), (3, 3), (6, 7), batch=1, padding=1),
    case("batch-of-one-grouped", (4, 6), (3, 3), (6, 7), groups=2, batch=1, routing_bias=True),
    case("large-batch", (4, 6), (3, 3), (5, 5), batch=33, padding=1, routing_bias=True),
    case("one-position", (4, 6), (3, 3), (3, 3), batch=5),  # "auto" mixes outputs
    # geometry
    case("stride", (4, 6), (3, 3), (9, 8), stride=(2, 3), padding=(1, 0)),
    case("dilation", (4, 6), (3, 3), (9, 8), dilation=(2, 1), padding=(2, 1)),
    case("stride-grouped", (4, 6), (3, 2), (9, 8), groups=2, stride=2, padding=(0, 1)),
    case("dilation-grouped", (4, 6), (3, 2), (9, 8), groups=2, dilation=2, padding=(0, 1)),
    case("stride-depthwise", (4, 8), (3, 3), (9, 9), groups=4, stride=2, padding=1),
    case("no-bias", (4, 6), (3, 3), (6, 7), bias=False),
    # padding modes
    case("reflect", (4, 6), (3, 3), (6, 7), padding=(2, 1), padding_mode="reflect"),
    case("replicate", (4, 6), (3, 3), (6, 7), padding=(2, 1), padding_mode="replicate"),
    case("circular", (4, 6), (3, 3), (6, 7), padding=(2, 1), padding_mode="circular", groups=2),
    # other numbers of dimensions
    case("1d", (4, 6), (3,), (9,), stride=(2,), padding=1),
    case("1d-grouped", (4, 6), (4,), (9,), groups=2, dilation=2, D_mul=6),
    case("3d", (2, 4), (2, 3, 2), (4, 5, 4), padding=(1, 0, 1)),
    case("3d-grouped", (4, 4), (3, 2, 2), (4, 5, 4), groups=2, stride=(1, 2, 1)),
]  # fmt: skip


def ids(case: CondCase) -> str:
    return case.id
