"""DO-Conv for the legacy ``tf_keras``, on which TensorFlow's Model Garden builds.

The same words as in ``doconv_tf``, which is for Keras 3. CondConv and XSepConv are there only.

Example:
    >>> import tf_keras
    >>> from doconv_tf_keras import convert, fold
    >>> model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), tf_keras.layers.Conv2D(4, 3)])
    >>> trainable = convert(model)  # computes exactly what model does
    >>> deployed = fold(trainable)  # tf_keras.layers.Conv2D again, with the same config
"""

from doconv_core.frameworks import importing

with importing("tf_keras"):
    import tf_keras  # noqa: F401

from doconv_tf_keras.layers.do_conv import (
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
from doconv_tf_keras.model.conversion import convert, fold
from doconv_tf_keras.model.official import load_official
from doconv_tf_keras.model.state import get_state, set_state
from doconv_tf_keras.model.summary import summary

__all__ = [
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
    "convert",
    "fold",
    "get_state",
    "load_official",
    "set_state",
    "summary",
]
