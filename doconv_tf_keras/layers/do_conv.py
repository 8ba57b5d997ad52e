"""DO-Conv layers: tf_keras's convolutions with a depthwise over-parameterization.

Each class is its host class, with the same arguments and the same variables, plus ``D``. What a
layer computes is defined in :mod:`doconv_core.kernel.composition`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from doconv_core import DOConvSpec, messages
from doconv_core.kernel.spec import validate_composition
from doconv_core.model.signature import HostSignature
from doconv_keras import sizes
from doconv_tf_keras import messages as tf_keras_messages
from doconv_tf_keras.layers.copying import copied
from doconv_tf_keras.layers.folding import folded_copy
from doconv_tf_keras.layers.hosts import FLOATING, HOSTS, why_plain
from doconv_tf_keras.layers.nesting import check_tf_keras, is_of_keras_3
from doconv_tf_keras.layers.swapping import drop_D, over_parameterize
from doconv_tf_keras.tensors import composition as compositions
from doconv_tf_keras.tensors.initialization import add_beside, extra_columns, uncast


class DOConvNd(tf_keras.layers.Layer):
    """A DO-Conv layer. Precedes the host class in its subclasses' method resolution order.

    The seams it uses in tf_keras: ``build`` (D is made after the host's own variables), and the
    attribute that the host's ``call`` reads its kernel from. That is a plain attribute, which a
    property of the class overrides: the variable stays where it was, also for checkpoints.
    """

    host: ClassVar[type[tf_keras.layers.Layer]]
    """The class of ``tf_keras.layers`` that this layer converts from and folds to."""

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
            cls.__signature__ = HostSignature(cls.host, DOConvNd)
            HOSTS.setdefault(cls.host, cls)

    def __init__(
        self,
        *args: Any,
        D_mul: int | str | None = None,
        composition: str = "kernel",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # The number of channels is known in build only; these sizes do for what can be checked.
        DOConvSpec(1, 1, tuple(self.kernel_size), D_mul=D_mul)
        if self.variable_dtype not in FLOATING:
            raise TypeError(messages.layer.bad_dtype(self.dtype_policy.name))
        self.D_mul = None if D_mul == "K" else D_mul
        self.composition = validate_composition(composition)

    def build(self, input_shape: Any) -> None:
        """Make the host's variables, then D (zeros) and, for S > K, W_extra."""
        super().build(input_shape)
        self.over_parameterize_(self.D_mul, self.composition)

    def over_parameterize_(self, D_mul: int | str | None, composition: str = "kernel") -> None:
        """Give a layer with the host's variables D and W_extra; its output stays what it was."""
        self.D_mul, self.composition = None if D_mul == "K" else D_mul, composition
        self.spec = spec = self.spec_of(self, D_mul)
        W = self._kernel
        self.D = self.W_extra = None
        if spec.has_D:
            # Without the kernel's regularizer and constraint: those are written for axes that D
            # does not have, and a penalty on the offset only draws the layer back to a plain one.
            self.D = add_beside(self, W, "D", spec.D_shape, "zeros")
        if spec.extra_columns:
            self.W_extra = add_beside(
                self,
                W,
                "W_extra",
                (spec.extra_columns, *W.shape[-2:]),
                extra_columns(spec, getattr(self, f"{self.role}_initializer")),
                regularizer=getattr(self, f"{self.role}_regularizer"),
            )

    is_over_parameterized = True

    def restore_(self) -> None:
        """Become the host's layer again; the kernel keeps its value."""
        drop_D(self)
        for name in ("D_mul", "composition", "spec"):
            if name in vars(self):
                delattr(self, name)
        self.__class__ = type(self).host

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
        return vars(layer)[cls.kernel_name]

    @property
    def _kernel(self) -> Any:
        """W, the host's kernel variable; so it is called in Keras 3 too."""
        return self.W_of(self)

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
        return self._computed(
            compositions.compose(self.spec, self.layout, uncast(W), self.W_extra, self.D)
        )

    @kernel.setter
    def kernel(self, W: Any) -> None:  # which the host assigns in build
        vars(self)[self.kernel_name] = W

    def _computed(self, tensor: Any) -> Any:
        return tf.cast(tensor, self.compute_dtype)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if is_of_keras_3(inputs):
            raise TypeError(tf_keras_messages.keras_3(type(inputs).__name__))
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        """As the host's, with the composed kernel; or by feature composition."""
        if self.composition == "kernel" or self.D is None:
            return super().call(inputs)
        features, axis = self._depthwise(inputs), self.rank + 1
        if self.data_format == "channels_first":
            features = _with_axis_moved(features, 1, axis)
        outputs = self._pointwise(features)
        if self.use_bias:
            outputs = outputs + self.bias
        if self.data_format == "channels_first":
            outputs = _with_axis_moved(outputs, axis, 1)
        return outputs if self.activation is None else self.activation(outputs)

    def _depthwise(self, inputs: Any) -> Any:
        kernel = self._computed(compositions.depthwise_kernel(self.spec, self.D))
        padding = self.padding
        if padding == "causal":
            inputs, padding = tf.pad(inputs, self._compute_causal_padding(inputs)), "valid"
        # TensorFlow's depthwise convolution (2.21) knows two axes, and strides them alike. One of I
        # groups is the same, but has a gradient on a CPU only by XLA, which tf_keras asks for here.
        if self.rank > 2 or len(set(self.strides)) > 1:
            kernel = tf.reshape(kernel, (*self.spec.kernel_size, 1, -1))
            return self._jit_compiled_convolution_op(inputs, kernel)
        host = (tf_keras.layers.DepthwiseConv1D, tf_keras.layers.DepthwiseConv2D)[self.rank - 1]
        plain = {"depthwise_kernel": kernel, "use_bias": False, "activation": None}
        return host.call(_Seen(self, padding=padding, **plain), inputs)

    def _pointwise(self, features: Any) -> Any:
        W = (uncast(self._kernel), self.W_extra)
        return compositions.pointwise(self.spec, self.layout, features, *W, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The host's arguments and ours."""
        return {**super().get_config(), "D_mul": self.D_mul, "composition": self.composition}

    @classmethod
    def from_conv(cls, conv: tf_keras.layers.Layer, *, D_mul: int | str | None = None) -> Any:
        """A DO-Conv layer that computes what a plain one does; the plain one stays as it is.

        Args:
            conv: a built layer of exactly this class's host, e.g. ``Conv2D`` for ``DOConv2D``.
            D_mul: columns of W; None means one per kernel element.

        Returns:
            A new layer: own copies of the variables, same arguments and name.

        Raises:
            TypeError: ``conv`` is of another class.
            ValueError: its state cannot be kept (its call is replaced, ...), it is not built, or
                D_mul < K.
        """
        if type(conv) is not cls.host:
            check_tf_keras(conv, "conv")
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


class _Seen:
    """A layer with some attributes seen otherwise, for a method of its host."""

    def __init__(self, layer: DOConvNd, **otherwise: Any) -> None:
        vars(self).update(otherwise, _layer=layer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.host.compute_output_shape(self, input_shape)


def _with_axis_moved(tensor: Any, source: int, target: int) -> Any:
    axes = list(range(tensor.shape.rank))
    axes.insert(target, axes.pop(source))
    return tf.transpose(tensor, axes)


# The package's name is the one to import, should tf_keras not find a class while loading a file.
_register = tf_keras.saving.register_keras_serializable(package="doconv_tf_keras")


class _DOConv(DOConvNd):
    layout = "kIO"


class _DODepthwiseConv(DOConvNd):
    layout = "kIM"
    kernel_name = "depthwise_kernel"
    role = "depthwise"
    depthwise_kernel = DOConvNd.kernel


class _DOSeparableConv(_DODepthwiseConv):
    def _pointwise(self, features: Any) -> Any:
        return tf.nn.convolution(super()._pointwise(features), self.pointwise_kernel)


class _DOConvTranspose(DOConvNd):
    layout = "kOI"

    def _depthwise(self, inputs: Any) -> Any:
        kernel = compositions.transposed_depthwise_kernel(self.spec, self.D)
        filters = self.spec.in_channels * self.spec.S
        plain = {"filters": filters, "use_bias": False, "activation": None}
        return self.host.call(_Seen(self, kernel=self._computed(kernel), **plain), inputs)


@_register
class DOConv1D(_DOConv, tf_keras.layers.Conv1D):
    """Depthwise over-parameterized ``tf_keras.layers.Conv1D``; see :class:`DOConv2D`."""

    host = tf_keras.layers.Conv1D


@_register
class DOConv2D(_DOConv, tf_keras.layers.Conv2D):
    """Depthwise over-parameterized ``tf_keras.layers.Conv2D``.

    Takes every argument of ``Conv2D``, in its order, and two keyword arguments.

    Args:
        D_mul: S, the columns of W: at least the number of kernel elements K, the default.
            Columns beyond K live in ``W_extra``.
        composition: "kernel" composes the kernel, then convolves once. "feature" computes the
            definition, a depthwise and a 1x1 convolution: the same result, slower.

    Shape:
        - input, output: as ``Conv2D``.
        - W, the variable named "kernel", in ``_kernel``: (*kernel_size, I/g, O), ``Conv2D``'s own.
        - ``D``: (I, K, S), stored as the offset from the identity, zero at initialization;
          None for a 1x1 kernel, which has nothing to over-parameterize.
        - ``W_extra``: (S - K, I/g, O), or None.
        - ``kernel``: the composed kernel, a tensor.

    Raises:
        ValueError: D_mul < K, or an argument that ``Conv2D`` refuses.
        TypeError: a dtype policy that is not floating point.

    Note:
        ``kernel_regularizer`` acts on W and W_extra, ``kernel_constraint`` on W, neither on D:
        they are written for a kernel's axes, and a penalty on the offset would only draw the
        layer back to the plain one. (The official TensorFlow layer gives both to D as well.)
        Neither W nor a constrained W is the kernel that is deployed: that is ``kernel``.

    Numerics: under a mixed policy the kernel is composed in float32 and rounded once.

    Source: arXiv 2006.12030, section 3; groups: DO-DConv and DO-GConv, section 3.3.

    Example:
        >>> layer = DOConv2D(32, 3, padding="same")
        >>> tuple(layer(tf.zeros((1, 8, 8, 16))).shape)
        (1, 8, 8, 32)
        >>> tuple(layer.D.shape)
        (16, 9, 9)
        >>> type(layer.fold()).__name__
        'Conv2D'
    """

    host = tf_keras.layers.Conv2D


@_register
class DOConv3D(_DOConv, tf_keras.layers.Conv3D):
    """Depthwise over-parameterized ``tf_keras.layers.Conv3D``; see :class:`DOConv2D`."""

    host = tf_keras.layers.Conv3D


@_register
class DODepthwiseConv1D(_DODepthwiseConv, tf_keras.layers.DepthwiseConv1D):
    """Depthwise over-parameterized ``tf_keras.layers.DepthwiseConv1D``; see DODepthwiseConv2D."""

    host = tf_keras.layers.DepthwiseConv1D


@_register
class DODepthwiseConv2D(_DODepthwiseConv, tf_keras.layers.DepthwiseConv2D):
    """Depthwise over-parameterized ``tf_keras.layers.DepthwiseConv2D``, the paper's DO-DConv.

    As :class:`DOConv2D`, with W of shape (*kernel_size, I, depth_multiplier).

    Example:
        >>> layer = DODepthwiseConv2D(3, depth_multiplier=2)
        >>> tuple(layer(tf.zeros((1, 8, 8, 4))).shape)
        (1, 6, 6, 8)
    """

    host = tf_keras.layers.DepthwiseConv2D


@_register
class DOSeparableConv1D(_DOSeparableConv, tf_keras.layers.SeparableConv1D):
    """``tf_keras.layers.SeparableConv1D`` with a DO-DConv first; see :class:`DOSeparableConv2D`."""

    host = tf_keras.layers.SeparableConv1D


@_register
class DOSeparableConv2D(_DOSeparableConv, tf_keras.layers.SeparableConv2D):
    """``tf_keras.layers.SeparableConv2D`` whose depthwise convolution is a DO-DConv.

    W and D belong to ``depthwise_kernel``; the pointwise kernel, 1x1, has nothing to
    over-parameterize.

    Example:
        >>> layer = DOSeparableConv2D(6, 3)
        >>> tuple(layer(tf.zeros((1, 8, 8, 4))).shape)
        (1, 6, 6, 6)
    """

    host = tf_keras.layers.SeparableConv2D


@_register
class DOConv1DTranspose(_DOConvTranspose, tf_keras.layers.Conv1DTranspose):
    """Depthwise over-parameterized ``Conv1DTranspose``; see :class:`DOConv2DTranspose`."""

    host = tf_keras.layers.Conv1DTranspose


@_register
class DOConv2DTranspose(_DOConvTranspose, tf_keras.layers.Conv2DTranspose):
    """Depthwise over-parameterized ``tf_keras.layers.Conv2DTranspose``.

    As :class:`DOConv2D`, with W of shape (*kernel_size, O, I). D belongs to the input channel
    here too: the layer is a depthwise transposed convolution, then a 1x1 convolution. By
    ``composition="feature"`` the former is computed densely, I times as dear: a reference.

    Example:
        >>> layer = DOConv2DTranspose(4, 2, strides=2)
        >>> tuple(layer(tf.zeros((1, 5, 5, 8))).shape)
        (1, 10, 10, 4)
    """

    host = tf_keras.layers.Conv2DTranspose


@_register
class DOConv3DTranspose(_DOConvTranspose, tf_keras.layers.Conv3DTranspose):
    """Depthwise over-parameterized ``Conv3DTranspose``; see :class:`DOConv2DTranspose`."""

    host = tf_keras.layers.Conv3DTranspose


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

# A wrapper, such as TimeDistributed, looks for the class in it by its bare name (tf_keras 2.21).
tf_keras.saving.get_custom_objects().update({layer.__name__: layer for layer in LAYERS})
