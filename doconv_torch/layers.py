"""DO-Conv layers: ``torch.nn``'s convolutions with a depthwise over-parameterization.

Each class is its host class, with the same arguments and the same ``weight``, plus ``D``. What a
layer computes is defined in :mod:`doconv_core.composition`.
"""

from __future__ import annotations

from torch import nn

from doconv_torch.base import DOConv, DOConvNd, DOConvTranspose


class DOConv1d(DOConv, nn.Conv1d):
    """Depthwise over-parameterized ``nn.Conv1d``; see :class:`DOConv2d`."""

    host = nn.Conv1d


class DOConv2d(DOConv, nn.Conv2d):
    """Depthwise over-parameterized ``nn.Conv2d``.

    Takes every argument of ``nn.Conv2d``, in its order, and two keyword arguments.

    Args:
        D_mul: S, the columns of W: at least the number of kernel elements K, the default.
            Columns beyond K live in ``W_extra``.
        composition: "kernel" composes the kernel, then convolves once. "feature" computes the
            definition, a depthwise and a 1x1 convolution: the same result, slower.

    Shape:
        - input, output: as ``nn.Conv2d``.
        - ``weight`` (W): (O, I/g, *kernel_size), ``nn.Conv2d``'s own.
        - ``D``: (I, K, S), stored as the offset from the identity, zero at initialization;
          None for a 1x1 kernel, which has nothing to over-parameterize.
        - ``W_extra``: (O, I/g, S - K), or None.

    Raises:
        ValueError: groups do not divide the channels, or D_mul < K.
        TypeError: a dtype that is not floating point.

    Note:
        At birth, and after loading a plain layer's state, the layer computes exactly what the
        plain layer does. Code that reads ``weight`` alone misses D: ``fold`` first.
        ``torch.nn.utils.fuse_conv_bn_eval`` is exact for D_mul=None, as composition is linear
        in W; for a larger D_mul it misses ``W_extra``: ``fold`` first.

    Source: arXiv 2006.12030, section 3; groups: DO-DConv and DO-GConv, section 3.3.

    Example:
        >>> import torch
        >>> from doconv_torch import DOConv2d
        >>> layer = DOConv2d(16, 32, 3, padding=1)
        >>> layer(torch.zeros(1, 16, 8, 8)).shape
        torch.Size([1, 32, 8, 8])
        >>> layer.fold()
        Conv2d(16, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    host = nn.Conv2d


class DOConv3d(DOConv, nn.Conv3d):
    """Depthwise over-parameterized ``nn.Conv3d``; see :class:`DOConv2d`."""

    host = nn.Conv3d


class DOConvTranspose1d(DOConvTranspose, nn.ConvTranspose1d):
    """Depthwise over-parameterized ``nn.ConvTranspose1d``; see :class:`DOConvTranspose2d`."""

    host = nn.ConvTranspose1d


class DOConvTranspose2d(DOConvTranspose, nn.ConvTranspose2d):
    """Depthwise over-parameterized ``nn.ConvTranspose2d``.

    As :class:`DOConv2d`, with ``weight`` (I, O/g, *kernel_size). D belongs to the input channel
    here too: the layer is a depthwise transposed convolution, then a 1x1 convolution.

    Example:
        >>> import torch
        >>> from doconv_torch import DOConvTranspose2d
        >>> layer = DOConvTranspose2d(8, 4, 2, stride=2)
        >>> layer(torch.zeros(1, 8, 5, 5)).shape
        torch.Size([1, 4, 10, 10])
    """

    host = nn.ConvTranspose2d


class DOConvTranspose3d(DOConvTranspose, nn.ConvTranspose3d):
    """Depthwise over-parameterized ``nn.ConvTranspose3d``; see :class:`DOConvTranspose2d`."""

    host = nn.ConvTranspose3d


LAYERS: tuple[type[DOConvNd], ...] = (
    DOConv1d,
    DOConv2d,
    DOConv3d,
    DOConvTranspose1d,
    DOConvTranspose2d,
    DOConvTranspose3d,
)
"""Every layer class."""
