"""The definition, for tests: XSepConv as three depthwise convolutions, in float64 NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core.neighbours.xsepconv import XSepConvSpec
from tests.star.oracles.conv import Gradients, Oracle


class XSepConvOracle:
    """One XSepConv layer, each of its convolutions by feature composition.

    Args:
        spec: the layer's sizes.
    """

    def __init__(self, spec: XSepConvSpec) -> None:
        pads = [spec.zeros, *([(n, n) for n in part.padding] for part in spec.parts[1:])]
        self.parts = [
            Oracle(part.conv, stride=part.stride, padding=zeros, dilation=part.dilation)
            for part, zeros in zip(spec.parts, pads, strict=True)
        ]

    def __call__(
        self,
        x: NDArray[Any],
        W: Sequence[NDArray[Any]],
        D: Sequence[NDArray[Any] | None],
        bias: Any = None,
    ) -> NDArray[np.float64]:
        """The output for x (B, C, H, W), and W, D of each of the three; bias is the last one's."""
        for part, w, d, b in zip(self.parts, W, D, (None, None, bias), strict=True):
            x = part(x, w, d, b)
        return x

    def gradients(
        self,
        x: NDArray[Any],
        W: Sequence[NDArray[Any]],
        D: Sequence[NDArray[Any] | None],
        grad_y: NDArray[Any],
    ) -> tuple[Gradients, ...]:
        """Gradients of ``(output * grad_y).sum()``, of each convolution; the first one's x is x."""
        inputs = [x]
        for part, w, d in zip(self.parts[:-1], W, D, strict=False):
            inputs.append(part(inputs[-1], w, d))
        found: list[Gradients] = []
        for part, given, w, d in reversed(list(zip(self.parts, inputs, W, D, strict=True))):
            found.append(part.gradients(given, w, d, grad_y))
            grad_y = found[-1].x
        return tuple(reversed(found))
