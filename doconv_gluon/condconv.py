"""CondConv for Gluon: a mixture of experts for every example, plain or over-parameterized.

What a layer computes is defined in :mod:`doconv_core.condconv`.
"""

from __future__ import annotations

from typing import Any

from doconv_gluon._compat import mx
from doconv_gluon.condconv_base import CondConvNd

nn: Any = mx.gluon.nn


class CondConv1D(CondConvNd):
    """Conditionally parameterized ``nn.Conv1D``; see :class:`CondConv2D`."""

    host = nn.Conv1D


class CondConv2D(CondConvNd):
    """Conditionally parameterized ``nn.Conv2D``, plain or over-parameterized.

    For example n, the kernel is sum over e of alpha[n, e] times expert e's, and so is the bias.
    Takes every argument of ``nn.Conv2D``, in its order, and four keyword arguments; the
    initializers draw expert by expert.

    Args:
        num_experts: E; the paper uses 4 and 8.
        routing: True: the layer owns a :class:`Routing` of its input. False: it is called with
            ``layer(x, alpha)``; alpha (N, E) has been through the sigmoid.
        evaluation: "kernels" mixes the kernels, then convolves each example with its own.
            "outputs" convolves with every expert, then mixes. Equal to rounding. "auto" takes
            the one that costs less at the input's size, and "kernels" in a graph.
        D_mul: None is plain CondConv. "K", or an integer from K on, gives every expert a D of its
            own with as many columns; so each expert's kernel is a DO-Conv kernel, preconditioned
            by its own gradient. With one expert and alpha = 1 the layer is a DO-Conv layer.

    Shape:
        - input, output: as ``nn.Conv2D``. alpha: (N, E).
        - ``weight`` (W): (E, O, I/g, kh, kw), or the expert's layout behind E. ``bias``: (E, O)
          or None.
        - ``D``: (E, I, K, S), as offset from the identity, or None.
        - ``W_extra``: (E, O, I/g, S - K), or None.
        - ``routing.weight``: (E, I).

    Note:
        Called with arrays, "kernels" is one convolution with the batch folded into the groups. A
        graph (hybridized, or exported) serves any batch size, and the number of groups is a
        constant of it; there, each example's kernel is multiplied with the columns of its input.
        On one core, for nine layers (3x3, 5x5, 1x1, depthwise) of 16 images, that is 1.5 times as
        slow in training and 1.7 to 1.8 in prediction, and as fast for one image. "outputs" in a
        graph takes 0.8 to 1.0 of the columns' time for 4 experts, 1.3 to 1.4 for 8. A graph traced
        before ``in_channels`` were known writes an array of ``weight``'s size, once a call:
        ``hybridize()`` again after the first batch to save that.

    Raises:
        ValueError: a size is not allowed, or an unknown evaluation. From the call: alpha is
            missing, of another shape, or given to a layer that routes itself.
        TypeError: a size is not an integer.

    Source: arXiv 1904.04971, section 3; no batch norm is part of it.

    Example:
        >>> layer = CondConv2D(32, 3, num_experts=8, D_mul="K")
        >>> layer.initialize()
        >>> layer(mx.nd.ones((2, 16, 8, 8))).shape
        (2, 32, 6, 6)
        >>> layer.fold()
        CondConv2D(16 -> 32, kernel_size=(3, 3), stride=(1, 1), num_experts=8)
    """

    host = nn.Conv2D


class CondConv3D(CondConvNd):
    """Conditionally parameterized ``nn.Conv3D``; see :class:`CondConv2D`."""

    host = nn.Conv3D


CONDCONV_LAYERS: tuple[type[CondConvNd], ...] = (CondConv1D, CondConv2D, CondConv3D)
"""Every layer class."""
