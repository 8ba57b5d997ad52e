"""CondConv layers: every example is convolved with its own mixture of expert kernels.

What a layer computes is defined in :mod:`doconv_core.condconv`.
"""

from __future__ import annotations

from torch import nn

from doconv_torch.condconv_base import CondConvNd


class CondConv1d(CondConvNd):
    """Conditionally parameterized ``nn.Conv1d``; see :class:`CondConv2d`."""

    host = nn.Conv1d


class CondConv2d(CondConvNd):
    """Conditionally parameterized ``nn.Conv2d``, plain or over-parameterized.

    For example n, the kernel is sum over e of alpha[n, e] times expert e's, and so is the bias.
    Takes every argument of ``nn.Conv2d``, in its order, and four keyword arguments.

    Args:
        num_experts: E; the paper uses 4 and 8.
        routing: True: the layer owns a :class:`Routing` of its input. False: it is called with
            ``layer(x, alpha)``; alpha (N, E) has been through the sigmoid.
        evaluation: "kernels" mixes the kernels, then convolves once, with the batch folded into
            the groups. "outputs" convolves with every expert, then mixes. Equal to rounding.
            "auto" takes the one that costs less at the input's size; in a graph for any batch
            size (export with a dynamic batch, tracing) "outputs", as the number of groups there is
            a constant. Exported for one image it costs what the paper says.
        D_mul: None is plain CondConv. "K", or an integer from K on, gives every expert a D of its
            own with as many columns; so each expert's kernel is a DO-Conv kernel, preconditioned
            by its own gradient. With one expert and alpha = 1 the layer is a DO-Conv layer.

    Shape:
        - input, output: as ``nn.Conv2d``. alpha: (N, E); (E,) for an input without a batch.
        - ``weight`` (W): (E, O, I/g, *kernel_size). ``bias``: (E, O) or None.
        - ``D``: (E, I, K, S), as offset from the identity, or None.
        - ``W_extra``: (E, O, I/g, S - K), or None.
        - ``routing.weight``: (E, I).

    Raises:
        ValueError: groups do not divide the channels, D_mul < K, or an unknown evaluation. From
            the call: alpha is missing, of another shape, or given to a layer that routes itself.
        TypeError: a dtype that is not floating point.

    Note:
        ``weight`` has an axis of experts in front: initialize expert by expert
        (``for expert in layer.weight: kaiming_normal_(expert)``). As the evaluation depends on
        sizes, ``torch.fx.symbolic_trace`` needs the class as a leaf module, and TorchScript traces
        but cannot compile it.

    Source: arXiv 1904.04971, section 3; no batch norm or activation is part of it.

    Example:
        >>> import torch
        >>> from doconv_torch import CondConv2d
        >>> layer = CondConv2d(16, 32, 3, num_experts=8, D_mul="K")
        >>> layer(torch.zeros(2, 16, 8, 8)).shape
        torch.Size([2, 32, 6, 6])
        >>> layer.fold()
        CondConv2d(
          16, 32, kernel_size=(3, 3), stride=(1, 1), num_experts=8
          (routing): Routing(in_features=16, out_features=8, bias=False)
        )
    """

    host = nn.Conv2d


class CondConv3d(CondConvNd):
    """Conditionally parameterized ``nn.Conv3d``; see :class:`CondConv2d`."""

    host = nn.Conv3d


CONDCONV_LAYERS: tuple[type[CondConvNd], ...] = (CondConv1d, CondConv2d, CondConv3d)
"""Every layer class."""
