"""CondConv layers: every example is convolved with its own mixture of expert kernels.

What a layer computes is defined in :mod:`doconv_core.neighbours.condconv`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import repeat
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from doconv_core import CondConvSpec, messages
from doconv_core.costs.condconv import cheaper_evaluation
from doconv_core.model.signature import HostSignature
from doconv_core.neighbours.condconv import validate_evaluation, validate_routing
from doconv_torch import messages as torch_messages
from doconv_torch.layers.exporting import warn_if_exporting
from doconv_torch.layers.folding import folded_copy, why_not_foldable
from doconv_torch.layers.hosts import is_sharded, ndim
from doconv_torch.layers.routing import Routing
from doconv_torch.tensors.composition import CONVOLUTIONS, compose, outside_autocast
from doconv_torch.tensors.initialization import (
    fill_missing_arrays,
    new_arrays,
    reset_arrays,
    zeros_for,
)
from doconv_torch.tensors.mixing import by_kernels, by_outputs

OUR_ARGUMENTS = ("num_experts", "routing", "routing_bias", "evaluation", "D_mul")


class CondConvNd(nn.Module):
    """What the three layers share.

    No subclass of the host: ``weight`` has one axis more, and code that finds an ``nn.Conv2d``
    (initialization by fan-in, fusing of batch norms) would go wrong on it in silence.
    """

    host: ClassVar[type[_ConvNd]]
    """The convolution of ``torch.nn`` that every expert is."""

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: nn.Parameter
    bias: nn.Parameter | None
    D: nn.Parameter | None
    W_extra: nn.Parameter | None
    D_mul: int | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "host" in cls.__dict__:
            cls.__signature__ = HostSignature(cls.host, CondConvNd, OUR_ARGUMENTS)  # type: ignore[attr-defined]

    def __init__(
        self,
        *args: Any,
        num_experts: int = 4,
        routing: bool = True,
        routing_bias: bool = False,
        evaluation: str = "auto",
        D_mul: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        given = inspect.signature(self.host).bind(*args, **kwargs)
        given.apply_defaults()
        arguments = given.arguments
        kernel_size = arguments["kernel_size"]
        if not isinstance(kernel_size, Iterable):
            kernel_size = (kernel_size,) * ndim(self.host)
        # Before the host's constructor, so that errors of size read as in every framework.
        channels = (arguments["in_channels"], arguments["out_channels"])
        sizes = (*channels, tuple(kernel_size), arguments["groups"])
        spec = CondConvSpec(*sizes, num_experts, D_mul)
        evaluation = validate_evaluation(evaluation)
        validate_routing(routing, routing_bias)
        place = {"device": arguments["device"], "dtype": arguments["dtype"]}
        dtype = place["dtype"] or torch.get_default_dtype()
        if not dtype.is_floating_point:
            raise TypeError(messages.layer.bad_dtype(dtype))
        super().__init__()
        # The host settles its arguments; on the meta device it takes no memory or random numbers.
        expert = self.host(**{**arguments, "device": "meta"})
        for name in _ConvNd.__constants__:
            setattr(self, name, getattr(expert, name))
        self._padding_before_and_after = expert._reversed_padding_repeated_twice
        self.num_experts, self.evaluation = num_experts, evaluation
        self.weight = nn.Parameter(torch.empty(num_experts, *expert.weight.shape, **place))
        bias = None
        if expert.bias is not None:
            bias = nn.Parameter(torch.empty(spec.bias_shape, **place))
        self.register_parameter("bias", bias)
        self.over_parameterize_(spec, *new_arrays(spec, self.weight))
        self._reset_experts()
        self.routing = None
        if routing:
            self.routing = Routing(spec.in_channels, num_experts, bias=routing_bias, **place)

    def over_parameterize_(
        self, spec: CondConvSpec, D: nn.Parameter | None, W_extra: nn.Parameter | None
    ) -> None:
        """Take in the arrays that over-parameterize the experts, or None and None."""
        self.D_mul = spec.S if spec.has_D else None
        self.register_parameter("D", D)
        self.register_parameter("W_extra", W_extra)

    def restore_(self) -> None:
        """Become plain CondConv again, with whatever ``weight`` holds."""
        self.over_parameterize_(self.spec.plain, None, None)

    @property
    def is_over_parameterized(self) -> bool:
        """Whether the experts have D's."""
        return self.spec.has_D

    def why_not_foldable(self) -> str:
        """Why plain CondConv cannot be restored; "" where it can."""
        return why_not_foldable(self)

    def why_plain(self) -> str:
        """Why the experts cannot be over-parameterized; "" where they can."""
        if parametrize.is_parametrized(self):
            return torch_messages.PARAMETRIZED
        if not isinstance(self._parameters.get("weight"), nn.Parameter):
            return messages.model.RECOMPUTED_WEIGHT
        if "host" not in vars(type(self)):
            return messages.model.OWN_FORWARD
        if "forward" in self.__dict__:
            return messages.model.INSTANCE_FORWARD
        if is_sharded(self.weight):
            return torch_messages.SHARDED
        return messages.model.POINTWISE if self.spec.K == 1 else ""

    def reset_parameters(self) -> None:
        """Initialize the experts one by one as the host does, D to zero, and the own routing."""
        self._reset_experts()
        if isinstance(self.routing, Routing):
            self.routing.reset_parameters()

    @torch.no_grad()
    def _reset_experts(self) -> None:
        for e, weight in enumerate(self.weight):
            bias = None if self.bias is None else self.bias[e]
            # The host's own rule, on what it reads: fans of one expert, not of the stack.
            self.host.reset_parameters(SimpleNamespace(weight=weight, bias=bias))  # type: ignore[arg-type]
        reset_arrays(self.spec, self.weight, self.D, self.W_extra)

    @property
    def spec(self) -> CondConvSpec:
        """The layer's sizes, free of any framework."""
        channels = (self.in_channels, self.out_channels)
        return CondConvSpec(
            *channels, tuple(self.kernel_size), self.groups, self.num_experts, self.D_mul
        )

    def composed_kernel(self) -> Tensor:
        """The experts' kernels, in the shape of ``weight``.

        Numerics: composed in the parameters' precision, outside autocast.
        """
        if self.D is None:
            return self.weight
        warn_if_exporting()
        E, D, W_extra = self.num_experts, self.D, self.W_extra
        I, O = self.in_channels, self.out_channels
        sizes = (False, list(self.kernel_size), D.shape[-1])  # not transposed
        with outside_autocast(D.device.type):
            if self.groups == 1 and W_extra is None:  # which compose has a fast path for
                experts = zip(self.weight.unbind(), D.unbind(), strict=True)
                return torch.stack([compose(w, d, None, (I, O), 1, *sizes) for w, d in experts])
            extra = None if W_extra is None else W_extra.flatten(0, 1)
            stacked = (self.weight.flatten(0, 1), D.flatten(0, 1), extra)
            kernels = compose(*stacked, (E * I, E * O), E * self.groups, *sizes)
            return kernels.unflatten(0, (E, -1))

    def forward(self, input: Tensor, alpha: Tensor | None = None) -> Tensor:
        batched = input.ndim > len(self.kernel_size) + 1
        x = input if batched else input.unsqueeze(0)
        if self.routing is None:
            if alpha is None:
                raise ValueError(messages.neighbours.alpha_needed())
            alpha = alpha if batched else alpha.reshape(1, -1)
        elif alpha is not None:
            raise ValueError(messages.neighbours.alpha_not_taken())
        else:
            alpha = self.routing(x)
        shape, expected = tuple(alpha.shape), (x.shape[0], self.num_experts)
        if not torch.jit.is_tracing() and shape != expected:  # which takes sizes for tensors
            raise ValueError(messages.layer.bad_shape("alpha", shape, expected))
        padding = self.padding
        if self.padding_mode != "zeros":
            x = F.pad(x, self._padding_before_and_after, mode=self.padding_mode)
            padding = (0,) * len(self.kernel_size)
        conv = partial(
            CONVOLUTIONS[len(self.kernel_size)],
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
        )
        evaluate = by_kernels if self._evaluation(x, padding) == "kernels" else by_outputs
        y = evaluate(conv, x, self.composed_kernel(), self.bias, alpha, self.groups)
        return y if batched else y.squeeze(0)

    def _evaluation(self, x: Tensor, padding: str | tuple[int, ...]) -> str:
        batch, _, *size = x.shape
        if self.evaluation == "auto":
            # In a graph for any batch size the number of groups, which is fixed, cannot follow it.
            if torch.jit.is_tracing() or isinstance(batch, torch.SymInt):
                return "outputs"
            cheaper = cheaper_evaluation(self.spec, self._output_size(size, padding))
        else:
            cheaper = self.evaluation
        return "outputs" if batch == 0 else cheaper  # a convolution has at least one group

    def _output_size(self, size: Sequence[int], padding: str | tuple[int, ...]) -> list[int]:
        if padding == "same":
            return list(size)
        before: Iterable[Any] = repeat(0) if isinstance(padding, str) else padding
        return [
            max(1, (n + 2 * p - d * (k - 1) - 1) // s + 1)
            for n, k, s, d, p in zip(
                size, self.kernel_size, self.stride, self.dilation, before, strict=False
            )
        ]

    def extra_repr(self) -> str:
        text = self.host.extra_repr(self)  # type: ignore[arg-type]
        text += f", num_experts={self.num_experts}"
        text += "" if self.D_mul is None else f", D_mul={self.D_mul}"
        text += "" if self.evaluation == "auto" else f', evaluation="{self.evaluation}"'
        return text + ("" if self.routing is not None else ", routing=False")

    def _apply(self, fn: Any, recurse: bool = True) -> Any:

        def without_experts(tensor: Tensor) -> Any:
            """Beside the other channels, for no memory format knows their axis."""
            if tensor.ndim < 4:
                return fn(tensor)
            return fn(tensor.flatten(0, 1)).unflatten(0, tensor.shape[:2])

        return super()._apply(zeros_for(self._parameters, without_experts), recurse)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        given = state_dict.get(prefix + "weight")
        if isinstance(given, Tensor) and given.shape == self.weight.flatten(1).shape:
            state_dict[prefix + "weight"] = given.view_as(self.weight)  # as timm stores its experts
        # A plain CondConv's checkpoint has no D: it means the layer that computes the same.
        fill_missing_arrays(self.spec, state_dict, prefix, self._parameters)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def fold(self) -> Any:
        """Plain CondConv that computes the same: new, of this class; this layer stays.

        Raises:
            ValueError: an array is not finite, or is sharded.
        """
        return folded_copy(self)


class CondConv1d(CondConvNd):
    """Conditionally parameterized ``nn.Conv1d``; see :class:`CondConv2d`."""

    host = nn.Conv1d


class CondConv2d(CondConvNd):
    """Conditionally parameterized ``nn.Conv2d``, plain or over-parameterized.

    For example n, the kernel is sum over e of alpha[n, e] times expert e's, and so is the bias.
    Takes every argument of ``nn.Conv2d``, in its order, and five keyword arguments.

    Args:
        num_experts: E; the paper uses 4 and 8.
        routing: True: the layer owns a :class:`Routing` of its input. False: it is called with
            ``layer(x, alpha)``; alpha (N, E) has been through the sigmoid.
        routing_bias: True adds a bias (E,) within the sigmoid of the layer's own routing, as the
            authors' program and timm do; the paper's formula has none.
        evaluation: "kernels" mixes the kernels, then convolves once, with the batch folded into
            the groups. "outputs" convolves with every expert, then mixes. Equal to rounding.
            "auto" takes the one that costs less at the input's size; in a graph for any batch
            size (export with a dynamic batch, tracing) "outputs", as the number of groups there is
            a constant. Exported for one image it costs what the paper says.
        D_mul: None is plain CondConv. "K", or an integer from K on, gives every expert a D of its
            own with as many columns; so each expert's kernel is a DO-Conv kernel, preconditioned
            by its own gradient. With one expert and alpha = 1 the layer is a DO-Conv layer.

    Shape:
        - input, output: as ``nn.Conv2d``. alpha: (N, E); (E,) for an input without a batch.
        - ``weight`` (W): (E, O, I/g, *kernel_size). ``bias``: (E, O) or None.
        - ``D``: (E, I, K, S), as offset from the identity, or None.
        - ``W_extra``: (E, O, I/g, S - K), or None.
        - ``routing.weight``: (E, I). ``routing.bias``: (E,) or None.

    A state whose ``weight`` is (E, O * I/g * K), as timm's ``CondConv2d`` stores it, loads too.

    Raises:
        ValueError: groups do not divide the channels, D_mul < K, or an unknown evaluation. From
            the call: alpha is missing, of another shape, or given to a layer that routes itself.
        TypeError: a dtype that is not floating point.

    Note:
        ``weight`` has an axis of experts in front: initialize expert by expert
        (``for expert in layer.weight: kaiming_normal_(expert)``). As the evaluation depends on
        sizes, ``torch.fx.symbolic_trace`` needs the class as a leaf module, and TorchScript traces
        but cannot compile it.

    Source: arXiv 1904.04971, section 3; no batch norm or activation is part of it.

    Example:
        >>> import torch
        >>> from doconv_torch import CondConv2d
        >>> layer = CondConv2d(16, 32, 3, num_experts=8, D_mul="K")
        >>> layer(torch.zeros(2, 16, 8, 8)).shape
        torch.Size([2, 32, 6, 6])
        >>> layer.fold()
        CondConv2d(
          16, 32, kernel_size=(3, 3), stride=(1, 1), num_experts=8
          (routing): Routing(in_features=16, out_features=8, bias=False)
        )
    """

    host = nn.Conv2d


class CondConv3d(CondConvNd):
    """Conditionally parameterized ``nn.Conv3d``; see :class:`CondConv2d`."""

    host = nn.Conv3d


CONDCONV_LAYERS: tuple[type[CondConvNd], ...] = (CondConv1d, CondConv2d, CondConv3d)
"""Every layer class."""
