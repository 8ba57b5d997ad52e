"""Sizes of an XSepConv layer, and which depthwise convolutions it can stand for.

A k x k depthwise convolution becomes three depthwise ones in a row: 2 x 2, 1 x k and k x 1. The
2 x 2 one gives back what a separable kernel cannot express; as its size is even, its zeros lie on
two adjacent sides of the image, at a corner that changes from layer to layer.

Source: arXiv 2002.12046. Our reading of it, where a detail can be understood in several ways, is
said at :class:`XSepConvSpec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from doconv_core import messages
from doconv_core.kernel.spec import DOConvSpec, positive_integer

NAMES = ("square", "horizontal", "vertical")
"""The three convolutions, in order; every adapter's layer holds them under these names."""

Pads = tuple[tuple[int, int], tuple[int, int]]
"""Rows of zeros above and below, columns of zeros to the left and to the right."""

CORNERS: tuple[Pads, ...] = (
    ((1, 0), (1, 0)),  # top left
    ((1, 0), (0, 1)),  # top right
    ((0, 1), (0, 1)),  # bottom right
    ((0, 1), (1, 0)),  # bottom left
)
"""The zeros of the 2 x 2 convolution, by corner."""


class Part(NamedTuple):
    """One of the three depthwise convolutions of an XSepConv layer."""

    name: str
    conv: DOConvSpec
    """As it is over-parameterized, or would be."""
    D_mul: int | None
    """Its columns; None for a plain convolution."""
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    """Zeros on both sides of each axis, without those of the corner."""
    bias: bool
    """Whether the layer's bias is this one's."""


@dataclass(frozen=True)
class XSepConvSpec:
    """The sizes of one XSepConv layer.

    Our reading of the paper: the corners follow each other clockwise from the top left, by layer;
    stride and dilation belong to the separable pair, each of the two on its own axis, and the
    2 x 2 convolution looks at neighbouring pixels with stride 1; nothing stands between the three
    convolutions, neither normalization nor activation, and only the last one has a bias; the pair
    is padded with zeros alike on both sides, so that the output's size is ceil(size / stride).

    Args:
        channels: inputs and outputs.
        kernel_size: k, odd and at least 5; an integer, or twice the same.
        stride: of both axes, or (vertical, horizontal).
        dilation: of both axes, or (vertical, horizontal).
        corner: 0 to 3, a place in :data:`CORNERS`.
        D_mul: None for plain convolutions; "K" to over-parameterize each with as many columns as
            its kernel has elements; an integer for as many columns in each; or a sequence of
            three of these. Kept as three numbers of columns, None for a plain convolution.

    Raises:
        ValueError: a size is not positive, the kernel is even, not square or smaller than 5, the
            corner is not one of the four, or D_mul < K for one of the three.
        TypeError: a size is not an integer.

    Example:
        >>> spec = XSepConvSpec(16, 5, D_mul="K")
        >>> [part.conv.kernel_size for part in spec.parts], spec.D_mul
        ([(2, 2), (1, 5), (5, 1)], (4, 5, 5))
    """

    channels: int
    kernel_size: Any
    stride: Any = 1
    dilation: Any = 1
    corner: int = 0
    D_mul: Any = None

    def __post_init__(self) -> None:
        kernel_size = self.kernel_size
        if isinstance(kernel_size, (tuple, list)) and len(set(kernel_size)) == 1:
            kernel_size = kernel_size[0]
        if isinstance(kernel_size, (tuple, list)) or not is_separable(kernel_size):
            raise ValueError(messages.neighbours.not_separable(self.kernel_size))
        if self.corner not in range(len(CORNERS)):
            raise ValueError(messages.neighbours.bad_corner(self.corner))
        object.__setattr__(self, "corner", int(self.corner))
        object.__setattr__(self, "channels", positive_integer("channels", self.channels))
        object.__setattr__(self, "kernel_size", int(kernel_size))
        for name in ("stride", "dilation"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        given = self.D_mul
        if not isinstance(given, (tuple, list)):
            given = (given,) * len(NAMES)
        if len(given) != len(NAMES):
            raise ValueError(messages.neighbours.not_three(self.D_mul))
        columns = (
            None if each is None else DOConvSpec(1, 1, size, 1, None if each == "K" else each).S
            for each, size in zip(given, self._sizes, strict=True)
        )
        object.__setattr__(self, "D_mul", tuple(columns))

    @property
    def _sizes(self) -> tuple[tuple[int, int], ...]:
        k = self.kernel_size
        return ((2, 2), (1, k), (k, 1))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The three convolutions, in order."""
        k, C = self.kernel_size, self.channels
        square, horizontal, vertical = (
            (name, DOConvSpec(C, C, size, C, columns), columns)
            for name, size, columns in zip(NAMES, self._sizes, self.D_mul, strict=True)
        )
        (sv, sh), (dv, dh) = self.stride, self.dilation
        pv, ph = same_padding(k, dv), same_padding(k, dh)
        return (
            Part(*square, stride=(1, 1), dilation=(1, 1), padding=(0, 0), bias=False),
            Part(*horizontal, stride=(1, sh), dilation=(1, dh), padding=(0, ph), bias=False),
            Part(*vertical, stride=(sv, 1), dilation=(dv, 1), padding=(pv, 0), bias=True),
        )

    @property
    def zeros(self) -> Pads:
        """What the 2 x 2 convolution's input is padded with."""
        return CORNERS[self.corner]


def corners_after(already: int, count: int) -> list[int]:
    """The corners of the next layers of a model that has some: they go around."""
    return [(already + each) % len(CORNERS) for each in range(count)]


def is_separable(kernel_size: Any) -> bool:
    """Whether a k x k kernel may become XSepConv's: odd, and larger than the 4 + 2 k elements."""
    return positive_integer("kernel_size", kernel_size) >= 5 and kernel_size % 2 == 1


def same_padding(kernel_size: int, dilation: int) -> int:
    """Zeros on each side that keep the size of an image, for an odd kernel at stride 1."""
    return dilation * (kernel_size - 1) // 2


def why_kept(
    conv: DOConvSpec,
    *,
    padding: Sequence[int] | str,
    dilation: Sequence[int],
    padding_mode: str = "zeros",
) -> str:
    """Why ``convert_depthwise`` leaves a plain convolution; "" where XSepConv can stand for it.

    Args:
        conv: its sizes.
        padding: zeros on each side, one number per axis; or "same" or "valid".
        dilation: one number per axis.
        padding_mode: "zeros", or what is padded with instead.
    """
    if conv.transposed or not conv.in_channels == conv.out_channels == conv.groups:
        return messages.neighbours.NOT_DEPTHWISE
    k = conv.kernel_size[0]
    if conv.kernel_size != (k, k) or not is_separable(k):
        return messages.neighbours.SMALL_OR_UNEVEN
    same = tuple(same_padding(k, d) for d in dilation)
    if padding_mode != "zeros" or (padding != "same" and tuple(padding) != same):
        return messages.neighbours.NOT_SAME_PADDING
    return ""


def _pair(name: str, value: Any) -> tuple[int, int]:
    if not isinstance(value, (tuple, list)):
        value = (value, value)
    if len(value) != 2:
        raise ValueError(messages.neighbours.not_two(name, value))
    vertical, horizontal = (positive_integer(name, each) for each in value)
    return vertical, horizontal
