"""DO-Conv for PyTorch: convert a model, train it as before, fold it.

Example:
    >>> import torch
    >>> from doconv_torch import convert, fold
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    >>> trainable = convert(model)  # computes exactly what model does
    >>> deployed = fold(trainable)  # torch.nn.Conv2d again, with the same state keys
"""

from doconv_torch.at_optimizer import OptimizerDOConv
from doconv_torch.checkpoint import get_state, set_state
from doconv_torch.condconv import CondConv1d, CondConv2d, CondConv3d
from doconv_torch.conversion import convert, fold
from doconv_torch.layers import (
    DOConv1d,
    DOConv2d,
    DOConv3d,
    DOConvTranspose1d,
    DOConvTranspose2d,
    DOConvTranspose3d,
)
from doconv_torch.official import load_official
from doconv_torch.routing import Routing
from doconv_torch.summary import summary
from doconv_torch.xsepconv import XSepConv2d
from doconv_torch.xsepconv_conversion import convert_depthwise

__all__ = [
    "CondConv1d",
    "CondConv2d",
    "CondConv3d",
    "DOConv1d",
    "DOConv2d",
    "DOConv3d",
    "DOConvTranspose1d",
    "DOConvTranspose2d",
    "DOConvTranspose3d",
    "OptimizerDOConv",
    "Routing",
    "XSepConv2d",
    "convert",
    "convert_depthwise",
    "fold",
    "get_state",
    "load_official",
    "set_state",
    "summary",
]
