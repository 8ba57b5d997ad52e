"""DO-Conv layers: ``torch.nn``'s convolutions with a depthwise over-parameterization.

Each class is its host class, with the same arguments and the same ``weight``, plus ``D``. What a
layer computes is defined in :mod:`doconv_core.kernel.composition`.
"""

# No `from __future__ import annotations` here: TorchScript reads the annotations as objects.
import copy
import inspect
import math
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from doconv_core import DOConvSpec, messages
from doconv_core.kernel.initialization import start_of
from doconv_core.kernel.spec import validate_composition
from doconv_core.model.signature import HostSignature
from doconv_torch import messages as torch_messages
from doconv_torch.layers.exporting import warn_if_exporting
from doconv_torch.layers.folding import folded_copy, why_not_foldable
from doconv_torch.layers.hosts import HOSTS, host_of, ndim, spec_of, why_plain
from doconv_torch.tensors.composition import (
    TRANSPOSED,
    compose,
    feature_convolution,
    feature_transposed_convolution,
    outside_autocast,
)
from doconv_torch.tensors.initialization import (
    DEFAULT,
    apart_generator,
    arrays_beside,
    fill_missing_arrays,
    new_arrays,
    reset_arrays,
    zeros_for,
)

OUR_ARGUMENTS = ("D_mul", "composition", "D_init", "W_extra_init")


