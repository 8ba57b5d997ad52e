"""What is known of a layer's arrays before its first input."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """The sizes of a layer that are known before its first input, and how its arrays lie.

    Attributes:
        channels: O.
        kernel_size: one integer per spatial dimension.
        groups: g.
        D_mul: S.
        transposed: ``weight`` is (I, O/g, *k) instead of (O, I/g, *k).
        channels_last: the second channel axis of ``weight`` comes last, as with layout "NHWC".
    """

    channels: int
    kernel_size: tuple[int, ...]
    groups: int
    D_mul: int
    transposed: bool
    channels_last: bool

    @property
    def K(self) -> int:
        """Number of kernel elements."""
        return math.prod(self.kernel_size)

    @property
    def extra_columns(self) -> int:
        """Columns of ``W_extra``, S - K."""
        return self.D_mul - self.K

    @property
    def channel_axes(self) -> tuple[int, int]:
        """The first two axes of ``weight``, channels first; -1 where I is part of it."""
        return (-1, self.outputs) if self.transposed else (self.channels, -1)

    @property
    def outputs(self) -> int:
        """Output channels of one group, O/g."""
        return self.channels // self.groups
