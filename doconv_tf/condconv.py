"""CondConv layers: every example is convolved with its own mixture of expert kernels.

What a layer computes is defined in :mod:`doconv_core.condconv`.
"""

from __future__ import annotations

import keras

from doconv_tf.condconv_base import CondConvBase

_register = keras.saving.register_keras_serializable(package="doconv_tf")


@_register
class CondConv1D(CondConvBase):
    """Conditionally parameterized ``keras.layers.Conv1D``; see :class:`CondConv2D`."""

    host = keras.layers.Conv1D


@_register
class CondConv2D(CondConvBase):
    """Conditionally parameterized ``keras.layers.Conv2D``, plain or over-parameterized.

    For example n, the kernel is sum over e of alpha[n, e] times expert e's, and so is the bias.
    Takes every argument of ``Conv2D``, in its order, and four keyword arguments.

    Args:
        num_experts: E; the paper uses 4 and 8.
        routing: True: the layer owns a :class:`Routing` of its input. False: it is called with
            ``layer(x, alpha)``; alpha (N, E) has been through the sigmoid.
        evaluation: "kernels" mixes the kernels, then multiplies what each position sees by its
            example's kernel: one batched product, also for a batch whose size a graph does not
            know. "outputs" convolves with every expert, then mixes. Equal to rounding. "auto"
            takes the one that costs less at the input's size; "kernels" where a graph is for
            images of any size.
        D_mul: None is plain CondConv. "K", or an integer from K on, gives every expert a D of its
            own with as many columns; so each expert's kernel is a DO-Conv kernel, preconditioned
            by its own gradient. With one expert and alpha = 1 the layer is a DO-Conv layer.

    Shape:
        - input, output: as ``Conv2D``. alpha: (N, E).
        - W, the variable named "kernel", in ``_kernel``: (E, *kernel_size, I/g, O).
        - ``bias``: (E, O) or None.
        - ``D``: (E, I, K, S), as offset from the identity, or None.
        - ``W_extra``: (E, S - K, I/g, O), or None.
        - ``kernel``: the experts' composed kernels, a tensor.
        - ``routing.kernel``: (I, E).

    Raises:
        ValueError: groups do not divide the channels, D_mul < K, or an unknown evaluation. From
            the call: alpha is missing, of another shape, or given to a layer that routes itself.
        TypeError: a dtype policy that is not floating point.

    Note:
        Initializers, regularizers and constraints act on one expert after the other; those of the
        kernel on W, not on D, as in :class:`DOConv2D`. The experts draw different values, also by
        an initializer with a fixed seed.

    Numerics: under a mixed policy kernels and biases are mixed in float32 and rounded once. An
    alpha from outside comes in the compute dtype, as Keras casts every input.

    Source: arXiv 1904.04971, section 3; no batch norm is part of it, and the activation is the
    one given as argument.

    Example:
        >>> layer = CondConv2D(32, 3, num_experts=8, D_mul="K")
        >>> tuple(layer(keras.ops.zeros((2, 8, 8, 16))).shape)
        (2, 6, 6, 32)
        >>> tuple(layer.D.shape)
        (8, 16, 9, 9)
        >>> print(layer.fold().D)
        None
    """

    host = keras.layers.Conv2D


@_register
class CondConv3D(CondConvBase):
    """Conditionally parameterized ``keras.layers.Conv3D``; see :class:`CondConv2D`."""

    host = keras.layers.Conv3D


CONDCONV_LAYERS: tuple[type[CondConvBase], ...] = (CondConv1D, CondConv2D, CondConv3D)
"""Every layer class."""
