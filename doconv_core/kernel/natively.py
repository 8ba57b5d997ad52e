"""Composition of NumPy arrays by the compiled kernel, in the case that it is written for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from doconv_core.kernel.spec import DOConvSpec
from doconv_core.native import products


def compose(spec: DOConvSpec, W: NDArray[Any], D: NDArray[Any]) -> NDArray[Any] | None:
    """As :func:`doconv_core.compose_kernel`; None where the usual way is to be taken."""
    if not _fits(spec, W, D):
        return None
    W, D = np.ascontiguousarray(W), np.ascontiguousarray(D)
    kernel = np.empty_like(W)
    return kernel if products.compose(_sizes(spec), *map(_address, (kernel, W, D))) else None


def pull_back(
    spec: DOConvSpec, W: NDArray[Any], D: NDArray[Any], grad: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """As :func:`doconv_core.compose_kernel_gradients`; None likewise."""
    if not _fits(spec, W, D, grad):
        return None
    W, D, grad = map(np.ascontiguousarray, (W, D, grad))
    grad_W, grad_D = np.empty_like(W), np.empty_like(D)
    done = products.pull_back(_sizes(spec), *map(_address, (grad_W, grad_D, grad, W, D)))
    return (grad_W, grad_D) if done else None


def _fits(spec: DOConvSpec, *arrays: NDArray[Any]) -> bool:
    float32 = all(each.dtype == np.float32 for each in arrays)
    return spec.K == spec.S == products.K and float32 and products.is_available()


def _sizes(spec: DOConvSpec) -> products.Sizes:
    groups = spec.groups
    return products.Sizes(groups, spec.out_channels // groups, spec.in_channels // groups)


def _address(array: NDArray[Any]) -> int:
    return array.ctypes.data
