"""Kernel composition: the one formula of the paper, its gradients, and folding.

For output o of group q = o // (O/g) and input a of that group, with channel c = q*(I/g) + a:

    kernel[o, a, k] = sum_s (identity[k, s] + D[c, k, s]) * W[o, a, s]

Adapters compute the same with their framework's operations; this module is what they are held
against, and what folds. Numerics: residual form. The identity's part is added, never multiplied,
so a small D is not rounded away next to a 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from doconv_core import messages
from doconv_core.kernel import natively
from doconv_core.kernel.rounding import round_once, type_name
from doconv_core.kernel.spec import DOConvSpec, KernelSpec


def compose_kernel(
    spec: KernelSpec, W: NDArray[Any], D: NDArray[Any] | None = None
) -> NDArray[Any]:
    """The kernel of the plain convolution that a DO-Conv layer computes.

    Args:
        spec: the layer's sizes.
        W: (O, I/g, S).
        D: (I, K, S), as offset from the identity; None stands for zeros.

    Returns:
        The kernel, (O, I/g, K), in the arrays' own precision.

    Raises:
        ValueError: an array does not have its shape.

    Source: arXiv 2006.12030, eq. 4; groups as section 3.3.

    Example:
        >>> spec = DOConvSpec(2, 4, (3, 3))
        >>> W, D = np.ones(spec.W_shape), np.zeros(spec.D_shape)
        >>> bool((compose_kernel(spec, W, D) == W).all())
        True
    """
    _check(spec, W, D)
    one = spec.stacked
    W = W.reshape(one.W_shape)
    if D is not None and spec.has_D:
        composed = natively.compose(one, W, D.reshape(one.D_shape))
        if composed is not None:
            return composed.reshape(spec.kernel_shape)
    kernel = np.array(_identity_part(one, W))
    if D is not None and spec.has_D:
        grouped = np.einsum("gocs,gcks->gock", _grouped_W(one, W), _grouped_D(one, D))
        kernel = kernel + grouped.reshape(one.kernel_shape)
    return kernel.reshape(spec.kernel_shape)


def compose_kernel_gradients(
    spec: DOConvSpec, W: NDArray[Any], D: NDArray[Any] | None, grad_kernel: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Pull a gradient with respect to the kernel back to W and D.

    Args:
        spec: the layer's sizes.
        W: (O, I/g, S).
        D: (I, K, S), or None for a layer with K = 1.
        grad_kernel: (O, I/g, K).

    Returns:
        The gradients of W, (O, I/g, S), and of D, (I, K, S) (None where D is None).
    """
    _check(spec, W, D)
    if grad_kernel.shape != spec.kernel_shape:
        raise ValueError(
            messages.layer.bad_shape("grad_kernel", grad_kernel.shape, spec.kernel_shape)
        )
    if D is not None and spec.has_D:
        pulled = natively.pull_back(spec, W, D, grad_kernel)
        if pulled is not None:
            return pulled
    grad_W = np.zeros(spec.W_shape, np.result_type(W, grad_kernel))
    for start in range(0, spec.S - spec.free_columns, spec.K):
        grad_W[..., start : start + spec.K] = grad_kernel
    if D is None or not spec.has_D:
        return grad_W, None
    g, O, a, K = spec.groups, spec.out_channels, spec.in_channels // spec.groups, spec.K
    grad = grad_kernel.reshape(g, O // g, a, K)
    grad_W += np.einsum("gock,gcks->gocs", grad, _grouped_D(spec, D)).reshape(spec.W_shape)
    grad_D = np.einsum("gock,gocs->gcks", grad, _grouped_W(spec, W)).reshape(spec.D_shape)
    return grad_W, grad_D


def fold_kernel(
    spec: KernelSpec,
    W: NDArray[Any],
    D: NDArray[Any] | None,
    dtype: DTypeLike | None = None,
    layer: str = "",
) -> NDArray[Any]:
    """Compose once in float64 and round once: the kernel of the deployed plain layer.

    Args:
        spec: the layer's sizes.
        W: (O, I/g, S).
        D: (I, K, S) or None.
        dtype: of the result; None means W's. "bfloat16" gives float32 that holds its numbers.
        layer: the layer's name, for error messages.

    Returns:
        The kernel, (O, I/g, K). With eps of ``dtype`` (and no overflow) each element is within
        eps/2 of the float64 value.

    Raises:
        ValueError: W or D is not finite, or the kernel overflows ``dtype``.
    """
    dtype = W.dtype if dtype is None else dtype
    for name, array in (("W", W), ("D", D)):
        if array is not None and not np.isfinite(array).all():
            raise ValueError(messages.model.not_finite(name, layer))
    exact = compose_kernel(spec, W.astype(np.float64), None if D is None else D.astype(np.float64))
    kernel = round_once(exact, dtype)
    if not np.isfinite(kernel).all():
        raise ValueError(messages.model.overflows(layer, type_name(dtype)))
    return kernel


def _identity_part(spec: DOConvSpec, W: NDArray[Any]) -> NDArray[Any]:
    copies = W[..., : spec.S - spec.free_columns].reshape(*W.shape[:2], -1, spec.K)
    return copies[:, :, 0] if copies.shape[2] == 1 else copies.sum(axis=2)


def _grouped_W(spec: DOConvSpec, W: NDArray[Any]) -> NDArray[Any]:
    g = spec.groups
    return W.reshape(g, spec.out_channels // g, spec.in_channels // g, spec.S)


def _grouped_D(spec: DOConvSpec, D: NDArray[Any]) -> NDArray[Any]:
    return D.reshape(spec.groups, spec.in_channels // spec.groups, spec.K, spec.S)


def _check(spec: KernelSpec, W: NDArray[Any], D: NDArray[Any] | None) -> None:
    if W.shape != spec.W_shape:
        raise ValueError(messages.layer.bad_shape("W", W.shape, spec.W_shape))
    if D is not None and D.shape != spec.D_shape:
        raise ValueError(messages.layer.bad_shape("D", D.shape, spec.D_shape))
