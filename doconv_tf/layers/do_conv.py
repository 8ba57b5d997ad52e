"""DO-Conv layers: Keras's convolutions with a depthwise over-parameterization.

Each class is its host class, with the same arguments and the same variables, plus ``D``. What a
layer computes is defined in :mod:`doconv_core.kernel.composition`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from doconv_core import DOConvSpec, messages
from doconv_core.kernel.initialization import Start, start_of
from doconv_core.kernel.spec import validate_composition
from doconv_core.model.signature import HostSignature
from doconv_keras import sizes
from doconv_tf import messages as keras_messages
from doconv_tf.layers.arrays import load_plain
from doconv_tf.layers.copying import copied
from doconv_tf.layers.exporting import warn_if_exporting
from doconv_tf.layers.folding import folded_copy
from doconv_tf.layers.hosts import FLOATING, HOSTS, refuse_legacy, why_plain
from doconv_tf.layers.swapping import drop_D, over_parameterize
from doconv_tf.tensors import composition as compositions
from doconv_tf.tensors.composition import transposed_depthwise_kernel
from doconv_tf.tensors.initialization import (
    DEFAULT,
    add_beside,
    as_the_authors,
    extra_columns,
    offset,
)

OUR_ARGUMENTS = ("D_mul", "composition", "D_init", "W_extra_init")


class DOConvNd(keras.layers.Layer):
    """A DO-Conv layer. Precedes the host class in its subclasses' method resolution order.

    The seams it uses in Keras: ``build`` (D is made after the host's own variables), the
    attribute that the host's ``call`` reads its kernel from, and ``save_own_variables``.
    """

    host: ClassVar[type[keras.layers.Layer]]
    """The class of ``keras.layers`` that this layer converts from and folds to."""

    layout: ClassVar[str]
    """Where the kernel's channel axes are, see :mod:`doconv_core.kernel.layout`."""

    kernel_name: ClassVar[str] = "kernel"
    """The attribute in which the host keeps its kernel, and its ``call`` reads it."""

    role: ClassVar[str] = "kernel"
    """What the host's arguments for this kernel begin with: kernel_ or depthwise_."""

    spec: DOConvSpec
    """The layer's sizes, known once it is built."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "host" in cls.__dict__:
            cls.__signature__ = HostSignature(cls.host, DOConvNd, OUR_ARGUMENTS)
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
        if kwargs.get("lora_rank"):
            raise ValueError(keras_messages.no_lora(kwargs.get("name") or "", type(self).__name__))
        super().__init__(*args, **kwargs)
        # The number of channels is known in build only; these sizes do for what can be checked.
        DOConvSpec(1, 1, tuple(self.kernel_size), D_mul=D_mul)
        if self.variable_dtype not in FLOATING or self.quantization_mode is not None:
            raise TypeError(messages.layer.bad_dtype(self.dtype_policy.name))
        self.D_mul = None if D_mul == "K" else D_mul
        self.composition = validate_composition(composition)
        self._start = start_of(D_init, W_extra_init)

    def build(self, input_shape: Any) -> None:
        """Make the host's variables, then D (zeros) and, for S > K, W_extra."""
        super().build(input_shape)
        self.over_parameterize_(self.D_mul, self.composition, self._start)
        if self.W_extra is not None and self._start.W_extra == "random":
            self._kernel.assign(as_the_authors(self.spec)(self._kernel.shape, self._kernel.dtype))

    def over_parameterize_(
        self, D_mul: int | str | None, composition: str = "kernel", start: Start = DEFAULT
    ) -> None:
        """Give a layer with the host's variables D and W_extra.

        Its output stays what it was, but for another start than the usual one.
        """
        self.D_mul, self.composition = None if D_mul == "K" else D_mul, composition
        self.spec = spec = self.spec_of(self, D_mul)
        W = self._kernel
        self.D = self.W_extra = None
        if spec.has_D:
            # Composed in the variables' precision: Keras must not cast W on the way, as it casts
            # a plain kernel. Only the composed kernel is cast.
            W._autocast = False
            # Without the kernel's regularizer and constraint: those are written for axes that D
            # does not have, and a penalty on the offset only draws the layer back to a plain one.
            self.D = add_beside(self, W, "D", spec.D_shape, offset(spec, start))
        if spec.extra_columns:
            self.W_extra = add_beside(
                self,
                W,
                "W_extra",
                (spec.extra_columns, *W.shape[-2:]),
                extra_columns(spec, getattr(self, f"{self.role}_initializer"), start),
                regularizer=getattr(self, f"{self.role}_regularizer"),
            )

    is_over_parameterized = True

    def restore_(self) -> None:
        """Become the host's layer again; the kernel keeps its value."""
        drop_D(self)
        state = self.__dict__
        for name in ("D", "W_extra", "D_mul", "composition", "spec", "_start"):
            state.pop(name, None)
        self._kernel._autocast = True
        host = type(self).host
        if not isinstance(getattr(host, "kernel", None), property):
            state[self.kernel_name] = state.pop("_kernel")
        self.__class__ = host

    def remake_(self, theirs: Any) -> None:
        """Make a plain layer what this one is, in a copy of a model."""
        if type(theirs) is self.host:
            over_parameterize([theirs], self.D_mul)
            theirs.composition = self.composition

    @classmethod
    def spec_of(cls, layer: Any, D_mul: int | str | None = None) -> DOConvSpec:
        """The sizes of a built layer, of this class or of its host."""
        return sizes.spec_of(cls.layout, cls.W_of(layer).shape, layer, D_mul)

    @classmethod
    def W_of(cls, layer: Any) -> Any:
        """The kernel variable of a built layer, of this class or of its host."""
        state = vars(layer)
        return state["_kernel"] if "_kernel" in state else state[cls.kernel_name]

    @property
    def kernel(self) -> Any:
        """The composed kernel, in the host's layout and in the compute dtype. W is ``_kernel``.

        Numerics: composed in the variables' precision, then rounded once, as autocast rounds the
        kernel of the folded layer.
        """
        if not self.built:
            raise AttributeError("You must build the layer before accessing `kernel`.")
        W = self._kernel
        if self.D is None:
            return W
        return self._computed(compositions.compose(self.spec, self.layout, W, self.W_extra, self.D))

    @kernel.setter
    def kernel(self, W: Any) -> None:  # some hosts assign it in build
        self._kernel = W

    def _computed(self, tensor: Any) -> Any:
        return ops.cast(tensor, self.compute_dtype) if self.autocast else tensor

    def call(self, inputs: Any) -> Any:
        """As the host's, with the composed kernel; or by feature composition."""
        refuse_legacy(inputs)
        if self.composition == "kernel" or self.D is None:
            return super().call(inputs)
        outputs = self._pointwise(self._depthwise(inputs))
        if self.use_bias:
            axes = [1] * (self.rank + 2)
            axes[-1 if self.data_format == "channels_last" else 1] = -1
            outputs = ops.add(outputs, ops.reshape(self.bias, axes))
        return outputs if self.activation is None else self.activation(outputs)

    def _depthwise(self, inputs: Any) -> Any:
        kernel = compositions.depthwise_kernel(self.spec, self.D)
        padding = self.padding
        if padding == "causal":
            widths = [[0, 0], [0, 0], [0, 0]]
            axis = 1 if self.data_format == "channels_last" else 2
            widths[axis][0] = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            inputs, padding = ops.pad(inputs, widths), "valid"
        # A convolution of I groups is the same, and takes TensorFlow about 100 times as long on a
        # CPU. Keras's depthwise one knows two axes, and TensorFlow's (2.21) strides them alike.
        convolve = ops.depthwise_conv
        if self.rank > 2 or len(set(self.strides)) > 1:
            convolve, kernel = ops.conv, ops.reshape(kernel, (*self.kernel_size, 1, -1))
        return convolve(
            inputs,
            self._computed(kernel),
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

    def _pointwise(self, features: Any) -> Any:
        W = (self._kernel, self.W_extra)
        kernel = compositions.pointwise_kernel(self.spec, self.layout, *W)
        return ops.conv(features, self._computed(kernel), data_format=self.data_format)

    def get_config(self) -> dict[str, Any]:
        """The host's arguments and ours."""
        return {**super().get_config(), "D_mul": self.D_mul, "composition": self.composition}

    # Conv's own pair would write the composed kernel and not D.
    save_own_variables = keras.layers.Layer.save_own_variables

    def load_own_variables(self, store: Any) -> None:
        """A plain layer's file has no D: it means the layer that computes the same."""
        if not load_plain(self, store):
            keras.layers.Layer.load_own_variables(self, store)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> Any:
        if self.built and self.D is not None:
            warn_if_exporting(save_type)
        return super()._trackable_children(save_type, **kwargs)

    def enable_lora(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: LoRA would freeze W and D and then not be read; fold first.

        Raises:
            ValueError: always.
        """
        raise ValueError(keras_messages.no_lora(self.name, type(self).__name__))

    @classmethod
    def from_conv(cls, conv: keras.layers.Layer, *, D_mul: int | str | None = None) -> Any:
        """A DO-Conv layer that computes what a plain one does; the plain one stays as it is.

        Args:
            conv: a built layer of exactly this class's host, e.g. ``Conv2D`` for ``DOConv2D``.
            D_mul: columns of W; None means one per kernel element.

        Returns:
            A new layer: own copies of the variables, same arguments and name.

        Raises:
            TypeError: ``conv`` is of another class.
            ValueError: its state cannot be kept (LoRA, not built, ...), or D_mul < K.
        """
        if type(conv) is not cls.host:
            refuse_legacy(conv)
            raise TypeError(messages.layer.wrong_type("conv", conv, f"a {cls.host.__name__}"))
        if (reason := why_plain(conv)) not in ("", messages.model.POINTWISE):
            raise ValueError(messages.model.cannot_convert(conv.name, type(conv).__name__, reason))
        if not conv.built:
            raise ValueError(messages.model.uninitialized(conv.name, type(conv).__name__))
        cls.spec_of(conv, D_mul)
        layer = copied(conv)
        over_parameterize([layer], D_mul)
        return layer

    def fold(self) -> Any:
        """The plain layer that computes the same: new, of the host class; this one stays.

        Raises:
            ValueError: a variable is not finite, or the layer is not built.
        """
        return folded_copy(self)


# The package's name is the one to import, should Keras not find a class while loading a file.
_register = keras.saving.register_keras_serializable(package="doconv_tf")


class _DOConv(DOConvNd):
    layout = "kIO"


class _DODepthwiseConv(DOConvNd):
    layout = "kIM"
    role = "depthwise"


class _DOSeparableConv(_DODepthwiseConv):
    kernel_name = "depthwise_kernel"
    depthwise_kernel = DOConvNd.kernel

    def _pointwise(self, features: Any) -> Any:
        outputs = super()._pointwise(features)
        return ops.conv(outputs, self.pointwise_kernel, data_format=self.data_format)


class _DOConvTranspose(DOConvNd):
    layout = "kOI"

    def _depthwise(self, inputs: Any) -> Any:
        return ops.conv_transpose(
            inputs,
            self._computed(transposed_depthwise_kernel(self.spec, self.D)),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


@_register
class DOConv1D(_DOConv, keras.layers.Conv1D):
    """Depthwise over-parameterized ``keras.layers.Conv1D``; see :class:`DOConv2D`."""

    host = keras.layers.Conv1D


@_register
class DOConv2D(_DOConv, keras.layers.Conv2D):
    """Depthwise over-parameterized ``keras.layers.Conv2D``.

    Takes every argument of ``Conv2D``, in its order, and four keyword arguments.

    Args:
        D_mul: S, the columns of W: at least the number of kernel elements K, the default.
            Columns beyond K live in ``W_extra``.
        composition: "kernel" composes the kernel, then convolves once. "feature" computes the
            definition, a depthwise and a 1x1 convolution: the same result, slower.
        D_init: "identity" starts as the plain layer. "random" draws the whole D instead, uniformly
            in +-sqrt(3 / S), as in the paper's ablation; the scale is our reading.
        W_extra_init: "zeros", or "random" as the authors' layer starts: all columns of W are drawn
            alike, uniformly in +-1 / sqrt(I/g S). Only D_mul > K has any beyond the kernel's own.
            Neither is part of the config: they are about the start only.

    Shape:
        - input, output: as ``Conv2D``.
        - W, the variable named "kernel", in ``_kernel``: (*kernel_size, I/g, O), ``Conv2D``'s own.
        - ``D``: (I, K, S), stored as the offset from the identity, zero at initialization;
          None for a 1x1 kernel, which has nothing to over-parameterize.
        - ``W_extra``: (S - K, I/g, O), or None.
        - ``kernel``: the composed kernel, a tensor, as Keras has it for LoRA.

    Raises:
        ValueError: D_mul < K, an unknown start, or an argument that ``Conv2D`` refuses.
        TypeError: a dtype policy that is not floating point.

    Note:
        ``kernel_regularizer`` acts on W and W_extra, ``kernel_constraint`` on W, neither on D:
        they are written for a kernel's axes, and a penalty on the offset would only draw the
        layer back to the plain one. (The official TensorFlow layer gives both to D as well.)
        Neither W nor a constrained W is the kernel that is deployed: that is ``kernel``. An
        optimizer's ``weight_decay`` acts on D as on W, here as in the other frameworks.

    Numerics: under a mixed policy the kernel is composed in float32 and rounded once.

    Source: arXiv 2006.12030, section 3; groups: DO-DConv and DO-GConv, section 3.3.

    Example:
        >>> layer = DOConv2D(32, 3, padding="same")
        >>> tuple(layer(keras.ops.zeros((1, 8, 8, 16))).shape)
        (1, 8, 8, 32)
        >>> tuple(layer.D.shape)
        (16, 9, 9)
        >>> type(layer.fold()).__name__
        'Conv2D'
    """

    host = keras.layers.Conv2D


@_register
class DOConv3D(_DOConv, keras.layers.Conv3D):
    """Depthwise over-parameterized ``keras.layers.Conv3D``; see :class:`DOConv2D`."""

    host = keras.layers.Conv3D


@_register
class DODepthwiseConv1D(_DODepthwiseConv, keras.layers.DepthwiseConv1D):
    """Depthwise over-parameterized ``keras.layers.DepthwiseConv1D``; see DODepthwiseConv2D."""

    host = keras.layers.DepthwiseConv1D


@_register
class DODepthwiseConv2D(_DODepthwiseConv, keras.layers.DepthwiseConv2D):
    """Depthwise over-parameterized ``keras.layers.DepthwiseConv2D``, the paper's DO-DConv.

    As :class:`DOConv2D`, with W of shape (*kernel_size, I, depth_multiplier).

    Example:
        >>> layer = DODepthwiseConv2D(3, depth_multiplier=2)
        >>> tuple(layer(keras.ops.zeros((1, 8, 8, 4))).shape)
        (1, 6, 6, 8)
    """

    host = keras.layers.DepthwiseConv2D


@_register
class DOSeparableConv1D(_DOSeparableConv, keras.layers.SeparableConv1D):
    """``keras.layers.SeparableConv1D`` with a DO-DConv first; see :class:`DOSeparableConv2D`."""

    host = keras.layers.SeparableConv1D


@_register
class DOSeparableConv2D(_DOSeparableConv, keras.layers.SeparableConv2D):
    """``keras.layers.SeparableConv2D`` whose depthwise convolution is a DO-DConv.

    W and D belong to ``depthwise_kernel``; the pointwise kernel, 1x1, has nothing to
    over-parameterize.

    Example:
        >>> layer = DOSeparableConv2D(6, 3)
        >>> tuple(layer(keras.ops.zeros((1, 8, 8, 4))).shape)
        (1, 6, 6, 6)
    """

    host = keras.layers.SeparableConv2D


@_register
class DOConv1DTranspose(_DOConvTranspose, keras.layers.Conv1DTranspose):
    """Depthwise over-parameterized ``Conv1DTranspose``; see :class:`DOConv2DTranspose`."""

    host = keras.layers.Conv1DTranspose


@_register
class DOConv2DTranspose(_DOConvTranspose, keras.layers.Conv2DTranspose):
    """Depthwise over-parameterized ``keras.layers.Conv2DTranspose``.

    As :class:`DOConv2D`, with W of shape (*kernel_size, O, I). D belongs to the input channel
    here too: the layer is a depthwise transposed convolution, then a 1x1 convolution. By
    ``composition="feature"`` the former is computed densely, I times as dear: a reference.

    Example:
        >>> layer = DOConv2DTranspose(4, 2, strides=2)
        >>> tuple(layer(keras.ops.zeros((1, 5, 5, 8))).shape)
        (1, 10, 10, 4)
    """

    host = keras.layers.Conv2DTranspose


@_register
class DOConv3DTranspose(_DOConvTranspose, keras.layers.Conv3DTranspose):
    """Depthwise over-parameterized ``Conv3DTranspose``; see :class:`DOConv2DTranspose`."""

    host = keras.layers.Conv3DTranspose


LAYERS: tuple[type[DOConvNd], ...] = (
    DOConv1D,
    DOConv2D,
    DOConv3D,
    DODepthwiseConv1D,
    DODepthwiseConv2D,
    DOSeparableConv1D,
    DOSeparableConv2D,
    DOConv1DTranspose,
    DOConv2DTranspose,
    DOConv3DTranspose,
)
"""Every layer class."""
