"""CondConv: a convolution whose kernel is a mixture of experts, chosen anew for every example.

For example n of N, experts e of E, and the routing matrix R (I, E):

    alpha[n, e] = sigmoid(sum_c mean_over_positions(x[n, c]) * R[c, e])
    kernel_n    = sum_e alpha[n, e] * kernel_e
    bias_n      = sum_e alpha[n, e] * bias_e
    y_n         = convolution(x_n, kernel_n) + bias_n

The authors' program and timm's add a bias r (E,) to the sum within the sigmoid, which the paper's
formula lacks: an option.

Batch norm and activation come after and stay the user's. Over-parameterized, every kernel_e is a
DO-Conv kernel with a D of its own: with one expert and alpha = 1 the layer is DO-Conv, and each D
is preconditioned by its own expert's gradient; a shared D would couple the experts, and would cost
as many multiply-accumulates. So E experts are one DO-Conv kernel of E I inputs, E O outputs and
E g groups (:attr:`CondConvSpec.stacked`), which
:mod:`doconv_core.kernel.composition` composes and folds.

Source: Yang, Bender, Le, Ngiam, "CondConv: Conditionally Parameterized Convolutions for Efficient
Inference", arXiv 1904.04971, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core import messages
from doconv_core.kernel.spec import DOConvSpec, positive_integer

EVALUATIONS = ("auto", "kernels", "outputs")


@dataclass(frozen=True)
class CondConvSpec:
    """The sizes of a conditionally parameterized convolution, plain or over-parameterized.

    The canonical arrays are ``W`` (E, O, I/g, S), ``D`` (E, I, K, S), ``bias`` (E, O) and the
    routing matrix (I, E), with E experts and the other sizes as in :class:`DOConvSpec`.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: one integer per spatial dimension.
        groups: g.
        num_experts: E.
        D_mul: None is plain CondConv, which has no D and S = K. "K" is S = K, an integer S, at
            least K. A layer with K = 1 has no D and ignores it.

    Raises:
        ValueError: a size is not positive, groups do not divide the channels, or D_mul < K.
        TypeError: a size is not an integer.

    Example:
        >>> spec = CondConvSpec(16, 32, (3, 3), num_experts=4, D_mul="K")
        >>> spec.W_shape, spec.D_shape
        ((4, 32, 16, 9), (4, 16, 9, 9))
        >>> spec.stacked.W_shape, spec.stacked.D_shape
        ((128, 16, 9), (64, 9, 9))
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    groups: int = 1
    num_experts: int = 4
    D_mul: int | str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_experts", positive_integer("num_experts", self.num_experts))
        if isinstance(self.D_mul, str) and self.D_mul != "K":
            raise ValueError(messages.neighbours.bad_expert_D_mul(self.D_mul))
        # The expert's own checks, and its integers in place of what was given.
        columns = None if self.D_mul == "K" else self.D_mul
        sizes = (self.in_channels, self.out_channels, self.kernel_size, self.groups)
        expert = DOConvSpec(*sizes, columns)
        for name in ("in_channels", "out_channels", "kernel_size", "groups"):
            object.__setattr__(self, name, getattr(expert, name))
        has_D = expert.has_D and self.D_mul is not None
        object.__setattr__(self, "D_mul", expert.S if has_D else None)

    @property
    def leading(self) -> tuple[int, ...]:
        """The axis of experts in front of every array."""
        return (self.num_experts,)

    @property
    def expert(self) -> DOConvSpec:
        """The sizes of one expert."""
        return self._copies(1)

    @property
    def stacked(self) -> DOConvSpec:
        """The sizes of all experts as one kernel: their channels and groups side by side.

        Its W is W's first two axes flattened, and so for D. Without D (``has_D`` is False), pass
        None for it.
        """
        return self._copies(self.num_experts)

    def _copies(self, E: int) -> DOConvSpec:
        S = None if self.D_mul is None else int(self.D_mul)
        I, O, g = self.in_channels, self.out_channels, self.groups
        return DOConvSpec(E * I, E * O, self.kernel_size, E * g, S)

    @property
    def K(self) -> int:
        """Number of kernel elements."""
        return self.expert.K

    @property
    def S(self) -> int:
        """Columns of W: ``D_mul``, or K for plain CondConv."""
        return self.expert.S

    @property
    def has_D(self) -> bool:
        """Whether the experts are over-parameterized."""
        return self.D_mul is not None

    @property
    def extra_columns(self) -> int:
        """Columns of W beyond the kernel's own, S - K; they live in ``W_extra``."""
        return self.expert.extra_columns

    @property
    def free_columns(self) -> int:
        """Columns of W, the last ones, that no copy of the identity reaches (S mod K)."""
        return self.expert.free_columns

    @property
    def plain(self) -> CondConvSpec:
        """The sizes after fold: without D."""
        return CondConvSpec(
            self.in_channels, self.out_channels, self.kernel_size, self.groups, self.num_experts
        )

    @property
    def W_shape(self) -> tuple[int, ...]:
        """Canonical shape of W: (E, O, I/g, S)."""
        return (self.num_experts, *self.expert.W_shape)

    @property
    def D_shape(self) -> tuple[int, ...]:
        """Shape of D, in every framework: (E, I, K, S)."""
        return (self.num_experts, *self.expert.D_shape)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Canonical shape of the experts' kernels: (E, O, I/g, K)."""
        return (self.num_experts, *self.expert.kernel_shape)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the experts' biases: (E, O)."""
        return (self.num_experts, self.out_channels)

    @property
    def routing_shape(self) -> tuple[int, ...]:
        """Canonical shape of the routing matrix: (I, E)."""
        return (self.in_channels, self.num_experts)

    @property
    def routing_bias_shape(self) -> tuple[int, ...]:
        """Shape of the routing's bias, where it has one: (E,)."""
        return (self.num_experts,)

    @property
    def kind(self) -> str:
        """CondConv, or DO-CondConv where it has D."""
        return "DO-CondConv" if self.has_D else "CondConv"