class DOConvNd(_ConvNd):
    """What the six layers share. Precedes the host class in their method resolution order."""

    host: ClassVar[type[_ConvNd]]
    """The class of ``torch.nn`` that this layer converts from and folds to."""

    __constants__ = [*_ConvNd.__constants__, "D_mul", "composition"]  # noqa: RUF012

    __jit_unused_properties__ = ["spec", "base_layer"]  # noqa: RUF012

    D: Tensor | None
    W_extra: Tensor | None
    D_mul: int
    composition: str
    _start = DEFAULT

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "host" in cls.__dict__:
            cls.__signature__ = HostSignature(cls.host, DOConvNd, OUR_ARGUMENTS)  # type: ignore[attr-defined]
            if cls.host.__module__ == nn.Conv2d.__module__:  # no subclass of anybody enters
                HOSTS.setdefault(cls.host, cls)

    def __init__(
        self,
        *args: Any,
        D_mul: int | str | None = None,
        composition: str = "kernel",
        D_init: str = "identity",
        W_extra_init: str = "zeros",
        **kwargs: Any,
    ) -> None:
        given = inspect.signature(self.host).bind(*args, **kwargs)
        given.apply_defaults()
        arguments = given.arguments
        kernel_size = arguments["kernel_size"]
        if not isinstance(kernel_size, Iterable):
            kernel_size = (kernel_size,) * ndim(self.host)
        # Before the host's constructor, so that errors of size read as in every framework.
        spec = DOConvSpec(
            arguments["in_channels"],
            arguments["out_channels"],
            tuple(kernel_size),
            arguments["groups"],
            D_mul,
        )
        composition = validate_composition(composition)
        start = start_of(D_init, W_extra_init)
        dtype = arguments["dtype"] or torch.get_default_dtype()
        if not dtype.is_floating_point:
            raise TypeError(messages.layer.bad_dtype(dtype))
        super().__init__(*args, **kwargs)
        self.over_parameterize_(spec, *new_arrays(spec, self.weight), composition)
        if start != DEFAULT:
            self._start = start
        self._reset_ours()

    def over_parameterize_(
        self,
        spec: DOConvSpec,
        D: nn.Parameter | None,
        W_extra: nn.Parameter | None,
        composition: str = "kernel",
    ) -> None:
        """Take in the arrays that make a plain layer a DO-Conv layer."""
        self.D_mul, self.composition = spec.S, composition
        self.register_parameter("D", D)
        self.register_parameter("W_extra", W_extra)

    def restore_(self) -> None:
        """Become the plain layer again, with whatever ``weight`` holds."""
        del self.D, self.W_extra, self.D_mul, self.composition
        self.__dict__.pop("_start", None)
        self.__class__ = type(self).host  # type: ignore[assignment]

    is_over_parameterized = True

    def why_not_foldable(self) -> str:
        """Why the plain layer cannot be restored; "" where it can."""
        return why_not_foldable(self)

    def reset_parameters(self) -> None:
        """Initialize weight and bias as the host does, and D to zero."""
        super().reset_parameters()
        if "D" in self._parameters:  # the host's constructor calls this before it exists
            self._reset_ours()

    @torch.no_grad()
    def _reset_ours(self) -> None:
        spec = self.spec
        reset_arrays(spec, self.weight, self.D, self.W_extra, start=self._start)
        if self._start.W_extra == "random":  # all columns alike: the host drew K of them
            self.weight.mul_(math.sqrt(spec.K / spec.S))

    @property
    def spec(self) -> DOConvSpec:
        """The layer's sizes, free of any framework."""
        return DOConvSpec(
            self.in_channels,
            self.out_channels,
            tuple(self.kernel_size),
            self.groups,
            self.D_mul,
            self.transposed,
        )

    @property
    def base_layer(self) -> nn.Module:
        """An error for an adapter of peft (0.21), which asks for it of the layer that it wraps."""
        # It would be merged into W as if that were the kernel. Anybody else who looks through a
        # layer's attributes (TorchScript, inspect, peft itself elsewhere) finds nothing.
        if sys._getframe(1).f_code.co_name == "get_base_layer":
            raise ValueError(torch_messages.adapter_on_layer(type(self).__name__))
        raise AttributeError("base_layer")

    def composed_kernel(self) -> Tensor:
        """The kernel that the layer convolves with, in the shape of ``weight``.

        Numerics: composed in the parameters' precision, outside autocast; autocast then rounds
        the kernel once, as it rounds the weight of the folded layer.
        """
        D = self.D
        if D is None:
            return self.weight
        if torch.jit.is_scripting():
            return self._compose(D)
        warn_if_exporting()
        # From the dictionary: under torch.fx, D itself is a proxy that knows no device.
        parameter = self._parameters.get("D", D)
        device = D.device.type if parameter is None else parameter.device.type
        with outside_autocast(device):
            return self._compose(D)

    def _compose(self, D: Tensor) -> Tensor:
        return compose(
            self.weight,
            D,
            self.W_extra,
            (self.in_channels, self.out_channels),
            self.groups,
            self.transposed,
            self.kernel_size,  # type: ignore[arg-type]
            self.D_mul,
        )

    def _whole_W(self) -> Tensor:
        weight = self.weight.flatten(2)
        return weight if self.W_extra is None else torch.cat([weight, self.W_extra], dim=2)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, D_mul={self.D_mul}" + (
            ', composition="feature"' if self.composition == "feature" else ""
        )

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        return super()._apply(zeros_for(self._parameters, fn), recurse)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        # Where I = O, shapes do not tell a transposed layer from an ordinary one; this lets
        # `doconv fold` work on the file alone. torch keeps it beside the entries, not among them.
        metadata = getattr(destination, "_metadata", {})
        metadata.setdefault(prefix[:-1], {})["transposed"] = self.transposed

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # A plain convolution's checkpoint has no D: it means the layer that computes the same.
        fill_missing_arrays(self.spec, state_dict, prefix, self._parameters)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @classmethod
    def from_conv(cls, conv: nn.Module, *, D_mul: int | str | None = None) -> Any:
        """A DO-Conv layer that computes what a plain one does; the plain one stays as it is.

        Args:
            conv: a layer of exactly this class's host, e.g. ``nn.Conv2d`` for ``DOConv2d``.
            D_mul: columns of W; None means one per kernel element.

        Returns:
            A new layer: own copies of the parameters, same arguments, flags and hooks.

        Raises:
            TypeError: ``conv`` is of another class.
            ValueError: its state cannot be kept (quantized, lazy, pruned, ...), or D_mul < K.
        """
        if type(conv) is not cls.host:
            raise TypeError(messages.layer.wrong_type("conv", conv, f"a {cls.host.__name__}"))
        if (reason := why_plain(conv)) not in ("", messages.model.POINTWISE):
            raise ValueError(messages.model.cannot_convert("", type(conv).__name__, reason))
        layer: Any = copy.deepcopy(conv)
        spec = spec_of(layer, D_mul)
        D, W_extra = arrays_beside(spec, layer.weight, apart_generator())
        layer.__class__ = cls
        layer.over_parameterize_(spec, D, W_extra)
        return layer

    def fold(self) -> Any:
        """The plain layer that computes the same: new, of the host class; this one stays.

        Raises:
            ValueError: an array is not finite, or is sharded.
        """
        return folded_copy(self)


class DOConv(DOConvNd):
    """The forward pass of the three convolutions."""

    def forward(self, input: Tensor) -> Tensor:
        if self.composition == "feature":
            return self._feature_forward(input)
        return self._conv_forward(input, self.composed_kernel(), self.bias)

    @torch.jit.unused  # TorchScript compiles composition="kernel" only
    def _feature_forward(self, input: Tensor) -> Tensor:
        if self.D is None:
            return self._conv_forward(input, self.weight, self.bias)
        warn_if_exporting()
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        options = (self.stride, padding, self.dilation)
        W, D = self._whole_W(), self.D
        return feature_convolution(input, W, D, self.bias, self.kernel_size, self.groups, *options)


