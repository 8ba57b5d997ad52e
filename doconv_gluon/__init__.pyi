# Written by `make stubs`: do not edit.

from typing import Any, Literal, TypeVar

from mxnet.gluon import Parameter, nn
from typing_extensions import Self

from doconv_core import DOConvSpec
from doconv_gluon.model.conversion import convert as convert
from doconv_gluon.model.conversion import fold as fold
from doconv_gluon.model.official import load_official as load_official
from doconv_gluon.model.replacement import convert_depthwise as convert_depthwise
from doconv_gluon.model.state import get_state as get_state
from doconv_gluon.model.state import set_state as set_state
from doconv_gluon.model.summary import summary as summary

_Array = TypeVar("_Array")

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

class CondConv1D(nn.HybridBlock):
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        layout: str = "NCW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array, alpha: _Array | None = None) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    def fold(self) -> CondConv1D: ...

class CondConv2D(nn.HybridBlock):
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        padding: int | tuple[int, ...] = (0, 0),
        dilation: int | tuple[int, ...] = (1, 1),
        groups: int = 1,
        layout: str = "NCHW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array, alpha: _Array | None = None) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    def fold(self) -> CondConv2D: ...

class CondConv3D(nn.HybridBlock):
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1, 1),
        padding: int | tuple[int, ...] = (0, 0, 0),
        dilation: int | tuple[int, ...] = (1, 1, 1),
        groups: int = 1,
        layout: str = "NCDHW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array, alpha: _Array | None = None) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    def fold(self) -> CondConv3D: ...

class DOConv1D(nn.Conv1D):
    D: Parameter | None
    W_extra: Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        layout: str = "NCW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv1D, *, D_mul: int | None = None) -> Self: ...
    def fold(self) -> nn.Conv1D: ...

class DOConv1DTranspose(nn.Conv1DTranspose):
    D: Parameter | None
    W_extra: Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        layout: str = "NCW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv1DTranspose, *, D_mul: int | None = None) -> Self: ...
    def fold(self) -> nn.Conv1DTranspose: ...

class DOConv2D(nn.Conv2D):
    D: Parameter | None
    W_extra: Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        padding: int | tuple[int, ...] = (0, 0),
        dilation: int | tuple[int, ...] = (1, 1),
        groups: int = 1,
        layout: str = "NCHW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv2D, *, D_mul: int | None = None) -> Self: ...
    def fold(self) -> nn.Conv2D: ...

class DOConv2DTranspose(nn.Conv2DTranspose):
    D: Parameter | None
    W_extra: Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        padding: int | tuple[int, ...] = (0, 0),
        output_padding: int | tuple[int, ...] = (0, 0),
        dilation: int | tuple[int, ...] = (1, 1),
        groups: int = 1,
        layout: str = "NCHW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv2DTranspose, *, D_mul: int | None = None) -> Self: ...
    def fold(self) -> nn.Conv2DTranspose: ...

class DOConv3D(nn.Conv3D):
    D: Parameter | None
    W_extra: Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1, 1),
        padding: int | tuple[int, ...] = (0, 0, 0),
        dilation: int | tuple[int, ...] = (1, 1, 1),
        groups: int = 1,
        layout: str = "NCDHW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv3D, *, D_mul: int | None = None) -> Self: ...
    def fold(self) -> nn.Conv3D: ...

class DOConv3DTranspose(nn.Conv3DTranspose):
    D: Parameter | None
    W_extra: Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1, 1),
        padding: int | tuple[int, ...] = (0, 0, 0),
        output_padding: int | tuple[int, ...] = (0, 0, 0),
        dilation: int | tuple[int, ...] = (1, 1, 1),
        groups: int = 1,
        layout: str = "NCDHW",
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...
    def composed_kernel(self) -> Any: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv3DTranspose, *, D_mul: int | None = None) -> Self: ...
    def fold(self) -> nn.Conv3DTranspose: ...

class Routing(nn.HybridBlock):
    def __init__(
        self,
        num_experts: int,
        in_channels: int = 0,
        *,
        use_bias: bool = False,
        axis: int = 1,
        weight_initializer: Any = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...

class XSepConv2D(nn.HybridBlock):
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = (1, 1),
        *,
        dilation: int | tuple[int, ...] = (1, 1),
        activation: str | None = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        corner: int = 0,
        D_mul: int | Literal["K"] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def __call__(self, x: _Array) -> _Array: ...
    def fold(self) -> XSepConv2D: ...
