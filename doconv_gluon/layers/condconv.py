"""CondConv for Gluon: a mixture of experts for every example, plain or over-parameterized.

What a layer computes is defined in :mod:`doconv_core.neighbours.condconv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from doconv_core import CondConvSpec, messages
from doconv_core.costs.condconv import cheaper_evaluation
from doconv_core.model.signature import HostSignature
from doconv_core.neighbours.condconv import validate_evaluation, validate_routing
from doconv_gluon.layers.arrays import experts_spec_of, form_of, own_symbols
from doconv_gluon.layers.folding import folded_copy
from doconv_gluon.layers.hosts import given_sizes
from doconv_gluon.layers.routing import Routing
from doconv_gluon.layers.sharing import note
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.composition import compose, with_shape_of
from doconv_gluon.tensors.forms import Form
from doconv_gluon.tensors.initialization import EachExpert, declarations
from doconv_gluon.tensors.kinds import as_classic, as_host
from doconv_gluon.tensors.mixing import Mixture, by_columns, by_kernels, by_outputs

OUR_ARGUMENTS = ("num_experts", "routing", "routing_bias", "evaluation", "D_mul")
Array = Any  # an NDArray or a Symbol


class CondConvNd(mx.gluon.HybridBlock):
    """What the three layers share.

    No subclass of the host: ``weight`` has one axis more, and code that finds an ``nn.Conv2D``
    would go wrong on it in silence.
    """

    host: ClassVar[Any]
    """The convolution of ``mxnet.gluon.nn`` that every expert is."""

    weight: Any
    bias: Any
    routing: Any
    D: Any
    W_extra: Any
    D_mul: int | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "host" in vars(cls):
            cls.__signature__ = HostSignature(cls.host, CondConvNd, OUR_ARGUMENTS)

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
        in_channels, channels, kernel_size, groups = given_sizes(self.host, args, kwargs)
        # Zero stands for input channels not known yet; any multiple of groups then stands for them.
        sizes = (in_channels or groups, channels, kernel_size, groups)
        spec = CondConvSpec(*sizes, num_experts, D_mul)
        evaluation = validate_evaluation(evaluation)
        validate_routing(routing, routing_bias)
        of_block = {name: kwargs.pop(name, None) for name in ("prefix", "params")}
        super().__init__(**of_block)
        expert = self.host(*args, **kwargs, prefix=self.prefix)  # the host settles its arguments
        self._op_name, self._kwargs = expert._op_name, expert._kwargs
        self.num_experts, self.evaluation = spec.num_experts, evaluation
        self.weight = self._of_each_expert("weight", expert.weight)
        self.bias = None if expert.bias is None else self._of_each_expert("bias", expert.bias)
        form, new = form_of(self, spec.S), {}
        if spec.has_D:
            declared = declarations(form, self.weight, self.num_experts)
            new = {name: self.params.get(name, **given) for name, given in declared.items()}
        self.over_parameterize_(spec.S if spec.has_D else None, new)
        self.routing, self.act = None, expert.act
        if routing:
            axis = -1 if form.channels_last else 1
            with self.name_scope():
                self.routing = Routing(
                    num_experts, in_channels, use_bias=routing_bias, axis=axis, prefix="routing_"
                )

    def _of_each_expert(self, name: str, parameter: Any) -> Any:
        return self.params.get(
            name,
            shape=(self.num_experts, *parameter.shape),
            init=EachExpert(parameter.init),
            allow_deferred_init=True,
        )

    def over_parameterize_(self, D_mul: int | None, parameters: dict[str, Any]) -> None:
        """Take in the parameters that over-parameterize the experts; none for plain CondConv."""
        self.D_mul = D_mul
        self.D, self.W_extra = parameters.get("D"), parameters.get("W_extra")
        self.params.update({parameter.name: parameter for parameter in parameters.values()})
        note(self)

    def restore_(self) -> None:
        """Become plain CondConv again, with whatever ``weight`` holds."""
        for name in ("D", "W_extra"):
            parameter = self.__dict__.pop(name)
            if parameter is not None:
                del self._reg_params[name], self.params._params[parameter.name]
        self.over_parameterize_(None, {})

    @property
    def is_over_parameterized(self) -> bool:
        """Whether the experts have D's."""
        return self.D is not None

    def why_plain(self) -> str:
        """Why the experts cannot be over-parameterized; "" where they can."""
        if "host" not in vars(type(self)):
            return messages.model.OWN_FORWARD
        if {"forward", "hybrid_forward"} & vars(self).keys():
            return messages.model.INSTANCE_FORWARD
        if not self._reg_params.keys() <= {"weight", "bias"}:
            return messages.model.OTHER_ARRAYS
        if np.dtype(self.weight.dtype).kind != "f":
            return messages.model.NOT_FLOATING
        return messages.model.POINTWISE if self.form.K == 1 else ""

    @property
    def form(self) -> Form:
        """The sizes of one expert that are known before the first input."""
        return form_of(self, self.D_mul or 0)

    @property
    def spec(self) -> CondConvSpec:
        """The layer's sizes, free of any framework.

        Raises:
            ValueError: the number of input channels is not known before the first input.
        """
        return experts_spec_of(self, self.D_mul)

    def composed_kernel(self, ctx: Any = None) -> Any:
        """The experts' kernels, an NDArray in the shape of ``weight``.

        Args:
            ctx: of a model on several devices, the one to compose on.

        Numerics: composed in the parameters' precision, float16 ones in float32; rounded once.
        """
        if self.D is None:
            return self.weight.data(ctx)
        parameters = (self.weight, self.D, self.W_extra)
        arrays = [None if p is None else as_classic(p.data(ctx)) for p in parameters]
        kernels = self._kernels(mx.nd, *arrays)
        return as_host(kernels.reshape(self.weight.shape))

    def hybrid_forward(
        self,
        F: Any,
        x: Any,
        alpha: Any = None,
        *,
        weight: Any,
        bias: Any = None,
        D: Any = None,
        W_extra: Any = None,
    ) -> Any:
        """The mixture's convolution; ``alpha`` for a layer without a routing of its own."""
        if self.routing is None and alpha is None:
            raise ValueError(messages.neighbours.alpha_needed())
        if self.routing is not None:
            if alpha is not None:
                raise ValueError(messages.neighbours.alpha_not_taken())
            alpha = self.routing(x)
        if F is mx.sym and D is not None:
            weight, bias, D, W_extra = own_symbols(self)
        x, alpha, weight, bias, D, W_extra = map(as_classic, (x, alpha, weight, bias, D, W_extra))
        if F is mx.nd and alpha.shape != (expected := (x.shape[0], self.num_experts)):
            raise ValueError(messages.layer.bad_shape("alpha", alpha.shape, expected))
        form, ndim = self.form, len(self._kwargs["kernel"])
        if form.channels_last:
            x = F.transpose(x, axes=(0, ndim + 1, *range(1, ndim + 1)))
        kernels = self._kernels(F, self._with_channels_of(F, weight, x), D, W_extra)
        if form.channels_last:
            kernels = F.transpose(kernels, axes=(0, ndim + 1, *range(1, ndim + 1)))
        geometry = {name: self._kwargs[name] for name in ("kernel", "stride", "dilate", "pad")}
        mixture = Mixture(self.num_experts, form, geometry, self.weight.dtype)
        y = self._evaluation(F, x)(F, mixture, x, kernels, alpha)
        if bias is not None:
            mixed = F.reshape(F.dot(alpha, bias), shape=(0, 0, *(1,) * ndim))
            y = F.broadcast_add(y, mixed)
        if form.channels_last:
            y = F.transpose(y, axes=(0, *range(2, ndim + 2), 1))
        return as_host(y) if self.act is None else self.act(as_host(y))

    def _kernels(self, F: Any, weight: Array, D: Array, W_extra: Array) -> Array:
        """Of all experts, (E O, I/g, *k), or (E O, *k, I/g) for the channels last."""
        form, E = self.form, self.num_experts
        # All experts are one kernel of E times the channels and groups.
        form = replace(form, channels=E * form.channels, groups=E * form.groups)

        def side_by_side(array: Array, *columns: int) -> Array:
            second = (*columns, -1) if form.channels_last else (-1, *columns)
            return F.reshape(array, shape=(form.channels, *second))

        weight = side_by_side(weight, *form.kernel_size)
        if D is None:
            return weight
        W_extra = None if W_extra is None else side_by_side(W_extra, form.extra_columns)
        D = F.reshape(D, shape=(-1, form.K, form.D_mul))
        infer = not mx.gluon.utils.shape_is_known(self.weight.shape)
        return compose(F, form, weight, D, W_extra, infer=infer, dtype=self.weight.dtype)

    def _with_channels_of(self, F: Any, weight: Array, x: Array) -> Array:
        """``weight``; MXNet now knows its input channels from those of x (N, I, *in)."""
        shape = self.weight.shape
        if mx.gluon.utils.shape_is_known(shape):
            return weight
        form, ndim = self.form, len(self._kwargs["kernel"])
        axis = len(shape) - 1 if form.channels_last else 2
        one = F.slice(x, begin=(0,) * (ndim + 2), end=(1, None, *(1,) * ndim))
        one = F.slice_axis(F.reshape(one, shape=(form.groups, -1)), axis=0, begin=0, end=1)
        one = F.reshape(one, shape=[-1 if i == axis else 1 for i in range(len(shape))])
        others = [i for i in range(len(shape)) if i != axis]
        like = F.broadcast_axis(one, axis=others, size=[shape[i] for i in others])
        return with_shape_of(F, weight, like)

    def _evaluation(self, F: Any, x: Array) -> Any:
        of_kernels = by_kernels if F is mx.nd else by_columns
        if self.evaluation != "auto":
            return of_kernels if self.evaluation == "kernels" else by_outputs
        if F is not mx.nd:
            return by_columns
        cheaper = cheaper_evaluation(self.spec, self._output_size(x.shape[2:]))
        return of_kernels if cheaper == "kernels" else by_outputs

    def _output_size(self, size: Sequence[int]) -> list[int]:
        geometry = (self._kwargs[name] for name in ("kernel", "stride", "dilate", "pad"))
        return [
            max(1, (n + 2 * p - d * (k - 1) - 1) // s + 1)
            for n, k, s, d, p in zip(size, *geometry, strict=True)
        ]

    def __repr__(self) -> str:
        # In the host's words, for what it reads of one expert.
        weight = SimpleNamespace(shape=self.weight.shape[1:])
        read = {"weight": weight, "bias": self.bias, "act": self.act, "_kwargs": self._kwargs}
        shown = self.host.__repr__(type(type(self).__name__, (), read)())[:-1]
        shown += f", num_experts={self.num_experts}"
        shown += "" if self.D_mul is None else f", D_mul={self.D_mul}"
        shown += "" if self.evaluation == "auto" else f", evaluation={self.evaluation!r}"
        return shown + ("" if self.routing is not None else ", routing=False") + ")"

    def fold(self) -> Any:
        """Plain CondConv that computes the same: new, of this class; this layer stays.

        Raises:
            ValueError: an array is not finite, or has no values yet.
        """
        return folded_copy(self)


nn: Any = mx.gluon.nn


class CondConv1D(CondConvNd):
    """Conditionally parameterized ``nn.Conv1D``; see :class:`CondConv2D`."""

    host = nn.Conv1D


class CondConv2D(CondConvNd):
    """Conditionally parameterized ``nn.Conv2D``, plain or over-parameterized.

    For example n, the kernel is sum over e of alpha[n, e] times expert e's, and so is the bias.
    Takes every argument of ``nn.Conv2D``, in its order, and five keyword arguments; the
    initializers draw expert by expert.

    Args:
        num_experts: E; the paper uses 4 and 8.
        routing: True: the layer owns a :class:`Routing` of its input. False: it is called with
            ``layer(x, alpha)``; alpha (N, E) has been through the sigmoid.
        routing_bias: True adds a bias (E,) within the sigmoid of the layer's own routing, as the
            authors' program and timm do; the paper's formula has none.
        evaluation: "kernels" mixes the kernels, then convolves each example with its own.
            "outputs" convolves with every expert, then mixes. Equal to rounding. "auto" takes
            the one that costs less at the input's size, and "kernels" in a graph.
        D_mul: None is plain CondConv. "K", or an integer from K on, gives every expert a D of its
            own with as many columns; so each expert's kernel is a DO-Conv kernel, preconditioned
            by its own gradient. With one expert and alpha = 1 the layer is a DO-Conv layer.

    Shape:
        - input, output: as ``nn.Conv2D``. alpha: (N, E).
        - ``weight`` (W): (E, O, I/g, kh, kw), or the expert's layout behind E. ``bias``: (E, O)
          or None.
        - ``D``: (E, I, K, S), as offset from the identity, or None.
        - ``W_extra``: (E, O, I/g, S - K), or None.
        - ``routing.weight``: (E, I). ``routing.bias``: (E,) or None.

    Note:
        Called with arrays, "kernels" is one convolution with the batch folded into the groups. A
        graph (hybridized, or exported) serves any batch size, and the number of groups is a
        constant of it; there, each example's kernel is multiplied with the columns of its input.
        On one core, for nine layers (3x3, 5x5, 1x1, depthwise) of 16 images, that is 1.5 times as
        slow in training and 1.7 to 1.8 in prediction, and as fast for one image. "outputs" in a
        graph takes 0.8 to 1.0 of the columns' time for 4 experts, 1.3 to 1.4 for 8. A graph traced
        before ``in_channels`` were known writes an array of ``weight``'s size, once a call:
        ``hybridize()`` again after the first batch to save that.

    Raises:
        ValueError: a size is not allowed, or an unknown evaluation. From the call: alpha is
            missing, of another shape, or given to a layer that routes itself.
        TypeError: a size is not an integer.

    Source: arXiv 1904.04971, section 3; no batch norm is part of it.

    Example:
        >>> layer = CondConv2D(32, 3, num_experts=8, D_mul="K")
        >>> layer.initialize()
        >>> layer(mx.nd.ones((2, 16, 8, 8))).shape
        (2, 32, 6, 6)
        >>> layer.fold()
        CondConv2D(16 -> 32, kernel_size=(3, 3), stride=(1, 1), num_experts=8)
    """

    host = nn.Conv2D


class CondConv3D(CondConvNd):
    """Conditionally parameterized ``nn.Conv3D``; see :class:`CondConv2D`."""

    host = nn.Conv3D


CONDCONV_LAYERS: tuple[type[CondConvNd], ...] = (CondConv1D, CondConv2D, CondConv3D)
"""Every layer class."""
