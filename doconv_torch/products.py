"""Kernel composition on the CPU, laid out for speed: W + D W, and its gradients.

The library's batched product wants one matrix per input channel, (I, O, K); W is (O, I, K), in
memory too or, in channels_last format, (O, K, I). Three things cost, in this order: reading or
writing an array that is not in the cache, doing so with a stride, and the products themselves,
which are small. So in eager mode everything works on a few output channels at a time, `CHUNK`
bytes of W, which stay in the cache from the first copy to the last addition. A compiler cannot see
into a batched product and copies around it; it is given sums of K terms to fuse.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK = 2**19
"""Bytes of W worked on at a time: a quarter of a usual second-level cache, for four arrays."""


def compose_dense(W: Tensor, D: Tensor) -> Tensor:
    """W (O, I, K) + D (I, K, K) applied to it per input channel."""
    function = ComposeCompiled if torch.compiler.is_compiling() else ComposeEager
    return function.apply(W, D)


class ComposeEager(torch.autograd.Function):
    """By batched products; differentiable any number of times, forwards, and under vmap."""

    @staticmethod
    def forward(W: Tensor, D: Tensor) -> Tensor:
        kernel = torch.empty_like(W)
        compose_into(kernel, W, D)
        return kernel

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        W, D = ctx.saved_tensors
        if torch.is_grad_enabled():  # the backward pass is itself being differentiated
            return compose_by_einsum(grad, D.mT), torch.einsum("oik,ois->iks", grad, W)
        grad_W, grad_D = torch.empty_like(W), torch.zeros_like(D)
        pull_back(grad, W, D, grad_W, grad_D)
        return grad_W, grad_D

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


def chunks(W: Tensor) -> int:
    """Output channels to work on at a time."""
    return max(1, CHUNK // (W[0].numel() * W.element_size()))


def compose_into(kernel: Tensor, W: Tensor, D: Tensor) -> None:
    """Write W + D W to ``kernel``, (O, I, K)."""
    rows, D = chunks(W), D.mT
    for part, out in zip(W.split(rows), kernel.split(rows), strict=True):
        part = part.contiguous()  # a copy in channels_last format only
        torch.add(part, torch.bmm(part.transpose(0, 1), D).transpose(0, 1), out=out)


def pull_back(grad: Tensor, W: Tensor, D: Tensor, grad_W: Tensor, grad_D: Tensor) -> None:
    """Write a kernel's gradient, (O, I, K), pulled back to W; add that of D to ``grad_D``.

    ``grad_W`` may be ``grad`` itself.
    """
    rows = chunks(W)
    for g, part, out in zip(grad.split(rows), W.split(rows), grad_W.split(rows), strict=True):
        g = g.contiguous()
        by_channel = g.transpose(0, 1)
        grad_D.baddbmm_(by_channel.mT, part.contiguous().transpose(0, 1))
        torch.add(g, torch.bmm(by_channel, D).transpose(0, 1), out=out)


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
