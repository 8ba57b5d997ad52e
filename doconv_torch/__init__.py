"""DO-Conv for PyTorch: convert a model, train it as before, fold it.

Example:
    >>> import torch
    >>> from doconv_torch import convert, fold
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    >>> trainable = convert(model)  # computes exactly what model does
    >>> deployed = fold(trainable)  # torch.nn.Conv2d again, with the same state keys
"""

import sys

from doconv_core.frameworks import importing

with importing("torch"):
    import torch  # noqa: F401

from doconv_torch.layers import condconv, routing, xsepconv
from doconv_torch.layers.condconv import CondConv1d, CondConv2d, CondConv3d
from doconv_torch.layers.do_conv import (
    DOConv1d,
    DOConv2d,
    DOConv3d,
    DOConvTranspose1d,
    DOConvTranspose2d,
    DOConvTranspose3d,
)
from doconv_torch.layers.routing import Routing
from doconv_torch.layers.xsepconv import XSepConv2d
from doconv_torch.model.at_optimizer import OptimizerDOConv
from doconv_torch.model.conversion import convert, fold
from doconv_torch.model.official import load_official
from doconv_torch.model.replacement import convert_depthwise
from doconv_torch.model.state import get_state, set_state
from doconv_torch.model.summary import summary

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

# By these names pickles of version 0.1 know the classes.
sys.modules |= {f"{__name__}.{m.__name__.split('.')[-1]}": m for m in (condconv, routing, xsepconv)}
