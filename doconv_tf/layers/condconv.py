"""CondConv layers: every example is convolved with its own mixture of expert kernels.

What a layer computes is defined in :mod:`doconv_core.neighbours.condconv`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import keras
from keras import ops

from doconv_core import CondConvSpec, messages
from doconv_core.costs.condconv import cheaper_evaluation
from doconv_core.kernel.initialization import Start
from doconv_core.model.signature import HostSignature
from doconv_core.neighbours.condconv import validate_evaluation, validate_routing
from doconv_tf.layers.arrays import load_plain
from doconv_tf.layers.exporting import warn_if_exporting
from doconv_tf.layers.folding import folded_copy
from doconv_tf.layers.hosts import FLOATING, refuse_legacy
from doconv_tf.layers.routing import Routing
from doconv_tf.layers.swapping import drop_D, over_parameterize
from doconv_tf.tensors import composition as compositions
from doconv_tf.tensors.initialization import (
    DEFAULT,
    add_beside,
    expert_by_expert,
    extra_columns,
    offset,
)
from doconv_tf.tensors.mixing import Window, by_kernels, by_outputs, pad

OUR_ARGUMENTS = ("num_experts", "routing", "routing_bias", "evaluation", "D_mul")


class CondConvNd(keras.layers.Layer):
    """What the three layers share.

    No subclass of the host: its kernel has one axis more, and code that finds a ``Conv2D`` would
    go wrong on it in silence.
    """

    host: ClassVar[type[keras.layers.Layer]]
    """The class of ``keras.layers`` that every expert is."""

    layout: ClassVar[str] = "kIO"
    """Where an expert's channel axes are, see :mod:`doconv_core.kernel.layout`."""

    D: Any
    W_extra: Any
    bias: Any
    D_mul: int | None
    routing: Routing | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "host" in cls.__dict__:
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
        given = inspect.signature(self.host.__init__).bind(self, *args, **kwargs)
        given.apply_defaults()
        super().__init__(**given.arguments.pop("kwargs"))
        del given.arguments["self"]
        # The host settles its own arguments.
        expert = self.host(**given.arguments, name="expert")
        for name in (*given.arguments, "rank"):
            setattr(self, name, getattr(expert, name))
        if self.variable_dtype not in FLOATING or self.quantization_mode is not None:
            raise TypeError(messages.layer.bad_dtype(self.dtype_policy.name))
        # The number of channels is known in build only; as many as groups do till then.
        spec = CondConvSpec(*self._sizes(self.groups), num_experts, D_mul)
        self.num_experts, self.D_mul = spec.num_experts, spec.S if spec.has_D else None
        self.evaluation = validate_evaluation(evaluation)
        validate_routing(routing, routing_bias)
        self.D = self.W_extra = None
        self.routing = None
        if routing:
            self.routing = Routing(
                num_experts,
                use_bias=routing_bias,
                data_format=self.data_format,
                dtype=self.dtype_policy,
                autocast=self.autocast,
                name="routing",
            )

    @property
    def spec(self) -> CondConvSpec:
        """The sizes of a built layer."""
        sizes = self._sizes(self._kernel.shape[-2] * self.groups)
        return CondConvSpec(*sizes, self.num_experts, self.D_mul)

    def _sizes(self, channels: int) -> tuple[int, int, tuple[int, ...], int]:
        return channels, self.filters, self.kernel_size, self.groups

    def build(self, input_shape: Any) -> None:
        """Make W and the biases, expert by expert, then D (zeros), W_extra, and the routing."""
        axis = -1 if self.data_format == "channels_last" else 1
        channels = CondConvSpec(*self._sizes(input_shape[axis])).in_channels
        self.compute_output_shape(input_shape)  # which sees whether the kernel fits
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2, axes={axis: channels})
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self._kernel = self._add_experts("kernel", shape)
        self.bias = self._add_experts("bias", (self.filters,)) if self.use_bias else None
        self.over_parameterize_(self.D_mul)
        if self.routing is not None and not self.routing.built:
            self.routing.build(input_shape)

    def _add_experts(self, name: str, shape: tuple[int, ...]) -> Any:
        regularizer, constraint = (
            getattr(self, f"{name}_{kind}") for kind in ("regularizer", "constraint")
        )
        return self.add_weight(
            name=name,
            shape=(self.num_experts, *shape),
            initializer=expert_by_expert(getattr(self, f"{name}_initializer"), self.num_experts),
            regularizer=regularizer and partial(_sum_of_each, regularizer),
            constraint=constraint and partial(_each, constraint),
            dtype=self.variable_dtype,
            autocast=False,  # mixed in the variables' precision
        )

    def over_parameterize_(self, D_mul: int | str | None, *, start: Start = DEFAULT) -> None:
        """Give a layer with its plain variables D and W_extra.

        Its output stays what it was, but for another start than the usual one.
        """
        spec, W = replace(self.spec, D_mul=D_mul), self._kernel
        self.D_mul = spec.S if spec.has_D else None
        if spec.has_D:
            self.D = add_beside(self, W, "D", spec.D_shape, offset(spec, start))
        if spec.extra_columns:
            regularizer = self.kernel_regularizer
            self.W_extra = add_beside(
                self,
                W,
                "W_extra",
                (self.num_experts, spec.extra_columns, *W.shape[-2:]),
                expert_by_expert(
                    self.kernel_initializer,
                    self.num_experts,
                    partial(extra_columns, spec.expert, start=start),
                ),
                regularizer=regularizer and partial(_sum_of_each, regularizer),
            )

    @property
    def is_over_parameterized(self) -> bool:
        """Whether the experts have D's."""
        return self.D_mul is not None

    def restore_(self) -> None:
        """Become plain CondConv again, with whatever the kernel variable holds."""
        drop_D(self)
        self.D = self.W_extra = self.D_mul = None

    def remake_(self, theirs: Any) -> None:
        """Make another layer what this one is, in a copy of a model."""
        if type(theirs) is not type(self):
            return
        if theirs.D_mul not in (None, self.D_mul):
            theirs.restore_()
        if theirs.D_mul != self.D_mul:
            over_parameterize([theirs], self.D_mul)

    @property
    def kernel(self) -> Any:
        """The experts' kernels (E, *kernel_size, I/g, O), composed. W is ``_kernel``.

        Numerics: composed in the variables' precision.
        """
        if not self.built:
            raise AttributeError("You must build the layer before accessing `kernel`.")
        W, extra, spec = self._kernel, self.W_extra, self.spec
        if self.D is None:
            return W
        stacked = spec.stacked
        kernels = compositions.compose(
            stacked,
            self.layout,
            _side_by_side(W),
            None if extra is None else _side_by_side(extra),
            ops.reshape(self.D, stacked.D_shape),
        )
        kernels = ops.reshape(kernels, (*W.shape[1:-1], self.num_experts, self.filters))
        return ops.moveaxis(kernels, -2, 0)

    def call(self, inputs: Any, alpha: Any = None) -> Any:
        """Every example convolved with its own mixture."""
        refuse_legacy(inputs)
        self._check_alpha(inputs, alpha)
        if self.routing is not None:
            alpha = self.routing(inputs)
        return self._mixture(inputs, alpha)

    def _check_alpha(self, inputs: Any, alpha: Any) -> None:
        if (alpha is None) == (self.routing is None):
            problem = (
                messages.neighbours.alpha_needed
                if alpha is None
                else messages.neighbours.alpha_not_taken
            )
            raise ValueError(problem())
        if alpha is None:
            return
        shape, expected = tuple(alpha.shape), (inputs.shape[0], self.num_experts)
        pairs = zip(shape, expected, strict=False)
        if len(shape) != 2 or any(None not in (a, b) and a != b for a, b in pairs):
            raise ValueError(messages.layer.bad_shape("alpha", shape, expected))

    def _mixture(self, inputs: Any, alpha: Any) -> Any:
        last = self.data_format == "channels_last"
        x = inputs if last else ops.moveaxis(inputs, 1, -1)
        window = Window(self.kernel_size, self.strides, self.dilation_rate, self.padding)
        evaluate = by_kernels if self._evaluation(inputs.shape) == "kernels" else by_outputs
        kernels = ops.convert_to_tensor(self.kernel)
        y = evaluate(pad(x, window), kernels, alpha, self.groups, window)
        if self.bias is not None:
            bias = ops.cast(alpha, self.bias.dtype) @ ops.convert_to_tensor(self.bias)
            bias = ops.reshape(bias, (-1, *(1,) * self.rank, self.filters))
            # Not by ops.add: on TensorFlow (Keras 3.15) it takes what squeezes to a vector of the
            # size of some axis for one bias for all examples.
            y = y + ops.cast(bias, y.dtype)
        y = y if last else ops.moveaxis(y, -1, 1)
        return y if self.activation is None else self.activation(y)

    def _evaluation(self, input_shape: Any) -> str:
        if self.evaluation != "auto":
            return str(self.evaluation)
        shape = self.compute_output_shape(tuple(input_shape))
        size = shape[1:-1] if self.data_format == "channels_last" else shape[2:]
        return "kernels" if None in size else cheaper_evaluation(self.spec, size)

    def compute_output_spec(self, inputs: Any, alpha: Any = None) -> Any:
        """As the host's; an alpha that is wanted or unwanted is noticed here too."""
        self._check_alpha(inputs, alpha)
        return super().compute_output_spec(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The host's."""
        return self.host.compute_output_shape(self, input_shape)

    def get_config(self) -> dict[str, Any]:
        """The host's arguments and ours."""
        _, *names, _ = inspect.signature(self.host.__init__).parameters
        expert = self.host(**{name: getattr(self, name) for name in names}, name="expert")
        ours = {name: getattr(self, name) for name in ("num_experts", "evaluation", "D_mul")}
        ours["routing"] = self.routing is not None
        ours["routing_bias"] = self.routing is not None and self.routing.use_bias
        return {**expert.get_config(), **super().get_config(), **ours}

    def load_own_variables(self, store: Any) -> None:
        """A plain CondConv's file has no D: it means the layer that computes the same."""
        if not load_plain(self, store):
            super().load_own_variables(store)

    def fold(self) -> Any:
        """Plain CondConv that computes the same: new, of this class; this layer stays.

        Raises:
            ValueError: a variable is not finite, or the layer is not built.
        """
        return folded_copy(self)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> Any:
        if self.built and self.D is not None:
            warn_if_exporting(save_type)
        return super()._trackable_children(save_type, **kwargs)


def _side_by_side(experts: Any) -> Any:
    """(E, ..., O) to (..., E O), the layout of :attr:`CondConvSpec.stacked`."""
    *shape, outputs = experts.shape[1:]
    return ops.reshape(ops.moveaxis(experts, 0, -2), (*shape, experts.shape[0] * outputs))


# A host's regularizers and constraints are written for the axes of one expert.


def _each(function: Callable[[Any], Any], experts: Any) -> Any:
    return ops.stack([function(expert) for expert in _unstacked(experts)])


def _sum_of_each(function: Callable[[Any], Any], experts: Any) -> Any:
    return sum(function(expert) for expert in _unstacked(experts))


def _unstacked(experts: Any) -> Any:
    return ops.unstack(ops.convert_to_tensor(experts))


_register = keras.saving.register_keras_serializable(package="doconv_tf")


@_register
class CondConv1D(CondConvNd):
    """Conditionally parameterized ``keras.layers.Conv1D``; see :class:`CondConv2D`."""

    host = keras.layers.Conv1D


@_register
class CondConv2D(CondConvNd):
    """Conditionally parameterized ``keras.layers.Conv2D``, plain or over-parameterized.

    For example n, the kernel is sum over e of alpha[n, e] times expert e's, and so is the bias.
    Takes every argument of ``Conv2D``, in its order, and five keyword arguments.

    Args:
        num_experts: E; the paper uses 4 and 8.
        routing: True: the layer owns a :class:`Routing` of its input. False: it is called with
            ``layer(x, alpha)``; alpha (N, E) has been through the sigmoid.
        routing_bias: True adds a bias (E,) within the sigmoid of the layer's own routing, as the
            authors' program and timm do; the paper's formula has none.
        evaluation: "kernels" mixes the kernels, then multiplies what each position sees by its
            example's kernel: one batched product, also for a batch whose size a graph does not
            know. "outputs" convolves with every expert, then mixes. Equal to rounding. "auto"
            takes the one that costs less at the input's size; "kernels" where a graph is for
            images of any size.
        D_mul: None is plain CondConv. "K", or an integer from K on, gives every expert a D of its
            own with as many columns; so each expert's kernel is a DO-Conv kernel, preconditioned
            by its own gradient. With one expert and alpha = 1 the layer is a DO-Conv layer.

    Shape:
        - input, output: as ``Conv2D``. alpha: (N, E).
        - W, the variable named "kernel", in ``_kernel``: (E, *kernel_size, I/g, O).
        - ``bias``: (E, O) or None.
        - ``D``: (E, I, K, S), as offset from the identity, or None.
        - ``W_extra``: (E, S - K, I/g, O), or None.
        - ``kernel``: the experts' composed kernels, a tensor.
        - ``routing.kernel``: (I, E). ``routing.bias``: (E,) or None.

    Raises:
        ValueError: groups do not divide the channels, D_mul < K, or an unknown evaluation. From
            the call: alpha is missing, of another shape, or given to a layer that routes itself.
        TypeError: a dtype policy that is not floating point.

    Note:
        Initializers, regularizers and constraints act on one expert after the other; those of the
        kernel on W, not on D, as in :class:`DOConv2D`. The experts draw different values, also by
        an initializer with a fixed seed.

    Numerics: under a mixed policy kernels and biases are mixed in float32 and rounded once. An
    alpha from outside comes in the compute dtype, as Keras casts every input.

    Source: arXiv 1904.04971, section 3; no batch norm is part of it, and the activation is the
    one given as argument.

    Example:
        >>> layer = CondConv2D(32, 3, num_experts=8, D_mul="K")
        >>> tuple(layer(keras.ops.zeros((2, 8, 8, 16))).shape)
        (2, 6, 6, 32)
        >>> tuple(layer.D.shape)
        (8, 16, 9, 9)
        >>> print(layer.fold().D)
        None
    """

    host = keras.layers.Conv2D


@_register
class CondConv3D(CondConvNd):
    """Conditionally parameterized ``keras.layers.Conv3D``; see :class:`CondConv2D`."""

    host = keras.layers.Conv3D


CONDCONV_LAYERS: tuple[type[CondConvNd], ...] = (CondConv1D, CondConv2D, CondConv3D)
"""Every layer class."""
