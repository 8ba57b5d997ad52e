"""Kernel composition of the common case, W + D W with one group on the CPU, and its gradients.

Eager mode calls the library (:mod:`doconv_torch.arithmetic`). A compiler cannot see into those
calls and copies around them; it is given sums of K terms to fuse.
"""

from typing import Any

import torch
from torch import Tensor

from doconv_torch import arithmetic


def compose_dense(W: Tensor, D: Tensor) -> Tensor:
    """W (O, I, K) + D (I, K, K) applied to it per input channel."""
    function = ComposeCompiled if torch.compiler.is_compiling() else ComposeEager
    return function.apply(W, D)


class ComposeEager(torch.autograd.Function):
    """By the library; differentiable any number of times, forwards, and under vmap."""

    @staticmethod
    def forward(W: Tensor, D: Tensor) -> Tensor:
        return arithmetic.compose(W, D)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        W, D = ctx.saved_tensors
        if torch.is_grad_enabled():  # the backward pass is itself being differentiated
            return compose_by_einsum(grad, D.mT), torch.einsum("oik,ois->iks", grad, W)
        return arithmetic.pull_back(grad, W, D)

    @staticmethod
    def jvp(ctx: Any, W_tangent: Tensor | None, D_tangent: Tensor | None) -> Tensor:
        W, D = ctx.saved_tensors
        moved = torch.zeros_like(W) if W_tangent is None else compose_by_einsum(W_tangent, D)
        if D_tangent is not None:
            moved = moved + torch.einsum("iks,ois->oik", D_tangent, W)
        return moved

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, int | None], W: Tensor, D: Tensor
    ) -> tuple[Tensor, int]:
        return torch.vmap(compose_by_einsum, in_dims)(W, D), 0


class ComposeCompiled(torch.autograd.Function):
    """By sums of K terms, which a compiler fuses."""

    @staticmethod
    def forward(W: Tensor, D: Tensor) -> Tensor:
        return _sums(W, channels_innermost(D))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        W, D = ctx.saved_tensors
        return _sums(grad, channels_innermost(D.mT)), _gram_by_halves(grad, W)


def compose_by_einsum(W: Tensor, D: Tensor) -> Tensor:
    """The same in one line."""
    return W + torch.einsum("iks,ois->oik", D, W)


# --- for compilers -------------------------------------------------------------------------


@torch.library.custom_op("doconv::channels_innermost", mutates_args=())
def channels_innermost(D: Tensor) -> Tensor:
    """D (I, K, S) as a new array (K, S, I).

    An operator that a compiler cannot see into: it would fuse the copy into the sums, which then
    read D with a stride.
    """
    return D.permute(1, 2, 0).contiguous()


@channels_innermost.register_fake
def _(D: Tensor) -> Tensor:
    return D.new_empty(D.shape[1], D.shape[2], D.shape[0])


def _sums(W: Tensor, D: Tensor) -> Tensor:
    """W (O, I, K) and D (K, S, I), channels innermost in the loops: they vectorize."""
    W = W.mT
    kernel = W
    for s in range(W.shape[1]):
        kernel = kernel + D[:, s] * W[:, s : s + 1]
    return kernel.mT


def _gram_by_halves(grad: Tensor, W: Tensor) -> Tensor:
    """Sum over O of every pair of columns, in two steps: one long sum does not vectorize."""
    step = 16 if W.shape[0] % 16 == 0 else 1
    products = grad.mT.unsqueeze(2) * W.mT.unsqueeze(1)  # (O, K, S, I)
    return products.unflatten(0, [step, -1]).sum(1).sum(0).permute(2, 0, 1)
