"""What every DO-Conv layer does, and how its four kinds differ; ``do_conv.py`` has the classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from doconv_core.kernel.initialization import Start
from doconv_keras.layers.do_conv import OverParameterized, Seams
from doconv_keras.layers.hosts import change_class
from doconv_tf import messages as keras_messages
from doconv_tf.layers.arrays import load_plain
from doconv_tf.layers.copying import copied
from doconv_tf.layers.folding import folded_copy
from doconv_tf.layers.hosts import HOSTS, refuse_legacy, why_plain
from doconv_tf.layers.swapping import drop_D, over_parameterize
from doconv_tf.tensors import composition as compositions
from doconv_tf.tensors.composition import transposed_depthwise_kernel
from doconv_tf.tensors.initialization import DEFAULT, LIBRARY, add_beside


class DOConvNd(OverParameterized, keras.layers.Layer):
    """A DO-Conv layer. Precedes the host class in its subclasses' method resolution order.

    The seams it uses in Keras: ``build`` (D is made after the host's own variables), the
    attribute that the host's ``call`` reads its kernel from, and ``save_own_variables``.
    """

    seams = Seams(
        LIBRARY,
        HOSTS,
        add_beside,
        copied,
        folded_copy,
        over_parameterize,
        why_plain,
        refuse_legacy,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("lora_rank"):
            raise ValueError(keras_messages.no_lora(kwargs.get("name") or "", type(self).__name__))
        super().__init__(*args, **kwargs)

    def over_parameterize_(
        self, D_mul: int | str | None, composition: str = "kernel", start: Start = DEFAULT
    ) -> None:
        """Give a layer with the host's variables D and W_extra."""
        super().over_parameterize_(D_mul, composition, start)
        if self.D is not None:
            # Composed in the variables' precision: Keras must not cast W on the way, as it casts
            # a plain kernel. Only the composed kernel is cast.
            self._kernel._autocast = False

    def restore_(self) -> None:
        """Become the host's layer again; the kernel keeps its value."""
        drop_D(self)
        state = self.__dict__
        for name in ("D", "W_extra", "D_mul", "composition", "spec", "_start"):
            state.pop(name, None)
        self._kernel._autocast = True
        host = type(self).host
        if not isinstance(getattr(host, "kernel", None), property):
            state[self.kernel_name] = state.pop("_kernel")
        change_class(self, host)

    def _uncast_W(self) -> Any:
        return self._kernel

    def _keep_W(self, W: Any) -> None:
        self._kernel = W

    def _computed(self, tensor: Any) -> Any:
        return ops.cast(tensor, self.compute_dtype) if self.autocast else tensor

    def call(self, inputs: Any) -> Any:
        """As the host's, with the composed kernel; or by feature composition."""
        refuse_legacy(inputs)
        if self.composition == "kernel" or self.D is None:
            return super().call(inputs)
        outputs = self._pointwise(self._depthwise(inputs))
        if self.use_bias:
            axes = [1] * (self.rank + 2)
            axes[-1 if self.data_format == "channels_last" else 1] = -1
            outputs = ops.add(outputs, ops.reshape(self.bias, axes))
        return outputs if self.activation is None else self.activation(outputs)

    def _depthwise(self, inputs: Any) -> Any:
        kernel = compositions.depthwise_kernel(self.spec, self.D)
        padding = self.padding
        if padding == "causal":
            widths = [[0, 0], [0, 0], [0, 0]]
            axis = 1 if self.data_format == "channels_last" else 2
            widths[axis][0] = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            inputs, padding = ops.pad(inputs, widths), "valid"
        # A convolution of I groups is the same, and takes TensorFlow about 100 times as long on a
        # CPU. Keras's depthwise one knows two axes, and TensorFlow's (2.21) strides them alike.
        convolve = ops.depthwise_conv
        if self.rank > 2 or len(set(self.strides)) > 1:
            convolve, kernel = ops.conv, ops.reshape(kernel, (*self.kernel_size, 1, -1))
        return convolve(
            inputs,
            self._computed(kernel),
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

    def _pointwise(self, features: Any) -> Any:
        W = (self._kernel, self.W_extra)
        kernel = compositions.pointwise_kernel(self.spec, self.layout, *W)
        return ops.conv(features, self._computed(kernel), data_format=self.data_format)

    # Conv's own pair would write the composed kernel and not D.
    save_own_variables = keras.layers.Layer.save_own_variables

    def load_own_variables(self, store: Any) -> None:
        """A plain layer's file has no D: it means the layer that computes the same."""
        if not load_plain(self, store):
            keras.layers.Layer.load_own_variables(self, store)

    def enable_lora(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: LoRA would freeze W and D and then not be read; fold first.

        Raises:
            ValueError: always.
        """
        raise ValueError(keras_messages.no_lora(self.name, type(self).__name__))


class Dense(DOConvNd):
    """A convolution, grouped or not."""

    layout = "kIO"


class Depthwise(DOConvNd):
    """A depthwise convolution."""

    layout = "kIM"
    role = "depthwise"


class Separable(Depthwise):
    """A depthwise convolution and a pointwise one, which stays as it is."""

    kernel_name = "depthwise_kernel"
    depthwise_kernel = DOConvNd.kernel

    def _pointwise(self, features: Any) -> Any:
        outputs = super()._pointwise(features)
        return ops.conv(outputs, self.pointwise_kernel, data_format=self.data_format)


class Transposed(DOConvNd):
    """A transposed convolution."""

    layout = "kOI"

    def _depthwise(self, inputs: Any) -> Any:
        return ops.conv_transpose(
            inputs,
            self._computed(transposed_depthwise_kernel(self.spec, self.D)),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
