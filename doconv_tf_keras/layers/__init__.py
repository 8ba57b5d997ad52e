"""The layers, one at a time: what they hold, how they become plain again, and whose they are."""

from doconv_tf_keras.layers.do_conv import (
    LAYERS,
    DOConv1D,
    DOConv1DTranspose,
    DOConv2D,
    DOConv2DTranspose,
    DOConv3D,
    DOConv3DTranspose,
    DODepthwiseConv1D,
    DODepthwiseConv2D,
    DOSeparableConv1D,
    DOSeparableConv2D,
)

__all__ = [
    "LAYERS",
    "DOConv1D",
    "DOConv1DTranspose",
    "DOConv2D",
    "DOConv2DTranspose",
    "DOConv3D",
    "DOConv3DTranspose",
    "DODepthwiseConv1D",
    "DODepthwiseConv2D",
    "DOSeparableConv1D",
    "DOSeparableConv2D",
]
