"""What a DO-Conv layer is in both Keras's: its sizes, its kernel, and the way to and fro."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from doconv_core import DOConvSpec, messages
from doconv_core.kernel.initialization import Start, start_of
from doconv_core.kernel.spec import validate_composition
from doconv_core.model.signature import HostSignature
from doconv_keras.layers import sizes
from doconv_keras.layers.exporting import warn_if_exporting
from doconv_keras.layers.hosts import FLOATING, Hosts
from doconv_keras.tensors.composition import compose
from doconv_keras.tensors.initialization import (
    DEFAULT,
    Library,
    as_the_authors,
    extra_columns,
    offset,
)

OUR_ARGUMENTS = ("D_mul", "composition", "D_init", "W_extra_init")


class Seams(NamedTuple):
    """What the shared part of a layer takes from its adapter.

    Attributes:
        library: the operations and initializers.
        hosts: the table in which our classes enter themselves.
        add_beside: a further variable of a layer, made as its kernel was.
        copied: a copy of a layer.
        folded_copy: one that is plain.
        over_parameterize: changes plain layers in place.
        why_plain: why a convolution has to stay plain; "" where it need not.
        refuse: raises TypeError for what belongs to the other Keras.
    """

    library: Library
    hosts: Hosts
    add_beside: Callable[..., Any]
    copied: Callable[[Any], Any]
    folded_copy: Callable[[Any], Any]
    over_parameterize: Callable[[list[Any], int | str | None], None]
    why_plain: Callable[[Any], str]
    refuse: Callable[[Any], None]


class OverParameterized:
    """The shared part of a DO-Conv layer. Precedes the host class in the order of resolution."""

    seams: ClassVar[Seams]

    host: ClassVar[Any]
    """The class of the framework's layers that this layer converts from and folds to."""

    layout: ClassVar[str]
    """Where the kernel's channel axes are, see :mod:`doconv_core.kernel.layout`."""

    kernel_name: ClassVar[str] = "kernel"
    """The attribute in which the host keeps its kernel, and its ``call`` reads it."""

    role: ClassVar[str] = "kernel"
    """What the host's arguments for this kernel begin with: kernel_ or depthwise_."""

    spec: DOConvSpec
    """The layer's sizes, known once it is built."""

    is_over_parameterized = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "host" in cls.__dict__:
            cls.__signature__ = HostSignature(cls.host, OverParameterized, OUR_ARGUMENTS)
            cls.seams.hosts.setdefault(cls.host, cls)

    def __init__(
        self,
        *args: Any,
        D_mul: int | str | None = None,
        composition: str = "kernel",
        D_init: str = "identity",
        W_extra_init: str = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # The number of channels is known in build only; these sizes do for what can be checked.
        DOConvSpec(1, 1, tuple(self.kernel_size), D_mul=D_mul)
        # Only Keras 3 quantizes.
        if self.variable_dtype not in FLOATING or getattr(self, "quantization_mode", None):
            raise TypeError(messages.layer.bad_dtype(self.dtype_policy.name))
        self.D_mul = None if D_mul == "K" else D_mul
        self.composition = validate_composition(composition)
        # Past tf_keras, which would track what a tuple holds.
        vars(self)["_start"] = start_of(D_init, W_extra_init)

    def build(self, input_shape: Any) -> None:
        """Make the host's variables, then D (zeros) and, for S > K, W_extra."""
        super().build(input_shape)
        self.over_parameterize_(self.D_mul, self.composition, self._start)
        if self.W_extra is not None and self._start.W_extra == "random":
            draw = as_the_authors(self.seams.library, self.spec)
            self._kernel.assign(draw(self._kernel.shape, self.variable_dtype))

    def over_parameterize_(
        self, D_mul: int | str | None, composition: str = "kernel", start: Start = DEFAULT
    ) -> None:
        """Give a layer with the host's variables D and W_extra.

        Its output stays what it was, but for another start than the usual one.
        """
        self.D_mul, self.composition = None if D_mul == "K" else D_mul, composition
        self.spec = spec = self.spec_of(self, D_mul)
        W, library, add_beside = self._kernel, self.seams.library, self.seams.add_beside
        self.D = self.W_extra = None
        if spec.has_D:
            # Without the kernel's regularizer and constraint: those are written for axes that D
            # does not have, and a penalty on the offset only draws the layer back to a plain one.
            self.D = add_beside(self, W, "D", spec.D_shape, offset(library, spec, start))
        if spec.extra_columns:
            self.W_extra = add_beside(
                self,
                W,
                "W_extra",
                (spec.extra_columns, *W.shape[-2:]),
                extra_columns(library, spec, getattr(self, f"{self.role}_initializer"), start),
                regularizer=getattr(self, f"{self.role}_regularizer"),
            )

    def remake_(self, theirs: Any) -> None:
        """Make a plain layer what this one is, in a copy of a model."""
        if type(theirs) is self.host:
            self.seams.over_parameterize([theirs], self.D_mul)
            theirs.composition = self.composition

    @classmethod
    def spec_of(cls, layer: Any, D_mul: int | str | None = None) -> DOConvSpec:
        """The sizes of a built layer, of this class or of its host."""
        return sizes.spec_of(cls.layout, cls.W_of(layer).shape, layer, D_mul)

    @classmethod
    def W_of(cls, layer: Any) -> Any:
        """The kernel variable of a built layer, of this class or of its host.

        None where a subclass of the host keeps it in another place.
        """
        state = vars(layer)
        return state.get("_kernel", state.get(cls.kernel_name))

    @property
    def kernel(self) -> Any:
        """The composed kernel, in the host's layout and in the compute dtype. W is ``_kernel``.

        Numerics: composed in the variables' precision, then rounded once, as autocast rounds the
        kernel of the folded layer.
        """
        if not self.built:
            raise AttributeError("You must build the layer before accessing `kernel`.")
        if self.D is None:
            return self._kernel
        W = self._uncast_W()
        return self._computed(
            compose(self.seams.library.ops, self.spec, self.layout, W, self.W_extra, self.D)
        )

    @kernel.setter
    def kernel(self, W: Any) -> None:  # which hosts assign in build
        self._keep_W(W)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> Any:
        if self.built and self.D is not None:
            warn_if_exporting(save_type)
        return super()._trackable_children(save_type, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The host's arguments and ours."""
        return {**super().get_config(), "D_mul": self.D_mul, "composition": self.composition}

    @classmethod
    def from_conv(cls, conv: Any, *, D_mul: int | str | None = None) -> Any:
        """A DO-Conv layer that computes what a plain one does; the plain one stays as it is.

        Args:
            conv: a built layer of exactly this class's host, e.g. ``Conv2D`` for ``DOConv2D``.
            D_mul: columns of W; None means one per kernel element.

        Returns:
            A new layer: own copies of the variables, same arguments and name.

        Raises:
            TypeError: ``conv`` is of another class.
            ValueError: its state cannot be kept (LoRA, a replaced call, ...), it is not built, or
                D_mul < K.
        """
        if type(conv) is not cls.host:
            cls.seams.refuse(conv)
            raise TypeError(messages.layer.wrong_type("conv", conv, f"a {cls.host.__name__}"))
        if (reason := cls.seams.why_plain(conv)) not in ("", messages.model.POINTWISE):
            raise ValueError(messages.model.cannot_convert(conv.name, type(conv).__name__, reason))
        if not conv.built:
            raise ValueError(messages.model.uninitialized(conv.name, type(conv).__name__))
        cls.spec_of(conv, D_mul)
        layer = cls.seams.copied(conv)
        cls.seams.over_parameterize([layer], D_mul)
        return layer

    def fold(self) -> Any:
        """The plain layer that computes the same: new, of the host class; this one stays.

        Raises:
            ValueError: a variable is not finite, or the layer is not built.
        """
        return self.seams.folded_copy(self)
