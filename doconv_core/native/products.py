"""The compiled products, by addresses and sizes: whose arrays they are does not matter here."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from doconv_core.native.library import library

K = 9
"""Elements of the kernels that it is written for."""

ORDERS = ("OIk", "OkI", "IOk")
"""How W's axes may lie in memory, in C's order: of a plain convolution, of one with its channels
last, and of a transposed one."""


class Sizes(NamedTuple):
    """Of W."""

    groups: int
    outputs: int
    """Output channels of one group, O/g."""
    inputs: int
    """Input channels of one group, I/g."""


def is_available() -> bool:
    """Whether :func:`compose` and :func:`pull_back` may do anything at all."""
    return _function() is not None


def compose(
    kernel: int, W: int, D: int, sizes: Sizes, *, order: str = "OIk", threads: int = 1
) -> bool:
    """Write W + D W, per input channel, to ``kernel``.

    Args:
        kernel: the address of contiguous float32 numbers, like the others; it may be W's.
        W: as many numbers as in ``kernel``, in the same order.
        D: (I, 9, 9).
        sizes: of W.
        order: one of :data:`ORDERS`, of W and ``kernel``.
        threads: of OpenMP, if a library of it is in the process; the result has the same bits for
            any number.

    Returns:
        False where it cannot, for want of the library or of memory; nothing is written then.
    """
    return _products(kernel, 0, W, 0, D, sizes, order, threads)


def pull_back(
    grad_W: int,
    grad_D: int,
    grad: int,
    W: int,
    D: int,
    sizes: Sizes,
    *,
    order: str = "OIk",
    threads: int = 1,
) -> bool:
    """Write the gradients of W and D for that of the kernel, ``grad``; as :func:`compose`.

    ``grad_W`` may be ``grad``.
    """
    return _products(grad_W, grad_D, grad, W, D, sizes, order, threads)


def _products(
    out: int, grad_D: int, X: int, Y: int, D: int, sizes: Sizes, order: str, threads: int
) -> bool:
    function = _function()
    if function is None:
        return False
    runner = _parallel() if threads > 1 else None
    arrays = (out, grad_D, X, Y, D)
    return bool(function(*arrays, *sizes, ORDERS.index(order), threads, runner))


@cache
def _function() -> Callable[..., int] | None:
    found = library()
    if found is None:
        return None
    pointer, size, integer = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_int
    function = found.doconv_products
    function.argtypes = [*[pointer] * 5, *[size] * 3, integer, integer, pointer]
    function.restype = integer
    return function


@cache
def _parallel() -> int | None:
    """The address of OpenMP's entry, of the library that a framework has brought; or None.

    Not linked: a second OpenMP library would have threads of its own, which compete with the
    framework's.
    """
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    except (AttributeError, OSError):
        return None
