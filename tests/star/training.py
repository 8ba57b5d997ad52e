"""The training loop in NumPy that every framework's own loop is held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.star.cases.conv import Arrays, Case


class Loss(NamedTuple):
    """A loss summed over the outputs. Its operators are those of any framework's arrays."""

    term: Callable[[Any, Any], Any]
    """Of an output and its target."""
    gradient: Callable[[Any, Any], Any]
    """Of the term, with respect to the output."""


LINEAR = Loss(lambda y, target: y * target, lambda y, target: target)
SQUARES = Loss(lambda y, target: (y - target) ** 2 / 2, lambda y, target: y - target)


class Trained(NamedTuple):
    """The parameters after training, float64."""

    W: np.ndarray
    D: np.ndarray | None
    bias: np.ndarray | None


def numpy_loop(case: Case, data: Arrays, loss: Loss, *, steps: int, lr: float) -> Trained:
    """``steps`` of plain SGD in float64; the targets are ``data.grad_y``."""
    W, D, bias = (
        None if array is None else array.astype(np.float64)
        for array in (data.W, data.D, data.bias)
    )  # fmt: skip
    for _ in range(steps):
        y = case.oracle(data.x, W, D, bias)
        gradient = case.oracle.gradients(data.x, W, D, loss.gradient(y, data.grad_y))
        W = W - lr * gradient.W
        D = None if D is None else D - lr * gradient.D
        bias = None if bias is None else bias - lr * gradient.bias
    return Trained(W, D, bias)


def sparse_integers(case: Case, data: Arrays) -> Arrays:
    """Integer data on which ten steps of :data:`LINEAR` with lr = 1/2 are exact in float32.

    One image with entries in {-1, 0, 1}, and one target of -2 or 2 per output channel: the
    kernel's gradient, constant in such a loop, is a small integer matrix, so the parameters stay
    integers and grow slowly.
    """
    x = np.sign(data.x[:1]) * (abs(data.x[:1]) == 3)
    target = np.zeros_like(data.grad_y[:1])
    flat = target.reshape(case.spec.out_channels, -1)
    positions = np.random.default_rng(0).integers(flat.shape[1], size=len(flat))
    flat[np.arange(len(flat)), positions] = 2 * (-1.0) ** np.arange(len(flat))
    return data._replace(x=x, grad_y=target)
