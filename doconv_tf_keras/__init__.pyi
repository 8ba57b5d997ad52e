# Written by `make stubs`: do not edit.

from typing import Any, Literal

import tensorflow as tf
import tf_keras
from typing_extensions import Self

from doconv_tf_keras.model.conversion import convert as convert
from doconv_tf_keras.model.conversion import fold as fold
from doconv_tf_keras.model.official import load_official as load_official
from doconv_tf_keras.model.state import get_state as get_state
from doconv_tf_keras.model.state import set_state as set_state
from doconv_tf_keras.model.summary import summary as summary

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

class DOConv1D(tf_keras.layers.Conv1D):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        dilation_rate: int | tuple[int, ...] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.Conv1D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.Conv1D: ...

class DOConv1DTranspose(tf_keras.layers.Conv1DTranspose):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        output_padding: int | tuple[int, ...] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.Conv1DTranspose, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.Conv1DTranspose: ...

class DOConv2D(tf_keras.layers.Conv2D):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.Conv2D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.Conv2D: ...

class DOConv2DTranspose(tf_keras.layers.Conv2DTranspose):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        padding: str = "valid",
        output_padding: int | tuple[int, ...] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.Conv2DTranspose, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.Conv2DTranspose: ...

class DOConv3D(tf_keras.layers.Conv3D):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = (1, 1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.Conv3D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.Conv3D: ...

class DOConv3DTranspose(tf_keras.layers.Conv3DTranspose):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1, 1),
        padding: str = "valid",
        output_padding: int | tuple[int, ...] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = (1, 1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.Conv3DTranspose, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.Conv3DTranspose: ...

class DODepthwiseConv1D(tf_keras.layers.DepthwiseConv1D):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.DepthwiseConv1D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.DepthwiseConv1D: ...

class DODepthwiseConv2D(tf_keras.layers.DepthwiseConv2D):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.DepthwiseConv2D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.DepthwiseConv2D: ...

class DOSeparableConv1D(tf_keras.layers.SeparableConv1D):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.SeparableConv1D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.SeparableConv1D: ...

class DOSeparableConv2D(tf_keras.layers.SeparableConv2D):
    D: tf.Variable | None
    W_extra: tf.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    @classmethod
    def from_conv(
        cls, conv: tf_keras.layers.SeparableConv2D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> tf_keras.layers.SeparableConv2D: ...
