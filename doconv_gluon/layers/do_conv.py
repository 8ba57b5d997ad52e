"""DO-Conv layers: ``mxnet.gluon.nn``'s convolutions with a depthwise over-parameterization.

Each class is its host class, with the same arguments and the same ``weight``, plus ``D``. What a
layer computes is defined in :mod:`doconv_core.kernel.composition`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from doconv_core import DOConvSpec, messages
from doconv_core.kernel.initialization import start_of
from doconv_core.kernel.spec import validate_composition
from doconv_core.model.signature import HostSignature
from doconv_gluon import messages as gluon_messages
from doconv_gluon.layers.arrays import (
    converted_spec,
    form_of,
    own_symbols,
    spec_of,
    to_plain_layout,
)
from doconv_gluon.layers.copying import clear_cached_graphs, copied
from doconv_gluon.layers.folding import folded_copy
from doconv_gluon.layers.hosts import HOSTS, given_sizes, host_of, why_plain
from doconv_gluon.layers.sharing import note
from doconv_gluon.mxnet import mx
from doconv_gluon.tensors.composition import compose, depthwise_weight, pointwise_weight
from doconv_gluon.tensors.deconvolution import deconvolution
from doconv_gluon.tensors.forms import Form
from doconv_gluon.tensors.initialization import Scaled, declarations, new_parameters, share
from doconv_gluon.tensors.kinds import as_classic, as_host

nn: Any = mx.gluon.nn
OUR_ARGUMENTS = ("D_mul", "composition", "D_init", "W_extra_init")


class DOConvNd(mx.gluon.HybridBlock):
    """What the six layers share. Precedes the host class in their method resolution order."""

    host: ClassVar[type]
    """The class of ``mxnet.gluon.nn`` that this layer converts from and folds to."""

    D_mul: int
    composition: str
    is_over_parameterized = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "host" in vars(cls):
            cls.__signature__ = HostSignature(cls.host, DOConvNd, OUR_ARGUMENTS)
            if cls.host.__module__ == nn.Conv2D.__module__:  # no subclass of anybody enters
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
        columns = _checked_columns(self.host, D_mul, composition, args, kwargs)
        start = start_of(D_init, W_extra_init)
        super().__init__(*args, **kwargs)
        form = form_of(self, columns)
        declared = declarations(form, self.weight, start=start)
        if start.W_extra == "random" and "W_extra" in declared:
            self.weight.init = Scaled(share(form), self.weight.init)
        new = {name: self.params.get(name, **arguments) for name, arguments in declared.items()}
        self.over_parameterize_(columns, composition, new)

    def over_parameterize_(self, D_mul: int, composition: str, parameters: dict[str, Any]) -> None:
        """Give a plain layer its D and W_extra."""
        self.D_mul, self.composition = D_mul, composition
        self.D, self.W_extra = parameters.get("D"), parameters.get("W_extra")
        self.params.update({parameter.name: parameter for parameter in parameters.values()})
        note(self)

    def restore_(self) -> None:
        """Take them away again; what is left is an instance of the host class."""
        for name in ("D", "W_extra"):
            parameter = self.__dict__.pop(name)
            if parameter is not None:
                del self._reg_params[name], self.params._params[parameter.name]
        del self.D_mul, self.composition
        if isinstance(self.weight.init, Scaled):
            self.weight.init = self.weight.init.init
        self.__class__ = self.host

    @property
    def form(self) -> Form:
        """The sizes that are known before the first input."""
        return form_of(self, self.D_mul)

    @property
    def spec(self) -> DOConvSpec:
        """The layer's sizes, free of any framework.

        Raises:
            ValueError: the number of input channels is not known before the first input.
        """
        return spec_of(self, self.D_mul)

    def composed_kernel(self, ctx: Any = None) -> Any:
        """The kernel that the layer convolves with, an NDArray in the shape of ``weight``.

        Args:
            ctx: of a model on several devices, the one to compose on.

        Numerics: composed in the parameters' precision, float16 ones in float32; rounded once.
        """
        if self.D is None:
            return self.weight.data(ctx)
        parameters = (self.weight, self.D, self.W_extra)
        arrays = [None if p is None else as_classic(p.data(ctx)) for p in parameters]
        return as_host(self._compose(mx.nd, *arrays))

    def hybrid_forward(
        self, F: Any, x: Any, weight: Any, bias: Any = None, D: Any = None, W_extra: Any = None
    ) -> Any:
        """The host's forward with the composed kernel for its weight."""
        if D is None:
            return super().hybrid_forward(F, x, weight, bias)
        if F is mx.sym:
            weight, bias, D, W_extra = own_symbols(self)
        x, weight, bias, D, W_extra = map(as_classic, (x, weight, bias, D, W_extra))
        if self.composition == "feature":
            y = self._feature_forward(F, x, weight, bias, D, W_extra)
        else:
            kernel = self._compose(F, weight, D, W_extra)
            y = self._convolve(F, [x, kernel, bias], self._kwargs)
        y = as_host(y)
        return y if self.act is None else self.act(y)

    def _convolve(self, F: Any, inputs: list[Any], arguments: dict[str, Any]) -> Any:
        inputs = [array for array in inputs if array is not None]
        if self.form.transposed:
            return deconvolution(F, inputs, arguments)
        return F.Convolution(*inputs, **arguments, name="fwd")

    def _compose(self, F: Any, weight: Any, D: Any, W_extra: Any) -> Any:
        infer = not mx.gluon.utils.shape_is_known(self.weight.shape)
        return compose(F, self.form, weight, D, W_extra, infer=infer, dtype=self.weight.dtype)

    def _feature_forward(self, F: Any, x: Any, weight: Any, bias: Any, D: Any, W_extra: Any) -> Any:
        form, I = self.form, self.spec.in_channels
        depthwise = {**self._kwargs, "num_filter": I * self.D_mul, "num_group": I, "no_bias": True}
        filters = depthwise_weight(F, form, D, dtype=self.weight.dtype)
        features = self._convolve(F, [x, filters], depthwise)
        pointwise = {
            "kernel": (1,) * len(form.kernel_size),
            **{name: self._kwargs[name] for name in ("num_filter", "num_group", "no_bias")},
            "layout": self._kwargs["layout"],
        }
        inputs = [features, pointwise_weight(F, form, weight, W_extra), bias]
        return F.Convolution(*[array for array in inputs if array is not None], **pointwise)

    def __repr__(self) -> str:
        shown = f", D_mul={self.D_mul}"
        if self.composition != "kernel":
            shown += f", composition={self.composition!r}"
        return super().__repr__()[:-1] + shown + ")"

    @classmethod
    def from_conv(cls, conv: Any, *, D_mul: int | None = None) -> Any:
        """A DO-Conv layer that computes what a plain one does; the plain one stays as it is.

        Args:
            conv: a layer of exactly this class's host, e.g. ``nn.Conv2D`` for ``DOConv2D``.
            D_mul: columns of W; None means one per kernel element.

        Returns:
            A new layer: own copies of the parameters, same names, arguments and hooks.

        Raises:
            TypeError: ``conv`` is of another class.
            ValueError: its state cannot be kept, or D_mul < K.
        """
        if type(conv) is not cls.host:
            raise TypeError(messages.layer.wrong_type("conv", conv, f"a {cls.host.__name__}"))
        if (reason := why_plain(conv)) not in ("", messages.model.POINTWISE):
            raise ValueError(messages.model.cannot_convert("", type(conv).__name__, reason))
        columns = converted_spec(conv, D_mul).S
        layer = copied(conv)
        new = new_parameters(form_of(layer, columns), layer.weight, layer.params.prefix)
        to_plain_layout(layer.weight)
        layer.__class__ = cls
        layer.over_parameterize_(columns, "kernel", new)
        clear_cached_graphs(layer)
        return layer

    def fold(self) -> Any:
        """The plain layer that computes the same: new, of the host class; this one stays.

        Raises:
            ValueError: an array is not finite, or has no values yet.
        """
        return folded_copy(self)


