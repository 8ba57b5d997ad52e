"""XSepConv for PyTorch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from doconv_core import XSepConvSpec
from doconv_core.neighbours.xsepconv import Part
from doconv_torch.layers.do_conv import DOConv2d
from doconv_torch.layers.folding import folded_copy

Size = int | tuple[int, ...]


class XSepConv2d(nn.Module):
    """A large depthwise convolution as three small ones: 2 x 2, 1 x k and k x 1.

    They are the children ``square``, ``horizontal`` and ``vertical``, plain depthwise
    ``nn.Conv2d`` or, with ``D_mul``, DO-DConv layers; so ``convert``, ``fold``, ``summary``,
    states and files know what to do with them. The 2 x 2 kernel sees one row and one column of
    zeros on two adjacent sides; let ``corner`` go around from layer to layer, so that the
    features of a deep network do not drift. What is our reading of the paper, not its letter, is
    said at :class:`doconv_core.XSepConvSpec`.

    Initialized so that features keep their variance, as in the other frameworks: three kernels in
    a row as ``nn.Conv2d`` starts them would leave a 27th of it.

    Args:
        channels: inputs and outputs.
        kernel_size: k, odd and at least 5.
        stride: of both axes, or (vertical, horizontal). Each of the pair takes its own axis.
        dilation: likewise; the 2 x 2 convolution has none.
        bias: whether the last convolution has one.
        corner: 0 top left, 1 top right, 2 bottom right, 3 bottom left.
        D_mul: None for plain convolutions; "K" to over-parameterize each with as many columns as
            its kernel has elements; an integer of at least k; or a sequence of three of these.
        device: of the parameters.
        dtype: of the parameters.

    Shape:
        - input: (N, channels, H, W).
        - output: (N, channels, ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: a size is not allowed; see :class:`doconv_core.XSepConvSpec`.
        TypeError: a size is not an integer.

    Source: arXiv 2002.12046.

    Example:
        >>> layer = XSepConv2d(16, 5, stride=2, D_mul="K")
        >>> layer(torch.zeros(1, 16, 9, 8)).shape
        torch.Size([1, 16, 5, 4])
        >>> layer.fold().horizontal
        Conv2d(16, 16, kernel_size=(1, 5), stride=(1, 2), padding=(0, 2), groups=16, bias=False)
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Size,
        stride: Size = 1,
        *,
        dilation: Size = 1,
        bias: bool = True,
        corner: int = 0,
        D_mul: Any = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        spec = XSepConvSpec(channels, kernel_size, stride, dilation, corner, D_mul)
        self.corner = spec.corner
        (top, bottom), (left, right) = spec.zeros
        self.zeros = [left, right, top, bottom]  # as F.pad takes them, the last axis first

        def convolution(part: Part) -> nn.Conv2d:
            arguments: dict[str, Any] = {
                "in_channels": spec.channels,
                "out_channels": spec.channels,
                "kernel_size": part.conv.kernel_size,
                "stride": part.stride,
                "padding": part.padding,
                "dilation": part.dilation,
                "groups": spec.channels,
                "bias": bias and part.bias,
                "device": device,
                "dtype": dtype,
            }
            if part.D_mul is None:
                return nn.Conv2d(**arguments)
            return DOConv2d(**arguments, D_mul=part.D_mul)

        self.square, self.horizontal, self.vertical = map(convolution, spec.parts)
        self._keep_variance()

    def reset_parameters(self) -> None:
        """Initialize the three convolutions again."""
        for convolution in self.children():
            convolution.reset_parameters()  # type: ignore[operator]
        self._keep_variance()

    @torch.no_grad()
    def _keep_variance(self) -> None:
        # torch's own rule divides the variance by 3, here three times over.
        for convolution in (self.square, self.horizontal, self.vertical):
            if not convolution.weight.is_meta:
                nn.init.kaiming_uniform_(convolution.weight, nonlinearity="linear")

    def forward(self, input: Tensor) -> Tensor:
        output = self.square(F.pad(input, self.zeros))
        return self.vertical(self.horizontal(output))

    def extra_repr(self) -> str:
        return f"corner={self.corner}"

    def fold(self) -> XSepConv2d:
        """The layer of three plain convolutions that computes the same; this one stays.

        Raises:
            ValueError: an array is not finite, or is sharded.
        """
        return folded_copy(self)
