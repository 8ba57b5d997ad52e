"""The two products of kernel composition, W + D W and its gradient's, fast on a CPU.

The obvious library call, a batched product, wants one matrix per input channel, (I, O, K), while W
is (O, I, K); in memory too or, in channels_last format, (O, K, I). What costs is reading or writing
arrays that are not in the cache, and strides, more than the arithmetic. The core's compiled kernel
(:mod:`doconv_torch.tensors.native`) reads and writes each once. Where it is not, there are two ways
through the library, both exact:

* W is also an image of I K channels that has one pixel per output channel, channels last. D W is
  then a 1x1 convolution of I groups, one pass over W without a change of layout. The library's fast
  kernels want more than 16 channels in a group, so neighbouring input channels share one, with
  zeros between them.
* Batched products of a few output channels at a time, `CHUNK` bytes of W, which stay in the cache
  from the first copy to the last addition: for any type, layout and size.

On a GPU calls are what costs: a copy, and one batched product that adds to it.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from doconv_torch.tensors import native

CHUNK = 2**19
"""Bytes of W worked on at a time: a quarter of a usual second-level cache, for four arrays."""

LARGE = 2**20
"""Bytes of W from which on the convolution's overhead is paid back."""


def compose(W: Tensor, D: Tensor) -> Tensor:
    """W (O, I, K) + D (I, K, K) applied to it per input channel, in W's memory layout."""
    kernel = native.compose(W, D)
    return compose_into(torch.empty_like(W), W, D) if kernel is None else kernel


def pull_back(grad: Tensor, W: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of W and D for that of the kernel, ``grad``; all as W is in memory."""
    if grad.stride() != W.stride():  # as of a sum, whose gradient is expanded
        grad = torch.empty_like(W).copy_(grad)
    found = native.pull_back(grad, W, D)
    if found is not None:
        return found
    grad_W = torch.empty_like(W)
    return grad_W, pull_back_into(grad_W, grad, W, D)


def compose_into(kernel: Tensor, W: Tensor, D: Tensor) -> Tensor:
    """:func:`compose` into an array that is there; returns it."""
    if native.compose_into(kernel, W, D):
        return kernel
    if W.device.type != "cpu":
        return _add_product(kernel.copy_(W), W, D.mT)
    if (image := _as_image(W)) is not None:
        return torch.add(_convolve(W, D, *image), W, out=kernel)
    rows, D = _rows(W), D.mT
    for part, out in zip(W.split(rows), kernel.split(rows), strict=True):
        part = part.contiguous()  # a copy in channels_last format only
        torch.add(part, torch.bmm(part.transpose(0, 1), D).transpose(0, 1), out=out)
    return kernel


def pull_back_into(grad_W: Tensor, grad: Tensor, W: Tensor, D: Tensor) -> Tensor:
    """:func:`pull_back`, W's gradient into ``grad_W``, which may be ``grad``; returns D's."""
    found = native.pull_back_into(grad_W, grad, W, D)
    if found is not None:
        return found
    if W.device.type != "cpu":
        grad_D = grad.permute(1, 2, 0) @ W.transpose(0, 1)
        given = grad.clone() if grad_W is grad else grad
        _add_product(grad_W.copy_(given), given, D)
        return grad_D
    grad_D, rows = torch.zeros_like(D), _rows(W)
    if grad.is_contiguous() and (image := _as_image(W)) is not None:
        for g, part in zip(grad.split(rows), W.split(rows), strict=True):
            grad_D.baddbmm_(g.permute(1, 2, 0), part.transpose(0, 1))
        torch.add(_convolve(grad, D.mT, *image), grad, out=grad_W)
        return grad_D
    for g, part, out in zip(grad.split(rows), W.split(rows), grad_W.split(rows), strict=True):
        g = g.contiguous()
        by_channel = g.transpose(0, 1)
        grad_D.baddbmm_(by_channel.mT, part.contiguous().transpose(0, 1))
        torch.add(g, torch.bmm(by_channel, D).transpose(0, 1), out=out)
    return grad_D


def _add_product(out: Tensor, W: Tensor, D: Tensor) -> Tensor:
    """Add W D, per input channel, to ``out``, in place."""
    out.transpose(0, 1).baddbmm_(W.transpose(0, 1), D)
    return out


def _rows(W: Tensor) -> int:
    """Output channels to work on at a time."""
    return max(1, CHUNK // (W[0].numel() * W.element_size()))


class _Image(NamedTuple):
    width: int
    """Pixels to an image: the output channels are dealt out to a batch of images."""
    shared: int
    """Input channels to a group."""


def _as_image(W: Tensor) -> _Image | None:
    """How W is read as images, or None where batched products are better."""
    (O, I, K), width = W.shape, 16
    fits = (
        W.dtype == torch.float32
        and W.is_contiguous()
        and W.numel() * W.element_size() >= LARGE
        and O % width == 0
        and torch.backends.mkldnn.enabled
        # The kernels are there, and were measured, with these instructions only.
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )
    shared = [n for n in range(1, 17 // K + 2) if n * K > 16 and I % n == 0]
    return _Image(width, shared[0]) if fits and shared else None


def _convolve(W: Tensor, D: Tensor, width: int, shared: int) -> Tensor:
    """D W, (O, I, K); a value in W that is not finite reaches the channels it shares with."""
    O, I, K = W.shape
    groups = I // shared
    blocks = D.new_zeros(groups, shared, K, shared, K)
    blocks.diagonal(0, 1, 3).copy_(D.unflatten(0, (groups, shared)).permute(0, 2, 3, 1))
    images = W.view(O // width, width, 1, I * K).permute(0, 3, 1, 2)
    result = F.conv2d(images, blocks.view(I * K, shared * K, 1, 1), groups=groups)
    return result.permute(0, 2, 3, 1).reshape(O, I, K)
