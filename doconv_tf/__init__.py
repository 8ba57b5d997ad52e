"""DO-Conv for Keras 3 (tensorflow, jax and torch backends): convert a model, train it, fold it.

Layers and models of the legacy ``tf_keras`` (Keras 2) have an adapter of their own,
``doconv_tf_keras``, with the same words.

Example:
    >>> import keras
    >>> from doconv_tf import convert, fold
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    >>> trainable = convert(model)  # computes exactly what model does
    >>> deployed = fold(trainable)  # keras.layers.Conv2D again, with the same config
"""

import sys

from doconv_core.frameworks import importing

with importing("keras"):
    import keras  # noqa: F401

from doconv_tf.layers import condconv, routing, xsepconv
from doconv_tf.layers.condconv import CondConv1D, CondConv2D, CondConv3D
from doconv_tf.layers.do_conv import (
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
from doconv_tf.layers.routing import Routing
from doconv_tf.layers.xsepconv import XSepConv2D
from doconv_tf.model.conversion import convert, fold
from doconv_tf.model.official import load_official
from doconv_tf.model.replacement import convert_depthwise
from doconv_tf.model.state import get_state, set_state
from doconv_tf.model.summary import summary

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
    "DODepthwiseConv1D",
    "DODepthwiseConv2D",
    "DOSeparableConv1D",
    "DOSeparableConv2D",
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

# By these names files of version 0.1 know the classes.
sys.modules |= {f"{__name__}.{m.__name__.split('.')[-1]}": m for m in (condconv, routing, xsepconv)}
