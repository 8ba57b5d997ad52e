"""XSepConv for Keras."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import keras
from keras import ops

from doconv_core import XSepConvSpec
from doconv_core.neighbours.xsepconv import CORNERS, Pads, same_padding
from doconv_tf.layers.do_conv import DOConvNd, DODepthwiseConv2D
from doconv_tf.layers.folding import folded_copy
from doconv_tf.layers.hosts import refuse_legacy

_PASSED_ON = (
    "data_format",
    "use_bias",
    "activation",
    "depthwise_initializer",
    "bias_initializer",
    "depthwise_regularizer",
    "bias_regularizer",
    "depthwise_constraint",
    "bias_constraint",
)
"""Arguments of ``DepthwiseConv2D`` that the last convolution has as they were given."""


REPLACEABLE = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
_OF_THE_GRAPH = ("_inbound_nodes", "_outbound_nodes", "_parent_path")


@keras.saving.register_keras_serializable(package="doconv_tf")
class XSepConv2D(keras.layers.Layer):
    """A large depthwise convolution as three small ones: 2 x 2, 1 x k and k x 1.

    They are the layers ``square``, ``horizontal`` and ``vertical``, plain ``DepthwiseConv2D`` or,
    with ``D_mul``, ``DODepthwiseConv2D``; so ``convert``, ``fold``, ``summary``, states and files
    know what to do with them. The 2 x 2 kernel sees one row and one column of zeros on two
    adjacent sides; let ``corner`` go around from layer to layer, so that the features of a deep
    network do not drift. What is our reading of the paper, not its letter, is said at
    :class:`doconv_core.XSepConvSpec`.

    Zeros are padded alike on both sides, as in the other frameworks, also where Keras's
    ``padding="same"`` would put fewer on the first side because of a stride.

    Args:
        kernel_size: k, odd and at least 5.
        strides: of both axes, or (vertical, horizontal). Each of the pair takes its own axis.
        dilation_rate: likewise; the 2 x 2 convolution has none.
        activation, use_bias, bias_initializer, bias_regularizer, bias_constraint: of the last
            convolution, as ``DepthwiseConv2D`` has them.
        depthwise_initializer: of each. None means such that features keep their variance: three
            kernels in a row drawn by Keras's default, which counts channels that a depthwise
            kernel does not read, would leave little of it.
        data_format, depthwise_regularizer, depthwise_constraint: of each, as ``DepthwiseConv2D``
            has them.
        corner: 0 top left, 1 top right, 2 bottom right, 3 bottom left.
        D_mul: None for plain convolutions; "K" to over-parameterize each with as many columns as
            its kernel has elements; an integer of at least k; or a sequence of three of these.
        **kwargs: of every Keras layer.

    Shape:
        - input: (N, H, W, channels), or (N, channels, H, W) by ``data_format``.
        - output: likewise, (ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: a size is not allowed; see :class:`doconv_core.XSepConvSpec`.
        TypeError: a size is not an integer.

    Source: arXiv 2002.12046.

    Example:
        >>> layer = XSepConv2D(5, strides=2, D_mul="K")
        >>> tuple(layer(keras.ops.zeros((1, 9, 8, 16))).shape)
        (1, 5, 4, 16)
        >>> type(layer.fold().horizontal).__name__
        'DepthwiseConv2D'
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        *,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = None,
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        corner: int = 0,
        D_mul: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if depthwise_initializer is None:
            # "fan_out" is the number of kernel elements, in the shape that Keras gives the kernel
            depthwise_initializer = keras.initializers.VarianceScaling(
                mode="fan_out", distribution="uniform"
            )
        # The number of channels is known in build only; one does for what can be checked.
        spec = XSepConvSpec(1, kernel_size, strides, dilation_rate, corner, D_mul)
        self.kernel_size, self.corner = spec.kernel_size, spec.corner
        self.strides, self.dilation_rate = spec.stride, spec.dilation
        for part in spec.parts:
            arguments = {
                "kernel_size": part.conv.kernel_size,
                "strides": max(part.stride),  # equal ones; see _along
                "dilation_rate": part.dilation,
                "data_format": data_format,
                "activation": activation if part.bias else None,
                "use_bias": use_bias and part.bias,
                "depthwise_initializer": _another(depthwise_initializer),
                "bias_initializer": bias_initializer,
                "depthwise_regularizer": depthwise_regularizer,
                "bias_regularizer": bias_regularizer,
                "depthwise_constraint": depthwise_constraint,
                "bias_constraint": bias_constraint,
                "dtype": self.dtype_policy,
                "name": part.name,
            }
            if part.D_mul is None:
                conv = keras.layers.DepthwiseConv2D(**arguments)
            else:
                conv = DODepthwiseConv2D(**arguments, D_mul=part.D_mul)
            setattr(self, part.name, conv)

    @property
    def convolutions(self) -> tuple[keras.layers.Layer, ...]:
        """The three, in order."""
        return self.square, self.horizontal, self.vertical

    @property
    def D_mul(self) -> list[int | None] | None:
        """Columns of each convolution, None for a plain one; None where all are plain."""
        columns = [
            (conv.D_mul or math.prod(conv.kernel_size)) if isinstance(conv, DOConvNd) else None
            for conv in self.convolutions
        ]
        return columns if any(columns) else None

    def build(self, input_shape: Any) -> None:
        """Make the variables of the three convolutions."""
        shape = [None] * 4
        shape[self._channels] = input_shape[self._channels]
        for conv in self.convolutions:
            if not conv.built:
                conv.build(tuple(shape))

    def call(self, inputs: Any) -> Any:
        """The three convolutions, one after the other."""
        refuse_legacy(inputs)
        outputs = self.square(self._padded(inputs, CORNERS[self.corner]))
        return self._along(0, self.vertical, self._along(1, self.horizontal, outputs))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """(N, ceil(H / stride), ceil(W / stride), channels), or channels first."""
        shape, first = list(input_shape), self._first
        for axis, stride in enumerate(self.strides, first):
            shape[axis] = None if shape[axis] is None else math.ceil(shape[axis] / stride)
        return tuple(shape)

    def _along(self, axis: int, conv: Any, inputs: Any) -> Any:
        """A convolution whose kernel lies along one of the two spatial axes."""
        n = same_padding(conv.kernel_size[axis], conv.dilation_rate[axis])
        inputs = self._padded(inputs, ((0, 0), (n, n)) if axis else ((n, n), (0, 0)))
        if conv.strides[axis] == 1:
            return conv(inputs)
        # TensorFlow (2.21) strides both axes alike, except by oneDNN on a CPU. So the other axis
        # goes into the batch, and one of length 1 takes its place.
        other = self._first + 1 - axis
        inputs = ops.moveaxis(inputs, other, 1)
        size = ops.shape(inputs)
        outputs = conv(ops.expand_dims(ops.reshape(inputs, (-1, *size[2:])), other))
        outputs = ops.squeeze(outputs, other)
        outputs = ops.reshape(outputs, (-1, size[1], *ops.shape(outputs)[1:]))
        return ops.moveaxis(outputs, 1, other)

    def _padded(self, inputs: Any, zeros: Pads) -> Any:
        widths = [(0, 0)] * 4
        widths[self._first : self._first + 2] = zeros
        return ops.pad(inputs, widths)

    @property
    def _first(self) -> int:  # of the spatial axes
        return 1 if self.vertical.data_format == "channels_last" else 2

    @property
    def _channels(self) -> int:
        return 3 if self.vertical.data_format == "channels_last" else 1

    def get_config(self) -> dict[str, Any]:
        """The arguments; ``D_mul`` is that of each convolution as it is now."""
        last = self.vertical.get_config()
        return {
            **super().get_config(),
            **{name: last[name] for name in _PASSED_ON},
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation_rate": self.dilation_rate,
            "corner": self.corner,
            "D_mul": self.D_mul,
        }

    def remake_(self, theirs: Any) -> None:
        """Replace what this one has replaced once more, in a copy of a model."""
        if type(theirs) in REPLACEABLE:
            layer = XSepConv2D.from_config(self.get_config())
            become(theirs, built(layer, self.path, self.get_build_config()["input_shape"]))

    def fold(self) -> XSepConv2D:
        """The layer of three plain convolutions that computes the same; this one stays.

        Raises:
            ValueError: a variable is not finite, or the layer is not built.
        """
        folded: XSepConv2D = folded_copy(self)
        return folded


def _another(initializer: Any) -> Any:
    """A clone: without a seed of its own, one initializer draws the same values each time."""
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer


def built(layer: Any, path: str, shape: tuple[int | None, ...]) -> Any:
    """Build a layer as if it stood where another one does, whose path this is."""
    with ExitStack() as scopes:
        for name in path.split("/")[:-1]:
            scopes.enter_context(keras.name_scope(name))
        layer.build(shape)
    return layer


def become(layer: Any, other: Any) -> None:
    """Turn a layer into another one: its class and all its state but its place in the graph."""
    state = vars(layer)
    place = {name: state[name] for name in _OF_THE_GRAPH}
    state.clear()
    state.update({**vars(other), **place})
    for name in ("build", "quantize"):  # Keras wraps them on each instance, for that instance
        state.pop(name)
    layer.__class__ = type(other)
