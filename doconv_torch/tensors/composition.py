"""The forward mathematics in PyTorch: kernel composition (the fast path) and feature composition.

The formula is in :mod:`doconv_core.kernel.composition`. Sizes come as Python integers, never from a
tensor's shape, so that everything here can be traced, scripted and exported.
"""

# No `from __future__ import annotations` here: TorchScript reads the annotations as objects.
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from doconv_core import DOConvSpec
from doconv_torch.tensors import arithmetic, products
from doconv_torch.tensors.initialization import identity

Ints = int | Sequence[int]

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


def compose(
    weight: Tensor,
    D: Tensor,
    W_extra: Tensor | None,
    channels: tuple[int, int],
    groups: int,
    transposed: bool,
    kernel_size: list[int],
    D_mul: int,
) -> Tensor:
    """The kernel of the plain convolution, in the shape and precision of ``weight``.

    Args:
        weight: (O, I/g, *k), or (I, O/g, *k) if transposed.
        D: (I, K, S).
        W_extra: W's columns beyond the kernel's own: weight's channel axes, then S - K; or None.
        channels: I and O.
        groups: g.
        transposed: which of the two layouts ``weight`` has.
        kernel_size: one integer per spatial dimension.
        D_mul: S.

    Numerics: residual form, in the arrays' precision.
    """
    kernel = weight.flatten(2)
    if not torch.jit.is_scripting():  # TorchScript drops this branch unread
        if _is_dense(weight, W_extra, groups, transposed):
            return products.compose_dense(kernel, D).unflatten(2, kernel_size)
        grouped = not transposed and channels[0] != groups and W_extra is None
        if grouped and products.is_for_kernel(weight, D):
            return products.compose_grouped(kernel, D, groups).unflatten(2, kernel_size)
    W = kernel
    if W_extra is not None:
        W = torch.cat([kernel, W_extra], dim=2)
        K = 1
        for size in kernel_size:
            K *= size
        for start in range(K, D_mul - K + 1, K):  # the further copies of the identity
            kernel = kernel + W[:, :, start : start + K]
    if channels[0] == groups and channels[1] == groups:  # depthwise, an output to each input
        product = (D * W).sum(2).unsqueeze(1)  # twice as fast as products of one column each
    elif transposed:
        product = torch.einsum("iks,ios->iok", D, W)
    else:
        W = W.unflatten(0, [groups, -1])
        product = torch.einsum("gaks,goas->goak", D.unflatten(0, [groups, -1]), W).flatten(0, 1)
    return (kernel + product).unflatten(2, kernel_size)


@torch.no_grad()
def compose_into(
    kernel: Tensor, weight: Tensor, D: Tensor, spec: DOConvSpec, W_extra: Tensor | None = None
) -> None:
    """Write the kernel of W and D to ``kernel``, in place; arguments as :func:`compose`."""
    with outside_autocast(weight.device.type):
        if _is_dense(weight, W_extra, spec.groups, spec.transposed) and _is_flat(kernel):
            arithmetic.compose_into(kernel.flatten(2), weight.flatten(2), D)
        else:
            kernel.copy_(_compose(spec, weight, D, W_extra))


def pull_back_(
    grad: Tensor, weight: Tensor, D: Tensor, spec: DOConvSpec, W_extra: Tensor | None = None
) -> list[Tensor]:
    """Turn a kernel's gradient into that of ``weight``, in place.

    Returns:
        The gradients of D, and of W_extra where there is one.
    """
    with outside_autocast(weight.device.type):
        return _pull_back_(grad, weight, D, spec, W_extra)


def _pull_back_(
    grad: Tensor, weight: Tensor, D: Tensor, spec: DOConvSpec, W_extra: Tensor | None
) -> list[Tensor]:
    if _is_dense(weight, W_extra, spec.groups, spec.transposed) and _is_flat(grad):
        flat = grad.flatten(2)
        return [arithmetic.pull_back_into(flat, flat, weight.flatten(2), D)]
    given = [weight, D] if W_extra is None else [weight, D, W_extra]
    with torch.enable_grad():
        factors = [each.detach().requires_grad_() for each in given]
        grad_W, *rest = torch.autograd.grad(_compose(spec, *factors), factors, grad)
    grad.copy_(grad_W)
    return rest


def _compose(spec: DOConvSpec, weight: Tensor, D: Tensor, W_extra: Tensor | None = None) -> Tensor:
    channels, sizes = (spec.in_channels, spec.out_channels), list(spec.kernel_size)
    return compose(weight, D, W_extra, channels, spec.groups, spec.transposed, sizes, spec.S)


def _is_dense(weight: Tensor, W_extra: Tensor | None, groups: int, transposed: bool) -> bool:
    """Whether the case is the common one that has a fast path of its own."""
    return (
        groups == 1
        and not transposed
        and W_extra is None
        and isinstance(weight, Tensor)  # under torch.fx it is a proxy
        and weight.device.type in ("cpu", "cuda")
        and not (torch.jit.is_tracing() or torch.compiler.is_exporting())
    )


def _is_flat(array: Tensor) -> bool:
    """Whether ``array.flatten(2)`` is a view, which can be written to, and no copy."""
    return array.flatten(2).data_ptr() == array.data_ptr()


def outside_autocast(device_type: str) -> AbstractContextManager[object]:
    """Compose in the parameters' own precision; not every device (meta) knows autocast."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def whole_D(D: Tensor) -> Tensor:
    """Identity + D, (I, K, S): what feature composition convolves with."""
    return D + identity(D)


def feature_convolution(
    input: Tensor,
    W: Tensor,
    D: Tensor,
    bias: Tensor | None,
    kernel_size: tuple[int, ...],
    groups: int,
    stride: Ints,
    padding: str | Ints,
    dilation: Ints,
) -> Tensor:
    """Depthwise convolution with identity + D, then a 1x1 convolution with W (O, I/g, S)."""
    ndim, channels = len(kernel_size), D.shape[0]
    depthwise = whole_D(D).transpose(1, 2).reshape(-1, 1, *kernel_size)
    conv = CONVOLUTIONS[ndim]
    features = conv(input, depthwise, None, stride, padding, dilation, channels)
    return conv(features, _pointwise(W, ndim), bias, groups=groups)


def feature_transposed_convolution(
    input: Tensor,
    W: Tensor,
    D: Tensor,
    bias: Tensor | None,
    kernel_size: tuple[int, ...],
    groups: int,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    dilation: Ints,
) -> Tensor:
    """Depthwise transposed convolution with identity + D, then a 1x1 one with W (I, O/g, S)."""
    ndim, channels = len(kernel_size), D.shape[0]
    depthwise = whole_D(D).transpose(1, 2).reshape(channels, -1, *kernel_size)
    features = TRANSPOSED[ndim](
        input, depthwise, None, stride, padding, output_padding, channels, dilation
    )
    # to (O, I/g, S): the channel axes turned within each group
    W = W.unflatten(0, [groups, -1]).transpose(1, 2).flatten(0, 1)
    return CONVOLUTIONS[ndim](features, _pointwise(W, ndim), bias, groups=groups)


def _pointwise(W: Tensor, ndim: int) -> Tensor:
    return W.flatten(1)[(..., *(None,) * ndim)]
