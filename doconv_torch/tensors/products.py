"""Kernel composition of the common case, W + D W with one group, and its gradients.

Eager mode calls the library (:mod:`doconv_torch.tensors.arithmetic`). A compiler cannot see into
those calls and copies around them; it is given sums of K terms to fuse. Function transforms get
one line that they can look through.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from doconv_torch.tensors import arithmetic, native

MOST_TERMS = 32
"""Kernel elements up to which a compiler is given sums: its time grows with their number."""


def compose_dense(W: Tensor, D: Tensor) -> Tensor:
    """W (O, I, K) + D (I, K, K) applied to it per input channel."""
    if _is_transformed():
        return compose_plainly(W, D)
    if not torch.compiler.is_compiling():
        return ComposeEager.apply(W, D)
    few = D.shape[1] <= MOST_TERMS and W.device.type == "cpu"
    return ComposeCompiled.apply(W, D) if few else compose_plainly(W, D)


def compose_grouped(W: Tensor, D: Tensor, groups: int) -> Tensor:
    """Several groups, W (O, I/g, K), as one: (O/g, I, K), for each input channel has its own D."""
    W = W.unflatten(0, (groups, -1)).transpose(0, 1).flatten(1, 2)
    return compose_dense(W, D).unflatten(1, (groups, -1)).transpose(0, 1).flatten(0, 1)


def is_for_kernel(W: Tensor, D: Tensor) -> bool:
    """Whether the core's compiled kernel knows these arrays, once groups are put beside each other.

    It is worth the two copies; the library's calls are not, nor is it with channels last in memory.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not _is_transformed()
        and native.knows(W, D)
        and W.is_contiguous()
    )


class ComposeEager(torch.autograd.Function):
    """By the library; differentiable any number of times."""

    @staticmethod
    def forward(W: Tensor, D: Tensor) -> Tensor:
        return arithmetic.compose(W, D)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        W, D = ctx.saved_tensors
        with torch.autocast(W.device.type, enabled=False):  # backward() may be called within it
            # With gradients on, the backward pass is itself being differentiated.
            if torch.is_grad_enabled() or _is_transformed() or _is_batched(grad):
                return compose_plainly(grad, D.mT), grad.permute(1, 2, 0) @ W.transpose(0, 1)
            return arithmetic.pull_back(grad, W, D)


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


def compose_plainly(W: Tensor, D: Tensor) -> Tensor:
    """The same in one line."""
    return W + (W.transpose(0, 1) @ D.mT).transpose(0, 1)


def _is_transformed() -> bool:
    """Whether torch.func (vmap, grad, jvp...) or forward-mode differentiation is at work."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _is_batched(grad: Tensor) -> bool:
    """Whether it stands for many gradients (``torch.autograd.grad(is_grads_batched=True)``)."""
    return torch._C._functorch.is_legacy_batchedtensor(grad)


# --- for compilers -------------------------------------------------------------------------


@torch.library.custom_op("doconv::channels_innermost", mutates_args=())
def channels_innermost(D: Tensor) -> Tensor:
    """D (I, K, S) as a new array (K, S, I).

    An operator that a compiler cannot see into: it would fuse the copy into the sums, which then
    read D with a stride.
    """
    # A copy also where the order in memory is this already (one input channel): an operator must
    # not return its input.
    return D.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)


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
