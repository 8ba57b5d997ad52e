"""Sizes of one DO-Conv layer: what its arrays are shaped like, and what is not allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from doconv_core import messages

COMPOSITIONS = ("kernel", "feature")


class KernelSpec(Protocol):
    """The sizes that composition and layouts ask for: of one kernel, or of a stack of experts'."""

    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def K(self) -> int: ...
    @property
    def S(self) -> int: ...
    @property
    def has_D(self) -> bool: ...
    @property
    def W_shape(self) -> tuple[int, ...]: ...
    @property
    def D_shape(self) -> tuple[int, ...]: ...
    @property
    def kernel_shape(self) -> tuple[int, ...]: ...
    @property
    def leading(self) -> tuple[int, ...]: ...
    @property
    def expert(self) -> DOConvSpec: ...
    @property
    def stacked(self) -> DOConvSpec: ...


@dataclass(frozen=True)
class DOConvSpec:
    """The sizes of a depthwise over-parameterized convolution, in any number of dimensions.

    The canonical arrays, which every adapter maps its own layout to, are
    ``W`` (O, I/g, S), ``D`` (I, K, S) and the kernel (O, I/g, K), with I input channels,
    O output channels, g groups, K kernel elements (the paper's M x N) and S = ``D_mul``.
    They are the same for a transposed convolution: D belongs to the input channel there too.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: one integer per spatial dimension.
        groups: g. 1 is DO-Conv, I is DO-DConv (depthwise, any multiplier O/I),
            anything between is DO-GConv.
        D_mul: S, at least K. None and "K" mean K. A layer with K = 1 has no D and ignores it.
        transposed: whether the layer is a transposed convolution.

    Raises:
        ValueError: a size is not positive, groups do not divide the channels, or D_mul < K.
        TypeError: a size is not an integer.

    Source: arXiv 2006.12030, sections 3.1 to 3.3.

    Example:
        >>> spec = DOConvSpec(16, 32, (3, 3))
        >>> spec.W_shape, spec.D_shape, spec.kernel_shape
        ((32, 16, 9), (16, 9, 9), (32, 16, 9))
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    groups: int = 1
    D_mul: int | str | None = None
    transposed: bool = False

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "groups"):
            object.__setattr__(self, name, positive_integer(name, getattr(self, name)))
        kernel_size = self.kernel_size
        if not isinstance(kernel_size, (tuple, list)) or not kernel_size:
            raise TypeError(messages.layer.bad_kernel_size(kernel_size))
        if not all(_is_integer(size) and size > 0 for size in kernel_size):
            raise ValueError(messages.layer.bad_kernel_size(tuple(kernel_size)))
        object.__setattr__(self, "kernel_size", tuple(int(size) for size in kernel_size))
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    messages.layer.not_divisible(name, getattr(self, name), self.groups)
                )
        columns = self.K if self.D_mul in (None, "K") else positive_integer("D_mul", self.D_mul)
        if columns < self.K:
            raise ValueError(messages.layer.D_mul_too_small(columns, self.kernel_size, self.K))
        # D_mul=None and D_mul=K are the same layer, so they become equal specs.
        object.__setattr__(self, "D_mul", columns if self.K > 1 else 1)

    @property
    def K(self) -> int:
        """Number of kernel elements."""
        return math.prod(self.kernel_size)

    @property
    def S(self) -> int:
        """Columns of W and of D: ``D_mul``, or K where that was None; 1 for K = 1."""
        return int(self.D_mul or self.K)

    @property
    def has_D(self) -> bool:
        """Whether there is anything to over-parameterize (more than one kernel element)."""
        return self.K > 1

    @property
    def extra_columns(self) -> int:
        """Columns of W beyond the kernel's own, S - K; they live in ``W_extra``."""
        return self.S - self.K

    @property
    def free_columns(self) -> int:
        """Columns of W, the last ones, that no copy of the identity reaches (S mod K)."""
        return self.S % self.K

    @property
    def leading(self) -> tuple[int, ...]:
        """Axes in front of every array; experts have one."""
        return ()

    @property
    def expert(self) -> DOConvSpec:
        """The sizes of one convolution: this one."""
        return self

    @property
    def stacked(self) -> DOConvSpec:
        """The sizes of all of them as one kernel: this one."""
        return self

    @property
    def W_shape(self) -> tuple[int, int, int]:
        """Canonical shape of W: (O, I/g, S)."""
        return (self.out_channels, self.in_channels // self.groups, self.S)

    @property
    def D_shape(self) -> tuple[int, int, int]:
        """Shape of D, in every framework: (I, K, S)."""
        return (self.in_channels, self.K, self.S)

    @property
    def kernel_shape(self) -> tuple[int, int, int]:
        """Canonical shape of the kernel: (O, I/g, K)."""
        return (self.out_channels, self.in_channels // self.groups, self.K)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias: (O,)."""
        return (self.out_channels,)

    @property
    def kind(self) -> str:
        """The paper's name for this grouping: DO-Conv, DO-GConv or DO-DConv."""
        if self.groups == 1:
            return "DO-Conv"
        return "DO-DConv" if self.groups == self.in_channels else "DO-GConv"


def validate_composition(composition: Any) -> str:
    """Return ``composition`` if it is "kernel" or "feature", else raise ValueError."""
    if composition not in COMPOSITIONS:
        raise ValueError(messages.layer.bad_composition(composition))
    return str(composition)


def positive_integer(name: str, value: Any) -> int:
    """Return ``value`` as an int; TypeError or ValueError, naming it, where it is not positive."""
    if not _is_integer(value):
        raise TypeError(messages.layer.not_positive(name, value))
    if value < 1:
        raise ValueError(messages.layer.not_positive(name, value))
    return int(value)


def _is_integer(value: Any) -> bool:
    # NumPy and SymPy integers pass; True, which is an int to Python, is a slip.
    return hasattr(value, "__index__") and not isinstance(value, bool)
