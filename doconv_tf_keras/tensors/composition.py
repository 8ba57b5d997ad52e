"""The mathematics of :mod:`doconv_keras.tensors.composition` in TensorFlow's own operations."""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf

from doconv_core import DOConvSpec
from doconv_keras.tensors import composition


class Ops:
    """TensorFlow's operations by the names that ``keras.ops`` gives them."""

    reshape, transpose, concatenate = tf.reshape, tf.transpose, tf.concat
    convert_to_tensor, cast, eye, zeros = tf.convert_to_tensor, tf.cast, tf.eye, tf.zeros


compose = partial(composition.compose, Ops)
depthwise_kernel = partial(composition.depthwise_kernel, Ops)
transposed_depthwise_kernel = partial(composition.transposed_depthwise_kernel, Ops)


def pointwise(
    spec: DOConvSpec, layout: str, features: Any, kernel: Any, W_extra: Any, dtype: Any
) -> Any:
    """The 1x1 convolution of feature composition, (N, *out, I*S) to (N, *out, O).

    A product for each group, as TensorFlow's convolutions with groups have no gradient on a CPU
    but by XLA.

    Args:
        spec: the layer's sizes.
        layout: of ``kernel``.
        features: what the depthwise convolution gives.
        kernel: W's first K columns.
        W_extra: its further columns, or None.
        dtype: to compute in.
    """
    g, S = spec.groups, spec.S
    W = composition.pointwise_kernel(Ops, spec, layout, kernel, W_extra)
    W = tf.reshape(tf.cast(W, dtype), (spec.in_channels // g * S, g, spec.out_channels // g))
    sizes = tf.shape(features)
    grouped = tf.reshape(features, (-1, g, spec.in_channels // g * S))
    product = tf.transpose(grouped, (1, 0, 2)) @ tf.transpose(W, (1, 0, 2))
    product = tf.reshape(tf.transpose(product, (1, 0, 2)), (-1, spec.out_channels))
    outputs = tf.reshape(product, tf.concat([sizes[:-1], [spec.out_channels]], 0))
    outputs.set_shape([*features.shape[:-1], spec.out_channels])
    return outputs
