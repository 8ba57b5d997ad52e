"""Random cases: every layer and geometry that the mathematics allows, at small sizes."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from doconv_core import DOConvSpec
from tests.star.cases.conv import Case


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A layer of 1 to 3 dimensions with explicit zero padding, and an input that fits it."""

    def per_dimension(smallest: int, largest: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(smallest, largest)) for _ in range(ndim))

    ndim = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    kernel_size = per_dimension(1, 5 - ndim)
    K = math.prod(kernel_size)
    groups, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    spec = DOConvSpec(
        in_channels=groups * per_group,
        out_channels=groups * draw(st.integers(1, 3)),
        kernel_size=kernel_size,
        groups=groups,
        D_mul=draw(st.none() | st.integers(K, 2 * K + 1)),
        transposed=transposed,
    )
    stride = per_dimension(1, 3)
    dilation = per_dimension(1, 2)
    output_padding = (0,) * ndim
    if transposed:  # every host takes those below the stride
        output_padding = tuple(draw(st.integers(0, s - 1)) for s in stride)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel_size, strict=True))
    padding = tuple(draw(st.integers(0, min(2, r - 1))) for r in reach)
    if transposed:  # sizes that give at least one output
        least = tuple(
            1 + max(0, math.ceil((2 * p - r - o + 1) / s))
            for p, r, o, s in zip(padding, reach, output_padding, stride, strict=True)
        )
    else:
        least = tuple(max(1, r - 2 * p) for r, p in zip(reach, padding, strict=True))
    size = tuple(n + draw(st.integers(0, 3)) for n in least)
    bias = draw(st.booleans())
    return Case("random", spec, size, stride, padding, dilation, output_padding, "zeros", bias)
