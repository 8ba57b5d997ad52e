"""What every DO-Conv layer does, and how its four kinds differ; ``do_conv.py`` has the classes."""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras

from doconv_keras.layers.do_conv import OverParameterized, Seams
from doconv_keras.layers.hosts import change_class
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.arrays import load_plain
from doconv_tf_keras.layers.copying import copied
from doconv_tf_keras.layers.folding import folded_copy
from doconv_tf_keras.layers.hosts import HOSTS, why_plain
from doconv_tf_keras.layers.nesting import check_tf_keras, is_of_keras_3
from doconv_tf_keras.layers.swapping import drop_D, over_parameterize
from doconv_tf_keras.tensors import composition as compositions
from doconv_tf_keras.tensors.initialization import LIBRARY, add_beside, uncast


class DOConvNd(OverParameterized, tf_keras.layers.Layer):
    """A DO-Conv layer. Precedes the host class in its subclasses' method resolution order.

    The seams it uses in tf_keras: ``build`` (D is made after the host's own variables), and the
    attribute that the host's ``call`` reads its kernel from. That is a plain attribute, which a
    property of the class overrides: the variable stays where it was, also for checkpoints.
    """

    seams = Seams(
        LIBRARY,
        HOSTS,
        add_beside,
        copied,
        folded_copy,
        over_parameterize,
        why_plain,
        partial(check_tf_keras, name="conv"),
    )

    def restore_(self) -> None:
        """Become the host's layer again; the kernel keeps its value."""
        drop_D(self)
        for name in ("D_mul", "composition", "spec", "_start"):
            if name in vars(self):
                delattr(self, name)
        change_class(self, type(self).host)

    @property
    def _kernel(self) -> Any:
        """W, the host's kernel variable; so it is called in Keras 3 too."""
        return self.W_of(self)

    def _uncast_W(self) -> Any:
        return uncast(self._kernel)

    def _keep_W(self, W: Any) -> None:
        vars(self)[self.kernel_name] = W

    def _computed(self, tensor: Any) -> Any:
        return tf.cast(tensor, self.compute_dtype)

    def load_own_variables(self, store: Any) -> None:
        """A plain layer's file has no D: it means the layer that computes the same."""
        if not load_plain(self, store):
            super().load_own_variables(store)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if is_of_keras_3(inputs):
            raise TypeError(tf_keras_messages.keras_3(type(inputs).__name__))
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        """As the host's, with the composed kernel; or by feature composition."""
        if self.composition == "kernel" or self.D is None:
            return super().call(inputs)
        features, axis = self._depthwise(inputs), self.rank + 1
        if self.data_format == "channels_first":
            features = _with_axis_moved(features, 1, axis)
        outputs = self._pointwise(features)
        if self.use_bias:
            outputs = outputs + self.bias
        if self.data_format == "channels_first":
            outputs = _with_axis_moved(outputs, axis, 1)
        return outputs if self.activation is None else self.activation(outputs)

    def _depthwise(self, inputs: Any) -> Any:
        kernel = self._computed(compositions.depthwise_kernel(self.spec, self.D))
        padding = self.padding
        if padding == "causal":
            inputs, padding = tf.pad(inputs, self._compute_causal_padding(inputs)), "valid"
        # TensorFlow's depthwise convolution (2.21) knows two axes, and strides them alike. One of I
        # groups is the same, but has a gradient on a CPU only by XLA, which tf_keras asks for here.
        if self.rank > 2 or len(set(self.strides)) > 1:
            kernel = tf.reshape(kernel, (*self.spec.kernel_size, 1, -1))
            return self._jit_compiled_convolution_op(inputs, kernel)
        host = (tf_keras.layers.DepthwiseConv1D, tf_keras.layers.DepthwiseConv2D)[self.rank - 1]
        plain = {"depthwise_kernel": kernel, "use_bias": False, "activation": None}
        return host.call(_Seen(self, padding=padding, **plain), inputs)

    def _pointwise(self, features: Any) -> Any:
        W = (uncast(self._kernel), self.W_extra)
        return compositions.pointwise(self.spec, self.layout, features, *W, self.compute_dtype)


class _Seen:
    """A layer with some attributes seen otherwise, for a method of its host."""

    def __init__(self, layer: DOConvNd, **otherwise: Any) -> None:
        vars(self).update(otherwise, _layer=layer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.host.compute_output_shape(self, input_shape)


def _with_axis_moved(tensor: Any, source: int, target: int) -> Any:
    axes = list(range(tensor.shape.rank))
    axes.insert(target, axes.pop(source))
    return tf.transpose(tensor, axes)


class Dense(DOConvNd):
    """A convolution, grouped or not."""

    layout = "kIO"


class Depthwise(DOConvNd):
    """A depthwise convolution."""

    layout = "kIM"
    kernel_name = "depthwise_kernel"
    role = "depthwise"
    depthwise_kernel = DOConvNd.kernel


class Separable(Depthwise):
    """A depthwise convolution and a pointwise one, which stays as it is."""

    def _pointwise(self, features: Any) -> Any:
        return tf.nn.convolution(super()._pointwise(features), self.pointwise_kernel)


class Transposed(DOConvNd):
    """A transposed convolution."""

    layout = "kOI"

    def _depthwise(self, inputs: Any) -> Any:
        kernel = compositions.transposed_depthwise_kernel(self.spec, self.D)
        filters = self.spec.in_channels * self.spec.S
        plain = {"filters": filters, "use_bias": False, "activation": None}
        return self.host.call(_Seen(self, kernel=self._computed(kernel), **plain), inputs)
