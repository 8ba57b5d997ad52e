# Written by `make stubs`: do not edit.

from typing import Literal, TypeVar, overload

import torch
from torch import Tensor, nn
from typing_extensions import Self

from doconv_core import DOConvSpec
from doconv_torch.model.at_optimizer import OptimizerDOConv as OptimizerDOConv
from doconv_torch.model.conversion import convert as convert
from doconv_torch.model.official import load_official as load_official
from doconv_torch.model.replacement import convert_depthwise as convert_depthwise
from doconv_torch.model.state import get_state as get_state
from doconv_torch.model.state import set_state as set_state
from doconv_torch.model.summary import summary as summary

_Model = TypeVar("_Model", bound=nn.Module)

__all__ = [
    "CondConv1d",
    "CondConv2d",
    "CondConv3d",
    "DOConv1d",
    "DOConv2d",
    "DOConv3d",
    "DOConvTranspose1d",
    "DOConvTranspose2d",
    "DOConvTranspose3d",
    "OptimizerDOConv",
    "Routing",
    "XSepConv2d",
    "convert",
    "convert_depthwise",
    "fold",
    "get_state",
    "load_official",
    "set_state",
    "summary",
]

class CondConv1d(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
    ) -> None: ...
    def __call__(self, input: Tensor, alpha: Tensor | None = None) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    def fold(self) -> CondConv1d: ...

class CondConv2d(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
    ) -> None: ...
    def __call__(self, input: Tensor, alpha: Tensor | None = None) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    def fold(self) -> CondConv2d: ...

class CondConv3d(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: str | int | tuple[int, int, int] = 0,
        dilation: int | tuple[int, int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: Literal["auto", "kernels", "outputs"] = "auto",
        D_mul: int | Literal["K"] | None = None,
    ) -> None: ...
    def __call__(self, input: Tensor, alpha: Tensor | None = None) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    def fold(self) -> CondConv3d: ...

class DOConv1d(nn.Conv1d):
    D: nn.Parameter | None
    W_extra: nn.Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
    ) -> None: ...
    def __call__(self, input: Tensor) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv1d, *, D_mul: int | Literal["K"] | None = None) -> Self: ...
    def fold(self) -> nn.Conv1d: ...

class DOConv2d(nn.Conv2d):
    D: nn.Parameter | None
    W_extra: nn.Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
    ) -> None: ...
    def __call__(self, input: Tensor) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv2d, *, D_mul: int | Literal["K"] | None = None) -> Self: ...
    def fold(self) -> nn.Conv2d: ...

class DOConv3d(nn.Conv3d):
    D: nn.Parameter | None
    W_extra: nn.Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: str | int | tuple[int, int, int] = 0,
        dilation: int | tuple[int, int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
    ) -> None: ...
    def __call__(self, input: Tensor) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    @classmethod
    def from_conv(cls, conv: nn.Conv3d, *, D_mul: int | Literal["K"] | None = None) -> Self: ...
    def fold(self) -> nn.Conv3d: ...

class DOConvTranspose1d(nn.ConvTranspose1d):
    D: nn.Parameter | None
    W_extra: nn.Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] = 0,
        output_padding: int | tuple[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int] = 1,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
    ) -> None: ...
    def __call__(self, input: Tensor, output_size: list[int] | None = None) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    @classmethod
    def from_conv(
        cls, conv: nn.ConvTranspose1d, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> nn.ConvTranspose1d: ...

class DOConvTranspose2d(nn.ConvTranspose2d):
    D: nn.Parameter | None
    W_extra: nn.Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
    ) -> None: ...
    def __call__(self, input: Tensor, output_size: list[int] | None = None) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    @classmethod
    def from_conv(
        cls, conv: nn.ConvTranspose2d, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> nn.ConvTranspose2d: ...

class DOConvTranspose3d(nn.ConvTranspose3d):
    D: nn.Parameter | None
    W_extra: nn.Parameter | None
    D_mul: int
    composition: Literal["kernel", "feature"]
    @property
    def spec(self) -> DOConvSpec: ...
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: int | tuple[int, int, int] = 0,
        output_padding: int | tuple[int, int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int, int] = 1,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        D_mul: int | Literal["K"] | None = None,
        composition: Literal["kernel", "feature"] = "kernel",
        D_init: Literal["identity", "random"] = "identity",
        W_extra_init: Literal["zeros", "random"] = "zeros",
    ) -> None: ...
    def __call__(self, input: Tensor, output_size: list[int] | None = None) -> Tensor: ...
    def composed_kernel(self) -> Tensor: ...
    @classmethod
    def from_conv(
        cls, conv: nn.ConvTranspose3d, *, D_mul: int | Literal["K"] | None = None
    ) -> Self: ...
    def fold(self) -> nn.ConvTranspose3d: ...

class Routing(nn.Linear):
    def __init__(
        self,
        in_channels: int,
        num_experts: int,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = False,
    ) -> None: ...
    def __call__(self, input: Tensor) -> Tensor: ...

class XSepConv2d(nn.Module):
    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        *,
        dilation: int | tuple[int, ...] = 1,
        bias: bool = True,
        corner: int = 0,
        D_mul: int | Literal["K"] | None = None,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...
    def __call__(self, input: Tensor) -> Tensor: ...
    def fold(self) -> XSepConv2d: ...

@overload
def fold(model: DOConv1d, *, inplace: bool = False) -> nn.Conv1d: ...
@overload
def fold(model: DOConv2d, *, inplace: bool = False) -> nn.Conv2d: ...
@overload
def fold(model: DOConv3d, *, inplace: bool = False) -> nn.Conv3d: ...
@overload
def fold(model: DOConvTranspose1d, *, inplace: bool = False) -> nn.ConvTranspose1d: ...
@overload
def fold(model: DOConvTranspose2d, *, inplace: bool = False) -> nn.ConvTranspose2d: ...
@overload
def fold(model: DOConvTranspose3d, *, inplace: bool = False) -> nn.ConvTranspose3d: ...
@overload
def fold(model: _Model, *, inplace: bool = False) -> _Model: ...