def validate_routing(routing: bool, routing_bias: bool) -> None:
    """Raise ValueError if a layer without a routing of its own is to have a bias in it."""
    if routing_bias and not routing:
        raise ValueError(messages.neighbours.bias_without_routing())


def validate_evaluation(evaluation: Any) -> str:
    """Return ``evaluation`` if it is one of :data:`EVALUATIONS`, else raise ValueError."""
    if evaluation not in EVALUATIONS:
        raise ValueError(messages.layer.bad_choice("evaluation", evaluation, EVALUATIONS))
    return str(evaluation)


# --- routing -----------------------------------------------------------------------------


def routing_weights(
    x: NDArray[Any], R: NDArray[Any], bias: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Alpha (N, E) of a map (N, I, *positions) by the routing matrix R (I, E) and a bias (E,)."""
    logits = x.reshape(*x.shape[:2], -1).mean(axis=2) @ R
    return np.asarray(1 / (1 + np.exp(-(logits if bias is None else logits + bias))))


def routing_gradients(
    x: NDArray[Any],
    R: NDArray[Any],
    grad_alpha: NDArray[Any],
    bias: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pull a gradient with respect to alpha (N, E) back to x, R and the bias (E,)."""
    alpha = routing_weights(x, R, bias)
    flat = x.reshape(*x.shape[:2], -1)
    grad_logits = grad_alpha * alpha * (1 - alpha)
    grad_x = np.broadcast_to((grad_logits @ R.T / flat.shape[2])[..., None], flat.shape)
    return grad_x.reshape(x.shape), flat.mean(axis=2).T @ grad_logits, grad_logits.sum(axis=0)


# --- mixing ------------------------------------------------------------------------------


def mix(experts: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """One array per example, (N, ...), from one per expert, (E, ...), and alpha (N, E)."""
    return np.tensordot(alpha, experts, axes=1)


def mix_gradients(
    experts: NDArray[Any], alpha: NDArray[Any], grad: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pull a gradient with respect to the mixtures (N, ...) back to the experts and alpha."""
    axes = tuple(range(1, experts.ndim))
    return np.tensordot(alpha.T, grad, axes=1), np.tensordot(grad, experts, axes=(axes, axes))
