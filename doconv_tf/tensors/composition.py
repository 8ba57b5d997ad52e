"""The forward mathematics of :mod:`doconv_keras.tensors.composition` in ``keras.ops``."""

from __future__ import annotations

from functools import partial

from keras import ops

from doconv_keras.tensors import composition

compose = partial(composition.compose, ops)
depthwise_kernel = partial(composition.depthwise_kernel, ops)
transposed_depthwise_kernel = partial(composition.transposed_depthwise_kernel, ops)
pointwise_kernel = partial(composition.pointwise_kernel, ops)
