"""The routing of CondConv: which mixture of experts an example gets."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from doconv_core.kernel.spec import positive_integer
from doconv_tf.layers.hosts import refuse_legacy

_AXES = {"channels_last": -1, "channels_first": 1}


@keras.saving.register_keras_serializable(package="doconv_tf")
class Routing(keras.layers.Layer):
    """The mixture for each example: sigmoid(global average pool(x) R).

    One for several layers of a block, which then have ``routing=False`` and share its alpha; a
    CondConv layer with ``routing=True`` holds one of its own. Initialized as ``Dense``.

    Args:
        num_experts: E.
        use_bias: True adds one within the sigmoid, as the authors' program does; the paper's
            formula has none.
        data_format: of the feature map; None means Keras's default.
        **kwargs: of every Keras layer.

    Shape:
        - input: (N, *positions, I), or (N, I, *positions), of any spatial rank.
        - output, alpha: (N, E).
        - ``kernel`` (R): (I, E). ``bias``: (E,) or None.

    Raises:
        ValueError: E is not positive.
        TypeError: E is not an integer.

    Numerics: computed in the variable's precision, also under a mixed policy; a layer that alpha
    is given to casts it to its compute precision, as Keras casts every input.

    Source: arXiv 1904.04971, section 3.1.

    Example:
        >>> from doconv_tf import CondConv2D
        >>> x = keras.ops.zeros((2, 8, 8, 16))
        >>> alpha = Routing(4)(x)
        >>> tuple(CondConv2D(32, 3, num_experts=4, routing=False)(x, alpha).shape)
        (2, 6, 6, 32)
    """

    def __init__(
        self,
        num_experts: int,
        *,
        use_bias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_experts = positive_integer("num_experts", num_experts)
        self.use_bias, self.bias = use_bias, None
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        self.channel_axis = _AXES[self.data_format]

    def build(self, input_shape: Any) -> None:
        """Make R."""
        axis = self.channel_axis
        channels = input_shape[axis]
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={axis: channels})
        own: dict[str, Any] = {"dtype": self.variable_dtype, "autocast": False}
        shape = (channels, self.num_experts)
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer="glorot_uniform", **own
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=shape[1:], initializer="zeros", **own)

    def call(self, inputs: Any) -> Any:
        """Alpha (N, E)."""
        refuse_legacy(inputs)
        channel = self.channel_axis % len(inputs.shape)
        positions = [axis for axis in range(1, len(inputs.shape)) if axis != channel]
        # The average of many halves would lose most of its digits.
        inputs = ops.cast(inputs, self.variable_dtype)
        pooled = ops.mean(inputs, axis=positions) if positions else inputs
        logits = pooled @ ops.convert_to_tensor(self.kernel)
        if self.bias is not None:
            logits = logits + ops.convert_to_tensor(self.bias)
        return ops.sigmoid(logits)

    def compute_output_spec(self, inputs: Any) -> Any:
        """(N, E), in the variable's precision."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.variable_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """(N, E)."""
        return input_shape[0], self.num_experts

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "use_bias": self.use_bias,
            "data_format": self.data_format,
        }
