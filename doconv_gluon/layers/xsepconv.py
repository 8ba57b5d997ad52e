"""XSepConv for Gluon."""

from __future__ import annotations

from typing import Any

from doconv_core import XSepConvSpec
from doconv_core.neighbours.xsepconv import NAMES, Part
from doconv_gluon.layers.do_conv import DOConv2D
from doconv_gluon.layers.folding import folded_copy
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.kinds import as_classic, as_host


class XSepConv2D(mx.gluon.HybridBlock):
    """A large depthwise convolution as three small ones: 2 x 2, 1 x k and k x 1.

    They are the children ``square``, ``horizontal`` and ``vertical``, plain depthwise
    ``nn.Conv2D`` or, with ``D_mul``, DO-DConv layers; so ``convert``, ``fold``, ``summary``,
    states and files know what to do with them. The 2 x 2 kernel sees one row and one column of
    zeros on two adjacent sides; let ``corner`` go around from layer to layer, so that the
    features of a deep network do not drift. What is our reading of the paper, not its letter, is
    said at :class:`doconv_core.XSepConvSpec`.

    Args:
        channels: inputs and outputs.
        kernel_size: k, odd and at least 5.
        strides: of both axes, or (vertical, horizontal). Each of the pair takes its own axis.
        dilation: likewise; the 2 x 2 convolution has none.
        activation: of the last convolution.
        use_bias: whether the last convolution has a bias.
        weight_initializer: of each convolution. None means such that features keep their
            variance: three kernels in a row drawn by what a network is commonly initialized with,
            which counts channels that a depthwise kernel does not read, would leave little of it.
        bias_initializer: of the last one.
        corner: 0 top left, 1 top right, 2 bottom right, 3 bottom left.
        D_mul: None for plain convolutions; "K" to over-parameterize each with as many columns as
            its kernel has elements; an integer of at least k; or a sequence of three of these.
        **kwargs: of every Block.

    Shape:
        - input: (N, channels, H, W).
        - output: (N, channels, ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: a size is not allowed; see :class:`doconv_core.XSepConvSpec`.
        TypeError: a size is not an integer.

    Source: arXiv 2002.12046.

    Example:
        >>> layer = XSepConv2D(16, 5, strides=2, D_mul="K")
        >>> layer.initialize()
        >>> layer(mx.nd.ones((1, 16, 9, 8))).shape
        (1, 16, 5, 4)
        >>> type(layer.fold().horizontal).__name__
        'Conv2D'
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        *,
        dilation: Any = (1, 1),
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        corner: int = 0,
        D_mul: Any = None,
        **kwargs: Any,
    ) -> None:
        spec = XSepConvSpec(channels, kernel_size, strides, dilation, corner, D_mul)
        super().__init__(**kwargs)
        if weight_initializer is None:
            weight_initializer = mx.init.Xavier(factor_type="in")
        self.corner = spec.corner
        (top, bottom), (left, right) = spec.zeros
        self.zeros = (0, 0, 0, 0, top, bottom, left, right)  # as F.pad takes them

        def convolution(part: Part) -> Any:
            arguments: dict[str, Any] = {
                "channels": spec.channels,
                "kernel_size": part.conv.kernel_size,
                "strides": part.stride,
                "padding": part.padding,
                "dilation": part.dilation,
                "groups": spec.channels,
                "in_channels": spec.channels,
                "activation": activation if part.bias else None,
                "use_bias": use_bias and part.bias,
                "weight_initializer": weight_initializer,
                "bias_initializer": bias_initializer,
                "prefix": f"{part.name}_",
            }
            if part.D_mul is None:
                return mx.gluon.nn.Conv2D(**arguments)
            return DOConv2D(**arguments, D_mul=part.D_mul)

        with self.name_scope():
            self.square, self.horizontal, self.vertical = map(convolution, spec.parts)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """The three convolutions, one after the other."""
        padded = F.pad(as_classic(x), mode="constant", constant_value=0, pad_width=self.zeros)
        return self.vertical(self.horizontal(self.square(as_host(padded))))

    def fold(self) -> XSepConv2D:
        """The layer of three plain convolutions that computes the same; this one stays.

        Raises:
            ValueError: an array is not finite, or has no values yet.
        """
        plain: XSepConv2D = folded_copy(self, *NAMES)
        return plain
