"""DO-Conv layers: tf_keras's convolutions with a depthwise over-parameterization.

Each class is its host class, with the same arguments and the same variables, plus ``D``. What a
layer computes is defined in :mod:`doconv_core.kernel.composition`.
"""

from __future__ import annotations

import tf_keras

from doconv_tf_keras.layers.base import Dense, Depthwise, DOConvNd, Separable, Transposed

# The package's name is the one to import, should tf_keras not find a class while loading a file.
_register = tf_keras.saving.register_keras_serializable(package="doconv_tf_keras")


@_register
class DOConv1D(Dense, tf_keras.layers.Conv1D):
    """Depthwise over-parameterized ``tf_keras.layers.Conv1D``; see :class:`DOConv2D`."""

    host = tf_keras.layers.Conv1D


@_register
class DOConv2D(Dense, tf_keras.layers.Conv2D):
    """Depthwise over-parameterized ``tf_keras.layers.Conv2D``.

    Takes every argument of ``Conv2D``, in its order, and four keyword arguments.

    Args:
        D_mul: S, the columns of W: at least the number of kernel elements K, the default.
            Columns beyond K live in ``W_extra``.
        composition: "kernel" composes the kernel, then convolves once. "feature" computes the
            definition, a depthwise and a 1x1 convolution: the same result, slower.
        D_init: "identity" starts as the plain layer. "random" draws the whole D instead, uniformly
            in +-sqrt(3 / S), as in the paper's ablation; the scale is our reading.
        W_extra_init: "zeros", or "random" as the authors' layer starts: all columns of W are drawn
            alike, uniformly in +-1 / sqrt(I/g S). Only D_mul > K has any beyond the kernel's own.
            Neither is part of the config: they are about the start only.

    Shape:
        - input, output: as ``Conv2D``.
        - W, the variable named "kernel", in ``_kernel``: (*kernel_size, I/g, O), ``Conv2D``'s own.
        - ``D``: (I, K, S), stored as the offset from the identity, zero at initialization;
          None for a 1x1 kernel, which has nothing to over-parameterize.
        - ``W_extra``: (S - K, I/g, O), or None.
        - ``kernel``: the composed kernel, a tensor.

    Raises:
        ValueError: D_mul < K, an unknown start, or an argument that ``Conv2D`` refuses.
        TypeError: a dtype policy that is not floating point.

    Note:
        ``kernel_regularizer`` acts on W and W_extra, ``kernel_constraint`` on W, neither on D:
        they are written for a kernel's axes, and a penalty on the offset would only draw the
        layer back to the plain one. (The official TensorFlow layer gives both to D as well.)
        Neither W nor a constrained W is the kernel that is deployed: that is ``kernel``. An
        optimizer's ``weight_decay`` acts on D as on W, here as in the other frameworks.

    Numerics: under a mixed policy the kernel is composed in float32 and rounded once.

    Source: arXiv 2006.12030, section 3; groups: DO-DConv and DO-GConv, section 3.3.

    Example:
        >>> layer = DOConv2D(32, 3, padding="same")
        >>> tuple(layer(tf_keras.Input((8, 8, 16))).shape)
        (None, 8, 8, 32)
        >>> tuple(layer.D.shape)
        (16, 9, 9)
        >>> type(layer.fold()).__name__
        'Conv2D'
    """

    host = tf_keras.layers.Conv2D


@_register
class DOConv3D(Dense, tf_keras.layers.Conv3D):
    """Depthwise over-parameterized ``tf_keras.layers.Conv3D``; see :class:`DOConv2D`."""

    host = tf_keras.layers.Conv3D


@_register
class DODepthwiseConv1D(Depthwise, tf_keras.layers.DepthwiseConv1D):
    """Depthwise over-parameterized ``tf_keras.layers.DepthwiseConv1D``; see DODepthwiseConv2D."""

    host = tf_keras.layers.DepthwiseConv1D


@_register
class DODepthwiseConv2D(Depthwise, tf_keras.layers.DepthwiseConv2D):
    """Depthwise over-parameterized ``tf_keras.layers.DepthwiseConv2D``, the paper's DO-DConv.

    As :class:`DOConv2D`, with W of shape (*kernel_size, I, depth_multiplier).

    Example:
        >>> layer = DODepthwiseConv2D(3, depth_multiplier=2)
        >>> tuple(layer(tf_keras.Input((8, 8, 4))).shape)
        (None, 6, 6, 8)
    """

    host = tf_keras.layers.DepthwiseConv2D


@_register
class DOSeparableConv1D(Separable, tf_keras.layers.SeparableConv1D):
    """``tf_keras.layers.SeparableConv1D`` with a DO-DConv first; see :class:`DOSeparableConv2D`."""

    host = tf_keras.layers.SeparableConv1D


@_register
class DOSeparableConv2D(Separable, tf_keras.layers.SeparableConv2D):
    """``tf_keras.layers.SeparableConv2D`` whose depthwise convolution is a DO-DConv.

    W and D belong to ``depthwise_kernel``; the pointwise kernel, 1x1, has nothing to
    over-parameterize.

    Example:
        >>> layer = DOSeparableConv2D(6, 3)
        >>> tuple(layer(tf_keras.Input((8, 8, 4))).shape)
        (None, 6, 6, 6)
    """

    host = tf_keras.layers.SeparableConv2D


@_register
class DOConv1DTranspose(Transposed, tf_keras.layers.Conv1DTranspose):
    """Depthwise over-parameterized ``Conv1DTranspose``; see :class:`DOConv2DTranspose`."""

    host = tf_keras.layers.Conv1DTranspose


@_register
class DOConv2DTranspose(Transposed, tf_keras.layers.Conv2DTranspose):
    """Depthwise over-parameterized ``tf_keras.layers.Conv2DTranspose``.

    As :class:`DOConv2D`, with W of shape (*kernel_size, O, I). D belongs to the input channel
    here too: the layer is a depthwise transposed convolution, then a 1x1 convolution. By
    ``composition="feature"`` the former is computed densely, I times as dear: a reference.

    Example:
        >>> layer = DOConv2DTranspose(4, 2, strides=2)
        >>> tuple(layer(tf_keras.Input((5, 5, 8))).shape)
        (None, 10, 10, 4)
    """

    host = tf_keras.layers.Conv2DTranspose


@_register
class DOConv3DTranspose(Transposed, tf_keras.layers.Conv3DTranspose):
    """Depthwise over-parameterized ``Conv3DTranspose``; see :class:`DOConv2DTranspose`."""

    host = tf_keras.layers.Conv3DTranspose


LAYERS: tuple[type[DOConvNd], ...] = (
    DOConv1D,
    DOConv2D,
    DOConv3D,
    DODepthwiseConv1D,
    DODepthwiseConv2D,
    DOSeparableConv1D,
    DOSeparableConv2D,
    DOConv1DTranspose,
    DOConv2DTranspose,
    DOConv3DTranspose,
)
"""Every layer class."""

# A wrapper, such as TimeDistributed, looks for the class in it by its bare name (tf_keras 2.21).
tf_keras.saving.get_custom_objects().update({layer.__name__: layer for layer in LAYERS})