def _checked_columns(
    host: type, D_mul: Any, composition: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> int:
    """S, after a look at the arguments of a layer; errors of size read as in every framework."""
    in_channels, channels, kernel_size, groups = given_sizes(host, args, kwargs)
    # Zero stands for input channels not known yet; any multiple of groups then stands for them.
    spec = DOConvSpec(in_channels or groups, channels, kernel_size, groups, D_mul)
    if validate_composition(composition) == "feature" and spec.has_D and not in_channels:
        raise ValueError(gluon_messages.feature_needs_in_channels())
    return spec.S


class DOConv1D(DOConvNd, nn.Conv1D):
    """Depthwise over-parameterized ``nn.Conv1D``; shapes as ``nn.Conv1D``.

    Takes ``nn.Conv1D``'s arguments, then, by keyword, ``D_mul`` and ``composition``; see
    :class:`DOConv2D`.

    Example:
        >>> DOConv1D(8, 3, in_channels=4)
        DOConv1D(4 -> 8, kernel_size=(3,), stride=(1,), D_mul=3)
    """

    host = nn.Conv1D


class DOConv2D(DOConvNd, nn.Conv2D):
    """Depthwise over-parameterized ``nn.Conv2D``: more parameters in training, the same kernel.

    Takes ``nn.Conv2D``'s arguments, in its order, and input and output have its shapes.
    ``weight`` (O, I/g, kh, kw) holds the first K = kh * kw columns of W; ``D`` (I, K, S) is the
    offset from the identity, zeros at first; ``W_extra`` (O, I/g, S - K) exists for S > K only.
    A layer with K = 1 has neither.

    Args:
        *args: ``nn.Conv2D``'s.
        D_mul: S, columns of W, at least K; None means K.
        composition: "kernel" (fast) or "feature" (the definition: a depthwise convolution with
            D, then a 1x1 convolution with W; it needs ``in_channels``).
        D_init: "identity" starts as the plain layer. "random" draws the whole D instead, uniformly
            in +-sqrt(3 / S), as in the paper's ablation (which it lost).
        W_extra_init: "zeros", or "random" as the authors' layer starts: all columns of W are drawn
            alike, by the weight's initializer, sqrt(K / S) times as large.
        **kwargs: ``nn.Conv2D``'s.

    Raises:
        ValueError: a size is not allowed.
        TypeError: a size is not an integer.

    Source: arXiv 2006.12030, sections 3.1 to 3.3.

    Example:
        >>> layer = DOConv2D(8, 3, padding=1)
        >>> layer.initialize()
        >>> layer(mx.nd.ones((1, 4, 5, 5))).shape, layer.D.shape
        ((1, 8, 5, 5), (4, 9, 9))
    """

    host = nn.Conv2D


class DOConv3D(DOConvNd, nn.Conv3D):
    """Depthwise over-parameterized ``nn.Conv3D``; see :class:`DOConv2D`.

    Example:
        >>> DOConv3D(8, 3, in_channels=4)
        DOConv3D(4 -> 8, kernel_size=(3, 3, 3), stride=(1, 1, 1), D_mul=27)
    """

    host = nn.Conv3D


class DOConv1DTranspose(DOConvNd, nn.Conv1DTranspose):
    """Depthwise over-parameterized ``nn.Conv1DTranspose``; see :class:`DOConv2D`.

    D belongs to the input channel here too; ``weight`` is (I, O/g, k).

    Example:
        >>> DOConv1DTranspose(8, 4, strides=2, in_channels=4).D.shape
        (4, 4, 4)
    """

    host = nn.Conv1DTranspose


class DOConv2DTranspose(DOConvNd, nn.Conv2DTranspose):
    """Depthwise over-parameterized ``nn.Conv2DTranspose``; see :class:`DOConv1DTranspose`.

    Example:
        >>> DOConv2DTranspose(8, 4, strides=2, in_channels=4).D.shape
        (4, 16, 16)
    """

    host = nn.Conv2DTranspose


class DOConv3DTranspose(DOConvNd, nn.Conv3DTranspose):
    """Depthwise over-parameterized ``nn.Conv3DTranspose``; see :class:`DOConv1DTranspose`.

    Example:
        >>> DOConv3DTranspose(8, 2, strides=2, in_channels=4).D.shape
        (4, 8, 8)
    """

    host = nn.Conv3DTranspose


@cache
def class_for(kind: Any) -> Any:
    """What a convertible class becomes: one of the above, or for a subclass one of its own."""
    host: Any = host_of(kind)
    if kind is host:
        return HOSTS[host]
    body = {"host": kind, "__module__": __name__}
    return type(f"DO{kind.__name__}", (HOSTS[host], kind), body)


LAYERS: tuple[type[DOConvNd], ...] = (
    DOConv1D,
    DOConv2D,
    DOConv3D,
    DOConv1DTranspose,
    DOConv2DTranspose,
    DOConv3DTranspose,
)
