# Written by `make stubs`: do not edit.

from typing import Any, Literal

import keras
from typing_extensions import Self

from doconv_tf.model.conversion import convert as convert
from doconv_tf.model.conversion import fold as fold
from doconv_tf.model.official import load_official as load_official
from doconv_tf.model.replacement import convert_depthwise as convert_depthwise
from doconv_tf.model.state import get_state as get_state
from doconv_tf.model.state import set_state as set_state
from doconv_tf.model.summary import summary as summary

__all__ = [
    "CondConv1D",
    "CondConv2D",
    "CondConv3D",
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
    "Routing",
    "XSepConv2D",
    "convert",
    "convert_depthwise",
    "fold",
    "get_state",
    "load_official",
    "set_state",
    "summary",
]

class CondConv1D(keras.layers.Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        data_format: str | None = None,
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
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, alpha: Any = None, *args: Any, **kwargs: Any) -> Any: ...
    def fold(self) -> CondConv1D: ...

class CondConv2D(keras.layers.Layer):
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
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, alpha: Any = None, *args: Any, **kwargs: Any) -> Any: ...
    def fold(self) -> CondConv2D: ...

class CondConv3D(keras.layers.Layer):
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
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, alpha: Any = None, *args: Any, **kwargs: Any) -> Any: ...
    def fold(self) -> CondConv3D: ...

class DOConv1D(keras.layers.Conv1D):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.Conv1D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.Conv1D: ...

class DOConv1DTranspose(keras.layers.Conv1DTranspose):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.Conv1DTranspose, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.Conv1DTranspose: ...

class DOConv2D(keras.layers.Conv2D):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.Conv2D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.Conv2D: ...

class DOConv2DTranspose(keras.layers.Conv2DTranspose):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.Conv2DTranspose, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.Conv2DTranspose: ...

class DOConv3D(keras.layers.Conv3D):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.Conv3D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.Conv3D: ...

class DOConv3DTranspose(keras.layers.Conv3DTranspose):
    D: keras.Variable | None
    W_extra: keras.Variable | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: int | tuple[int, ...] | None = None,
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
        cls, conv: keras.layers.Conv3DTranspose, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.Conv3DTranspose: ...

class DODepthwiseConv1D(keras.layers.DepthwiseConv1D):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.DepthwiseConv1D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.DepthwiseConv1D: ...

class DODepthwiseConv2D(keras.layers.DepthwiseConv2D):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.DepthwiseConv2D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.DepthwiseConv2D: ...

class DOSeparableConv1D(keras.layers.SeparableConv1D):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.SeparableConv1D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.SeparableConv1D: ...

class DOSeparableConv2D(keras.layers.SeparableConv2D):
    D: keras.Variable | None
    W_extra: keras.Variable | None
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
        cls, conv: keras.layers.SeparableConv2D, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> keras.layers.SeparableConv2D: ...

class Routing(keras.layers.Layer):
    def __init__(
        self,
        num_experts: int,
        *,
        use_bias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...

class XSepConv2D(keras.layers.Layer):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        *,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = None,
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        corner: int = 0,
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...
    def fold(self) -> XSepConv2D: ...
