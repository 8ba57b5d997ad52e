"""The definition, for tests: a CondConv layer in float64 NumPy, without a kernel anywhere.

Every expert convolves by feature composition (:mod:`tests.star.oracles.conv`), then each example
takes its mixture of their outputs. It neither composes a kernel nor mixes any, so a mistake in
either cannot hide here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from doconv_core.neighbours.condconv import CondConvSpec, routing_gradients
from tests.star.oracles.conv import Array, Gradients, Oracle


class CondConvGradients(NamedTuple):
    """Gradients of a layer, in the canonical shapes of the arrays they belong to."""

    x: Array
    W: Array
    D: Array | None
    bias: Array | None
    alpha: Array | None = None
    """None where a framework does not show it, because the layer has its own routing."""
    R: Array | None = None
    """None where alpha was given from outside."""
    routing_bias: Array | None = None
    """None where the routing has none, too."""


class CondConvOracle:
    """One CondConv layer, plain or over-parameterized.

    Args:
        spec: the layer's sizes.
        stride, padding, dilation, padding_mode: as for the oracle of DO-Conv.

    Example:
        >>> spec = CondConvSpec(1, 1, (3,), num_experts=2)
        >>> layer = CondConvOracle(spec, padding=[(1, 1)])
        >>> alpha = np.array([[0.5, 1.0]])
        >>> layer(np.ones((1, 1, 4)), np.ones(spec.W_shape), None, None, alpha)
        array([[[3. , 4.5, 4.5, 3. ]]])
    """

    def __init__(
        self,
        spec: CondConvSpec,
        *,
        stride: Sequence[int] | None = None,
        padding: Sequence[tuple[int, int]] | None = None,
        dilation: Sequence[int] | None = None,
        padding_mode: str = "zeros",
    ) -> None:
        self.spec = spec
        self.expert = Oracle(
            spec.expert,
            stride=stride,
            padding=padding,
            dilation=dilation,
            padding_mode=padding_mode,
        )

    def __call__(
        self,
        x: NDArray[Any],
        W: NDArray[Any],
        D: NDArray[Any] | None,
        bias: NDArray[Any] | None,
        alpha: NDArray[Any],
    ) -> Array:
        """The output (N, O, *out) for an input (N, I, *in) and alpha (N, E)."""
        y: Array = np.einsum("en...,ne->n...", self._outputs(x, W, D, bias), alpha)
        return y

    def gradients(
        self,
        x: NDArray[Any],
        W: NDArray[Any],
        D: NDArray[Any] | None,
        bias: NDArray[Any] | None,
        alpha: NDArray[Any],
        grad_y: NDArray[Any],
        R: NDArray[Any] | None = None,
        routing_bias: NDArray[Any] | None = None,
    ) -> CondConvGradients:
        """Gradients of ``(output * grad_y).sum()``.

        With ``R`` given, alpha must be what it routes to; the gradient of x then includes the
        routing's part.
        """
        x, grad_y = np.asarray(x, np.float64), np.asarray(grad_y, np.float64)
        alpha = np.asarray(alpha, np.float64)
        experts: list[Gradients] = []
        for e in range(self.spec.num_experts):
            share = alpha[:, e].reshape(-1, *(1,) * (grad_y.ndim - 1)) * grad_y
            experts.append(self.expert.gradients(x, W[e], None if D is None else D[e], share))
        products = self._outputs(x, W, D, bias) * grad_y
        grad_alpha: Array = products.reshape(*products.shape[:2], -1).sum(axis=2).T
        grad_x, grad_R, grad_r = sum(g.x for g in experts), None, None
        if R is not None:
            R, r = np.asarray(R, np.float64), routing_bias
            r = None if r is None else np.asarray(r, np.float64)
            through_routing, grad_R, grad_r = routing_gradients(x, R, grad_alpha, r)
            grad_x = grad_x + through_routing
        return CondConvGradients(
            np.asarray(grad_x),
            np.stack([g.W for g in experts]),
            np.stack([g.D for g in experts if g.D is not None]) if self.spec.has_D else None,
            None if bias is None else np.stack([g.bias for g in experts]),
            grad_alpha,
            grad_R,
            None if routing_bias is None else grad_r,
        )

    def _outputs(
        self,
        x: NDArray[Any],
        W: NDArray[Any],
        D: NDArray[Any] | None,
        bias: NDArray[Any] | None,
    ) -> Array:
        """Of every expert, (E, N, O, *out)."""
        experts = range(self.spec.num_experts)
        return np.stack(
            [
                self.expert(x, W[e], None if D is None else D[e], None if bias is None else bias[e])
                for e in experts
            ]
        )
