"""The compiled products, by addresses and sizes: whose arrays they are does not matter here."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from doconv_core.native.library import library

K = 9
"""Elements of the kernels that it is written for."""

ORDERS = ("OIk", "OkI", "IOk")
"""How W's axes may lie in memory, in C's order: of a plain convolution, of one with its channels
last, and of a transposed one."""


class Sizes(NamedTuple):
    """Of W, and how its axes lie in memory."""

    groups: int
    outputs: int
    """Output channels of one group, O/g."""
    inputs: int
    """Input channels of one group, I/g."""
    order: str = "OIk"
    """One of :data:`ORDERS`."""


def is_available() -> bool:
    """Whether :func:`compose` and :func:`pull_back` may do anything at all."""
    return _used and _function() is not None


def compose(sizes: Sizes, kernel: int, W: int, D: int, *, threads: int = 1) -> bool:
    """Write W + D W, per input channel, to ``kernel``.

    Args:
        sizes: of W.
        kernel: the address of contiguous float32 numbers, like the others; it may be W's.
        W: as many numbers as in ``kernel``, in the same order.
        D: (I, 9, 9).
        threads: of OpenMP, if a library of it is in the process; the result has the same bits for
            any number.

    Returns:
        False where it cannot, for want of the library or of memory; nothing is written then.
    """
    return _products(sizes, kernel, 0, W, 0, D, threads)


def pull_back(
    sizes: Sizes, grad_W: int, grad_D: int, grad: int, W: int, D: int, *, threads: int = 1
) -> bool:
    """Write the gradients of W and D for that of the kernel, ``grad``; as :func:`compose`.

    ``grad_W`` may be ``grad``.
    """
    return _products(sizes, grad_W, grad_D, grad, W, D, threads)


@contextmanager
def unused() -> Iterator[None]:
    """Go the usual way within, to compare with it; in the whole process."""
    global _used
    before, _used = _used, False
    try:
        yield
    finally:
        _used = before


_used = True


def _products(sizes: Sizes, out: int, grad_D: int, X: int, Y: int, D: int, threads: int) -> bool:
    function = _function()
    if function is None or not _used:
        return False
    groups, outputs, inputs, order = sizes
    runner = _parallel() if threads > 1 else None
    arrays, index = (out, grad_D, X, Y, D), ORDERS.index(order)
    return bool(function(*arrays, groups, outputs, inputs, index, threads, runner))


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
