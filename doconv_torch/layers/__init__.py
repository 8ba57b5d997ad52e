"""The layers, one at a time: what they hold, how they become plain again, and whose they are."""

from doconv_torch.layers.do_conv import (
    LAYERS,
    DOConv1d,
    DOConv2d,
    DOConv3d,
    DOConvTranspose1d,
    DOConvTranspose2d,
    DOConvTranspose3d,
)

__all__ = [
    "LAYERS",
    "DOConv1d",
    "DOConv2d",
    "DOConv3d",
    "DOConvTranspose1d",
    "DOConvTranspose2d",
    "DOConvTranspose3d",
]
