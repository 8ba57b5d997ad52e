"""DO-Conv layers: ``mxnet.gluon.nn``'s convolutions with a depthwise over-parameterization.

Each class is its host class, with the same arguments and the same ``weight``, plus ``D``. What a
layer computes is defined in :mod:`doconv_core.composition`.
"""

from __future__ import annotations

from typing import Any

from doconv_gluon._compat import mx
from doconv_gluon.base import DOConvNd

nn: Any = mx.gluon.nn


class DOConv1D(DOConvNd, nn.Conv1D):
    """Depthwise over-parameterized ``nn.Conv1D``; shapes as ``nn.Conv1D``.

    Takes ``nn.Conv1D``'s arguments, then, by keyword, ``D_mul`` and ``composition``; see
    :class:`DOConv2D`.

    Example:
        >>> DOConv1D(8, 3, in_channels=4)
        DOConv1D(4 -> 8, kernel_size=(3,), stride=(1,), D_mul=3)
    """

    host = nn.Conv1D


class DOConv2D(DOConvNd, nn.Conv2D):
    """Depthwise over-parameterized ``nn.Conv2D``: more parameters in training, the same kernel.

    Takes ``nn.Conv2D``'s arguments, in its order, and input and output have its shapes.
    ``weight`` (O, I/g, kh, kw) holds the first K = kh * kw columns of W; ``D`` (I, K, S) is the
    offset from the identity, zeros at first; ``W_extra`` (O, I/g, S - K) exists for S > K only.
    A layer with K = 1 has neither.

    Args:
        *args: ``nn.Conv2D``'s.
        D_mul: S, columns of W, at least K; None means K.
        composition: "kernel" (fast) or "feature" (the definition: a depthwise convolution with
            D, then a 1x1 convolution with W; it needs ``in_channels``).
        **kwargs: ``nn.Conv2D``'s.

    Raises:
        ValueError: a size is not allowed.
        TypeError: a size is not an integer.

    Source: arXiv 2006.12030, sections 3.1 to 3.3.

    Example:
        >>> layer = DOConv2D(8, 3, padding=1)
        >>> layer.initialize()
        >>> layer(mx.nd.ones((1, 4, 5, 5))).shape, layer.D.shape
        ((1, 8, 5, 5), (4, 9, 9))
    """

    host = nn.Conv2D


class DOConv3D(DOConvNd, nn.Conv3D):
    """Depthwise over-parameterized ``nn.Conv3D``; see :class:`DOConv2D`.

    Example:
        >>> DOConv3D(8, 3, in_channels=4)
        DOConv3D(4 -> 8, kernel_size=(3, 3, 3), stride=(1, 1, 1), D_mul=27)
    """

    host = nn.Conv3D


class DOConv1DTranspose(DOConvNd, nn.Conv1DTranspose):
    """Depthwise over-parameterized ``nn.Conv1DTranspose``; see :class:`DOConv2D`.

    D belongs to the input channel here too; ``weight`` is (I, O/g, k).

    Example:
        >>> DOConv1DTranspose(8, 4, strides=2, in_channels=4).D.shape
        (4, 4, 4)
    """

    host = nn.Conv1DTranspose


class DOConv2DTranspose(DOConvNd, nn.Conv2DTranspose):
    """Depthwise over-parameterized ``nn.Conv2DTranspose``; see :class:`DOConv1DTranspose`.

    Example:
        >>> DOConv2DTranspose(8, 4, strides=2, in_channels=4).D.shape
        (4, 16, 16)
    """

    host = nn.Conv2DTranspose


class DOConv3DTranspose(DOConvNd, nn.Conv3DTranspose):
    """Depthwise over-parameterized ``nn.Conv3DTranspose``; see :class:`DOConv1DTranspose`.

    Example:
        >>> DOConv3DTranspose(8, 2, strides=2, in_channels=4).D.shape
        (4, 8, 8)
    """

    host = nn.Conv3DTranspose


LAYERS: tuple[type[DOConvNd], ...] = (
    DOConv1D,
    DOConv2D,
    DOConv3D,
    DOConv1DTranspose,
    DOConv2DTranspose,
    DOConv3DTranspose,
)
