"""The memory of a layer's kernel, used again in the next step.

New memory of megabytes costs as much as the products that are written there: the system hands it
out page by page, and takes it back at the end. So each layer keeps one array of W's size from step
to step. The forward pass writes the kernel to it; the convolution's backward pass lets go of it,
and W's gradient is what it holds next, until gradients are cleared. Who keeps one of them for
longer keeps the memory with it, and there is new memory then.
"""

import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

LARGE = 2**20
"""Bytes from which on it pays; the system's allocator keeps smaller ones itself."""

ALIGNMENT = 64
"""Bytes, as PyTorch's own arrays are."""

_spare: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
"""Owner -> a list of at most one array of bytes that nobody uses. It ends with its owner."""


def empty_like(W: Tensor, owner: Tensor) -> Tensor:
    """``torch.empty_like`` of a dense array on the CPU, in memory that ``owner`` keeps.

    Args:
        W: whose shape, type and order in memory it has.
        owner: the parameter in whose layer W is.
    """
    if W.nbytes < LARGE:
        return torch.empty_like(W)
    spare = _spare.setdefault(owner, [])
    try:
        block = spare.pop()
    except IndexError:
        block = _aligned(W.nbytes)
    if block.nbytes != W.nbytes:
        block = _aligned(W.nbytes)
    # What PyTorch holds, and lets go of when no array uses the memory any more.
    used = block[:]
    weakref.finalize(used, _keep, spare, block).atexit = False
    return torch.from_numpy(used).view(W.dtype).as_strided(W.shape, W.stride())


def _keep(spare: list[NDArray[np.uint8]], block: NDArray[np.uint8]) -> None:
    if not spare:
        spare.append(block)


def _aligned(size: int) -> NDArray[np.uint8]:
    block = np.empty(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + size]