class DOConvTranspose(DOConvNd, _ConvTransposeNd):
    """The forward pass of the three transposed convolutions."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        stride: Any = self.stride
        padding: Any = self.padding
        dilation: Any = self.dilation
        kernel_size: Any = self.kernel_size
        output_padding = self._output_padding(
            input, output_size, stride, padding, kernel_size, len(kernel_size), dilation
        )
        if self.composition == "feature" and self.D is not None:
            warn_if_exporting()
            return feature_transposed_convolution(
                input,
                self._whole_W(),
                self.D,
                self.bias,
                kernel_size,
                self.groups,
                stride,
                padding,
                output_padding,
                dilation,
            )
        kernel, options = self.composed_kernel(), (stride, padding, output_padding)
        conv = TRANSPOSED[len(kernel_size)]
        return conv(input, kernel, self.bias, *options, self.groups, dilation)


class DOConv1d(DOConv, nn.Conv1d):
    """Depthwise over-parameterized ``nn.Conv1d``; see :class:`DOConv2d`."""

    host = nn.Conv1d


class DOConv2d(DOConv, nn.Conv2d):
    """Depthwise over-parameterized ``nn.Conv2d``.

    Takes every argument of ``nn.Conv2d``, in its order, and four keyword arguments.

    Args:
        D_mul: S, the columns of W: at least the number of kernel elements K, the default.
            Columns beyond K live in ``W_extra``.
        composition: "kernel" composes the kernel, then convolves once. "feature" computes the
            definition, a depthwise and a 1x1 convolution: the same result, slower.
        D_init: "identity" starts as the plain layer. "random" draws the whole D instead, uniformly
            in +-sqrt(3 / S), as in the paper's ablation (which it lost).
        W_extra_init: "zeros", or "random" as the authors' layer starts: all columns of W are drawn
            alike, with the fan-in of D_mul columns.

    Shape:
        - input, output: as ``nn.Conv2d``.
        - ``weight`` (W): (O, I/g, *kernel_size), ``nn.Conv2d``'s own.
        - ``D``: (I, K, S), stored as the offset from the identity, zero at initialization;
          None for a 1x1 kernel, which has nothing to over-parameterize.
        - ``W_extra``: (O, I/g, S - K), or None.

    Raises:
        ValueError: groups do not divide the channels, or D_mul < K.
        TypeError: a dtype that is not floating point.

    Note:
        At birth, and after loading a plain layer's state, the layer computes exactly what the
        plain layer does. Code that reads ``weight`` alone misses D: ``fold`` first.
        ``torch.nn.utils.fuse_conv_bn_eval`` is exact for D_mul=None, as composition is linear
        in W; for a larger D_mul it misses ``W_extra``: ``fold`` first.

    Source: arXiv 2006.12030, section 3; groups: DO-DConv and DO-GConv, section 3.3.

    Example:
        >>> import torch
        >>> from doconv_torch import DOConv2d
        >>> layer = DOConv2d(16, 32, 3, padding=1)
        >>> layer(torch.zeros(1, 16, 8, 8)).shape
        torch.Size([1, 32, 8, 8])
        >>> layer.fold()
        Conv2d(16, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    host = nn.Conv2d


class DOConv3d(DOConv, nn.Conv3d):
    """Depthwise over-parameterized ``nn.Conv3d``; see :class:`DOConv2d`."""

    host = nn.Conv3d


class DOConvTranspose1d(DOConvTranspose, nn.ConvTranspose1d):
    """Depthwise over-parameterized ``nn.ConvTranspose1d``; see :class:`DOConvTranspose2d`."""

    host = nn.ConvTranspose1d


class DOConvTranspose2d(DOConvTranspose, nn.ConvTranspose2d):
    """Depthwise over-parameterized ``nn.ConvTranspose2d``.

    As :class:`DOConv2d`, with ``weight`` (I, O/g, *kernel_size). D belongs to the input channel
    here too: the layer is a depthwise transposed convolution, then a 1x1 convolution.

    Example:
        >>> import torch
        >>> from doconv_torch import DOConvTranspose2d
        >>> layer = DOConvTranspose2d(8, 4, 2, stride=2)
        >>> layer(torch.zeros(1, 8, 5, 5)).shape
        torch.Size([1, 4, 10, 10])
    """

    host = nn.ConvTranspose2d


class DOConvTranspose3d(DOConvTranspose, nn.ConvTranspose3d):
    """Depthwise over-parameterized ``nn.ConvTranspose3d``; see :class:`DOConvTranspose2d`."""

    host = nn.ConvTranspose3d


@cache
def class_for(kind: Any) -> Any:
    """What a convertible class becomes: one of the above, or for a subclass one of its own."""
    host: Any = host_of(kind)
    if kind is host:
        return HOSTS[host]

    def reduce(self: Any, protocol: Any) -> Any:
        state = object.__reduce_ex__(self, protocol)[2:]
        return new_of, (kind,), *state  # pickle does not find a class that is made here

    body = {"host": kind, "__module__": __name__, "__reduce_ex__": reduce}
    return type(f"DO{kind.__name__}", (HOSTS[host], kind), body)


def new_of(kind: Any) -> nn.Module:
    """An empty layer of what a class becomes, for pickle and copy."""
    ours = class_for(kind)
    layer: nn.Module = ours.__new__(ours)
    return layer


LAYERS: tuple[type[DOConvNd], ...] = (
    DOConv1d,
    DOConv2d,
    DOConv3d,
    DOConvTranspose1d,
    DOConvTranspose2d,
    DOConvTranspose3d,
)
"""Every layer class."""
