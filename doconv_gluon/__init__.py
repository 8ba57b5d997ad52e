"""DO-Conv for MXNet Gluon: convert a network, train it as before, fold it.

Importing this package imports MXNet 1.9.1 beside any NumPy below 2, and
``doconv_gluon.model_zoo`` imports GluonCV beside any torch; after that, ``import mxnet`` and
``import gluoncv`` find them.

Example:
    >>> from mxnet.gluon import nn
    >>> from doconv_gluon import convert, fold
    >>> net = nn.HybridSequential()
    >>> net.add(nn.Conv2D(8, 3), nn.BatchNorm())
    >>> net.initialize()
    >>> trainable = convert(net)  # computes exactly what net does
"""

from doconv_gluon.layers import execution
from doconv_gluon.layers.condconv import CondConv1D, CondConv2D, CondConv3D
from doconv_gluon.layers.do_conv import (
    DOConv1D,
    DOConv1DTranspose,
    DOConv2D,
    DOConv2DTranspose,
    DOConv3D,
    DOConv3DTranspose,
)
from doconv_gluon.layers.routing import Routing
from doconv_gluon.layers.xsepconv import XSepConv2D
from doconv_gluon.model.conversion import convert, fold
from doconv_gluon.model.official import load_official
from doconv_gluon.model.replacement import convert_depthwise
from doconv_gluon.model.state import get_state, set_state
from doconv_gluon.model.summary import summary

__all__ = [
    "CondConv1D",
    "CondConv2D",
    "CondConv3D",
    "DOConv1D",
    "DOConv1DTranspose",
    "DOConv2D",
    "DOConv2DTranspose",
    "DOConv3D",
    "DOConv3DTranspose",
    "Routing",
    "XSepConv2D",
    "convert",
    "convert_depthwise",
    "fold",
    "get_state",
    "load_official",
    "set_state",
    "summary",
]

execution.install()
